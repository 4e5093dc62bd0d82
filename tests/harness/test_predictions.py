"""Stored predictions: rules, rounding and conversion to arrays."""

import re

import numpy as np
import pyarrow as pa
import pytest

from harness.protocol import Prediction
from harness.results.predictions import (
    PREDICTIONS,
    STEP,
    check_predictions,
    matrix,
    predictions_table,
    round_prediction,
)

GOOD = {"run_id": ["a", "a", "b", "b"], "epoch": [1, 2, 1, 2], "mean": [0.5] * 4, "std": [0.1] * 4}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("run_id", ["b", "b", "a", "a"], "rows must be sorted by run_id and epoch, each pair once"),
        ("epoch", [1, 1, 1, 2], "rows must be sorted by run_id and epoch, each pair once"),
        ("epoch", [1, 2, 1, 3], "every network must have the same epochs, from 1"),
        ("epoch", [0, 1, 0, 1], "every network must have the same epochs, from 1"),
        ("run_id", ["a", "a", "a", "b"], "rows must be sorted by run_id and epoch, each pair once"),
        ("mean", [0.5, 1.5, 0.5, 0.5], "`mean` of run 'a' at epoch 2 (=1.5) must be in [0, 1]"),
        ("mean", [0.5, np.nan, 0.5, 0.5], "`mean` of run 'a' at epoch 2 (=nan) must be finite"),
        ("std", [0.5, np.inf, 0.5, 0.5], "`std` of run 'a' at epoch 2 (=inf) must be finite"),
        ("std", [0.5, 0.5, 0.0, 0.5], "`std` of run 'b' at epoch 1 (=0.0) must be above 0"),
        (
            "epoch",
            [1, 3, 1, 3],
            "`epochs` (=(1, 3)) must be all from the first one not observed to 3, or (3,)",
        ),
        ("std", [0.5, None, 0.5, 0.5], "`std` must be given in all rows or in none"),
    ],
)
def test_predictions_that_break_a_rule_are_refused(
    column: str, values: list[object], message: str
) -> None:
    check_predictions(pa.table(GOOD, schema=PREDICTIONS), 2, (0,))
    table = pa.table(GOOD | {column: values}, schema=PREDICTIONS)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_predictions(table, 2, (0,))


def test_predictions_of_too_few_networks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^predictions must be of 3 networks, not 2$"):
        check_predictions(pa.table(GOOD, schema=PREDICTIONS), 3, (0,))


def test_predictions_with_other_columns_are_refused() -> None:
    message = (
        "columns (run_id string, epoch int64) must be "
        "(run_id string, epoch int32, mean double, std double)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_predictions(pa.table({"run_id": ["a"], "epoch": [1]}), 1, (0,))


def test_a_matrix_of_other_networks_is_refused() -> None:
    table = pa.table(GOOD, schema=PREDICTIONS)
    message = "runs of the predictions are not those of the task: c"
    with pytest.raises(ValueError, match=f"^{message}$"):
        matrix(table, "mean", ["a", "b", "c"])


def test_a_matrix_is_the_table_it_was_made_from() -> None:
    mean = np.random.default_rng(0).random((5, 3))
    names = ["c", "a", "e", "b", "d"]
    table = predictions_table(names, [4, 5, 6], mean, std=mean / 2)
    assert np.array_equal(matrix(table, "mean", names), mean)
    assert np.array_equal(matrix(table, "std", names), mean / 2)


def test_what_is_stored_is_near_what_was_predicted_and_rounding_twice_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.random((50, 20)), 10.0 ** rng.uniform(-9, 1, (50, 20))
    once = round_prediction(Prediction(mean, tuple(range(1, 21)), std))
    twice = round_prediction(once)
    assert np.abs(once.mean - mean).max() <= STEP / 2
    assert once.std is not None
    assert twice.std is not None
    large = std > STEP
    assert np.abs(once.std / std - 1)[large].max() <= 2.0**-11
    assert (once.std[~large] == STEP).all()
    assert np.array_equal(once.mean, twice.mean)
    assert np.array_equal(once.std, twice.std)
    assert round_prediction(Prediction(mean, tuple(range(1, 21)))).std is None
