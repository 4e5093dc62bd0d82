"""Signal propagation: cases by hand, and wide random networks."""

import math

import numpy as np
import pytest
from scipy.special import expit

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from harness.features.signal_propagation import (
    ACTIVATIONS,
    SIGNAL_FEATURES,
    Moments,
    gradients_of,
    propagate,
    signal_features,
)
from harness.features.signal_propagation import _activate as activate
from harness.features.signal_propagation import _pass as through
from tests.toys.campaign import tiny_architecture

DIGITS = get_images("digits")
ROWS = walk(tiny_architecture(), DIGITS)


def row_of(kind: str) -> object:
    return next(row for row in ROWS if row.kind == kind)


def test_a_rectified_normal_has_the_textbook_moments() -> None:
    moments, gain = activate("relu", 1.0, 1.0)
    assert moments.square == pytest.approx(0.5, abs=1e-3)
    assert moments.signal == pytest.approx(0.5 - 1 / (2 * math.pi), abs=6e-3)  # a kink
    assert gain == pytest.approx(0.5, abs=1e-3)


def test_a_sigmoid_of_nothing_is_a_constant() -> None:
    moments, gain = activate("sigmoid", 1e-10, 1e-10)
    assert moments.square == pytest.approx(0.25)
    assert moments.signal == pytest.approx(1e-10 / 16, rel=1e-3)
    assert gain == pytest.approx(1 / 16)


def test_a_convolution_doubles_and_a_normalisation_keeps_what_varies() -> None:
    moments, gain = through(row_of("bn"), [Moments(5.0, 0.25)])  # type: ignore[arg-type]
    assert (moments, gain) == (Moments(1.0, 1.0), 4.0)
    row = row_of("conv")
    moments, gain = through(row, [Moments(5.0, 0.25)])  # type: ignore[arg-type]
    assert moments == Moments(10.0, 0.5)
    assert gain == 2.0 * row.out_channels / row.in_channels  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("signal", [1.0, 0.2])
def test_two_layers_do_what_wide_random_layers_do(kind: str, signal: float) -> None:
    """Dense layers of 4,000 units with He's weights, on 200 images: q and s."""
    rng = np.random.default_rng(0)
    constant = math.sqrt(1 - signal) * rng.standard_normal((1, 4000))
    x = constant + math.sqrt(signal) * rng.standard_normal((200, 4000))
    weights = rng.standard_normal((4000, 4000)) * math.sqrt(2 / 4000)
    y = {"relu": np.maximum(x, 0), "sigmoid": expit(x), "tanh": np.tanh(x)}[kind] @ weights
    first, _ = activate(kind, 1.0, signal)
    assert (y**2).mean() == pytest.approx(2 * first.square, rel=0.03)
    assert y.var(axis=0, ddof=1).mean() == pytest.approx(2 * first.signal, rel=0.03)


def test_gradients_are_summed_where_branches_meet() -> None:
    rows = walk(next(sequence("residual-3x2", DIGITS)).architecture, DIGITS)
    add = next(index for index, row in enumerate(rows) if row.kind == "add")
    gradients = gradients_of(rows, [1.0] * len(rows))
    assert gradients[-1] == 1.0
    start = min(rows[add].inputs)  # read by the addition or its shortcut, and by the block
    readers = [row for row in rows if start in row.inputs]
    assert gradients[start] == sum(gradients[rows.index(row)] for row in readers)


def test_sigmoids_reduce_the_signal_and_normalisation_restores_it() -> None:
    drawn = sequence("peephole-3x2", DIGITS)
    seen = 0
    while seen < 20:
        rows = walk(next(drawn).architecture, DIGITS)
        moments, _ = propagate(rows)
        for row, found in zip(rows, moments, strict=True):
            before = moments[row.inputs[0]] if row.inputs[0] >= 0 else Moments(1.0, 1.0)
            if row.kind == "sigmoid":
                assert found.distinct < before.distinct
                seen += 1
            if row.kind == "bn":
                assert found.distinct == 1.0


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_every_network_has_finite_features(skeleton: str) -> None:
    drawn = sequence(skeleton, get_images("cifar10"))
    for _ in range(3):
        features = signal_features(walk(next(drawn).architecture, get_images("cifar10")))
        assert features.shape == (len(SIGNAL_FEATURES),)
        assert np.isfinite(features).all()
