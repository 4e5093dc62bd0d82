"""Compares predictors pair by pair, with the test that ranks them on the board.

Scores are means over seeds of single fits, as on the board. P-values are corrected for all pairs of
predictors with a result on the task (`harness.scoring.differences`), whichever of them are asked
for, so that a comparison never contradicts the board.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from benchmark.util.unknown_name import check_known
from harness.metrics.bootstrap import Array
from harness.metrics.registry import METRICS, RANKING
from harness.results.folder import find_result, predictors_with_results
from harness.results.result import tau_samples
from harness.results.samples import score_samples, seed_predictions
from harness.results.store import read_result
from harness.scoring.differences import pairwise_differences
from harness.scoring.score_rules import STRATA
from harness.task_data import load_targets


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between the scores of two predictors.

    Attributes:
        one: Name of the first predictor.
        other: Name of the second predictor.
        value: Score of `one` minus score of `other`.
        low: Lower end of the 95 % interval; None where it is undefined.
        high: Upper end of the 95 % interval; None where it is undefined.
        p_value: P-value of no difference, corrected for all pairs of predictors of the task.
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
    results: Sequence[Path],
    *,
    metric: str = "tau",
    stratum: str = "test",
    release: Release = INSTALLED,
) -> list[Difference]:
    """Return the difference of every pair of predictors, in the order of the arguments.

    Args:
        task: A task on which all predictors have a result.
        predictors: Names of at least two predictors.
        results: Folders of results; of a predictor in several, the first counts.
        metric: A name of `METRICS` that has a direction and a bootstrap interval.
        stratum: Name of the stratum, as in results.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If a name is unknown, a predictor failed, it does not have the metric or that is
            undefined, a file is damaged, or a transfer task has no such metric.
        FileNotFoundError: If a predictor has no result.
    """
    if METRICS[metric].sampled != "resamples" or METRICS[metric].direction == "target":
        raise ValueError(f"metric {metric!r} cannot be compared: it has no test of differences")
    if task.fitted_on != task.images and metric not in RANKING:
        raise ValueError(f"a transfer task has no {metric!r}; its metrics are {', '.join(RANKING)}")
    check_known("stratum", stratum, STRATA)
    if len(set(predictors)) < 2:
        raise ValueError("a comparison needs two different predictors")
    samples = _all_samples(task, predictors, results, (metric, stratum), release)
    tested = pairwise_differences(samples, higher=METRICS[metric].direction == "higher")
    found = []
    for one, other in combinations(dict.fromkeys(predictors), 2):
        row, column = tested.names.index(one), tested.names.index(other)
        value = float(tested.value[row, column])
        better = None
        if tested.significant[row, column]:
            better = one if (value > 0) == tested.higher else other
        low, high = (
            float(end) if np.isfinite(end) else None
            for end in (tested.low[row, column], tested.high[row, column])
        )
        p_value = float(tested.p_value[row, column])
        found.append(Difference(one, other, value, low, high, p_value, better))
    return found


def _all_samples(
    task: Task,
    predictors: Sequence[str],
    results: Sequence[Path],
    wanted: tuple[str, str],
    release: Release,
) -> dict[str, Array]:
    """Return the samples of all predictors of a task that have the metric."""
    targets = load_targets(task, release).valid_accuracy
    on_board = predictors_with_results(results, task.name)
    samples = {}
    for name in dict.fromkeys([*predictors, *on_board]):
        path = find_result(results, task.name, name)
        result = read_result(path)
        metric, stratum = wanted
        score = result.scores.get(stratum, {}).get(metric)
        if score is None or score.value is None:
            if name in predictors and result.failure is not None:
                failed = f"predictor {name!r} failed on {task.name!r}: {result.failure}"
                raise ValueError(f"{name}: {failed}")
            if name in predictors:
                raise ValueError(f"{name}: the predictions have no {metric!r} in {stratum!r}")
        elif wanted == ("tau", "test"):
            samples[name] = tau_samples(result)
        else:
            tables = seed_predictions(path)
            samples[name] = score_samples(tables, targets, metric=metric, stratum=stratum)
    return samples
