"""Images on the device, and the order and augmentation of every epoch.

Order and augmentation are drawn on the CPU from random streams keyed by (images, architecture,
seed, purpose, epoch), so they are identical on every machine. Networks use independent streams.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.space.imagesets import ImageSet
from benchmark.util.rng import generator_for
from generators.training.images import ImageArrays, Pixels

CROP_PADDING = 4  # black pixels added on every side before the crop


@dataclass(frozen=True, slots=True, eq=False)
class DeviceImages:
    """Images (n, channels, r, r) uint8 and labels (n,) int64 on a device."""

    images: Tensor
    labels: Tensor

    def take(self, rows: NDArray[np.int64] | None) -> "DeviceImages":
        """Return the images at some indices. None: all."""
        if rows is None:
            return self
        index = torch.from_numpy(rows).to(self.labels.device)
        return DeviceImages(self.images[index], self.labels[index])


@dataclass(frozen=True, slots=True, eq=False)
class DevicePixels:
    """An image set on a device: the splits and subsets of `Pixels`, and what augments them.

    Attributes:
        padded: Training images with a black border of `CROP_PADDING`. None: they are not cropped.
        mean: (1, channels, 1, 1) fp32 mean of the training images' raw pixel values.
        std: (1, channels, 1, 1) fp32 standard deviation of the same values.
    """

    images: ImageSet
    train: DeviceImages
    valid: DeviceImages
    test: DeviceImages
    curve_valid: DeviceImages
    curve_test: DeviceImages
    final_train: DeviceImages
    padded: Tensor | None
    mean: Tensor
    std: Tensor

    def normalise(self, raw: Tensor) -> Tensor:
        """Return uint8 images as fp32, with mean 0 and standard deviation 1 per channel."""
        return (raw.float() - self.mean) / self.std


def to_device(pixels: Pixels, device: torch.device) -> DevicePixels:
    """Copy an image set to a device, where every network reads it."""

    def copy(source: ImageArrays) -> DeviceImages:
        images, labels = torch.tensor(source.images), torch.tensor(source.labels)
        return DeviceImages(images.to(device), labels.to(device))

    train = copy(pixels.train)
    padded = None
    if pixels.images.cropped:
        padded = torch.nn.functional.pad(train.images, (CROP_PADDING,) * 4)
    mean = torch.tensor(pixels.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(pixels.std, device=device).view(1, -1, 1, 1)
    valid, test = copy(pixels.valid), copy(pixels.test)
    curves = valid.take(pixels.curve_valid), test.take(pixels.curve_test)
    final_train = train.take(pixels.final_train)
    return DevicePixels(pixels.images, train, valid, test, *curves, final_train, padded, mean, std)


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """The random draws of one epoch, one for each image in the order of use.

    Attributes:
        order: (images,) indices into the training images.
        rows: (images,) vertical offsets of the crops, 0..8. None: images are not cropped.
        columns: (images,) horizontal offsets of the crops, 0..8. None: images are not cropped.
        flips: (images,) 1 if the image is mirrored, else 0. None: images are not mirrored.
    """

    order: Tensor
    rows: Tensor | None
    columns: Tensor | None
    flips: Tensor | None


def draw_epoch(
    pixels: DevicePixels, key: tuple[str | int, ...], epoch: int, count: int | None = None
) -> Epoch:
    """Draw the order and augmentation of an epoch, counted from 0, and copy them to the device.

    `count` is the number of images in an epoch, a divisor of that of training images. None: all.
    Each pass over all images has its own permutation; consecutive epochs take consecutive slices.
    """
    device, total = pixels.mean.device, len(pixels.train.labels)
    size = count or total
    passes, start = divmod(epoch * size, total)
    order = generator_for(*key, "order", passes).permutation(total)[start : start + size]

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


def training_batch(pixels: DevicePixels, epoch: Epoch, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return a batch, augmented and normalised: images (size, c, r, r) fp32, labels (size,).

    `positions`, (size,) int64, are those of the batch's images in the epoch's order.
    """
    chosen = epoch.order[positions]
    labels = pixels.train.labels[chosen]
    if epoch.rows is None and epoch.flips is None:
        return pixels.normalise(pixels.train.images[chosen]), labels
    if epoch.rows is None and epoch.flips is not None:
        raw = pixels.train.images[chosen]
        mirrored = epoch.flips[positions, None, None, None] > 0
        return pixels.normalise(torch.where(mirrored, raw.flip(3), raw)), labels
    resolution, channels = pixels.images.resolution, pixels.images.channels
    steps = torch.arange(resolution, device=chosen.device)
    rows, columns = steps[None], steps[None]
    source = pixels.train.images
    if epoch.flips is not None:
        columns = torch.where(epoch.flips[positions, None] > 0, resolution - 1 - steps, steps)
    if epoch.rows is not None and epoch.columns is not None and pixels.padded is not None:
        source = pixels.padded
        rows = epoch.rows[positions, None] + rows
        columns = epoch.columns[positions, None] + columns
    raw = source[
        chosen[:, None, None, None],
        torch.arange(channels, device=chosen.device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
    return pixels.normalise(raw), labels
