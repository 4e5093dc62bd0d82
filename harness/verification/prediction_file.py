"""Scores of a file of predictions. Nothing submitted is executed, and no torch is loaded.

The file is Parquet with the columns `run_id` (text), `epoch` (whole number, from 1), `mean` (float,
accuracy in [0, 1]) and, if wanted, `std` (float, above 0) and `seed` (whole number): one row for
every test and held-out run of the task and every epoch after the observed ones, or the last epoch
alone, and all of that once for each seed, in any order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmark.release import INSTALLED, Release
from benchmark.runs import read_pages
from benchmark.tasks import Task
from benchmark.util.unknown_name import unknown_name
from harness.metrics.bootstrap import RESAMPLES
from harness.prediction_rules import Scope, require_valid
from harness.protocol import Array, Prediction
from harness.running.evaluate import Outcome, ResultHeader, score_outcome
from harness.task_data import load_targets

REQUIRED = ("run_id", "epoch", "mean")
COLUMNS = (*REQUIRED, "std", "seed")
MAGIC = b"PAR1"  # how a Parquet file starts: https://parquet.apache.org/docs/file-format/


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The columns of a file, (rows,) each, in its order."""

    run_ids: list[str]
    epochs: NDArray[np.int64]
    mean: Array
    std: Array | None
    seeds: NDArray[np.int64]

    def of(self, seed: int) -> "_Rows":
        """Return the rows of one seed."""
        rows = np.flatnonzero(self.seeds == seed)
        return _Rows(
            [self.run_ids[row] for row in rows],
            self.epochs[rows],
            self.mean[rows],
            None if self.std is None else self.std[rows],
            self.seeds[rows],
        )


def score_predictions(
    path: Path, task: Task, *, release: Release = INSTALLED, resamples: int = RESAMPLES
) -> Outcome:
    """Return the result of a file of predictions, and its rows in their fixed order.

    The predictor is named after the file.

    Args:
        path: The file.
        task: That it answers.
        release: The data; by default that of the installed package.
        resamples: Of the intervals; there are none with 0.

    Raises:
        FileNotFoundError: If there is no such file, or the data lacks a split.
        ValueError: If the file breaks a rule, naming file, rule, the first offender and how many
            there are; or if the data is not what the task was frozen on.
    """
    rows = _read_rows(path)
    targets = load_targets(task, release)
    seeds = tuple(np.unique(rows.seeds).tolist()) or (0,)
    try:
        predictions = [_of_seed(rows, seed, task, targets.valid_accuracy.run_ids) for seed in seeds]
        if len({prediction.epochs for prediction in predictions}) > 1:
            raise ValueError("every seed must have the same epochs")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).lstrip("._-") or "predictions"
    header = ResultHeader(task, name, f"Predictions of {path.name}", seeds, "rescored")
    return score_outcome(header, predictions, targets, resamples=resamples)


def _read_rows(path: Path) -> _Rows:
    """Return the columns of a file, their names and types checked."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start != MAGIC:
        found = f"it starts with {start!r}" if start else "it is empty"
        raise ValueError(f"{path}: predictions must be a Parquet file, and {found}")
    table = read_pages(path)
    try:
        return _columns(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _columns(table: pa.Table) -> _Rows:
    """Return the columns of a table, checked."""
    for name in table.column_names:
        if name not in COLUMNS or table.column_names.count(name) > 1:
            twice = f"column {name!r} must be there once"
            raise ValueError(twice if name in COLUMNS else unknown_name("column", name, COLUMNS))
    for name in REQUIRED:
        if name not in table.column_names:
            raise ValueError(f"column {name!r} is missing; there is {_listed(table.column_names)}")
    for name in table.column_names:
        _check_type(name, table.schema.field(name).type)
    for name in ("run_id", "epoch", "seed"):
        if name in table.column_names and table[name].null_count:
            row = table[name].is_null().to_pylist().index(True)
            raise ValueError(f"`{name}` of row {row} must be given{_more(table[name].null_count)}")
    return _Rows(
        table["run_id"].to_pylist(),
        _whole(table, "epoch"),
        table["mean"].to_numpy().astype(np.float64),
        _deviations(table),
        _whole(table, "seed") if "seed" in table.column_names else np.zeros(len(table), np.int64),
    )


def _whole(table: pa.Table, name: str) -> NDArray[np.int64]:
    """Return a column of whole numbers without nulls."""
    values: NDArray[np.int64] = table[name].to_numpy().astype(np.int64)
    return values


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _more(count: int) -> str:
    """Return how many rows break a rule, if it is more than the one that is named."""
    return f" ({count} rows break this rule)" if count > 1 else ""


def _check_type(name: str, kind: pa.DataType) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    rules = {
        "run_id": ("text", pa.types.is_string(kind) or pa.types.is_large_string(kind)),
        "epoch": ("whole numbers", pa.types.is_integer(kind)),
        "mean": ("floats", pa.types.is_floating(kind)),
        "std": ("floats", pa.types.is_floating(kind)),
        "seed": ("whole numbers", pa.types.is_integer(kind)),
    }
    rule, kept = rules[name]
    if not kept:
        raise ValueError(f"column {name!r} must hold {rule}, not {kind}")


def _deviations(table: pa.Table) -> Array | None:
    """Return the column `std`; None if it is not there or null throughout."""
    if "std" not in table.column_names or table["std"].null_count == len(table):
        return None
    if table["std"].null_count:
        row = table["std"].is_null().to_pylist().index(True)
        raise ValueError(
            f"`std` of run {table['run_id'][row].as_py()!r} is null; it must be given for every "
            f"row or for none{_more(table['std'].null_count)}"
        )
    deviations: Array = table["std"].to_numpy().astype(np.float64)
    return deviations


def _of_seed(rows: _Rows, seed: int, task: Task, run_ids: Sequence[str]) -> Prediction:
    """Return the prediction of one seed, which is named if there are others."""
    try:
        return _arrange(rows.of(seed), task, run_ids)
    except ValueError as error:
        if (rows.seeds == seed).all():
            raise
        raise ValueError(f"seed {seed}: {error}") from error


def _arrange(rows: _Rows, task: Task, run_ids: Sequence[str]) -> Prediction:
    """Return rows as a prediction of some runs, in their order, every rule checked."""
    _check_runs(rows, task, run_ids)
    epochs = _asked_epochs(rows, task)
    names = sorted(run_ids)
    position = {run_id: i for i, run_id in enumerate(names)}
    owner = np.array([position[run_id] for run_id in rows.run_ids], dtype=np.int64)
    cell = owner * len(epochs) + (rows.epochs - epochs[0])
    times = np.bincount(cell, minlength=len(run_ids) * len(epochs))
    for rule, wrong in (("stand there once, not more often", times > 1), ("be there", times < 1)):
        if wrong.any():
            run, epoch = divmod(int(np.flatnonzero(wrong)[0]), len(epochs))
            raise ValueError(
                f"run {names[run]!r} at epoch {epochs[epoch]} must {rule}{_more(int(wrong.sum()))}"
            )
    row_of = np.argsort(cell).reshape(len(names), len(epochs))  # the row of each run and epoch
    mean, std = rows.mean[row_of], None if rows.std is None else rows.std[row_of]
    require_valid(Prediction(mean, epochs, std), Scope(names, task.epochs, task.observed))
    order = [position[run_id] for run_id in run_ids]
    return Prediction(mean[order], epochs, None if std is None else std[order])


def _check_runs(rows: _Rows, task: Task, run_ids: Sequence[str]) -> None:
    """Check that exactly the runs of the task are there."""
    asked, given = set(run_ids), dict.fromkeys(rows.run_ids)
    unknown = [run_id for run_id in given if run_id not in asked]
    if unknown:
        parts = [part for part, ids in task.parts.items() if unknown[0] in ids]
        where = f"of its {parts[0]} part" if parts else "unknown"
        raise ValueError(
            f"run {unknown[0]!r} is {where}, and task {task.name!r} asks for test and heldout only "
            f"({len(unknown)} of {len(given)} runs break this rule)"
        )
    missing = sorted(asked - given.keys())
    if missing:
        raise ValueError(
            f"run {missing[0]!r} of task {task.name!r} must be there "
            f"({len(missing)} of {len(asked)} runs are missing)"
        )


def _asked_epochs(rows: _Rows, task: Task) -> tuple[int, ...]:
    """Return the last epoch if there is no other, and all after the observed ones otherwise."""
    if (rows.epochs == task.epochs).all():
        return (task.epochs,)
    first = task.observed + 1
    wrong = np.flatnonzero((rows.epochs < first) | (rows.epochs > task.epochs))
    if len(wrong):
        row = wrong[0]
        raise ValueError(
            f"epoch {rows.epochs[row]} of run {rows.run_ids[row]!r} must be from {first} to "
            f"{task.epochs}{_more(len(wrong))}"
        )
    return tuple(range(first, task.epochs + 1))
