"""Scores of one prediction: every metric in every stratum, with 95 % intervals.

Strata: `test`; `heldout` and its two halves, each the average of its skeletons' scores and never
pooled; every skeleton; and the networks that learned. Intervals are of a bootstrap over
architectures, with the same resamples for every prediction of the same networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.space.skeletons import Novelty
from harness.metrics.bootstrap import Array, interval
from harness.prediction_rules import Scope, require_valid
from harness.protocol import Prediction
from harness.scoring.strata import strata, tabulate
from harness.scoring.targets import Targets


@dataclass(frozen=True, slots=True)
class Score:
    """A value and its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class SeedScore:
    """A score over the seeds of a predictor.

    Attributes:
        value: Mean over seeds; None where the metric is undefined.
        low: Lower end of the 95 % bootstrap interval of that mean; None where it is undefined.
        high: Upper end.
        seed_std: Standard deviation over seeds, which the interval does not include; None with a
            single seed.
    """

    value: float | None
    low: float | None
    high: float | None
    seed_std: float | None


Scores = Mapping[str, Mapping[str, SeedScore]]  # stratum -> metric -> score


def score_of(samples: Array) -> Score:
    """Return the score of a value followed by its values in the resamples.

    >>> score_of(np.array([0.5, 0.4, 0.4]))
    Score(value=0.5, low=0.4, high=0.4)
    >>> score_of(np.array([np.nan, 1.0]))
    Score(value=None, low=None, high=None)
    """
    if not np.isfinite(samples[0]):
        return Score(None, None, None)
    low, high = interval(samples[1:]) or (None, None)
    return Score(float(samples[0]), low, high)


def score_prediction(
    targets: Targets,
    mean: Array,
    *,
    epochs: tuple[int, ...],
    std: Array | None = None,
    novelty: Mapping[str, Novelty | None] | None = None,
) -> dict[str, dict[str, Score]]:
    """Return the scores by stratum and metric; what does not apply is absent.

    The order of the runs has no effect.

    Args:
        targets: The runs.
        mean: Predicted accuracy, (runs, len(epochs)).
        epochs: From 1: all after the observed ones, or the last alone.
        std: Predicted standard deviations in the shape of `mean`.
        novelty: Why each skeleton is held out; by default that of `benchmark.space.skeletons`.

    Raises:
        ValueError: If shapes, epochs or values are not as above.
    """
    scope = Scope(targets.run_ids, targets.curves.shape[1])
    require_valid(Prediction(mean, epochs, std), scope)
    table = tabulate(targets, mean, epochs=epochs, std=std)
    return {
        stratum: {name: score_of(values) for name, values in samples.items()}
        for stratum, samples in strata(table, novelty).items()
    }


def flags(mean: Array, skeletons: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return what a reader of the scores should know of the predicted final accuracies.

    `constant`: all networks are predicted the same, so that every tau is 0; `constant in NAME`: all
    networks of a skeleton are.

    Args:
        mean: Predicted accuracy, (runs, epochs).
        skeletons: Of each run, to look at each skeleton by itself.

    >>> flags(np.array([[0.1, 0.5], [0.2, 0.5]]))
    ('constant',)
    >>> flags(np.array([[0.5], [0.5], [0.7], [0.8]]), ("a", "a", "b", "b"))
    ('constant in a',)
    """
    final = mean[:, -1]
    if np.ptp(final) == 0:
        return ("constant",)
    owners = np.asarray(skeletons, dtype=np.str_)
    names = sorted(set(skeletons))
    return tuple(f"constant in {name}" for name in names if np.ptp(final[owners == name]) == 0)
