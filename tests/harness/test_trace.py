"""Torch modules traced into layer rows: released networks and plain torch modules."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmark.recipes import RECIPES
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.space.layer_walk import LayerRow, macs, parameters, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from generators.training.network import Network
from harness.features.architecture import architecture_features
from harness.features.signal_propagation import signal_features
from harness.features.structure import structure_features
from tests.toys.plain_networks import Deep, PlainNetwork, ResidualBlock, SmallResNet, layer_rows

DIGITS = get_images("digits")
everywhere = pytest.mark.parametrize(
    ("skeleton", "images"), list(itertools.product(SKELETONS, IMAGES))
)


def walks(skeleton: str, images: str, number: int) -> list[tuple[LayerRow, ...]]:
    image_set = get_images(images)
    drawn = itertools.islice(sequence(skeleton, image_set), number)
    return [walk(one.architecture, image_set) for one in drawn]


def features(rows: tuple[LayerRow, ...]) -> list[float]:
    parts = (architecture_features, signal_features, structure_features)
    return [float(value) for part in parts for value in part(rows)]


def facts(rows: tuple[LayerRow, ...]) -> list[tuple[object, ...]]:
    """Return what a network computes, without the roles of its layers."""
    return [
        (r.kind, r.kernel_height, r.kernel_width, r.stride, r.in_channels, r.out_channels,
         r.in_resolution, r.out_resolution, r.inputs) for r in rows
    ]  # fmt: skip


def macs_by_torch(module: nn.Module, channels: int, resolution: int) -> int:
    with FlopCounterMode(display=False) as counter:
        module.eval()(torch.zeros(1, channels, resolution, resolution))
    return int(counter.get_total_flops()) // 2


@everywhere
def test_the_projects_modules_give_the_rows_of_the_walk(skeleton: str, images: str) -> None:
    for rows in walks(skeleton, images, 2):
        assert layer_rows(Network(rows, RECIPES[images]), get_images(images)) == rows


@pytest.mark.parametrize("images", ["digits", "cifar10"])
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_plain_torch_gives_the_same_layers_and_counts(skeleton: str, images: str) -> None:
    image_set = get_images(images)
    for rows in walks(skeleton, images, 3):
        module = PlainNetwork(rows)
        found = layer_rows(module, image_set)
        assert facts(found) == facts(rows)
        assert parameters(found) == sum(p.numel() for p in module.parameters())
        assert macs(found) == macs_by_torch(module, image_set.channels, image_set.resolution)
        if [row.role for row in found] == [row.role for row in rows]:
            assert features(found) == features(rows)


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_roles_are_right_but_for_bare_convolutions_of_1x1(skeleton: str) -> None:
    different = 0
    for rows in walks(skeleton, "digits", 25):
        found = layer_rows(PlainNetwork(rows), DIGITS)
        wrong = [(a, b) for a, b in zip(rows, found, strict=True) if a.role != b.role]
        different += bool(wrong)
        for true, guessed in wrong:
            assert (true.kernel_height, true.kernel_width, true.kind) == (1, 1, "conv")
            assert (true.role, guessed.role) == ("block", "match")
    assert different <= 2


def test_a_residual_network_is_traced_by_hand() -> None:
    """8x8, then 4x4 in the second block, whose shortcut is a convolution; the first has none."""
    rows = layer_rows(SmallResNet(), DIGITS)
    assert [(r.kind, r.role) for r in rows] == [
        ("conv", "stem"), ("bn", "stem"), ("relu", "stem"),
        ("conv", "block"), ("bn", "block"), ("relu", "block"), ("conv", "block"), ("bn", "block"),
        ("add", "add"), ("relu", "block"),
        ("conv", "transition"), ("bn", "transition"), ("relu", "transition"),
        ("conv", "block"), ("bn", "block"), ("conv", "shortcut"), ("bn", "shortcut"),
        ("add", "add"), ("relu", "block"), ("global_pool", "head"), ("linear", "head"),
    ]  # fmt: skip
    assert (rows[8].inputs, rows[17].inputs) == ((7, 2), (14, 16))
    assert [r.out_resolution for r in rows[9:14]] == [8, 4, 4, 4, 4]
    assert (rows[15].inputs, rows[15].stride) == ((9,), 2)
    assert (rows[16].stage, rows[16].block, rows[-1].stage) == (1, 1, 2)


def test_counts_are_those_of_torch_and_every_layer_has_a_bias() -> None:
    module = SmallResNet(3)
    rows = layer_rows(module, get_images("cifar10"))
    assert macs(rows) == macs_by_torch(module, 3, 32)
    without_bias = 8 + 8 + 16 + 16 + 16  # five convolutions of the two blocks
    assert parameters(rows) == sum(p.numel() for p in module.parameters()) + without_bias


class Around(nn.Module):
    """A network with a function between a convolution and the head."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.function = function
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.function(self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "kind", "pixels"),
    [
        (torch.relu, "relu", 8),
        (functional.relu, "relu", 8),
        (lambda x: x.relu_(), "relu", 8),
        (lambda x: x.sigmoid(), "sigmoid", 8),
        (torch.tanh, "tanh", 8),
        (lambda x: functional.max_pool2d(x, 2), "max_pool", 4),
        (lambda x: functional.max_pool2d(x, 3, 2, 1), "max_pool", 4),
        (lambda x: functional.avg_pool2d(x, (3, 5), 1, (1, 2)), "avg_pool", 8),
        (lambda x: functional.avg_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, 1), "avg_pool", 8),
        (lambda x: functional.adaptive_avg_pool2d(x, 4), "avg_pool", 4),
        (nn.MaxPool2d(3, 2, ceil_mode=True), "max_pool", 4),
        (nn.Conv2d(8, 8, 3), "conv", 6),
        (nn.Conv2d(8, 8, (2, 5), padding="same", bias=False), "conv", 8),
        (lambda x: functional.dropout(x, 0.2), "dropout", 8),
        (nn.Dropout2d(0.1), "dropout", 8),
        (lambda x: x + x, "add", 8),
        (lambda x: torch.add(x, x), "add", 8),
        (lambda x: x.add_(x), "add", 8),
    ],
)
def test_ways_to_write_a_layer(
    function: Callable[[Tensor], Tensor], kind: str, pixels: int
) -> None:
    rows = layer_rows(Around(function), DIGITS)
    assert [row.kind for row in rows] == ["conv", kind, "global_pool", "linear"]
    assert (rows[1].in_resolution, rows[1].out_resolution) == (8, pixels)
    assert np.isfinite(features(rows)).all()


@pytest.mark.parametrize(
    "function", [nn.Identity(), nn.Dropout(0.0), lambda x: x.contiguous(), nn.AdaptiveAvgPool2d(8)]
)
def test_an_identity_has_no_row(function: Callable[[Tensor], Tensor]) -> None:
    kinds = [row.kind for row in layer_rows(Around(function), DIGITS)]
    assert kinds == ["conv", "global_pool", "linear"]


@pytest.mark.parametrize(
    "flatten",
    [
        nn.Flatten(),
        lambda x: x.flatten(1),
        lambda x: torch.flatten(x, 1),
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(x.shape[0], 8 * 8 * 8),
    ],
)
def test_hidden_fully_connected_layers_are_dense(flatten: Callable[[Tensor], Tensor]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3, padding=1)
            self.flatten = flatten
            self.head = nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.flatten(self.conv(x)))  # type: ignore[no-any-return]

    module = Net()
    rows = layer_rows(module, DIGITS)
    assert [row.kind for row in rows] == ["conv", "dense", "relu", "linear"]
    assert (rows[1].kernel_height, rows[1].in_channels, rows[1].out_resolution) == (8, 8, 1)
    assert parameters(rows) == sum(p.numel() for p in module.parameters())
    assert macs(rows) == macs_by_torch(module, 1, 8)
    assert np.isfinite(features(rows)).all()


def test_tracing_changes_nothing_of_the_module() -> None:
    module = SmallResNet().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    layer_rows(module, DIGITS)
    assert not module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_the_smaller_branch_is_the_shortcut_in_whatever_order_it_is_added() -> None:
    class Swapped(ResidualBlock):
        def forward(self, x: Tensor) -> Tensor:
            skip = self.shortcut(x)
            return skip + self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))  # type: ignore[no-any-return]

    rows = layer_rows(Deep(Swapped(8, 8, 2)), DIGITS)
    assert [(r.kind, r.role) for r in rows if r.role in ("shortcut", "add")] == [
        ("conv", "shortcut"), ("bn", "shortcut"), ("add", "add"),
    ]  # fmt: skip
    add = next(row for row in rows if row.kind == "add")
    assert [rows[source].role for source in add.inputs] == ["block", "shortcut"]
