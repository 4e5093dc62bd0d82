"""Layers that depend on chance, mode or pixels, numbers of parameters, and code that fails."""

import random
import re
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from benchmark.space.layer_walk import parameters
from tests.toys.own_networks import (
    PLAIN,
    Net,
    convolution,
    features,
    net,
    refusal,
    trace,
    with_conv,
)


def drops_layers(self: Net, x: Tensor) -> object:
    x = features(self, x)
    for block in self.blocks:
        if not self.training or torch.rand(1).item() > 0.5:
            x = block(x)
    return self.head(x)


def drops_by_python(self: Net, x: Tensor) -> object:
    x = features(self, x)
    return self.head(self.other(x) if random.random() > 0.5 else x)


def drops_by_numpy(self: Net, x: Tensor) -> object:
    x = features(self, x)
    return self.head(self.other(x) if np.random.rand() > 0.5 else x)  # noqa: NPY002


def in_evaluation(self: Net, x: Tensor) -> object:
    x = features(self, x)
    return self.head(x if self.training else self.other(x))


def by_pixels(self: Net, x: Tensor) -> object:
    y = features(self, x)
    return self.head(self.other(y) if x.abs().sum() > 0 else y)


CHANCE = "draws random numbers; take the layers that chance skips as computed"


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (drops_layers, CHANCE),
        (drops_by_python, CHANCE),
        (drops_by_numpy, CHANCE),
        (in_evaluation, "training and evaluation mode differ; compute the same layers in both"),
        (by_pixels, "they depend on the pixels; compute the same layers for all images"),
    ],
)
def test_layers_that_differ_from_run_to_run_are_refused(
    forward: Callable[..., object], reason: str
) -> None:
    blocks = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(4))
    message = refusal(net(forward, other=nn.Conv2d(16, 16, 1), blocks=blocks))
    assert message.startswith("the layers differ from run to run, first at ")
    assert message.endswith(reason)


def test_chance_that_changes_no_layer_is_said() -> None:
    def noisy(self: Net, x: Tensor) -> object:
        return self.head(features(self, x + 0.1 * torch.randn_like(x)))

    found = trace(net(noisy))
    assert [row.kind for row in found.rows] == PLAIN
    assert found.notes == (
        "Other draws random numbers; the layers of 18 runs are the same, and nothing else of it is "
        "part of the layers",
    )


def test_dropout_is_a_layer_of_training_whose_rate_is_said() -> None:
    def dropped(self: Net, x: Tensor) -> object:
        y = functional.dropout(features(self, x), 0.95, self.training)
        return self.head(functional.dropout(y, 0.0))

    found = trace(net(dropped))
    assert [row.kind for row in found.rows] == ["conv", "relu", "dropout", "global_pool", "linear"]
    assert found.notes == ("the layers say where dropout is, not its rate (0.95)",)


def test_reasons_for_other_numbers_of_parameters_add_up() -> None:
    """One case for each reason, counted by hand."""

    def shared(self: Net, x: Tensor) -> object:
        y = features(self, x)
        return self.head(self.other(self.other(y)))

    def unused(self: Net, x: Tensor) -> object:
        self.other(x.expand(-1, 16, -1, -1))
        return self.head(features(self, x))

    cases = {
        "biases": (with_conv(nn.Conv2d(1, 16, 3, padding=1, bias=False)), 16),
        "scales": (nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16, affine=False),
                                 nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), 32),
        "shared": (net(shared, other=nn.Conv2d(16, 16, 1)), 272),
        "unused": (net(unused, other=nn.Conv2d(16, 16, 1), odd=nn.Parameter(torch.ones(9))), 281),
        "computed": (with_conv(parametrizations.weight_norm(convolution())), 16),
        "frozen": (Net().requires_grad_(False), 330),
    }  # fmt: skip
    for reason, (module, number) in cases.items():
        found = trace(module)
        count = found.parameters
        numbers = {name: getattr(count, name) for name in cases}
        assert numbers == dict.fromkeys(cases, 0) | {reason: number}
        assert count.network == sum(p.numel() for p in module.parameters())
        added = count.biases + count.scales + count.shared - count.unused - count.computed
        added += count.declared - count.statistics
        assert count.rows == parameters(found.rows) == count.network + added
        assert len(list(count.differences())) == (reason != "frozen")


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x, alpha: x,
         "`forward` of Other must take images alone, and it needs 'alpha'; give further arguments "
         "a default"),
        (lambda self, x, *, labels: x,
         "`forward` of Other must take images alone, and it needs 'labels'; give further arguments "
         "a default"),
        (lambda self, x: x.size(0) // (x.size(1) - 1),
         "Other fails on images of 1x8x8: ZeroDivisionError: integer division or modulo by zero "
         "(test_trace_runs.py:N in <lambda>)"),
        (lambda self, x: sys.exit("no GPU"),
         "Other fails on images of 1x8x8: SystemExit: no GPU (test_trace_runs.py:N in <lambda>)"),
        (lambda self, x: torch.from_numpy(features(self, x).detach().numpy()),
         "Other must return logits that functions of torch compute from the images; what "
         "TorchScript, NumPy, C++ or `vmap` computes cannot be traced"),
        (lambda self, x: (self.head(features(self, x)), self.head(features(self, x))),
         "Other returns 2 tensors of 10 classes; return the logits alone"),
        (lambda self, x: self.fc(functional.softmax(self.head(features(self, x)), 1)[:, [0] * 16]),
         "`getitem` in Other selects or reorders values; try a stride or a pool in its place, or "
         "declare the nearest layer as `layer_row` of its module (docs/predict.md)"),
    ],
)  # fmt: skip
def test_what_cannot_be_traced_is_one_line(forward: Callable[..., object], message: str) -> None:
    assert re.sub(r"py:\d+", "py:N", refusal(net(forward))) == message
