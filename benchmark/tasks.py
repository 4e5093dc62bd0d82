"""Tasks: fixed prediction problems, as versioned files with a digest.

The digest covers everything that a predictor sees or is scored on: the rows of the runs, their
proxies, and the fields of the task. It does not change when other rows or columns are added.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmark.recipes import MOST_EPOCHS
from benchmark.runs import series
from benchmark.schema import EPOCH_SERIES, TRAINED_STATUSES
from benchmark.space.imagesets import get_images
from benchmark.space.splits import FITTED_SPLITS, SPLITS
from benchmark.util.strict_json import read_record, refuse
from benchmark.util.text import quantity
from benchmark.util.unknown_name import unknown_name

OBSERVED = (0, 1, 2, 3, 5)
TARGET, SECOND_TARGET = "valid_accuracy", "test_accuracy"
NAMED = (
    "run_id", "architecture_id", "paired_architecture_id", "skeleton", "images", "recipe_id",
    "status",
)  # fmt: skip
INITIAL = ("initial_valid_loss", "initial_valid_accuracy")
_TRANSFER = "-to-"  # between the image sets of a transfer task
MEASURED = (*(name for name in EPOCH_SERIES if name != "epoch_seconds"), "train_loss_tenths")


@dataclass(frozen=True, slots=True)
class Task:
    """A prediction problem: given the first epochs of networks, predict their final accuracy.

    Attributes:
        name: Name of the form "images-kN-vM": image set, observed epochs, version; that of a
            transfer task starts with "fitted_on-to-images".
        images: Image set of the test and held-out networks.
        observed: Number of epochs that a predictor sees (k).
        epochs: Number of epochs of every run.
        target: Name of the series to predict.
        second_target: Name of a second series that the same predictions are scored on.
        parts: Sorted run ids of each split; those of train and validation are of `fitted_on`.
        rows_digest: SHA-256 of the rows, in hexadecimal; see `digest_rows`. Tasks that differ only
            in their observed epochs have the same.
        digest: SHA-256 of all other fields, in hexadecimal; see `make_task`.
    """

    name: str
    images: str
    observed: int
    epochs: int
    target: str
    second_target: str
    classes: int
    parts: dict[str, tuple[str, ...]]
    rows_digest: str
    digest: str

    def __post_init__(self) -> None:
        """Check the ranges of `epochs` and `observed`, and the digest."""
        if not 1 <= self.epochs <= MOST_EPOCHS:
            refuse("epochs", self.epochs, f"in 1..{MOST_EPOCHS}")
        if not 0 <= self.observed < self.epochs:
            raise ValueError(f"`observed` (={self.observed}) must be in 0..{self.epochs - 1}")
        covered = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "digest"}
        digest = _digest_fields(covered)
        if self.digest != digest:
            raise ValueError(f"`digest` (={self.digest!r}) must be {digest!r}, that of the fields")

    @property
    def fitted_on(self) -> str:
        """Image set of the runs to fit on; in a transfer task another one than `images`."""
        fitted_on, transfer, _ = group_of(self.name).partition(_TRANSFER)
        return fitted_on if transfer else self.images

    def images_of(self, split: str) -> str:
        """Return the image set of the runs of a split."""
        return self.fitted_on if split in FITTED_SPLITS else self.images


def group_of(task_name: str) -> str:
    """Return what a task's name has before its observed epochs.

    >>> group_of("mnist-k0-v1"), group_of("cifar10-to-mnist-k0-v1")
    ('mnist', 'cifar10-to-mnist')
    """
    return task_name.rpartition("-k")[0]


def name_group(fitted_on: str, images: str) -> str:
    """Return the start of the names of tasks with these image sets; see `group_of`."""
    return images if fitted_on == images else f"{fitted_on}{_TRANSFER}{images}"


def make_task(**covered: Any) -> Task:
    """Return the task of all fields but the digest, which is computed."""
    return Task(**covered, digest=_digest_fields(covered))


def _digest_fields(covered: dict[str, object]) -> str:
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_task_file(path: Path) -> Task:
    """Return the task stored in a file.

    Raises:
        ValueError: If the file is not a task; the message starts with the path.
        OSError: If it cannot be read.
    """
    task = read_record(path, Task)
    try:
        _check_fields(task, path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return task


def _check_fields(task: Task, stem: str) -> None:
    """Check the names, numbers and run ids of a task against its images and its file's name."""
    if task.name != stem:
        refuse("name", task.name, f"the file's name, {stem!r}")
    name = f"{name_group(task.fitted_on, task.images)}-k{task.observed}-v"
    if not re.fullmatch(rf"{re.escape(name)}[1-9][0-9]{{0,8}}", task.name):
        refuse("name", task.name, f"{name} and the version")
    for images in (task.images, task.fitted_on):
        if task.classes != get_images(images).classes:
            refuse("classes", task.classes, f"{get_images(images).classes}, those of {images!r}")
    for field in ("target", "second_target"):
        if getattr(task, field) not in EPOCH_SERIES:
            known = unknown_name("series", getattr(task, field), EPOCH_SERIES)
            raise ValueError(f"`{field}`: {known}")
    for field in ("rows_digest", "digest"):
        if not re.fullmatch("[0-9a-f]{64}", getattr(task, field)):
            refuse(field, getattr(task, field), "64 hexadecimal digits")
    if set(task.parts) != set(SPLITS):
        refuse("parts", sorted(task.parts), f"the splits {', '.join(SPLITS)}")
    owner: dict[str, str] = {}
    for split, ids in task.parts.items():
        images = task.images_of(split)
        for number, run in enumerate(ids):
            where = f"parts.{split}[{number}]"
            if not re.fullmatch(rf"{re.escape(images)}-[0-9a-z-]{{1,60}}", run):
                refuse(where, run, f"the id of a run on {images}")
            if owner.setdefault(run, split) != split or (number and run <= ids[number - 1]):
                refuse(where, run, "in one split, once, and after the id before it")


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
            f"the data lacks {quantity(len(missing), f'{split!r} run')} of task {task.name!r}; the "
            f"first is {min(missing)!r}"
        )
    repeated = [name for name, times in counts.items() if times > 1]
    if repeated:
        raise ValueError(
            f"{split!r} of {task.images_of(split)!r} repeats {quantity(len(repeated), 'run')}; the "
            f"first is {min(repeated)!r}"
        )
    return chosen.sort_by("run_id")


def was_trained(runs: pa.Table) -> pa.ChunkedArray:
    """Return which runs completed or diverged."""
    return pc.is_in(runs.column("status"), pa.array(TRAINED_STATUSES))


def has_full_curve(runs: pa.Table) -> pa.ChunkedArray:
    """Return which runs belong to tasks: those of seed 0 that completed or diverged."""
    return pc.and_(pc.equal(runs.column("seed"), 0), was_trained(runs))


def digest_rows(tables: Sequence[pa.Table], proxies: Sequence[NDArray[np.float64]]) -> str:
    """Return the SHA-256 of rows and their proxies.

    It covers names, architectures, then numbers: initial values and series as little-endian
    float32, proxies as float64, null as NaN. Times, devices and versions are left out.

    Args:
        tables: The rows of each split.
        proxies: Proxies of these rows, (rows, proxies) for each table that has them.
    """
    digest = hashlib.sha256()

    def update(texts: list[str], numbers: Sequence[NDArray[np.float64]]) -> None:
        digest.update("\n".join(texts).encode() + b"\0")
        for values in numbers:
            digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())

    for table in tables:
        for name in NAMED:
            update(list(map(str, table.column(name).to_pylist())), ())
        initial = [table.column(name).to_numpy().astype(np.float64) for name in INITIAL]
        architectures = table.column("architecture").to_pylist()
        texts = [json.dumps(record, sort_keys=True) for record in architectures]
        update(texts, [*initial, *(series(table, name) for name in MEASURED)])
    for values in proxies:
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()
