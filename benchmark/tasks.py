"""Tasks: fixed questions to a predictor, as versioned files with a digest of their rows."""

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
MEASURED = (
    *(name for name in EPOCH_SERIES if name != "epoch_seconds"),
    "train_loss_tenths",
)


@dataclass(frozen=True, slots=True)
class Task:
    """A question: given the first epochs of some networks, what is their accuracy in the end?

    Attributes:
        name: "images-kN-vM".
        images: The image set.
        observed: Epochs a predictor sees (k).
        epochs: Epochs of every run.
        target: The series predicted.
        second_target: A series that the same predictions are also scored on.
        classes: Classes of the image set.
        parts: Run ids of each split, sorted.
        digest: SHA-256 of the rows' canonical content.
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
    """Return the task of a file."""
    fields = json.loads(path.read_text())
    fields["parts"] = {split: tuple(ids) for split, ids in fields["parts"].items()}
    return Task(**fields)


def select_rows(task: Task, split: str, runs: pa.Table) -> pa.Table:
    """Return the rows of a split that a task asks for, sorted by run id.

    Args:
        task: Any.
        split: Of the task.
        runs: All rows of the split.

    Raises:
        ValueError: If a run of the task is missing, or is there twice.
    """
    chosen = runs.filter(pc.is_in(runs.column("run_id"), pa.array(task.parts[split])))
    found = Counter(chosen.column("run_id").to_pylist())
    missing = set(task.parts[split]) - set(found)
    if missing:
        raise ValueError(
            f"task {task.name!r} asks for {len(missing)} runs of {split!r} that the data lacks, "
            f"{min(missing)!r} first"
        )
    doubled = [name for name, times in found.items() if times > 1]
    if doubled:
        raise ValueError(
            f"{split!r} of {task.images!r} has {len(doubled)} runs more than once, "
            f"{min(doubled)!r} first"
        )
    return chosen.sort_by("run_id")


def has_whole_curve(runs: pa.Table) -> pa.ChunkedArray:
    """Return which runs a task may ask for: those of seed 0 that completed or diverged."""
    return pc.and_(
        pc.equal(runs.column("seed"), 0),
        pc.is_in(runs.column("status"), pa.array(TRAINED_STATUSES)),
    )


def rows_digest(tables: list[pa.Table]) -> str:
    """Return the SHA-256 of rows: names, then series as little-endian float32, null as NaN.

    Adding rows or columns to the data does not change it; changing a value of a row does.
    """
    digest = hashlib.sha256()
    for table in tables:
        for name in NAMED:
            digest.update("\n".join(map(str, table.column(name).to_pylist())).encode())
            digest.update(b"\0")
        for name in MEASURED:
            digest.update(np.ascontiguousarray(series(table, name), dtype="<f4").tobytes())
    return digest.hexdigest()
