"""A small network whose `forward` and parts a test replaces, and how it is traced."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn
from torch.nn import functional

from benchmark.space.imagesets import get_images
from harness.tracing.trace import Trace, trace_module

DIGITS = get_images("digits")
PLAIN = ["conv", "relu", "global_pool", "linear"]  # kinds of the layers of `Net`


class Net(nn.Module):
    """A convolution of 16 channels on 8x8 pixels, a ReLU, a global pool, 10 classes."""

    other: nn.Module  # what a test adds
    last: nn.Module
    norm: nn.Module
    one: nn.Module
    blocks: nn.ModuleList
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.fc = nn.Linear(16, 10)

    def head(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.relu(self.conv(x)))


def net(forward: Callable[..., object], **parts: nn.Module | Tensor) -> nn.Module:
    """Return a `Net` with further parts and another `forward`."""

    class Other(Net):
        pass

    Other.forward = forward  # type: ignore[method-assign, assignment]
    made = Other()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def trace(module: nn.Module) -> Trace:
    return trace_module(module, DIGITS)


def kinds(module: nn.Module) -> list[str]:
    return [row.kind for row in trace(module).rows]


def refusal(module: nn.Module) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        trace(module)
    return str(caught.value)


def features(self: Net, x: Tensor) -> Tensor:
    """Return the 16 channels of 8x8 pixels."""
    return functional.relu(self.conv(x))


def convolution() -> nn.Conv2d:
    return nn.Conv2d(1, 16, 3, padding=1)


def with_conv(made_otherwise: nn.Module) -> nn.Module:
    made = Net()
    made.conv = made_otherwise  # type: ignore[assignment]
    return made
