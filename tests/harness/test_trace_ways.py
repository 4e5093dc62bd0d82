"""Ways in which people write networks: all that torch runs is traced as it runs, or refused."""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from harness.tracing.origins import UNREGISTERED
from tests.toys.own_networks import (
    PLAIN,
    Net,
    convolution,
    features,
    kinds,
    net,
    refusal,
    trace,
    with_conv,
)


def flat_size(self: Net, x: Tensor) -> object:
    x = features(self, x).mean((2, 3))
    number = 1
    for size in x.size()[1:]:
        number *= size
    return self.fc(x.view(-1, number))


def checked(self: Net, x: Tensor) -> object:
    assert x.shape[1] == 1, "grey images"
    assert not torch.isnan(x).any()
    return self.head(features(self, x)) if x.dim() == 4 else x


def optional(self: Net, x: Tensor, is_feature: bool = False, *, scale: float = 1.0) -> object:
    y = features(self, x)
    return y if is_feature else self.head(y)


def cast(self: Net, x: Tensor) -> object:
    x = torch.autograd.Variable(x).to(self.conv.weight.device).to(torch.float32).type(torch.float32)
    return self.head(features(self, x.detach()).type_as(x))


def normalised(self: Net, x: Tensor) -> object:
    return self.head(features(self, 2 * (x - self.shift) / 0.3 - 1))


def in_two_means(self: Net, x: Tensor) -> object:
    return self.fc(features(self, x).mean(3).mean(2))


def by_axis(self: Net, x: Tensor) -> object:
    return self.fc(features(self, x).flatten(2).mean(axis=-1))  # type: ignore[call-overload]


def indexed(self: Net, x: Tensor) -> object:
    return self.fc(functional.adaptive_avg_pool2d(features(self, x), 1)[:, :, 0, 0])


def with_softmax(self: Net, x: Tensor) -> object:
    return functional.softmax(self.head(features(self, x)), dim=1)


def two_values(self: Net, x: Tensor) -> object:
    y = features(self, x)
    return self.head(y), y


def named_values(self: Net, x: Tensor) -> object:
    y = features(self, x)
    return {"features": y, "logits": self.head(y)}


def clamped(self: Net, x: Tensor) -> object:
    return self.head(self.conv(x).clamp(min=0))


def functional_twin(self: Net, x: Tensor) -> object:
    y = functional.relu(functional.conv2d(x, self.conv.weight, padding=1))
    return functional.linear(y.mean((2, 3)), self.fc.weight, self.fc.bias)


def made_in_forward(self: Net, x: Tensor) -> object:
    return self.head(nn.ReLU()(self.conv(x)))


def stores(self: Net, x: Tensor) -> object:
    self.last = features(self, x)  # type: ignore[assignment]
    return self.head(self.last)  # type: ignore[arg-type]


class Locked(Net):
    """A network with an attribute that cannot be copied, and an odd `train`."""

    def __init__(self) -> None:
        super().__init__()
        self.handle = (number for number in range(3))

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


class Subclass(nn.Conv2d):
    """A convolution with other defaults."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 3, padding=1)


class OldWeightNorm(Net):
    """The older weight normalisation, which computes the weight in a hook."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            self.conv = nn.utils.weight_norm(convolution())


def pruned() -> nn.Module:
    made = Net()
    prune.l1_unstructured(made.conv, "weight", 0.5)  # type: ignore[no-untyped-call]
    return made


FORWARDS = [
    flat_size, checked, optional, cast, in_two_means, by_axis, indexed, with_softmax, two_values,
    named_values, clamped, functional_twin, made_in_forward, stores,
]  # fmt: skip
MADE: dict[str, Callable[[], nn.Module]] = {
    "normalised": lambda: net(normalised, shift=torch.ones(1)),
    "locked": Locked,
    "old weight norm": OldWeightNorm,
    "weight norm": lambda: with_conv(parametrizations.weight_norm(convolution())),
    "spectral norm": lambda: with_conv(parametrizations.spectral_norm(convolution())),
    "pruned": pruned,
    "subclass": lambda: with_conv(Subclass(1, 16)),
    "lazy": lambda: with_conv(nn.LazyConv2d(16, 3, padding=1)),
    "compiled": lambda: torch.compile(Net()),  # type: ignore[dict-item, return-value]
    "compiled part": lambda: with_conv(torch.compile(convolution())),  # type: ignore[arg-type]
    "half": lambda: Net().half(),
    "double": lambda: Net().double(),
    "bfloat16": lambda: Net().bfloat16(),
    "meta": lambda: Net().to("meta"),
    "frozen": lambda: Net().requires_grad_(False),
    "parallel": lambda: nn.DataParallel(Net()),
}


@pytest.mark.parametrize(
    "make",
    [pytest.param(partial(net, forward), id=forward.__name__) for forward in FORWARDS]
    + [pytest.param(make, id=name) for name, make in MADE.items()],
)
def test_a_network_is_traced_as_torch_runs_it(make: Callable[[], nn.Module]) -> None:
    rows = trace(make()).rows
    assert [row.kind for row in rows] == PLAIN
    assert [(r.in_channels, r.out_channels, r.in_resolution, r.out_resolution) for r in rows] == [
        (1, 16, 8, 8), (16, 16, 8, 8), (16, 16, 8, 1), (16, 10, 1, 1),
    ]  # fmt: skip
    assert (rows[2].kernel_height, rows[2].kernel_width) == (8, 8)


def test_a_sum_of_a_list_and_keywords_of_add_are_additions() -> None:
    def sums(self: Net, x: Tensor) -> object:
        y = features(self, x)
        y = sum([y, self.other(y)])  # type: ignore[assignment]
        return self.head(torch.add(input=y, other=y, alpha=1))

    module = net(sums, other=nn.Conv2d(16, 16, 1))
    assert kinds(module) == ["conv", "relu", "conv", "add", "add", "global_pool", "linear"]


@pytest.mark.parametrize("dims", [(1, 2), (1, 3), (0, 2), (1,)])
def test_a_mean_over_channels_is_no_global_pool_whatever_the_sizes(dims: tuple[int, ...]) -> None:
    """The convolution has 8 channels on 8x8 pixels, so numbers of elements agree."""

    def mean(self: Net, x: Tensor) -> object:
        return self.conv(x).mean(dims)

    module = net(mean)
    module.conv = nn.Conv2d(1, 8, 3, padding=1)
    reason = "`mean` in Other is a mean over dimensions other than height and width; take the "
    assert refusal(module).startswith(reason)


def test_weights_that_no_optimiser_trains_are_refused() -> None:
    """Kept in a plain list, or made in `forward`."""
    hidden = [nn.Conv2d(16, 16, 1)]

    def listed(self: Net, x: Tensor) -> object:
        return self.head(hidden[0](features(self, x)))

    def made(self: Net, x: Tensor) -> object:
        return self.head(nn.Conv2d(16, 16, 1)(features(self, x)))

    for forward in (listed, made):
        message = f"Conv2d in Other {UNREGISTERED}"
        assert refusal(net(forward)) == message


def test_normalisation_of_every_pixel_is_counted_as_torch_does() -> None:
    def flat(self: Net, x: Tensor) -> object:
        return self.last(self.norm(features(self, x).flatten(1)))

    module = net(flat, norm=nn.BatchNorm1d(16 * 64), last=nn.Linear(16 * 64, 10))
    del module.fc
    found = trace(module)
    assert [row.kind for row in found.rows] == ["conv", "relu", "bn", "linear"]
    assert found.parameters.rows == sum(p.numel() for p in module.parameters())
    assert (found.rows[2].in_channels, found.rows[3].in_channels) == (1024, 1024)


def test_padding_counts_where_no_window_reads_it() -> None:
    def padded(self: Net, x: Tensor) -> object:
        y = functional.pad(features(self, x), (4, 4, 4, 4))
        return self.fc(y.mean((2, 3)))

    pool = trace(net(padded)).rows[2]
    assert (pool.kind, pool.kernel_height, pool.in_resolution) == ("global_pool", 16, 16)

    def flat(self: Net, x: Tensor) -> object:
        return self.last(functional.pad(features(self, x), (1, 1, 1, 1)).flatten(1))

    dense = trace(net(flat, last=nn.Linear(1600, 10))).rows[2]
    assert (dense.kernel_height, dense.in_channels, dense.in_resolution) == (10, 16, 10)


def test_a_change_in_place_changes_all_that_shares_the_memory() -> None:
    def changed(self: Net, x: Tensor) -> object:
        y = self.conv(x)
        flat = y.flatten(1)
        y.relu_()
        return self.last(flat)

    assert kinds(net(changed, last=nn.Linear(1024, 10))) == ["conv", "relu", "linear"]

    def assigned(self: Net, x: Tensor) -> object:
        y = features(self, x).clone()
        y[:, :8] = 0
        y[:, 8:] = y[:, :8]
        return self.head(y)

    assert refusal(net(assigned)).startswith("`setitem` in Other is not supported")


def test_a_network_whose_only_convolution_is_beside_a_pool() -> None:
    def beside(self: Net, x: Tensor) -> object:
        y = functional.max_pool2d(x, 3, 1, 1) + self.one(x)
        return self.last(y.flatten(1))

    module = net(beside, one=nn.Conv2d(1, 1, 3, padding=1), last=nn.Linear(64, 10))
    assert [row.kind for row in trace(module).rows] == ["max_pool", "conv", "add", "linear"]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("transition", "match", "block")])
def test_names_of_modules_decide_nothing(names: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 1)]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    module = nn.Sequential(OrderedDict(zip(names, parts, strict=True)))
    roles = [row.role for row in trace(nn.Sequential(module, *head)).rows]
    assert roles == ["stem", "block", "match", "head", "head"]
