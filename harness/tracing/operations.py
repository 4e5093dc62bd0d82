"""What each function of torch does to a traced value, by the name of the function.

A module, a function and a tensor method all end in the same functions, so one table serves them.
Each entry takes a `Step`, then what the function takes. It returns the value of the result, after
appending a layer row if the function has one, or raises a ValueError that continues a sentence
about the call. A layer row records neither padding, only the resulting resolutions, nor biases.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmark.space.layer_walk import RowKind
from harness.tracing.shape_operations import (
    Size,
    getitem,
    identity,
    normalise,
    pad_image,
    require,
    reshape,
    softmax,
)
from harness.tracing.steps import Step
from harness.tracing.values import TracedValue, image_dims, square


def _pair(size: Size) -> tuple[int, int]:
    numbers = (size, size) if isinstance(size, int) else tuple(size)
    return int(numbers[0]), int(numbers[-1])


def _one_number(name: str, size: Size) -> int:
    """Return a size that must be the same in both directions."""
    height, width = _pair(size)
    if height != width:
        raise ValueError(f"has {name}={(height, width)}; both numbers must be the same")
    return height


def _conv2d(
    step: Step, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: object = 0, dilation: Size = 1, groups: int = 1,
) -> TracedValue:  # fmt: skip
    value = step.image(input)
    require("groups", groups, 1)
    require("dilation", _pair(dilation), (1, 1))
    step.check_weight(weight)
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    return step.layer("conv", [value], kernel, _one_number("stride", stride))


def _linear(step: Step, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> TracedValue:
    value = step.read(input)
    if not value.is_vector:
        raise ValueError(f"must read flattened values, not {input.ndim} dimensions")
    step.check_weight(weight)
    side = square(value.size)
    return step.layer("linear", [value], (side, side), side)


def _max_pool2d(
    step: Step, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> TracedValue:  # fmt: skip
    value = step.image(input)
    require("dilation", _pair(dilation), (1, 1))
    step_size = _one_number("stride", stride or kernel_size)
    return step.layer("max_pool", [value], _pair(kernel_size), step_size)


def _avg_pool2d(
    step: Step, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> TracedValue:  # fmt: skip
    value = step.image(input)
    require("divisor_override", divisor_override, None)
    kernel = _pair(kernel_size)
    whole = kernel == value.size and _pair(padding) == (0, 0)
    if whole and tuple(step.result.shape[2:]) == (1, 1):
        return step.layer("global_pool", [value], kernel)
    return step.layer("avg_pool", [value], kernel, _one_number("stride", stride or kernel_size))


def _adaptive_avg_pool2d(
    step: Step, input: Tensor, output_size: int | tuple[int | None, ...]
) -> TracedValue:
    value = step.image(input)
    side, wanted = square(value.size), square([int(n) for n in step.result.shape[2:]])
    if wanted == side and (side > 1 or step.is_kind(value, "global_pool")):
        return value
    if side % wanted:
        raise ValueError(f"pools {side} to {wanted} pixels with windows of unequal size")
    window = side // wanted
    if wanted == 1:
        return step.layer("global_pool", [value], (window, window))
    return step.layer("avg_pool", [value], (window, window), window)


def _mean(
    step: Step,
    input: Tensor,
    dim: Size | None = None,
    keepdim: bool = False,
    *,
    dtype: object = None,
    axis: Size | None = None,
) -> TracedValue:
    value = step.read(input, averaged=True)
    dim = axis if dim is None else dim
    numbers = range(input.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    reduced = {int(n) % input.ndim for n in numbers}
    axes = "".join(value.dims[n] for n in sorted(reduced))
    if set(axes) - set("HW"):
        raise ValueError("is a mean over dimensions other than height and width")
    kept = [dim if n not in reduced else "" for n, dim in enumerate(value.dims)]
    dims = tuple(dim for n, dim in enumerate(kept) if keepdim or n not in reduced)
    if set("".join(dims)) & set("HW"):
        return replace(value, dims=dims, averaged=value.averaged + axes)
    side = square(value.size)
    all_pixels = axes or (input.ndim == len("NCHW") and reduced == {2, 3})
    if not all_pixels or (side == 1 and step.is_kind(value, "global_pool")):
        return replace(value, dims=dims)
    return replace(step.layer("global_pool", [value], (side, side)), dims=dims)


def _elementwise(kind: RowKind) -> Callable[..., TracedValue]:
    def apply(step: Step, input: Tensor, *_: object, **__: object) -> TracedValue:
        if step.use.parts:
            raise ValueError("reads parameters")
        return step.layer(kind, [step.read(input)])

    return apply


def _clamp(step: Step, input: Tensor, min: object = None, max: object = None) -> TracedValue:
    if isinstance(min, Tensor) or min != 0 or max is not None:
        raise ValueError(f"has min={min!r} and max={max!r}; only min=0 is supported")
    return step.layer("relu", [step.read(input)])


def _batch_norm(step: Step, input: Tensor, *_: object, **__: object) -> TracedValue:
    value = step.read(input)
    features = value.dims[1]
    if features == ("C" if value.channels > 1 else ""):
        return step.layer("bn", [value])
    if not value.is_vector:
        raise ValueError("normalises dimensions other than channels")
    units = int(input.shape[1])  # one feature a pixel: layer rows say so as channels of one pixel
    dims = image_dims(units, (1, 1))[:2]
    flat = TracedValue(value.row, units, 1, (1, 1), dims, batch=value.batch)
    return step.layer("bn", [flat])


def _dropout(
    step: Step, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> TracedValue:
    value = step.read(input)
    if not training or p == 0:
        return value
    step.found.rates.append(p)
    return step.layer("dropout", [value])


def _add(step: Step, input: Tensor, other: Any = None, *, alpha: float = 1) -> TracedValue:
    require("alpha", alpha, 1)
    if isinstance(input, int | float) and input == 0:
        input, other = other, input
    if isinstance(other, int | float) and other == 0:  # as `sum` starts
        return step.read(input)
    if not step.is_traced(input) or not step.is_traced(other):
        return normalise(step, input, other)
    one, two = step.read(input), step.read(other)
    if (one.channels, one.size, one.dims) != (two.channels, two.size, two.dims):
        raise ValueError("adds values of different shapes")
    return step.layer("add", [one, two])


_ALL: dict[Callable[..., TracedValue], tuple[str, ...]] = {
    _conv2d: ("conv2d",),
    _linear: ("linear",),
    _max_pool2d: ("max_pool2d",),
    _avg_pool2d: ("avg_pool2d",),
    _adaptive_avg_pool2d: ("adaptive_avg_pool2d",),
    _mean: ("mean",),
    _elementwise("relu"): ("relu",),
    _elementwise("sigmoid"): ("sigmoid",),
    _elementwise("tanh"): ("tanh",),
    _clamp: ("clamp", "clip", "clamp_min"),
    _batch_norm: ("batch_norm",),
    _dropout: ("dropout", "dropout1d", "dropout2d", "feature_dropout"),
    _add: ("add",),
    normalise: ("sub", "mul", "div", "rsub"),
    pad_image: ("pad",),
    getitem: ("getitem",),
    softmax: ("softmax", "log_softmax"),
    identity: (
        "contiguous", "clone", "detach", "to", "type", "type_as", "float", "double", "half",
        "bfloat16", "cpu", "cuda", "requires_grad", "data", "alias", "positive", "as_tensor",
        "asarray", "tensor",
    ),
    reshape: (
        "view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as",
        "reshape_as", "ravel",
    ),
}  # fmt: skip
OPERATIONS = {name: operation for operation, names in _ALL.items() for name in names}
_ALIASES = {
    "iadd": "add", "radd": "add", "subtract": "sub", "isub": "sub", "multiply": "mul",
    "imul": "mul", "rmul": "mul", "divide": "div", "true_divide": "div", "truediv": "div",
    "itruediv": "div",
}  # fmt: skip


def operation_name(function: object) -> str:
    """Return the name of a function of torch without its variants: `add` for `add_`, `__iadd__`.

    The setter of a property has the name of the property after `set_`.
    """
    qualified = str(getattr(function, "_qualified_op_name", getattr(function, "_name", "aten::")))
    module = str(getattr(function, "__module__", None) or "torch")
    if not qualified.startswith("aten::") or module.split(".")[0] != "torch":
        return f"{module}.{getattr(function, '__name__', function)}"
    name = str(getattr(function, "__name__", function))
    if name in ("__get__", "__set__"):  # of a property
        prefix = "set_" * (name == "__set__")
        name = prefix + str(getattr(getattr(function, "__self__", None), "__name__", name))
    name = name.strip("_")
    return _ALIASES.get(name, name)


def has_own_functions(kind: type) -> bool:
    """Return whether functions of torch do something else to a class of tensors."""
    ours = (Tensor.__torch_function__.__func__, torch._C._disabled_torch_function_impl)  # type: ignore[attr-defined]
    theirs = getattr(kind.__torch_function__, "__func__", kind.__torch_function__)  # type: ignore[attr-defined]
    plain = kind.__torch_dispatch__ is Tensor.__torch_dispatch__  # type: ignore[attr-defined]
    return theirs not in ours or not plain


def is_dropout(name: str) -> bool:
    """Return whether a function is a dropout."""
    return OPERATIONS.get(name) is _dropout
