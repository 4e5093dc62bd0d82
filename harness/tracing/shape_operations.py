"""What functions without a layer row do to a traced value: they shape it, or leave it as it is."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from harness.tracing.steps import Step
from harness.tracing.values import TracedValue, image_dims, reshaped_dims

AS_MAX_POOLS_PAD = -1e4  # at most this; max pools pad with minus infinity
LEAST_BYTES = 2  # of a number; below, values are rounded to a few levels
Size = int | tuple[int, ...] | list[int]


def require(name: str, value: object, supported: object) -> None:
    """Check an argument of which layer rows can express one value alone."""
    if value != supported:
        raise ValueError(f"has {name}={value!r}; only {name}={supported!r} is supported")


def normalise(step: Step, input: Any, other: Any = None, **_: object) -> TracedValue:
    """Return images that are shifted or scaled by numbers, which is no layer."""
    images = step.read(input if step.is_traced(input) else other)
    both = step.is_traced(input) and step.is_traced(other)
    same = tuple(step.result.shape) == step.shape_of(input if step.is_traced(input) else other)
    if both or images.row >= 0 or step.use.parts or not same:
        raise ValueError("combines a layer with something other than a layer of its shape")
    return images


def pad_image(
    step: Step, input: Tensor, pad: Size, mode: str = "constant", value: float | None = None
) -> TracedValue:
    """Return images with a border; a layer with a window reads them as if it padded them."""
    padded = step.image(input)
    require("mode", mode, "constant")
    if value and value > AS_MAX_POOLS_PAD:
        raise ValueError(f"has value={value!r}; layers pad with zeros")
    sides = tuple(pad) if not isinstance(pad, int) else (pad,)
    if any(sides[4:]):
        raise ValueError(f"has pad={sides!r}, which adds channels of zeros")
    if min(sides) < 0:
        raise ValueError(f"has pad={sides!r}, which removes pixels")
    size = (int(step.result.shape[2]), int(step.result.shape[3]))
    return replace(padded, size=size, dims=image_dims(padded.channels, size))


def softmax(step: Step, input: Tensor, dim: int | None = None, *_: object, **__: object) -> (
    TracedValue
):  # fmt: skip
    """Return the logits, which nothing but the output may read afterwards."""
    value = step.read(input)
    if not step.is_kind(value, "linear") or dim not in (None, 1, -1):
        raise ValueError("may only follow the last fully connected layer")
    return replace(value, softmax=True)


def identity(step: Step, input: Tensor, *_: object, **__: object) -> TracedValue:
    """Return the value itself, after a cast or a copy."""
    _check_numbers(step)
    return step.read(input, averaged=True, softmax=True)


def _check_numbers(step: Step) -> None:
    """Check that a result has floating-point numbers of at least 16 bits."""
    kind = step.result.dtype
    if not kind.is_floating_point or kind.itemsize < LEAST_BYTES:
        raise ValueError(f"changes the numbers to {kind}")


def getitem(step: Step, input: Tensor, index: object) -> TracedValue:
    """Return the same values with other dimensions; a copy selects or reorders values."""
    if not step.is_view(input):
        raise ValueError("selects or reorders values")
    return reshape(step, input)


def reshape(step: Step, input: Tensor, *_: object, **__: object) -> TracedValue:
    """Return the value with the dimensions of the result."""
    value = step.read(input, averaged=True, softmax=True)
    if step.result.dtype != input.dtype:
        raise ValueError(f"reads the bits as {step.result.dtype}")
    if step.result.numel() != input.numel():
        raise ValueError("takes a part of the values")
    return replace(value, dims=reshaped_dims(value, [int(n) for n in step.result.shape]))
