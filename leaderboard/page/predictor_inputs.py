"""Infers which inputs a predictor uses from its predictions, so that nobody has to declare them.

A predictor uses the architecture if its predictions before training differ between networks. It
uses the curve if its predictions change with the number of observed epochs.
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
TOLERANCE = 1e-6  # in accuracy; the same prediction may differ by this much between machines


def inputs_of(predictor: str, tasks: Sequence[TaskBoard]) -> Inputs:
    """Return which inputs the predictions of a predictor depend on, for one image set.

    `proxies` means that the architecture is used through zero-cost proxies; only reference
    predictors are known to do so. The result is `not known` unless there are predictions both
    before training and after some epochs.

    Args:
        predictor: Name of the predictor.
        tasks: All tasks of one image set but transfer tasks, sorted by observed epochs.
    """
    scored = [
        (task.observed, row)
        for task in tasks
        for row in task.rows
        if row.result.predictor == predictor and row.predictions is not None
    ]
    if not scored or scored[0][0] != 0 or scored[-1][0] == 0:
        return "not known"
    finals = [_finals(row) for _, row in scored]
    architecture = np.ptp(list(finals[0].values())) > TOLERANCE
    curve = any(_differ(finals[0], later) for later in finals[1:])
    if not architecture:
        return "curve" if curve else "nothing"
    if curve:
        return "architecture and curve"
    entry = PREDICTORS.get(predictor)
    return "proxies" if entry is not None and entry.needs_proxies else "architecture"


def _finals(row: Row) -> dict[str, float]:
    """Return the predicted final accuracy of each run, by run id."""
    assert row.predictions is not None
    run_ids = sorted(set(row.predictions["run_id"].to_pylist()))
    finals = matrix(row.predictions, "mean", run_ids)[:, -1]
    return dict(zip(run_ids, finals.tolist(), strict=True))


def _differ(one: dict[str, float], two: dict[str, float]) -> bool:
    """Return whether the predictions of any common run differ."""
    return any(abs(one[run] - two[run]) > TOLERANCE for run in one.keys() & two.keys())
