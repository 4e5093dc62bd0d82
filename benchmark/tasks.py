"""Tasks: fixed questions to a predictor, as versioned files with a digest of their rows."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmark.runs import data_folder, load_runs, series
from benchmark.schema import EPOCH_SERIES
from benchmark.space.imagesets import get_images
from benchmark.space.splits import SPLITS
from benchmark.util.atomic import write_atomically
from benchmark.util.unknown_name import unknown_name

OBSERVED = (0, 1, 2, 3, 5)
TARGET, SECOND_TARGET = "valid_accuracy", "test_accuracy"
STATUSES = ("completed", "diverged")
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


def tasks_folder() -> Path:
    """Return where the frozen tasks lie."""
    return data_folder() / "tasks"


def task_names(folder: Path | None = None) -> list[str]:
    """Return the names of all frozen tasks, by image set and observed epochs."""
    return sorted(path.stem for path in (folder or tasks_folder()).glob("*.json"))


def read_task(name: str, folder: Path | None = None) -> Task:
    """Return a frozen task.

    Raises:
        ValueError: If there is none of that name; the message has the nearest one.
    """
    path = (folder or tasks_folder()) / f"{name}.json"
    if not path.exists():
        raise ValueError(unknown_name("task", name, task_names(folder)))
    fields = json.loads(path.read_text())
    fields["parts"] = {split: tuple(ids) for split, ids in fields["parts"].items()}
    return Task(**fields)


def latest_task(images: str, observed: int, folder: Path | None = None) -> Task:
    """Return the frozen task of the highest version.

    Raises:
        ValueError: If the images are not known, or have no task with so many observed epochs.
    """
    get_images(images)
    start = f"{images}-k{observed}-v"
    names = [name for name in task_names(folder) if name.startswith(start)]
    if not names:
        known = ", ".join(task_names(folder)) or "none"
        raise ValueError(
            f"this release has no data of {images!r} with {observed} epochs observed; its tasks: "
            f"{known}"
        )
    return read_task(max(names, key=lambda name: int(name.removeprefix(start))), folder)


def task_rows(task: Task, split: str, folder: Path | None = None) -> pa.Table:
    """Return the rows of a part of a task, sorted by run id.

    Raises:
        ValueError: If the data lacks a run of the task, or has one twice.
    """
    table = load_runs(task.images, split, folder=folder)
    chosen = table.filter(pc.is_in(table.column("run_id"), pa.array(task.parts[split])))
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


def check_digest(task: Task, folder: Path | None = None) -> None:
    """Check that the data still is what the task was frozen on.

    Raises:
        ValueError: If it is not.
    """
    found = rows_digest([task_rows(task, split, folder) for split in SPLITS])
    if found != task.digest:
        raise ValueError(
            f"the rows of task {task.name!r} have digest {found}, not {task.digest} as when frozen"
        )


def freeze(images: str, observed: int, *, version: int = 1, folder: Path | None = None) -> Task:
    """Return a new task over all seed-0 runs of the released data that completed or diverged.

    Args:
        images: The image set.
        observed: Epochs a predictor sees.
        version: From 1; raised for every new selection of runs of an image set.
        folder: Another copy of the data than the installed one.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If a number is out of range.
    """
    if version < 1:
        raise ValueError(f"`version` (={version}) must be at least 1")
    parts: dict[str, tuple[str, ...]] = {}
    tables = []
    for split in SPLITS:
        table = load_runs(images, split, folder=folder)
        keep = pc.and_(
            pc.equal(table.column("seed"), 0),
            pc.is_in(table.column("status"), pa.array(STATUSES)),
        )
        tables.append(table.filter(keep).sort_by("run_id"))
        parts[split] = tuple(tables[-1].column("run_id").to_pylist())
    return Task(
        name=f"{images}-k{observed}-v{version}",
        images=images,
        observed=observed,
        epochs=int(tables[0].column("epochs_planned")[0].as_py()),
        target=TARGET,
        second_target=SECOND_TARGET,
        classes=get_images(images).classes,
        parts=parts,
        digest=rows_digest(tables),
    )


def write_task(task: Task, folder: Path | None = None) -> Path:
    """Write a task; a frozen one is never changed.

    Raises:
        FileExistsError: If there is one of that name with other content.
    """
    path = (folder or tasks_folder()) / f"{task.name}.json"
    text = json.dumps(asdict(task), indent=1) + "\n"
    if path.exists() and path.read_text() != text:
        raise FileExistsError(
            f"task {task.name!r} is frozen with other rows; a changed task needs a new version"
        )
    write_atomically(path, text)
    return path
