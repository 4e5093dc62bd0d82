"""Networks that once gave rows of something else than what torch runs, without a word."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, library, nn
from torch.nn import functional

from benchmark.space.layer_walk import LayerRow
from tests.toys.own_networks import PLAIN, Net, features, kinds, net, refusal, trace

ORDER = torch.arange(63, -1, -1)
SELECTS = "selects or reorders values"


def picks(index: object) -> Callable[[Net, Tensor], object]:
    return lambda self, x: self.head(features(self, x)[index])  # type: ignore[index]


def casts(cast: Callable[[Tensor], Tensor]) -> Callable[[Net, Tensor], object]:
    return lambda self, x: self.head(cast(features(self, x)))


class OneFeature(nn.Module):
    """A normalisation over one dimension of size 1."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(1).unsqueeze(1)).flatten(1)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda self, x: self.head(features(self, x.flatten(1)[:, ORDER].view(-1, 1, 8, 8))),
         SELECTS),
        (picks((slice(None), [0] * 16)), SELECTS),
        (picks((slice(None), torch.arange(15, -1, -1))), SELECTS),
        (picks([1, 0]), SELECTS),
        (lambda self, x: self.head(features(self, x))[:, [0] * 10], SELECTS),
        (casts(lambda x: x.to(torch.bool).float()), "changes the numbers to torch.bool"),
        (casts(lambda x: x.to(torch.int32).float()), "changes the numbers to torch.int32"),
        (casts(lambda x: x.view(torch.int32).to(torch.float32)), "reads the bits as torch.int32"),
        (lambda self, x: self.head(functional.conv2d(x, torch.ones(16, 1, 3, 3), self.conv.bias)),
         "has weights that are no parameters, so no optimiser trains them"),
        (lambda self, x: self.head(functional.conv2d(features(self, x), features(self, x))),
         "has weights that are computed from the images"),
        (lambda self, x: self.last(self.one(features(self, x))),
         "normalises dimensions other than channels"),
        (lambda self, x: self.head(self.conv(x).clamp(min=self.fc.bias[0])), "has min="),
        (lambda self, x: self.head(torch.ops.mine.relu(self.conv(x))), "is not supported"),
    ],
)  # fmt: skip
def test_what_rows_cannot_say_is_refused(forward: Callable[..., object], reason: str) -> None:
    module = net(forward, one=OneFeature(), last=nn.Linear(1024, 10))
    with library._scoped_library("mine", "FRAGMENT") as operators:
        if not hasattr(torch.ops.mine, "relu"):
            operators.define("relu(Tensor x) -> Tensor")
            operators.impl("relu", torch.sin, "CompositeImplicitAutograd")
        assert reason in refusal(module)


@pytest.mark.parametrize(
    ("forward", "frozen"),
    [
        (lambda self, x: self.head(features(self, x).detach()), 160),
        (lambda self, x: self.head(torch.no_grad()(features)(self, x)), 160),
        (lambda self, x: self.head(features(self, x)), 0),
        (lambda self, x: self.head(
            functional.relu(functional.conv2d(x, self.conv.weight.detach(), padding=1))), 144),
    ],
)  # fmt: skip
def test_parameters_without_a_gradient_are_frozen(
    forward: Callable[..., object], frozen: int
) -> None:
    found = trace(net(forward))
    assert [row.kind for row in found.rows] == PLAIN
    assert found.parameters.frozen == frozen
    assert any("frozen" in note for note in found.notes) == (frozen > 0)


def test_a_change_in_place_that_ends_training_is_told() -> None:
    def changed(self: Net, x: Tensor) -> object:
        y = self.conv(x).sigmoid()
        z = y.tanh()
        y.relu_()
        return self.head(z)

    assert "Other cannot be trained: RuntimeError: one of the variables" in refusal(net(changed))


def test_layers_that_need_gradients_are_there() -> None:
    def hooked(self: Net, x: Tensor) -> object:
        y = features(self, x)
        y.retain_grad()
        y = self.other(y) if torch.is_grad_enabled() else y
        return self.head(y)

    found = kinds(net(hooked, other=nn.Conv2d(16, 16, 1)))
    assert found == ["conv", "relu", "conv", "global_pool", "linear"]


def test_shapes_are_those_of_images_alone() -> None:
    """16 channels of 8x8 pixels, flattened to one channel of 16x64."""

    def flat(self: Net, x: Tensor) -> object:
        y = self.conv(x).flatten(2).unsqueeze(1)
        return self.last(functional.relu(y).flatten(1))

    rows = trace(net(flat, last=nn.Linear(1024, 10))).rows
    assert [(r.kind, r.in_channels, r.in_resolution) for r in rows] == [
        ("conv", 1, 8), ("relu", 16, 8), ("linear", 16, 8),
    ]  # fmt: skip


def test_a_padded_window_is_no_global_pool() -> None:
    def padded(self: Net, x: Tensor) -> object:
        return self.fc(functional.avg_pool2d(features(self, x), 8, 16, 4).flatten(1))

    assert kinds(net(padded)) == ["conv", "relu", "avg_pool", "linear"]


def test_dropout_beside_padding_and_pools_changes_nothing() -> None:
    def dropped(self: Net, x: Tensor) -> object:
        y = functional.pad(features(self, x), (1, 1, 1, 1))
        y = self.other(functional.dropout(y, 0.5, self.training))
        y = functional.dropout(functional.adaptive_avg_pool2d(y, 1), 0.5, self.training)
        return self.fc(functional.adaptive_avg_pool2d(y, 1).flatten(1))

    rows = trace(net(dropped, other=nn.Conv2d(16, 16, 3))).rows
    assert [(r.kind, r.in_resolution, r.out_resolution) for r in rows] == [
        ("conv", 8, 8), ("relu", 8, 8), ("dropout", 10, 10), ("conv", 8, 8),
        ("global_pool", 8, 1), ("dropout", 1, 1), ("linear", 1, 1),
    ]  # fmt: skip


def test_what_leaves_torch_is_said() -> None:
    def scaled(self: Net, x: Tensor) -> object:
        self.seen = self.conv(x).mean().item()
        return self.head(features(self, x))

    note = "`item` in Other takes values out of torch; what is computed from them is not followed"
    assert note in trace(net(scaled)).notes


def test_a_refusal_that_the_network_catches_is_one() -> None:
    def hides(self: Net, x: Tensor) -> object:
        try:
            return self.head(nn.Conv2d(1, 16, 3)(x))
        except ValueError:
            return self.head(features(self, x))

    assert "not among the network's parameters" in refusal(net(hides))


class Odd(Net):
    """A network whose parts may be odd in one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.register_buffer("wide", torch.ones(1).expand(16) if way == "buffer" else None)
        if way == "shadow":
            self.__dict__["parameters"] = {"depth": 3}
        if way == "declared":
            row = LayerRow("add", 1, 1, 1, 16, 16, 8, 8, "block", 0, 0, (0,))
            self.other = nn.Identity()
            self.other.layer_row = row  # type: ignore[assignment]
        if way == "lazy":
            self.other = nn.LazyLinear(3)

    def train(self, mode: bool = True) -> "Odd":
        if self.way == "train":
            sys.exit("no mode")
        return super().train(mode)

    def forward(self, x: Tensor) -> Any:
        y = self.other(features(self, x)) if self.way == "declared" else features(self, x)
        if self.way == "replaces":
            self.conv.weight = nn.Parameter(self.conv.weight.detach().clone())
        return None if self.way == "nothing" else self.head(y)


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("train", "fails on images of 1x8x8: SystemExit: no mode"),
        ("declared", "reads 2 values, but it is given 1"),
        ("lazy", "Odd has a lazy module that it never calls"),
        ("replaces", "Odd replaces its parameters in `forward`"),
        ("nothing", "Odd returns NoneType; `forward` must return the logits"),
    ],
)
def test_odd_networks_are_refused_in_one_line(way: str, message: str) -> None:
    assert message in refusal(Odd(way))


@pytest.mark.parametrize("way", ["buffer", "shadow"])
def test_odd_parts_that_torch_runs_are_traced(way: str) -> None:
    assert kinds(Odd(way)) == PLAIN
