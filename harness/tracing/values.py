"""What the dimensions of a traced tensor hold: images, channels, height and width.

Each dimension holds some of these axes in order, so a flattened tensor has the dimensions `N` and
`CHW`. Axes of size 1 are in no dimension. A reshape is followed axis by axis; numbers of elements
alone never decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

BATCH = 2  # images of most runs; batch normalisation needs more than one
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TracedValue:
    """A tensor that is computed from the images.

    Attributes:
        row: Index of the layer row that computed it; -1 for the images.
        channels: Number of channels.
        resolution: Height and width in pixels that the row gives.
        size: Height and width of the tensor in pixels, with padding.
        dims: The axes, of N, C, H and W, that each dimension holds; those of size 1 are left out.
        averaged: Axes that a mean has removed so far; a mean over all pixels is a global pool.
        softmax: Whether it is a softmax, which nothing but the output may read.
        problem: Why layer rows cannot express it; empty if they can.
        batch: Number of images.
    """

    row: int
    channels: int
    resolution: int
    size: Pair
    dims: tuple[str, ...]
    averaged: str = ""
    softmax: bool = False
    problem: str = ""
    batch: int = BATCH

    @property
    def is_image(self) -> bool:
        """Whether its dimensions are images, channels, height and width."""
        return self.dims == image_dims(self.channels, self.size)

    @property
    def is_vector(self) -> bool:
        """Whether its dimensions are images and everything else."""
        return self.dims == ("N", "".join(image_dims(self.channels, self.size)[1:]))

    def text(self) -> str:
        """Return channels, height and width as text."""
        return "x".join(map(str, (self.channels, *self.size)))


def image_dims(channels: int, size: Pair) -> tuple[str, ...]:
    """Return the dimensions of images with some channels, height and width."""
    axes = (axis if n > 1 else "" for axis, n in zip("CHW", (channels, *size), strict=True))
    return ("N", *axes)


def images_value(channels: int, resolution: int, batch: int) -> TracedValue:
    """Return the value of the images themselves."""
    size = (resolution, resolution)
    dims = image_dims(channels, size)
    return TracedValue(-1, channels, resolution, size, dims, batch=batch)


def reshaped_dims(value: TracedValue, shape: Sequence[int]) -> tuple[str, ...]:
    """Return the dimensions of a value after a reshape that keeps the order of elements.

    Raises:
        ValueError: If the reshape splits an axis, or joins images with something else; the message
            continues a sentence about the reshape.
    """
    sizes = dict(zip("NCHW", (value.batch, value.channels, *value.size), strict=True))
    axes = [axis for dim in value.dims for axis in dim]
    dims: list[str] = []
    for wanted in shape:
        dim, number = "", 1
        while number < wanted and axes:
            axis = axes.pop(0)
            dim, number = dim + axis, number * sizes[axis]
        if number != wanted:
            after = "x".join(map(str, shape[1:]))
            raise ValueError(f"reshapes {value.text()} to {after}; only flattening is supported")
        dims.append(dim)
    if any("N" in dim and dim != "N" for dim in dims):
        raise ValueError("flattens the images of a batch into one; flatten from dimension 1 on")
    return tuple(dims)


def square(size: Sequence[int]) -> int:
    """Return the height and width in pixels, which must be equal.

    Raises:
        ValueError: If they differ; the message continues a sentence about the layer.
    """
    height, width = size
    if height != width:
        raise ValueError(f"gives {height}x{width} pixels; only square images are supported")
    return height
