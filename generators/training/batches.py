"""Images on the device, and the order and augmentation of every epoch.

Order and augmentation are drawn on the CPU from streams keyed by (images, architecture, seed,
purpose, epoch), so that they are the same bits on every machine. Networks use independent random
streams.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.space.imagesets import ImageSet
from benchmark.util.rng import generator_for
from generators.training.images import ImageArrays, Pixels

CROP_PADDING = 4  # pixels of black on every side before the crop


@dataclass(frozen=True, slots=True, eq=False)
class DevicePart:
    """Images (n, channels, r, r) uint8 and labels (n,) int64 on the device."""

    images: Tensor
    labels: Tensor

    def take(self, rows: NDArray[np.int64] | None) -> "DevicePart":
        """Return some rows; None takes all."""
        if rows is None:
            return self
        index = torch.from_numpy(rows).to(self.labels.device)
        return DevicePart(self.images[index], self.labels[index])


@dataclass(frozen=True, slots=True, eq=False)
class DevicePixels:
    """An image set on a device.

    Attributes:
        images: What the set is.
        train: Training images as they are.
        valid: Valid images.
        test: Test images.
        curve_valid: Valid images that are measured after every epoch but the last.
        curve_test: Test images that are measured after every epoch but the last.
        final_train: Training images that the final network is measured on.
        padded: Training images with a black border of `CROP_PADDING`, if they are cropped.
        mean: (1, channels, 1, 1) fp32.
        std: (1, channels, 1, 1) fp32.
    """

    images: ImageSet
    train: DevicePart
    valid: DevicePart
    test: DevicePart
    curve_valid: DevicePart
    curve_test: DevicePart
    final_train: DevicePart
    padded: Tensor | None
    mean: Tensor
    std: Tensor

    def normalise(self, raw: Tensor) -> Tensor:
        """Return uint8 images as fp32 with mean 0 and standard deviation 1 per channel."""
        return (raw.float() - self.mean) / self.std


def to_device(pixels: Pixels, device: torch.device) -> DevicePixels:
    """Copy an image set to a device once, to serve every network."""

    def part(source: ImageArrays) -> DevicePart:
        images, labels = torch.tensor(source.images), torch.tensor(source.labels)
        return DevicePart(images.to(device), labels.to(device))

    train = part(pixels.train)
    padded = None
    if pixels.images.cropped:
        border = (CROP_PADDING,) * 4
        padded = torch.nn.functional.pad(train.images, border)
    mean = torch.tensor(pixels.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(pixels.std, device=device).view(1, -1, 1, 1)
    valid, test = part(pixels.valid), part(pixels.test)
    measured = valid.take(pixels.curve_valid), test.take(pixels.curve_test)
    final_train = train.take(pixels.final_train)
    return DevicePixels(
        pixels.images, train, valid, test, *measured, final_train, padded, mean, std
    )


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """The draws of one epoch, in order of use.

    Attributes:
        order: (images,) indices into the training images.
        rows: (images,) vertical offset of the crop, 0..8; None if images are not cropped.
        columns: (images,) horizontal offset of the crop.
        flips: (images,) whether the image is mirrored, 0 or 1; None if images are not mirrored.
    """

    order: Tensor
    rows: Tensor | None
    columns: Tensor | None
    flips: Tensor | None


def draw_epoch(
    pixels: DevicePixels, key: tuple[str | int, ...], epoch: int, count: int | None = None
) -> Epoch:
    """Draw an epoch's order and augmentation and copy them to the device.

    Args:
        pixels: Images on the device.
        key: Of the random streams.
        epoch: From 0.
        count: Images of an epoch, a divisor of all training images. None: all. Each pass over all
            has a permutation of its own, of which consecutive epochs take consecutive stretches.
    """
    device, everything = pixels.mean.device, len(pixels.train.labels)
    size = count or everything
    passes, start = divmod(epoch * size, everything)
    order = generator_for(*key, "order", passes).permutation(everything)[start : start + size]

    def on_device(values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(values).to(device)

    rng = generator_for(*key, "augmentation", epoch)
    rows = columns = flips = None
    if pixels.images.cropped:
        offsets = rng.integers(0, 2 * CROP_PADDING + 1, (2, size), dtype=np.int64)
        rows, columns = map(on_device, offsets)
    if pixels.images.flipped:
        flips = on_device(rng.integers(0, 2, size, dtype=np.int64))
    return Epoch(on_device(order), rows, columns, flips)


def training_batch(pixels: DevicePixels, epoch: Epoch, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return a batch, augmented and normalised: images (size, c, r, r) fp32, labels (size,).

    Args:
        pixels: Images on the device.
        epoch: Draws of the epoch.
        places: (size,) int64, places in the epoch's order.
    """
    chosen = epoch.order[places]
    labels = pixels.train.labels[chosen]
    if epoch.rows is None and epoch.flips is None:
        return pixels.normalise(pixels.train.images[chosen]), labels
    if epoch.rows is None and epoch.flips is not None:
        raw = pixels.train.images[chosen]
        mirrored = epoch.flips[places, None, None, None] > 0
        return pixels.normalise(torch.where(mirrored, raw.flip(3), raw)), labels
    resolution, channels = pixels.images.resolution, pixels.images.channels
    steps = torch.arange(resolution, device=chosen.device)
    rows, columns = steps[None], steps[None]
    source = pixels.train.images
    if epoch.flips is not None:
        columns = torch.where(epoch.flips[places, None] > 0, resolution - 1 - steps, steps)
    if epoch.rows is not None and epoch.columns is not None and pixels.padded is not None:
        source = pixels.padded
        rows, columns = epoch.rows[places, None] + rows, epoch.columns[places, None] + columns
    raw = source[
        chosen[:, None, None, None],
        torch.arange(channels, device=chosen.device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
    return pixels.normalise(raw), labels
