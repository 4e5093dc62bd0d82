"""Translates calls of torch modules and functions into the terms of layer rows.

Three tables list the supported modules, functions and tensor methods. A layer row does not record
padding, only the resulting resolutions, nor whether a layer has a bias.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn
from torch.nn import functional

from benchmark.space.layer_walk import RowKind

SUPPORTED = (
    "convolution, max, average and global average pooling, ReLU, sigmoid, tanh, batch "
    "normalisation, addition, dropout, flattening and fully connected layers"
)
Kind = RowKind | Literal["identity", "reshape", "pad", "mean", "adaptive", "log_softmax"]
Size = int | tuple[int, ...] | list[int] | torch.Size


@dataclass(frozen=True, slots=True)
class Call:
    """An operation on a value.

    Attributes:
        kind: Kind of a layer row, or one without a row: `identity`, `reshape`, `pad`, `mean` over
            dimensions, `adaptive` average pool, and `log_softmax`, allowed only at the end.
        kernel: Height and width of the kernel in pixels; (1, 1) without a kernel.
        stride: Stride in pixels; 1 without a stride.
    """

    kind: Kind
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


def call_of_module(module: nn.Module) -> Call | None:
    """Return the operation of a module; None if the module is not supported.

    Raises:
        ValueError: If a row cannot express it; the message continues a sentence about the module.
    """
    make = MODULES.get(type(module))
    return None if make is None else make(module)


def call_of_function(target: object, arguments: tuple[object, ...], named: dict[str, object]) -> (
    Call | None
):  # fmt: skip
    """Return the operation of a function or tensor method; None if it is not supported.

    Args:
        target: The function, or the name of the method.
        arguments: Positional arguments after the first one.
        named: Keyword arguments.

    Raises:
        ValueError: If a row cannot express it; the message continues a sentence about the call.
    """
    table: dict[object, Callable[..., Call]] = METHODS if isinstance(target, str) else FUNCTIONS
    make = table.get(target)
    try:
        return None if make is None else make(*arguments, **named)
    except TypeError as error:
        raise ValueError(f"is called with unsupported arguments ({error})") from error


def _pair(size: Size) -> tuple[int, int]:
    numbers = (size, size) if isinstance(size, int) else tuple(size)
    return (numbers[0], numbers[-1])


def _one_number(name: str, size: Size) -> int:
    """Return a size that must be the same in both directions."""
    height, width = _pair(size)
    if height != width:
        raise ValueError(f"has {name}={(height, width)}; both numbers must be the same")
    return height


def _require(name: str, value: object, supported: object) -> None:
    if value != supported:
        raise ValueError(f"has {name}={value!r}; only {name}={supported!r} is supported")


def _convolution(module: nn.Module) -> Call:
    assert isinstance(module, nn.Conv2d)
    _require("groups", module.groups, 1)
    _require("dilation", _pair(module.dilation), (1, 1))
    _require("padding_mode", module.padding_mode, "zeros")
    return Call("conv", _pair(module.kernel_size), _one_number("stride", module.stride))


def _max_pool(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Call:
    _require("dilation", _pair(dilation), (1, 1))
    _require("return_indices", return_indices, False)
    return Call("max_pool", _pair(kernel_size), _one_number("stride", stride or kernel_size))


def _average_pool(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Call:
    _require("divisor_override", divisor_override, None)
    return Call("avg_pool", _pair(kernel_size), _one_number("stride", stride or kernel_size))


def _adaptive(output_size: Size) -> Call:
    return Call("adaptive", (_one_number("output_size", output_size),) * 2)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> Call:
    return Call("dropout" if training and p > 0 else "identity")


def _add(other: object = None, *, alpha: float = 1) -> Call:
    _require("alpha", alpha, 1)
    return Call("add")


def _pad(pad: Size, mode: str = "constant", value: float | None = None) -> Call:
    _require("mode", mode, "constant")
    if min(pad if not isinstance(pad, int) else (pad,)) < 0:
        raise ValueError(f"has pad={tuple(pad)!r}, which removes pixels")  # type: ignore[arg-type]
    return Call("pad")


def _mean(dim: object = None, keepdim: bool = False) -> Call:
    return Call("mean")


def _simple(kind: Kind) -> Callable[..., Call]:
    """Return a function that ignores its arguments and returns a call of a kind."""
    return lambda *_, **__: Call(kind)


def _with_attributes(make: Callable[..., Call], *names: str) -> Callable[[nn.Module], Call]:
    """Return a function that calls `make` with attributes of a module."""
    return lambda module: make(**{name: getattr(module, name) for name in names})


MODULES: dict[type[nn.Module], Callable[[nn.Module], Call]] = {
    nn.Conv2d: _convolution,
    nn.MaxPool2d: _with_attributes(
        _max_pool, "kernel_size", "stride", "dilation", "return_indices"
    ),
    nn.AvgPool2d: _with_attributes(_average_pool, "kernel_size", "stride", "divisor_override"),
    nn.AdaptiveAvgPool2d: _with_attributes(_adaptive, "output_size"),
    nn.ReLU: _simple("relu"),
    nn.Sigmoid: _simple("sigmoid"),
    nn.Tanh: _simple("tanh"),
    nn.BatchNorm1d: _simple("bn"),
    nn.BatchNorm2d: _simple("bn"),
    nn.Dropout: _with_attributes(_dropout, "p"),
    nn.Dropout2d: _with_attributes(_dropout, "p"),
    nn.Linear: _simple("linear"),
    nn.Flatten: _simple("reshape"),
    nn.Unflatten: _simple("reshape"),
    nn.ZeroPad2d: lambda module: _pad(cast("Size", module.padding)),
    nn.ConstantPad2d: lambda module: _pad(cast("Size", module.padding)),
    nn.Identity: _simple("identity"),
    nn.LogSoftmax: _simple("log_softmax"),
}
FUNCTIONS: dict[object, Callable[..., Call]] = {
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), _max_pool),
    functional.avg_pool2d: _average_pool,
    functional.adaptive_avg_pool2d: _adaptive,
    **dict.fromkeys((functional.relu, functional.relu_, torch.relu), _simple("relu")),
    **dict.fromkeys((functional.sigmoid, torch.sigmoid), _simple("sigmoid")),
    **dict.fromkeys((functional.tanh, torch.tanh), _simple("tanh")),
    **dict.fromkeys((functional.dropout, functional.dropout2d), _dropout),
    functional.pad: _pad,
    **dict.fromkeys((functional.log_softmax, torch.log_softmax), _simple("log_softmax")),
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze), _simple("reshape")),
    torch.mean: _mean,
    **dict.fromkeys((torch.add, operator.add, operator.iadd), _add),
}
METHODS: dict[object, Callable[..., Call]] = {
    **dict.fromkeys(("relu", "relu_"), _simple("relu")),
    **dict.fromkeys(("sigmoid", "sigmoid_"), _simple("sigmoid")),
    **dict.fromkeys(("tanh", "tanh_"), _simple("tanh")),
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze", "unsqueeze"), _simple("reshape")),
    **dict.fromkeys(("contiguous", "clone", "float"), _simple("identity")),
    **dict.fromkeys(("add", "add_"), _add),
    "mean": _mean,
    "log_softmax": _simple("log_softmax"),
}
