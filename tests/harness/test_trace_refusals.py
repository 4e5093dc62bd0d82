"""Modules that cannot be traced: the error names the module and the reason."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow
from harness.tracing.advice import UNKNOWN, refused
from tests.toys.plain_networks import Deep, SmallResNet, layer_rows

DIGITS = get_images("digits")
INNER = "'stages.1.0'"


def of(function: Callable[[Tensor], Tensor]) -> nn.Module:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    return Own()


@pytest.mark.parametrize(
    ("inner", "name", "reason"),
    [
        (nn.GELU(), "gelu", UNKNOWN),
        (nn.Conv2d(8, 8, 3, padding=1, groups=2), "conv2d",
         "has groups=2; only groups=1 is supported"),
        (nn.Conv2d(8, 8, 3, padding=2, dilation=2), "conv2d",
         "has dilation=(2, 2); only dilation=(1, 1) is supported"),
        (nn.Conv2d(8, 8, 3, (1, 2)), "conv2d",
         "has stride=(1, 2); both numbers must be the same"),
        (nn.Conv2d(8, 8, (1, 3)), "conv2d", "gives 8x6 pixels; only square images are supported"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "pad",
         "has mode='reflect'; only mode='constant' is supported"),
        (nn.AdaptiveAvgPool2d(3), "adaptive_avg_pool2d",
         "pools 8 to 3 pixels with windows of unequal size"),
        (nn.Linear(8, 8), "linear", "must read flattened values, not 4 dimensions"),
        (nn.LayerNorm([8, 8, 8]), "layer_norm", UNKNOWN),
    ],
)  # fmt: skip
def test_an_unsupported_module_is_named(inner: nn.Module, name: str, reason: str) -> None:
    message = f"{INNER} ({type(inner).__name__}) {refused(reason, name)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_rows(Deep(inner), DIGITS)


@pytest.mark.parametrize(
    ("function", "name", "reason"),
    [
        (lambda x: torch.cat([x, x], 1), "cat", UNKNOWN),
        (lambda x: x[:, :4], "getitem", "selects or reorders values"),
        (lambda x: x.chunk(2, 1)[0], "chunk", UNKNOWN),
        (lambda x: x.permute(0, 1, 3, 2), "permute", UNKNOWN),
        (lambda x: x + 1, "add", "combines a layer with something other than a layer of its shape"),
        (lambda x: x * x.sigmoid(), "mul",
         "combines a layer with something other than a layer of its shape"),
        (lambda x: x + functional.max_pool2d(x, 8), "add", "adds values of different shapes"),
        (lambda x: torch.add(x, x, alpha=2), "add", "has alpha=2; only alpha=1 is supported"),
        (lambda x: functional.pad(x, (1, -1, 0, 0)), "pad",
         "has pad=(1, -1, 0, 0), which removes pixels"),
        (lambda x: functional.pad(x, (0, 0, 0, 0, 4, 4)), "pad",
         "has pad=(0, 0, 0, 0, 4, 4), which adds channels of zeros"),
        (lambda x: x.mean(1, keepdim=True), "mean",
         "is a mean over dimensions other than height and width"),
        (lambda x: functional.relu(x.mean(2, keepdim=True)), "relu",
         "reads a mean over height or width alone"),
        (lambda x: x.view(-1, 4, 16, 8), "view",
         "reshapes 8x8x8 to 4x16x8; only flattening is supported"),
        (lambda x: torch.flatten(x).view(2, 8, 8, 8), "flatten",
         "flattens the images of a batch into one; flatten from dimension 1 on"),
        (lambda x: functional.log_softmax(x, 1), "log_softmax",
         "may only follow the last fully connected layer"),
        (lambda x: x.clamp(0, 6), "clamp", "has min=0 and max=6; only min=0 is supported"),
        (lambda x: functional.conv2d(x, torch.ones(8, 8, 1, 1)), "conv2d",
         "has weights that are no parameters, so no optimiser trains them"),
        (lambda x: torch.add(x, x, out=None), "add",
         "is called with unsupported arguments (_add() got an unexpected keyword argument 'out')"),
    ],
)  # fmt: skip
def test_an_unsupported_function_is_named(
    function: Callable[[Tensor], Tensor], name: str, reason: str
) -> None:
    message = f"`{name}` in {INNER} (Own) {refused(reason, name)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_rows(Deep(of(function)), DIGITS)


def test_a_module_that_torch_refuses_is_named() -> None:
    message = f"{INNER} (Conv2d) takes 4 channels, but its input has 8"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_rows(Deep(nn.Conv2d(4, 8, 3)), DIGITS)
    reason = "Calculated padded input size per channel: (8 x 8). Kernel size: (9 x 9). Kernel size "
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        layer_rows(Deep(nn.Conv2d(8, 8, 9)), DIGITS)
    start = r"fails on images of 1x8x8: RuntimeError: "
    assert re.match(f"{re.escape(INNER)} .Conv2d. {start}", str(caught.value))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.two = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh())
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.two(x) + self.one(x)).mean((2, 3)))  # type: ignore[no-any-return]


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
