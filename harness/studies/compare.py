"""Which of some predictors are surely better: paired differences on shared resamples.

Every predictor is scored on the same resamples of the same networks, so a difference has a
distribution of its own, much narrower than two intervals beside each other suggest. Its p-value is
twice the smaller share of resamples on either side of zero; Holm's correction keeps the chance of
any false claim among all pairs at 5 %. Scores are those of the mean over seeds, as it is stored.
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
from harness.results.predictions import matrix, predicted_epochs, read_predictions
from harness.results.result import read_result, result_path
from harness.scoring.strata import strata, tabulate
from harness.scoring.targets import Targets
from harness.task_data import load_targets

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """How two predictors' scores differ.

    Attributes:
        one: A predictor.
        other: Another.
        value: Score of `one` less that of `other`.
        low: Lower end of the 95 % interval; None where it is undefined.
        high: Upper end.
        p_value: Of no difference, corrected for the number of pairs by Holm's method.
        better: The predictor that is surely better at 5 %; None if neither is.
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
    """Return the difference of every pair of predictors, in the order in which they are given.

    Args:
        task: That all have answered.
        predictors: Names of results, at least two.
        results: Folder of all results.
        metric: Of `METRICS`, one that has a direction.
        stratum: As results name them.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If a name is not known, a predictor failed, or the metric is not there.
        FileNotFoundError: If there is no result of a predictor.
    """
    if metric not in METRICS:
        raise ValueError(unknown_name("metric", metric, METRICS))
    if len(set(predictors)) < 2:
        raise ValueError("a comparison needs at least two predictors")
    targets = load_targets(task, release).valid_accuracy
    scores = {
        name: _resample_scores(task, name, results, targets, (stratum, metric))
        for name in dict.fromkeys(predictors)
    }
    pairs = list(combinations(scores, 2))
    corrected = holm([p_value(scores[one] - scores[other]) for one, other in pairs])
    higher = METRICS[metric].direction == "higher"
    return [
        _difference(pair, scores[pair[0]] - scores[pair[1]], p, higher=higher)
        for pair, p in zip(pairs, corrected, strict=True)
    ]


def _resample_scores(
    task: Task, predictor: str, results: Path, targets: Targets, wanted: tuple[str, str]
) -> Array:
    """Return a predictor's score, then its value in each resample."""
    path = result_path(results, task.name, predictor)
    if not path.exists():
        known = [p.stem for p in path.parent.glob("*.json")]
        raise FileNotFoundError(f"no result: {unknown_name('predictor', predictor, known)}")
    result = read_result(path)
    if result.status == "failed":
        raise ValueError(f"predictor {predictor!r} failed on {task.name!r}: {result.failure}")
    table = read_predictions(path.with_suffix(".parquet"), len(targets.run_ids))
    mean, std = matrix(table, "mean", targets.run_ids), None
    if not table["std"].null_count:
        std = matrix(table, "std", targets.run_ids)
    found = strata(tabulate(targets, mean, epochs=predicted_epochs(table), std=std))
    stratum, metric = wanted
    if stratum not in found:
        raise ValueError(unknown_name("stratum", stratum, found))
    if metric not in found[stratum]:
        raise ValueError(f"predictor {predictor!r} has no {metric!r} in {stratum!r}")
    return found[stratum][metric]


def _difference(pair: tuple[str, str], samples: Array, p: float, *, higher: bool) -> Difference:
    low, high = interval(samples[1:]) or (None, None)
    value = float(samples[0])
    better = None
    if p < LEVEL:
        better = pair[0] if (value > 0) == higher else pair[1]
    return Difference(*pair, value, low, high, p, better)


def p_value(samples: Array) -> float:
    """Return the two-sided p-value of a difference, from its value and its resamples.

    No resample beyond zero means a p-value of one over their number, not of nothing.

    >>> p_value(np.array([0.1, 0.2, 0.1, -0.1, 0.3]))
    0.5
    """
    resamples = samples[1:][np.isfinite(samples[1:])]
    if not len(resamples):
        return 1.0
    least = min((resamples <= 0).sum(), (resamples >= 0).sum())
    return float(min(1.0, 2 * max(least, 0.5) / len(resamples)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in their order.

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
