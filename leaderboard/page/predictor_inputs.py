"""What a predictor's answers depend on, found from the answers themselves.

Nobody has to declare it, and nobody can declare it wrongly: a predictor that tells networks apart
before training uses their architectures; one that answers otherwise when it has observed more uses
the curve.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.predictors.registry import PREDICTORS
from harness.results.predictions import matrix
from leaderboard.board import Row, TaskBoard

Inputs = Literal[
    "architecture", "proxies", "curve", "architecture and curve", "nothing", "not known"
]
TOLERANCE = 1e-6  # of an accuracy; what two machines may differ by for the same answer


def inputs_of(predictor: str, tasks: Sequence[TaskBoard]) -> Inputs:
    """Return what a predictor's answers on the tasks of one image set depend on.

    `proxies` are architectures seen through zero-cost proxies, known of reference predictors only.
    It is not known of predictors that have not answered before training and after some epochs.

    Args:
        predictor: Its name.
        tasks: All of one image set, by observed epochs.
    """
    found = [
        (task.observed, row)
        for task in tasks
        for row in task.rows
        if row.result.predictor == predictor and row.predictions is not None
    ]
    if not found or found[0][0] != 0 or found[-1][0] == 0:
        return "not known"
    finals = [_finals(row) for _, row in found]
    architecture = np.ptp(list(finals[0].values())) > TOLERANCE
    curve = any(_differ(finals[0], later) for later in finals[1:])
    if not architecture:
        return "curve" if curve else "nothing"
    if curve:
        return "architecture and curve"
    entry = PREDICTORS.get(predictor)
    return "proxies" if entry is not None and entry.needs_proxies else "architecture"


def _finals(row: Row) -> dict[str, float]:
    """Return the predicted final accuracy of each run."""
    assert row.predictions is not None
    run_ids = sorted(set(row.predictions["run_id"].to_pylist()))
    finals = matrix(row.predictions, "mean", run_ids)[:, -1]
    return dict(zip(run_ids, finals.tolist(), strict=True))


def _differ(one: dict[str, float], two: dict[str, float]) -> bool:
    """Return whether any run that both answer for has another answer."""
    return any(abs(one[run] - two[run]) > TOLERANCE for run in one.keys() & two.keys())
