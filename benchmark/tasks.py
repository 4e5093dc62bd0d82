"""Tasks: fixed prediction problems, as versioned files with a digest of their rows."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmark.runs import series
from benchmark.schema import EPOCH_SERIES, TRAINED_STATUSES

OBSERVED = (0, 1, 2, 3, 5)
TARGET, SECOND_TARGET = "valid_accuracy", "test_accuracy"
NAMED = ("run_id", "architecture_id", "skeleton", "status")
MEASURED = (*(name for name in EPOCH_SERIES if name != "epoch_seconds"), "train_loss_tenths")


@dataclass(frozen=True, slots=True)
class Task:
    """A prediction problem: given the first epochs of networks, predict their final accuracy.

    Attributes:
        name: Name of the form "images-kN-vM": image set, observed epochs, version.
        observed: Number of epochs that a predictor sees (k).
        epochs: Number of epochs of every run.
        target: Name of the series to predict.
        second_target: Name of a second series that the same predictions are scored on.
        parts: Sorted run ids of each split.
        digest: SHA-256 of the rows, in hexadecimal; see `rows_digest`.
    """

    name: str
    images: str
    observed: int
    epochs: int
    target: str
    second_target: str
    classes: int
    parts: dict[str, tuple[str, ...]]
    digest: str

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.observed < self.epochs:
            raise ValueError(f"`observed` (={self.observed}) must be in 0..{self.epochs - 1}")


def read_task_file(path: Path) -> Task:
    """Return the task stored in a file."""
    fields = json.loads(path.read_text())
    fields["parts"] = {split: tuple(ids) for split, ids in fields["parts"].items()}
    return Task(**fields)


def select_rows(task: Task, split: str, runs: pa.Table) -> pa.Table:
    """Return the rows of a split that belong to a task, sorted by run id.

    Raises:
        ValueError: If a run of the task is missing or repeated.
    """
    chosen = runs.filter(pc.is_in(runs.column("run_id"), pa.array(task.parts[split])))
    counts = Counter(chosen.column("run_id").to_pylist())
    missing = set(task.parts[split]) - set(counts)
    if missing:
        raise ValueError(
            f"the data lacks {len(missing)} {split!r} runs of task {task.name!r}; the first is "
            f"{min(missing)!r}"
        )
    repeated = [name for name, times in counts.items() if times > 1]
    if repeated:
        raise ValueError(
            f"{split!r} of {task.images!r} repeats {len(repeated)} runs; the first is "
            f"{min(repeated)!r}"
        )
    return chosen.sort_by("run_id")


def has_full_curve(runs: pa.Table) -> pa.ChunkedArray:
    """Return which runs belong to tasks: those of seed 0 that completed or diverged."""
    return pc.and_(
        pc.equal(runs.column("seed"), 0),
        pc.is_in(runs.column("status"), pa.array(TRAINED_STATUSES)),
    )


def rows_digest(tables: list[pa.Table]) -> str:
    """Return the SHA-256 of rows: names, then series as little-endian float32, null as NaN.

    It changes when a value of these rows changes, not when rows or columns are added to the data.
    """
    digest = hashlib.sha256()
    for table in tables:
        for name in NAMED:
            digest.update("\n".join(map(str, table.column(name).to_pylist())).encode())
            digest.update(b"\0")
        for name in MEASURED:
            digest.update(np.ascontiguousarray(series(table, name), dtype="<f4").tobytes())
    return digest.hexdigest()
