"""Freezes tasks: selects their runs and computes a digest of the rows."""

import json
from dataclasses import asdict
from pathlib import Path

from benchmark.release import Release
from benchmark.runs import split_path
from benchmark.space.imagesets import get_images
from benchmark.space.splits import SPLITS
from benchmark.tasks import SECOND_TARGET, TARGET, Task, has_full_curve, make_task
from benchmark.util.atomic import write_atomically


def freeze(images: str, observed: int, release: Release, *, version: int | None = None) -> Task:
    """Return a new task over all seed-0 runs of a release that completed or diverged.

    Versions count from 1. The default is that of the image set's tasks with the same rows, or else
    the next one.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If a number is out of range.
    """
    if version is not None and version < 1:
        raise ValueError(f"`version` (={version}) must be at least 1")
    paths = {split: split_path(images, split, release.folder) for split in SPLITS}
    if missing := [split for split, path in paths.items() if not path.exists()]:
        raise FileNotFoundError(
            f"there are no runs of {images!r} in {', '.join(missing)}; a task needs all four "
            "splits: plan more networks, or merge into a copy of the release"
        )
    parts: dict[str, tuple[str, ...]] = {}
    tables = []
    for split in SPLITS:
        table = release.runs(images, split)
        tables.append(table.filter(has_full_curve(table)).sort_by("run_id"))
        parts[split] = tuple(tables[-1].column("run_id").to_pylist())
    rows_digest = release.rows_digest(images, tables)
    version = version or _version_of(images, rows_digest, release)
    return make_task(
        name=f"{images}-k{observed}-v{version}",
        images=images,
        observed=observed,
        epochs=int(tables[0].column("epochs_planned")[0].as_py()),
        target=TARGET,
        second_target=SECOND_TARGET,
        classes=get_images(images).classes,
        parts=parts,
        rows_digest=rows_digest,
    )


def _version_of(images: str, rows_digest: str, release: Release) -> int:
    """Return the version of an image set's tasks with these rows, or else the next one."""
    names = [name for name in release.task_names() if name.startswith(f"{images}-k")]
    versions = sorted((int(name.rpartition("-v")[2]), name) for name in names)
    known = {release.task(name).rows_digest: version for version, name in versions}
    return known.get(rows_digest, max(known.values(), default=0) + 1)


def write_task(task: Task, release: Release) -> Path:
    """Write a task, and return the path of its file.

    Raises:
        FileExistsError: If a task with this name and other content exists.
    """
    path = release.tasks_folder / f"{task.name}.json"
    text = json.dumps(asdict(task), indent=1) + "\n"
    if path.exists() and path.read_bytes() != text.encode():
        raise FileExistsError(
            f"task {task.name!r} is frozen with other rows; a changed task needs another version, "
            f"such as {_version_of(task.images, task.rows_digest, release)}"
        )
    write_atomically(path, text)
    return path
