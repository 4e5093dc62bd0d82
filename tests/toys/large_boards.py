"""A board of hundreds of predictors on many tasks, of stored results with changed numbers."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from harness.protocol import Array
from harness.results.predictions import predictions_table
from harness.results.result import SCORED_METRICS, Result
from harness.results.store import read_result
from harness.scoring.differences import Differences
from harness.scoring.scores import Scores, SeedScore
from leaderboard.board import Board, Row, TaskBoard
from leaderboard.folders import RESULTS
from leaderboard.networks import TaskNetworks, load_networks

IMAGES, OBSERVED = ("digits", "cifar10", "mnist"), (0, 1, 2, 3, 5)
PREDICTED = 20  # best rows of a task with predictions of their own


def large_board(predictors: int) -> tuple[Board, dict[str, TaskNetworks]]:
    """Return a board of 15 tasks, all with the networks of digits, and these networks."""
    rng = np.random.default_rng(0)
    networks = load_networks("digits-k0-v3")
    of_digits = [_task(observed, predictors, networks, rng) for observed in OBSERVED]
    # The page packs each task by itself, so the tasks of the image sets may have the same rows
    tasks = tuple(
        replace(task, name=f"{images}-k{task.observed}-v9", images=images)
        for images in IMAGES
        for task in of_digits
    )
    return Board(tasks, {}), {task.name: networks for task in tasks}


def _task(
    observed: int, predictors: int, networks: TaskNetworks, rng: np.random.Generator
) -> TaskBoard:
    folder = RESULTS / f"digits-k{observed}-v3"
    stored = [read_result(path) for path in sorted(folder.glob("*.json"))]
    results = [_changed(stored[p % len(stored)], p, rng) for p in range(predictors)]
    results.sort(key=lambda result: -(result.scores["test"]["tau"].value or 0.0))
    rows = tuple(
        Row(
            result,
            (1, predictors),
            _predictions(networks, place, rng),
            result.flags,
            share=0.5,
            rankable=0.5,
            spread=0.5,
        )
        for place, result in enumerate(results)
    )
    names = tuple(result.predictor for result in results)
    wide = rng.normal(0, 0.1, (3, predictors, predictors))
    return TaskBoard(
        "",
        "digits",
        observed,
        "valid_accuracy",
        stored[0].networks,
        rows,
        Differences(names, wide[0], wide[1], wide[2], abs(wide[0]), higher=True),
        None,
    )


def _changed(result: Result, place: int, rng: np.random.Generator) -> Result:
    """Return a copy for another predictor; its numbers keep no rule of scores."""
    title = f"{result.title}, made in another way by team {place}"
    changed = replace(result, predictor=f"predictor-{place}", title=title)
    for field in SCORED_METRICS:
        object.__setattr__(changed, field, _jittered(getattr(result, field), rng))
    return changed


def _jittered(scores: Scores, rng: np.random.Generator) -> Scores:
    """Return scores with every number changed by some percent."""
    moves = iter(rng.normal(0, 1, (sum(map(len, scores.values())), 4)).tolist())
    return {
        stratum: {name: _moved(score, next(moves)) for name, score in metrics.items()}
        for stratum, metrics in scores.items()
    }


def _moved(score: SeedScore, moves: list[float]) -> SeedScore:
    size, (shift, low, high, std) = abs(score.value or 0.0) / 20, moves
    parts = (score.value, score.low, score.high, score.seed_std)
    shifts = (shift, shift + low / 4, shift + high / 4, std / 20)
    pairs = zip(parts, shifts, strict=True)
    return SeedScore(*(None if part is None else part + size * move for part, move in pairs))


def _predictions(networks: TaskNetworks, place: int, rng: np.random.Generator) -> pa.Table | None:
    """Return predicted curves: the targets with noise."""
    if place >= PREDICTED:
        return None
    targets = networks.targets
    noise: Array = rng.normal(0, 0.03, targets.curves.shape)
    epochs = range(1, targets.curves.shape[1] + 1)
    return predictions_table(targets.run_ids, epochs, np.clip(targets.curves + noise, 0, 1))
