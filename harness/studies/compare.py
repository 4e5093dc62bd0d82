"""Tests which predictors are significantly better, by paired differences on shared resamples.

All predictors are scored on the same resamples of the same networks. The distribution of a paired
difference is much narrower than two separate intervals suggest. Its p-value is twice the smaller
share of resamples on either side of zero. Holm's correction keeps the probability of any false
positive among all pairs at 5 %. The scores are those of the stored predictions, means over seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from benchmark.util.unknown_name import unknown_name
from harness.metrics.bootstrap import Array, interval
from harness.metrics.registry import METRICS
from harness.results.predictions import matrix, predicted_epochs
from harness.results.result import read_with_predictions, result_path
from harness.scoring.strata import strata, tabulate
from harness.scoring.targets import Targets
from harness.task_data import load_targets

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between the scores of two predictors.

    Attributes:
        one: Name of the first predictor.
        other: Name of the second predictor.
        value: Score of `one` minus score of `other`.
        low: Lower end of the 95 % interval; None where it is undefined.
        high: Upper end of the 95 % interval; None where it is undefined.
        p_value: P-value of no difference, corrected for the number of pairs by Holm's method.
        better: The predictor that is significantly better at the 5 % level; None if neither is.
    """

    one: str
    other: str
    value: float
    low: float | None
    high: float | None
    p_value: float
    better: str | None


def compare(
    task: Task,
    predictors: Sequence[str],
    results: Path,
    *,
    metric: str = "tau",
    stratum: str = "test",
    release: Release = INSTALLED,
) -> list[Difference]:
    """Return the difference of every pair of predictors, in the order of the arguments.

    Args:
        task: A task on which all predictors have a result.
        predictors: Names of at least two predictors.
        results: Folder of results.
        metric: A name of `METRICS` that has a direction.
        stratum: Name of the stratum, as in results.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If a name is unknown, a predictor failed, or it does not have the metric.
        FileNotFoundError: If a predictor has no result.
    """
    if metric not in METRICS:
        raise ValueError(unknown_name("metric", metric, METRICS))
    if len(set(predictors)) < 2:
        raise ValueError("a comparison needs at least two predictors")
    targets = load_targets(task, release).valid_accuracy
    scores = {
        name: _score_resamples(task, name, results, targets, (stratum, metric))
        for name in dict.fromkeys(predictors)
    }
    pairs = list(combinations(scores, 2))
    corrected = holm([p_value(scores[one] - scores[other]) for one, other in pairs])
    higher = METRICS[metric].direction == "higher"
    return [
        _difference(pair, scores[pair[0]] - scores[pair[1]], p, higher=higher)
        for pair, p in zip(pairs, corrected, strict=True)
    ]


def _score_resamples(
    task: Task, predictor: str, results: Path, targets: Targets, wanted: tuple[str, str]
) -> Array:
    """Return a predictor's score, followed by its score on each resample, (1 + resamples,)."""
    path = result_path(results, task.name, predictor)
    if not path.exists():
        known = [p.stem for p in path.parent.glob("*.json")]
        raise FileNotFoundError(f"no result: {unknown_name('predictor', predictor, known)}")
    result, table = read_with_predictions(path)
    if table is None:
        raise ValueError(f"predictor {predictor!r} failed on {task.name!r}: {result.failure}")
    mean, std = matrix(table, "mean", targets.run_ids), None
    if not table["std"].null_count:
        std = matrix(table, "std", targets.run_ids)
    scores = strata(tabulate(targets, mean, epochs=predicted_epochs(table), std=std))
    stratum, metric = wanted
    if stratum not in scores:
        raise ValueError(unknown_name("stratum", stratum, scores))
    if metric not in scores[stratum]:
        raise ValueError(f"predictor {predictor!r} has no {metric!r} in {stratum!r}")
    return scores[stratum][metric]


def _difference(pair: tuple[str, str], samples: Array, p: float, *, higher: bool) -> Difference:
    """Return the difference of a pair; `higher` says whether a higher score is better."""
    low, high = interval(samples[1:]) or (None, None)
    value = float(samples[0])
    better = None
    if p < LEVEL:
        better = pair[0] if (value > 0) == higher else pair[1]
    return Difference(*pair, value, low, high, p, better)


def p_value(samples: Array) -> float:
    """Return the two-sided p-value of a difference.

    If all resamples are on one side of zero, it is 1 / resamples, not 0.

    Args:
        samples: The difference, followed by the difference on each resample, (1 + resamples,).

    >>> p_value(np.array([0.1, 0.2, 0.1, -0.1, 0.3]))
    0.5
    """
    resamples = samples[1:][np.isfinite(samples[1:])]
    if not len(resamples):
        return 1.0
    smaller_side = min((resamples <= 0).sum(), (resamples >= 0).sum())
    return float(min(1.0, 2 * max(smaller_side, 0.5) / len(resamples)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple testing (Holm 1979), in the given order.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return [float(p) for p in corrected]
