"""Scores of one prediction: every metric in every stratum, with 95 % intervals.

Strata are `test`; `heldout` and its two kinds of novelty, each the average of its skeletons' scores
(never pooled); every skeleton; and the networks that learned. Intervals are from a bootstrap over
architectures, with the same resamples for all predictions of the same networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.space.skeletons import Novelty
from harness.metrics.bootstrap import RESAMPLES, Array, interval
from harness.metrics.registry import METRICS
from harness.prediction_rules import Scope, require_valid
from harness.protocol import Prediction
from harness.scoring.strata import strata, tabulate
from harness.scoring.targets import Targets


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric and its 95 % interval; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class SeedScore(Score):
    """The value of a metric over the seeds of a predictor.

    Attributes:
        value: Mean over seeds; None where the metric is undefined.
        low: Lower end of its 95 % interval; None where it is undefined. It is a bootstrap interval
            of the mean; for regret, 95 % of the random candidate sets lie in it.
        high: Upper end.
        seed_std: Standard deviation over seeds, which the interval does not include; None with a
            single seed.
    """

    seed_std: float | None


def number_text(score: Score | None, digits: int, undefined: str = "-") -> str:
    """Return the value of a score as text, or `undefined` where there is none.

    >>> number_text(Score(0.98765, None, None), 3), number_text(None, 3)
    ('0.988', '-')
    """
    return undefined if score is None or score.value is None else f"{score.value:.{digits}f}"


def score_text(score: Score | None, digits: int, undefined: str = "-") -> str:
    """Return the value of a score with its interval, if it has one.

    >>> score_text(Score(0.5, 0.25, 0.75), 2), score_text(Score(0.5, None, None), 2)
    ('0.50 [0.25, 0.75]', '0.50')
    """
    text = number_text(score, digits, undefined)
    if score is None or score.low is None or score.high is None:
        return text
    return f"{text} [{score.low:.{digits}f}, {score.high:.{digits}f}]"


Scores = Mapping[str, Mapping[str, SeedScore]]  # stratum -> metric -> score


def score_of(samples: Array) -> Score:
    """Return the score of samples: the value of a metric, then its value in each resample.

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
    """Return the scores by stratum and metric, without those that do not apply.

    The order of the runs has no effect.

    Args:
        targets: The runs.
        mean: Predicted accuracies, (runs, len(epochs)).
        epochs: Predicted epochs, from 1: all after the observed ones, or the last one alone.
        std: Predicted standard deviations, (runs, len(epochs)).
        novelty: Why each skeleton is held out; by default that of `benchmark.space.skeletons`.

    Raises:
        ValueError: If the prediction breaks a rule of `harness.prediction_rules`.
    """
    scope = Scope(targets.run_ids, targets.curves.shape[1])
    require_valid(Prediction(mean, epochs, std), scope)
    table = tabulate(targets, mean, epochs=epochs, std=std)
    return {
        stratum: {name: score_of(values) for name, values in samples.items()}
        for stratum, samples in strata(table, novelty).items()
    }


SeedSamples = dict[str, dict[str, Array]]  # stratum -> metric -> (seeds, 1 + resamples)


def seed_samples(
    targets: Targets,
    predictions: Sequence[Prediction],
    resamples: int = RESAMPLES,
    *,
    names: Sequence[str] | None = None,
    metrics: Sequence[str] = tuple(METRICS),
) -> SeedSamples:
    """Return the samples of each seed, by stratum and metric.

    Args:
        targets: The runs.
        predictions: The prediction of each seed, rows in the order of the targets, all of the same
            epochs.
        resamples: Number of resamples for the intervals; 0 for none.
        names: The strata; by default all.
        metrics: The metrics to compute, if they apply.
    """
    tables = [tabulate(targets, p.mean, epochs=p.epochs, std=p.std) for p in predictions]
    samples = [strata(t, resamples=resamples, names=names, metrics=metrics) for t in tables]
    return {
        stratum: {name: np.stack([seed[stratum][name] for seed in samples]) for name in values}
        for stratum, values in samples[0].items()
    }


def mean_scores(samples: SeedSamples) -> Scores:
    """Return the scores by stratum and metric, means over seeds.

    The interval is that of the mean over seeds, which is computed for each resample.
    """
    scores: dict[str, dict[str, SeedScore]] = {}
    for stratum, metrics in samples.items():
        scores[stratum] = {}
        for name, values in metrics.items():
            score = score_of(values.mean(axis=0))
            several = len(values) > 1 and score.value is not None
            spread = float(values[:, 0].std(ddof=1)) if several else None
            scores[stratum][name] = SeedScore(score.value, score.low, score.high, spread)
    return scores


def flags(mean: Array, skeletons: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return warnings about the predicted final accuracies for readers of the scores.

    `constant` means that all predictions are equal, so tau is 0 everywhere; `constant in NAME`
    means that all predictions for the networks of a skeleton are equal.

    Args:
        mean: Predicted accuracies, (runs, epochs).
        skeletons: Skeleton of each run; if empty, skeletons are not checked.

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
