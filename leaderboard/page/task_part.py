"""The part of the page's data that is a task: its rows and their scores.

A board of a few hundred predictors on many tasks has millions of scores. The page holds all scores
of the best predictors of each task, and of the others those of `HEADLINE` on test and held-out
networks. How many are the best depends on the number of tasks, so that the page stays small.
"""

import math

import numpy as np
from numpy.typing import NDArray

from benchmark.tasks import group_of
from harness.metrics.registry import HEADLINE, METRICS
from harness.results.ceiling import CEILING_METRICS, Ceiling
from harness.scoring.scores import SeedScore
from harness.scoring.targets import SCORED_SPLITS
from leaderboard.board import Board, Row, TaskBoard
from leaderboard.networks import TaskNetworks
from leaderboard.page.packing import pack_integers
from leaderboard.page.predictor_inputs import inputs_of

DETAILED = 360  # rows of all tasks together with all their scores
COMPARED = 25  # best predictors of a task in the matrix of differences
PARTS = ("value", "low", "high", "seed_std")  # of a score
TARGETS = {  # fields of a result with the titles that the page shows
    "scores": "validation accuracy",
    "scores_test_accuracy": "test accuracy",
    "scores_valid_loss": "validation loss",
}

Array = NDArray[np.float64]


def targets_of(board: Board) -> dict[str, str]:
    """Return the fields of scores that any result has, with their titles."""
    results = [row.result for task in board.tasks for row in task.rows]
    return {
        f: t for f, t in TARGETS.items() if f == "scores" or any(getattr(r, f) for r in results)
    }


def task_part(
    board: Board, task: TaskBoard, networks: TaskNetworks
) -> tuple[dict[str, object], bytes]:
    """Return the record of a task for the page, and its packed scores."""
    targets = list(targets_of(board))
    found = [getattr(row.result, field) for row in task.rows for field in targets]
    strata = list(dict.fromkeys(stratum for scores in found for stratum in scores))
    detailed = DETAILED // len(board.tasks)
    ceiling = board.ceilings.get(task.images) if task.observed == 0 else None
    plain = [other for other in board.tasks if group_of(other.name) == task.images]
    record: dict[str, object] = {
        "name": task.name,
        "observed": task.observed,
        "networks": {split: task.networks[split] for split in SCORED_SPLITS},
        "skeletons": networks.targets.skeleton_splits,
        "strata": strata,
        "detailed": detailed,
        "ceiling": {} if ceiling is None else _ceiling(ceiling),
        "differences": _differences(task),
        "rows": [_row(row, inputs_of(row.result.predictor, plain)) for row in task.rows],
    }
    return record, pack_integers(_numbers(task, targets, strata, detailed))


def _numbers(task: TaskBoard, targets: list[str], strata: list[str], detailed: int) -> Array:
    """Return scores as integers: (targets, strata, metrics, parts, rows), NaN where undefined."""
    numbers = np.full((len(targets), len(strata), len(METRICS), len(PARTS), len(task.rows)), np.nan)
    for place, row in enumerate(task.rows):
        for a, target in enumerate(targets):
            for stratum, metrics in getattr(row.result, target).items():
                for m, (name, metric) in enumerate(METRICS.items()):
                    shown = place < detailed or (stratum in SCORED_SPLITS and name in HEADLINE)
                    if name in metrics and shown:
                        s = strata.index(stratum)
                        numbers[a, s, m, :, place] = _integers(metrics[name], metric.decimals)
    return numbers


def _integers(score: SeedScore, decimals: int) -> list[float]:
    """Return the numbers of a score as multiples of the last decimal, NaN where undefined."""
    values = [getattr(score, part) for part in PARTS]
    return [math.nan if v is None else round(round(v, decimals) * 10**decimals) for v in values]


def _row(row: Row, inputs: str) -> dict[str, object]:
    """Return what the page shows of a result besides its scores."""
    result = row.result
    return {
        "predictor": result.predictor,
        "title": result.title,
        "failure": result.failure,
        "rank": row.rank,
        "flags": list(row.flags),
        "counts": dict(result.counts),
        "seeds": len(result.seeds),
        "inputs": inputs,
        "fit": None if result.seconds is None else _short(result.seconds.fit),
        "predict": None if result.seconds is None else _short(result.seconds.predict),
        "observedEpochs": result.observed_epochs_total,
        "verification": result.verification,
        "version": result.harness_version,
        **{name: _rounded(getattr(row, name)) for name in ("share", "rankable", "spread")},
    }


def _short(value: float) -> float:
    """Return a number rounded to three significant digits."""
    return float(f"{value:.3g}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _ceiling(ceiling: Ceiling) -> dict[str, object]:
    """Return value, low and high of each metric by target and stratum."""
    return {
        target: {
            stratum: {
                name: [_rounded(score.value), _rounded(score.low), _rounded(score.high)]
                for name, score in scores.items()
            }
            for stratum, scores in getattr(ceiling, target).items()
        }
        for target in CEILING_METRICS
    }


def _differences(task: TaskBoard) -> dict[str, object]:
    """Return the differences in tau between the best predictors, in thousandths."""
    known = task.differences
    size = min(len(known.names), COMPARED)
    parts = {"value": known.value, "low": known.low, "high": known.high}
    matrices = {
        name: np.rint(1000 * np.nan_to_num(matrix[:size, :size])).astype(int).tolist()
        for name, matrix in parts.items()
    }
    significant = known.significant[:size, :size].astype(int).tolist()
    return {"names": list(known.names[:size]), **matrices, "significant": significant}
