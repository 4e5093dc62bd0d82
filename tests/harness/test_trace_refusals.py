"""Modules that cannot be traced: the error names the module and the reason."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow
from harness.tracing.layer_calls import SUPPORTED
from harness.tracing.trace import layer_rows
from tests.toys.plain_networks import Deep, SmallResNet

DIGITS = get_images("digits")
INNER = "'stages.1.0'"
UNKNOWN = f"is not supported; supported layers: {SUPPORTED}"


def of(function: Callable[[Tensor], Tensor]) -> nn.Module:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    return Own()


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (nn.GELU(), f"{INNER} (GELU) {UNKNOWN}"),
        (
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
            f"{INNER} (Conv2d) has groups=2; only groups=1 is supported",
        ),
        (
            nn.Conv2d(8, 8, 3, padding=2, dilation=2),
            f"{INNER} (Conv2d) has dilation=(2, 2); only dilation=(1, 1) is supported",
        ),
        (
            nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
            f"{INNER} (Conv2d) has padding_mode='reflect'; only padding_mode='zeros' is supported",
        ),
        (
            nn.Conv2d(8, 8, 3, (1, 2)),
            f"{INNER} (Conv2d) has stride=(1, 2); both numbers must be the same",
        ),
        (
            nn.Conv2d(8, 8, (1, 3)),
            f"{INNER} (Conv2d) gives 8x6 pixels; only square images are supported",
        ),
        (nn.Conv2d(4, 8, 3), f"{INNER} (Conv2d) takes 4 channels, but its input has 8"),
        (
            nn.Conv2d(8, 8, 9),
            f"{INNER} (Conv2d) fails on images of 1x8x8: Calculated padded input size per channel: "
            "(8 x 8). Kernel size: (9 x 9). Kernel size can't be greater than actual input size",
        ),
        (
            nn.AdaptiveAvgPool2d(3),
            f"{INNER} (AdaptiveAvgPool2d) pools 8 to 3 pixels with windows of unequal size",
        ),
        (of(lambda x: torch.cat([x, x], 1)), f"`cat` in {INNER} (Own) {UNKNOWN}"),
        (of(lambda x: x[:, :4]), f"`getitem` in {INNER} (Own) {UNKNOWN}"),
        (of(lambda x: x.permute(0, 1, 3, 2)), f"`permute` in {INNER} (Own) {UNKNOWN}"),
        (
            of(lambda x: x + 1),
            f"`add` in {INNER} (Own) adds something other than the activations of a layer",
        ),
        (
            of(lambda x: x + torch.nn.functional.max_pool2d(x, 8)),
            f"`add` in {INNER} (Own) adds values of different shapes",
        ),
        (
            of(lambda x: torch.add(x, x, alpha=2)),
            f"`add` in {INNER} (Own) has alpha=2; only alpha=1 is supported",
        ),
        (
            of(lambda x: functional.pad(x, (1, -1, 0, 0))),
            f"`pad` in {INNER} (Own) has pad=(1, -1, 0, 0), which removes pixels",
        ),
        (
            of(lambda x: x.mean(1, keepdim=True)),
            f"`mean` in {INNER} (Own) is a mean over dimensions other than height and width",
        ),
        (
            of(lambda x: x.view(-1, 4, 16, 8)),
            f"`view` in {INNER} (Own) reshapes 8x8x8 to 4x16x8; only flattening is supported",
        ),
        (
            of(lambda x: functional.log_softmax(x, 1)),
            f"`log_softmax` in {INNER} (Own) may only follow the last fully connected layer",
        ),
        (
            of(lambda x: x if x.sum() > 0 else -x),
            f"{INNER} (Own) cannot be traced: symbolically traced variables cannot be used as "
            "inputs to control flow",
        ),
        (nn.Linear(8, 8), f"{INNER} (Linear) must read flattened values, not 4 dimensions"),
    ],
)
def test_an_unsupported_layer_is_named(inner: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_rows(Deep(inner), DIGITS)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.two = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh())
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.two(x) + self.one(x)).mean((2, 3)))  # type: ignore[no-any-return]


class Unread(SmallResNet):
    def forward(self, x: Tensor) -> Tensor:
        self.first(self.conv1(x))
        return super().forward(x)


def test_a_call_with_unsupported_arguments_is_named() -> None:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.relu(torch.mean(x, (2, 3), keepdim=True, dtype=torch.float32))

    message = (
        f"`mean` in {INNER} (Own) is called with unsupported arguments "
        "(_mean() got an unexpected keyword argument 'dtype')"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_rows(Deep(Own()), DIGITS)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Deep(nn.ReLU(), 12), "'fc' (Linear) gives 12 classes, but 'digits' has 10"),
        (SmallResNet(3), "'conv1' (Conv2d) takes 3 channels, but images of 'digits' have 1"),
        (
            nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "a network must end with a fully connected layer (Linear), but its last layer is "
            "'1' (AdaptiveAvgPool2d)",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "Sequential must have a convolution"),
        (
            nn.Identity(),
            "a network must end with a fully connected layer (Linear), but its last layer is "
            "Identity",
        ),
        (
            Branches(),
            "`add` in Branches joins two branches, and the smaller one has tanh; a shortcut may "
            "have one convolution, batch normalisation and pooling",
        ),
        (Unread(), "`relu` in 'first' (ResidualBlock) is computed but not used"),
    ],
)
def test_networks_that_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_rows(module, DIGITS)


def test_a_declared_row_is_used_if_its_shapes_agree() -> None:
    class Odd(nn.Module):
        """Doubles its input with an unsupported call, and declares that it is a tanh."""

        def __init__(self, resolution: int) -> None:
            super().__init__()
            self.layer_row = LayerRow(
                "tanh", 1, 1, 1, 8, 8, resolution, resolution, "block", 0, 0, (0,)
            )

        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 1e9 else 2 * x

    assert layer_rows(Deep(Odd(8)), DIGITS)[1].kind == "tanh"
    message = f"`layer_row` of {INNER} (Odd) has in_resolution 4, but it is 8"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_rows(Deep(Odd(4)), DIGITS)
