"""Freezes tasks: selects their runs and computes a digest of the rows."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from benchmark.release import Release
from benchmark.runs import split_path
from benchmark.space.imagesets import get_images
from benchmark.space.splits import FITTED_SPLITS, SPLITS
from benchmark.tasks import (
    SECOND_TARGET,
    TARGET,
    Task,
    group_of,
    has_full_curve,
    make_task,
    name_group,
)
from benchmark.util.atomic import write_atomically
from benchmark.util.strict_json import MOST_BYTES
from benchmark.util.text import quantity


def freeze(
    images: str,
    observed: int,
    release: Release,
    *,
    fitted_on: str | None = None,
    version: int | None = None,
) -> Task:
    """Return a new task over all seed-0 runs of a release that completed or diverged.

    Args:
        images: Image set of the test and held-out networks.
        observed: Number of epochs that a predictor sees.
        release: The data.
        fitted_on: Image set of the training and validation runs; by default that of the others.
        version: From 1; by default that of the tasks with the same rows, or else the next one.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If a number is out of range, the image sets have different numbers of classes or
            epochs, or a network to predict is one to fit on.
    """
    if version is not None and version < 1:
        raise ValueError(f"`version` (={version}) must be at least 1")
    fitted_on = fitted_on or images
    tables: dict[str, tuple[str, pa.Table]] = {}
    for split in SPLITS:
        source = fitted_on if split in FITTED_SPLITS else images
        _check_splits(source, release)
        table = release.runs(source, split)
        table = table.filter(has_full_curve(table))
        if not len(table):
            raise ValueError(
                f"no run of {source!r} in {split} completed or diverged with seed 0, and a task "
                "needs some"
            )
        tables[split] = source, table.sort_by("run_id")
    if fitted_on != images:
        _check_transfer(fitted_on, images, tables)
    rows_digest = release.rows_digest(list(tables.values()))
    group = name_group(fitted_on, images)
    version = version or _version_of(group, rows_digest, release)
    return make_task(
        name=f"{group}-k{observed}-v{version}",
        images=images,
        observed=observed,
        epochs=_epochs(tables["test"][1]),
        target=TARGET,
        second_target=SECOND_TARGET,
        classes=get_images(images).classes,
        parts={split: tuple(rows["run_id"].to_pylist()) for split, (_, rows) in tables.items()},
        rows_digest=rows_digest,
    )


def _check_splits(images: str, release: Release) -> None:
    """Check that a release has runs of an image set in every split."""
    get_images(images)
    paths = {split: split_path(images, split, release.folder) for split in SPLITS}
    if missing := [split for split, path in paths.items() if not path.exists()]:
        raise FileNotFoundError(
            f"there are no runs of {images!r} in {', '.join(missing)}; a task needs all four "
            "splits: plan more networks, or merge into a copy of the release"
        )


def _epochs(rows: pa.Table) -> int:
    return int(rows.column("epochs_planned")[0].as_py())


def _check_transfer(
    fitted_on: str, images: str, tables: Mapping[str, tuple[str, pa.Table]]
) -> None:
    """Check that what is learned on one image set can be asked on another, and is not known."""
    sets = [get_images(name) for name in (fitted_on, images)]
    numbers = {
        "classes": [image_set.classes for image_set in sets],
        "epochs": [_epochs(tables[split][1]) for split in ("train", "test")],
    }
    for name, (one, other) in numbers.items():
        if one != other:
            raise ValueError(
                f"{fitted_on!r} has {one} {name} and {images!r} {other}; a transfer task needs the "
                "same number"
            )
    for split in FITTED_SPLITS:
        seen = set(tables[split][1]["architecture_id"].to_pylist())
        for asked in ("test", "heldout"):
            if both := seen & set(tables[asked][1]["architecture_id"].to_pylist()):
                raise ValueError(
                    f"{quantity(len(both), 'network')} of {asked!r} of {images!r} would be in "
                    f"{split!r} of {fitted_on!r}; the first is {min(both)!r}"
                )


def _version_of(group: str, rows_digest: str, release: Release) -> int:
    """Return the version of a group's tasks with these rows, or else the next one."""
    names = [name for name in release.task_names() if group_of(name) == group]
    versions = sorted((int(name.rpartition("-v")[2]), name) for name in names)
    known = {release.task(name).rows_digest: version for version, name in versions}
    return known.get(rows_digest, max(known.values(), default=0) + 1)


def write_task(task: Task, release: Release) -> Path:
    """Write a task, and return the path of its file.

    Raises:
        FileExistsError: If a task with this name and other content exists.
        ValueError: If the file would be too large to be read.
    """
    path = release.tasks_folder / f"{task.name}.json"
    text = json.dumps(asdict(task), indent=1) + "\n"
    if path.exists() and path.read_bytes() != text.encode():
        raise FileExistsError(
            f"task {task.name!r} is frozen with other rows; a changed task needs another version, "
            f"such as {_version_of(group_of(task.name), task.rows_digest, release)}"
        )
    if len(text) > MOST_BYTES:
        raise ValueError(f"task {task.name!r} would have more than {MOST_BYTES:,} bytes")
    write_atomically(path, text)
    return path
