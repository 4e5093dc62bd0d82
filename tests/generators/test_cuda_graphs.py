"""Graphs do not change results; on a CPU, where a capture only stores its work."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import generators.training.engine
from generators.training.batches import DevicePixels, to_device
from generators.training.cuda_graphs import own_stream
from generators.training.engine import WARM_UP_STEPS, Training
from generators.training.images import load_images
from generators.training.train import Curves, train
from tests.toys.campaign import RECIPE, tiny_architecture

TINY = tiny_architecture()


@pytest.fixture(scope="module")
def pixels() -> DevicePixels:
    return to_device(load_images("digits"), torch.device("cpu"))


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Make captures store their work and run it when they are replayed; return the work."""
    found: list[Callable[[], None]] = []

    def remember(work: Callable[[], None]) -> Callable[[], None]:
        found.append(work)
        return work

    monkeypatch.setattr(generators.training.engine, "capture", remember)
    return found


def check_same(one: Curves, other: Curves) -> None:
    for field in fields(Curves):
        if field.name != "epoch_seconds":
            a, b = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(a, b) if field.name == "correct" else a == b, field.name


def test_a_warm_up_does_not_change_the_curves(
    pixels: DevicePixels, captured: list[Callable[[], None]]
) -> None:
    plain = train(TINY, RECIPE, pixels, seed=0)
    assert captured == []
    check_same(train(TINY, RECIPE, pixels, seed=0, graphs=True), plain)
    assert len(captured) == 2  # a step and an evaluated batch


def test_a_warm_up_changes_weights_and_restores_them(
    pixels: DevicePixels, captured: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[bool] = []
    own = Training._take_step

    def watched(self: Training) -> None:
        before = [p.detach().clone() for p in self.network.parameters()]
        self._buffers.step.fill_(self.recipe.steps_per_epoch)  # where the rate is no longer 0
        own(self)
        after = self.network.parameters()
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))

    monkeypatch.setattr(Training, "_take_step", watched)
    plain, graphed = (Training(TINY, RECIPE, pixels, seed=0, graphs=g) for g in (False, True))
    assert moved == [True] * WARM_UP_STEPS
    one, other = plain.network.state_dict(), graphed.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert int(graphed._buffers.step) == 0
    assert all(p.grad is None for p in graphed.network.parameters())
    momenta = [entry["momentum_buffer"] for entry in graphed.optimizer.state.values()]
    assert len(momenta) == len(list(graphed.network.parameters()))
    assert not any(buffer.any() for buffer in momenta)


def test_an_incomplete_batch_is_evaluated_without_a_graph(
    pixels: DevicePixels, captured: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, evaluation_batch=300)
    plain, graphed = (Training(TINY, recipe, pixels, seed=0, graphs=g) for g in (False, True))
    ones, others = (t.evaluate(pixels.valid) for t in (plain, graphed))  # 350: 300 and 50
    assert torch.equal(ones[0], others[0])
    assert torch.equal(ones[1], others[1])


def test_a_cpu_has_no_stream() -> None:
    with own_stream(torch.device("cpu")):
        assert torch.zeros(1).device.type == "cpu"
