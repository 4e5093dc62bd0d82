"""Scores a file of predictions, without executing anything submitted or loading torch.

The file is Parquet with the columns `run_id` (text), `epoch` (integer, from 1), `mean` (float,
accuracy in [0, 1]) and, optionally, `std` (float, above 0) and `seed` (integer). For each seed it
has one row for each test and held-out run of the task and each epoch after the observed ones, or
for the last epoch alone. The order of rows has no effect.
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
from benchmark.util.unknown_name import foreign_content, unknown_name
from harness.metrics.bootstrap import RESAMPLES
from harness.prediction_rules import Scope, require_valid
from harness.protocol import Array, Prediction
from harness.results.predictions import ROW_BYTES
from harness.results.result import MOST_SEEDS
from harness.running.evaluate import Outcome, ResultHeader, score_outcome
from harness.task_data import TaskTargets, load_targets

REQUIRED = ("run_id", "epoch", "mean")
COLUMNS = {  # the type of each, in words and as checks of which one must hold
    "run_id": ("text", (pa.types.is_string, pa.types.is_large_string)),
    "epoch": ("integers", (pa.types.is_integer,)),
    "mean": ("floats", (pa.types.is_floating,)),
    "std": ("floats", (pa.types.is_floating,)),
    "seed": ("integers", (pa.types.is_integer,)),
}
INDEX = ("__index_level_0__", "Unnamed: 0", "index", "level_0")  # as pandas calls it
FIRST_BYTES = 4096  # of a file, which tell what it is
LARGEST = 2**31 - 1  # epoch or seed, which are stored in 32 bits
MAGIC = b"PAR1"  # start of a Parquet file: https://parquet.apache.org/docs/file-format/


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The columns of a file, (rows,) each."""

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
    path: Path,
    task: Task,
    *,
    release: Release = INSTALLED,
    resamples: int = RESAMPLES,
    targets: TaskTargets | None = None,
) -> Outcome:
    """Return the result of a file of predictions, and its sorted rows.

    The predictor is named after the file. With 0 `resamples` there are no intervals. The targets
    are read from the release if they are not given.

    Raises:
        FileNotFoundError: If the file does not exist, or a split is missing from the data.
        ValueError: If the file breaks a rule, with the file, the rule, the first violation and the
            number of violations; or if the rows are not those that the task was frozen on.
    """
    queries = len(task.parts["test"]) + len(task.parts["heldout"])
    rows = _read_rows(path, queries * (task.epochs - task.observed) * MOST_SEEDS)
    targets = targets or load_targets(task, release)
    seeds = tuple(np.unique(rows.seeds).tolist()) or (0,)
    try:
        run_ids = targets.valid_accuracy.run_ids
        predictions = [_arrange_seed(rows, seed, task, run_ids) for seed in seeds]
        if len({prediction.epochs for prediction in predictions}) > 1:
            raise ValueError("every seed must have the same epochs")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).lstrip("._-") or "predictions"
    header = ResultHeader(task, name, f"Predictions of {path.name}", seeds, "rescored")
    return score_outcome(header, predictions, targets, resamples=resamples)


def _read_rows(path: Path, most: int) -> _Rows:
    """Return the columns of a file of at most `most` rows, after checking names and types."""
    with path.open("rb") as file:
        start = file.read(FIRST_BYTES)
    if not start.startswith(MAGIC):
        content = f"starts with {start[: len(MAGIC)]!r}" if start else "is empty"
        what = (
            foreign_content(start) or f"predictions must be a Parquet file, but the file {content}"
        )
        raise ValueError(f"{path}: {what}")
    table = read_pages(path, most_rows=most, row_bytes=ROW_BYTES)
    try:
        return _check_columns(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_columns(table: pa.Table) -> _Rows:
    """Return the columns of a table, after checking them."""
    for name in table.column_names:
        if name in INDEX:
            raise ValueError(f"column {name!r} is the index of pandas; write with index=False")
        if name not in COLUMNS:
            raise ValueError(unknown_name("column", name, COLUMNS))
        if table.column_names.count(name) > 1:
            raise ValueError(f"column {name!r} must be given once")
    empty = [field.name for field in table.schema if pa.types.is_null(field.type)]
    table = table.drop_columns([name for name in empty if name not in REQUIRED])
    for name in REQUIRED:
        if name not in table.column_names:
            given = ", ".join(map(repr, table.column_names)) or "none"
            raise ValueError(f"column {name!r} is missing; given: {given}")
    for name in table.column_names:
        kind = table.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        rule, checks = COLUMNS[name]
        if not any(check(kind) for check in checks):
            raise ValueError(f"column {name!r} must hold {rule}, not {kind}")
    for name in ("run_id", "epoch", "seed"):
        if name in table.column_names and table[name].null_count:
            row = table[name].is_null().to_pylist().index(True)
            raise ValueError(f"`{name}` of row {row} must be given{_more(table[name].null_count)}")
    seeded = "seed" in table.column_names
    return _Rows(
        table["run_id"].to_pylist(),
        _whole_numbers(table, "epoch"),
        table["mean"].to_numpy().astype(np.float64),
        _deviations(table),
        _whole_numbers(table, "seed") if seeded else np.zeros(len(table), np.int64),
    )


def _whole_numbers(table: pa.Table, name: str) -> NDArray[np.int64]:
    """Return a column of integers of any type, after checking that 32 bits hold each."""
    values = table[name].to_numpy()
    wrong = np.flatnonzero((values > LARGEST) | (values < -LARGEST))
    if len(wrong):
        rule = f"must be from {-LARGEST} to {LARGEST}"
        shown = f"`{name}` of row {wrong[0]} (={values[wrong[0]]})"
        raise ValueError(f"{shown} {rule}{_more(len(wrong))}")
    numbers: NDArray[np.int64] = values.astype(np.int64)
    return numbers


def _more(count: int) -> str:
    """Return how many rows break a rule, if there is more than the one that is named."""
    return f" ({count} rows break this rule)" if count > 1 else ""


def _deviations(table: pa.Table) -> Array | None:
    """Return the column `std`; None if it is missing or all null."""
    if "std" not in table.column_names or table["std"].null_count == len(table):
        return None
    if table["std"].null_count:
        row = table["std"].is_null().to_pylist().index(True)
        raise ValueError(
            f"`std` of run {table['run_id'][row].as_py()!r} is null; it must be given in all rows "
            f"or in none{_more(table['std'].null_count)}"
        )
    deviations: Array = table["std"].to_numpy().astype(np.float64)
    return deviations


def _arrange_seed(rows: _Rows, seed: int, task: Task, run_ids: Sequence[str]) -> Prediction:
    """Return the prediction of a seed; messages name the seed if there are several."""
    try:
        return _arrange(rows.of(seed), task, run_ids)
    except ValueError as error:
        if (rows.seeds == seed).all():
            raise
        raise ValueError(f"seed {seed}: {error}") from error


def _arrange(rows: _Rows, task: Task, run_ids: Sequence[str]) -> Prediction:
    """Return rows as a prediction of runs, in the order of `run_ids`, after checking them."""
    _check_runs(rows, task, run_ids)
    epochs = _predicted_epochs(rows, task)
    names = sorted(run_ids)
    position = {run_id: i for i, run_id in enumerate(names)}
    owner = np.array([position[run_id] for run_id in rows.run_ids], dtype=np.int64)
    cell = owner * len(epochs) + (rows.epochs - epochs[0])
    times = np.bincount(cell, minlength=len(run_ids) * len(epochs))
    for rule, wrong in (("be given once, not more often", times > 1), ("be given", times < 1)):
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
    """Check that the runs are exactly the test and held-out runs of the task."""
    queries, given = set(run_ids), dict.fromkeys(rows.run_ids)
    unknown = [run_id for run_id in given if run_id not in queries]
    if unknown:
        splits = [split for split, ids in task.parts.items() if unknown[0] in ids]
        where = f"in the split {splits[0]}" if splits else "unknown"
        raise ValueError(
            f"run {unknown[0]!r} is {where}; task {task.name!r} asks only for test and heldout "
            f"({len(unknown)} of {len(given)} runs break this rule)"
        )
    missing = sorted(queries - given.keys())
    if missing:
        raise ValueError(
            f"run {missing[0]!r} of task {task.name!r} must be given "
            f"({len(missing)} of {len(queries)} runs are missing)"
        )


def _predicted_epochs(rows: _Rows, task: Task) -> tuple[int, ...]:
    """Return the last epoch if there is no other, else all after the observed ones."""
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
