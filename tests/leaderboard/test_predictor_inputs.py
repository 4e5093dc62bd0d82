"""Inputs of predictors, inferred from toy predictions on two tasks."""

from pathlib import Path

import numpy as np
import pytest

from harness.predictors.registry import PREDICTORS
from harness.results.predictions import predictions_table
from harness.results.store import write_result
from leaderboard.board import read_board
from leaderboard.page.predictor_inputs import inputs_of
from tests.toys.results import EPOCHS, toy_networks, write_toy

FLAT, FALLING = np.full(36, 0.5), np.linspace(0.9, 0.1, 36)


def inferred(folder: Path, predictor: str, before: np.ndarray, after: np.ndarray) -> str:
    """Return the inputs of a predictor with these final accuracies at k = 0 and k = 1."""
    for observed, finals in ((0, before), (1, after)):
        result = write_toy(folder, predictor, 0.1, observed=observed)
        table = predictions_table(toy_networks().targets.run_ids, [EPOCHS], finals[:, None])
        write_result(folder, result, table)
    return inputs_of(predictor, read_board(folder).tasks)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (FLAT, FLAT, "nothing"),
        (FLAT, FALLING, "curve"),
        (FLAT, FLAT + 0.1, "curve"),  # another constant
        (FALLING, FALLING, "architecture"),
        (FALLING, FALLING + 1e-8, "architecture"),  # another machine
        (FALLING, FALLING[::-1], "architecture and curve"),
    ],
)
def test_predictions_show_which_inputs_are_used(
    tmp_path: Path, before: np.ndarray, after: np.ndarray, expected: str
) -> None:
    assert inferred(tmp_path, "mine", before, after) == expected


def test_proxies_are_known_of_reference_predictors(tmp_path: Path) -> None:
    name = next(name for name, entry in PREDICTORS.items() if entry.needs_proxies)
    assert inferred(tmp_path, name, FALLING, FALLING) == "proxies"


@pytest.mark.parametrize("observed", [0, 1])
def test_one_task_alone_does_not_tell(tmp_path: Path, observed: int) -> None:
    write_toy(tmp_path, "mine", 0.1, observed=observed)
    tasks = read_board(tmp_path).tasks
    assert inputs_of("mine", tasks) == inputs_of("nobody", tasks) == "not known"
