"""More observed epochs never hurt, on networks whose third epoch is noisier than the others."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from harness.predictors.registry import PREDICTORS, load
from harness.protocol import Array, Runs
from tests.toys.runs import EPOCHS, series_of, toy_runs

NOISE = np.where(np.arange(EPOCHS) == 2, 0.1, 0.01)  # standard deviation, of an accuracy
BY_DEFINITION = ("last-value", "last-plus-gain")  # the order of their predictions is the last epoch
SLOW = ("bnn", "feature-trees", "arc", "nu-svr")
CURVES = [name for name, entry in PREDICTORS.items() if entry.uses_curve and not entry.weights]
RESAMPLES = 400


def noisy_runs(networks: int) -> Runs:
    """Return runs whose level the curve tells, and of which the architecture tells a part."""
    runs = toy_runs(networks)
    rng = np.random.default_rng(0)
    shift = 0.05 * rng.normal(size=(networks, 1))
    level = runs.series.valid_accuracy[:, -1:] * 0.5 + 0.3 + shift
    rise = 0.3 * np.arange(1, EPOCHS + 1) ** -0.8
    accuracy = np.clip(level - rise + NOISE * rng.normal(size=(networks, EPOCHS)), 0.02, 0.99)
    return replace(runs, series=series_of(accuracy, np.zeros(networks, dtype=bool)))


RUNS = noisy_runs(320)
TRAIN, OTHERS = RUNS.take(np.arange(160)), RUNS.take(np.arange(160, 320))


def predicted(name: str, observed: int) -> Array:
    predictor = load(name)
    predictor.fit(TRAIN, TRAIN.take(np.arange(20)), observed=observed, seed=0)
    return predictor.predict(OTHERS.observe(observed)).mean[:, -1]


def loss_of_order(name: str) -> tuple[float, float]:
    """Return tau with two observed epochs less tau with three, and its standard error."""
    two, three, true = predicted(name, 2), predicted(name, 3), OTHERS.final_accuracy
    rng = np.random.default_rng(1)

    def difference(index: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> float:
        taus = [kendalltau(values[index], true[index]).statistic for values in (two, three)]
        return float(taus[0] - taus[1])

    drawn = [difference(rng.integers(len(true), size=len(true))) for _ in range(RESAMPLES)]
    return difference(np.arange(len(true))), float(np.std(drawn))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
        for name in CURVES
        if name not in BY_DEFINITION
    ],
)
def test_a_noisy_epoch_more_does_not_hurt(name: str) -> None:
    lost, error = loss_of_order(name)
    assert lost < 3 * error + 1e-9


@pytest.mark.parametrize("name", BY_DEFINITION)
def test_the_last_epoch_alone_is_hurt(name: str) -> None:
    """The counter-example: the check can fail."""
    lost, error = loss_of_order(name)
    assert lost > 4 * error
