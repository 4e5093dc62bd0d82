"""Images on the device, and the order and augmentation of every epoch.

Order and augmentation are drawn on the CPU from streams keyed by (images, architecture, seed,
purpose, epoch), so that they are the same bits on every machine and networks share no luck.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.imagesets import ImageSet
from benchmark.streams import stream
from generators.images import Part, Pixels

CROP_PADDING = 4  # pixels of black on every side before the crop


@dataclass(frozen=True, slots=True, eq=False)
class DevicePart:
    """Images (n, channels, r, r) uint8 and labels (n,) int64 on the device."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class DevicePixels:
    """An image set on a device.

    Attributes:
        images: What the set is.
        train: Training images as they are, for evaluation.
        valid: Valid images.
        test: Test images.
        padded: Training images with a black border of `CROP_PADDING`, if the set is augmented.
        mean: (1, channels, 1, 1) fp32.
        std: (1, channels, 1, 1) fp32.
    """

    images: ImageSet
    train: DevicePart
    valid: DevicePart
    test: DevicePart
    padded: Tensor | None
    mean: Tensor
    std: Tensor

    def normalise(self, raw: Tensor) -> Tensor:
        """Return uint8 images as fp32 with mean 0 and standard deviation 1 per channel."""
        return (raw.float() - self.mean) / self.std


def to_device(pixels: Pixels, device: torch.device) -> DevicePixels:
    """Copy an image set to a device once, to serve every network."""

    def part(source: Part) -> DevicePart:
        images, labels = torch.tensor(source.images), torch.tensor(source.labels)
        return DevicePart(images.to(device), labels.to(device))

    train = part(pixels.train)
    padded = None
    if pixels.images.augmented:
        border = (CROP_PADDING,) * 4
        padded = torch.nn.functional.pad(train.images, border)
    mean = torch.tensor(pixels.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(pixels.std, device=device).view(1, -1, 1, 1)
    parts = part(pixels.valid), part(pixels.test)
    return DevicePixels(pixels.images, train, *parts, padded, mean, std)


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """The draws of one epoch, in order of use.

    Attributes:
        order: (images,) indices into the training images.
        rows: (images,) vertical offset of the crop, 0..8; None if the set is not augmented.
        columns: Likewise, horizontal.
        flips: Likewise, whether the crop is mirrored.
    """

    order: Tensor
    rows: Tensor | None
    columns: Tensor | None
    flips: Tensor | None


def draw_epoch(pixels: DevicePixels, key: tuple[str | int, ...], epoch: int) -> Epoch:
    """Draw an epoch's order and augmentation and copy them to the device."""
    device = pixels.mean.device
    count = len(pixels.train.labels)
    order = stream(*key, "order", epoch).permutation(count)
    order_tensor = torch.from_numpy(order).to(device)
    if pixels.padded is None:
        return Epoch(order_tensor, None, None, None)
    rng = stream(*key, "augmentation", epoch)
    offsets = rng.integers(0, 2 * CROP_PADDING + 1, (2, count), dtype=np.int64)
    flips = rng.integers(0, 2, count, dtype=np.int64)
    drawn = [torch.from_numpy(x).to(device) for x in (*offsets, flips)]
    return Epoch(order_tensor, *drawn)


def training_batch(pixels: DevicePixels, epoch: Epoch, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return a batch, augmented and normalised: images (size, c, r, r) fp32, labels (size,).

    Args:
        pixels: Images on the device.
        epoch: Draws of the epoch.
        places: (size,) int64, places in the epoch's order.
    """
    chosen = epoch.order[places]
    labels = pixels.train.labels[chosen]
    if pixels.padded is None or epoch.rows is None:
        return pixels.normalise(pixels.train.images[chosen]), labels
    assert epoch.columns is not None
    assert epoch.flips is not None
    resolution, channels = pixels.images.resolution, pixels.images.channels
    steps = torch.arange(resolution, device=chosen.device)
    rows = epoch.rows[places, None] + steps
    mirrored = torch.where(epoch.flips[places, None] > 0, resolution - 1 - steps, steps)
    columns = epoch.columns[places, None] + mirrored
    raw = pixels.padded[
        chosen[:, None, None, None],
        torch.arange(channels, device=chosen.device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
    return pixels.normalise(raw), labels
