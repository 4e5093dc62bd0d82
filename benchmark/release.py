"""A release: a folder of runs, proxies and tasks, and the functions that read them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmark.manifest import Manifest, read_manifest, released_splits
from benchmark.proxies import PROXIES, read_proxies
from benchmark.recipes import RECIPES, Recipe, read_recipes
from benchmark.runs import data_folder, read_table, split_path
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.space.splits import SPLITS
from benchmark.tasks import Task, digest_rows, read_task_file, select_rows
from benchmark.util.text import quantity
from benchmark.util.unknown_name import check_known, check_type


@dataclass(frozen=True, slots=True)
class Release:
    """A copy of the released data in a folder; by default that of the installed package."""

    folder: Path = field(default_factory=data_folder)

    def __post_init__(self) -> None:
        """Convert a folder given as text."""
        check_type("folder", self.folder, (str, PathLike), "the path of a folder")
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def tasks_folder(self) -> Path:
        """The folder of the frozen tasks."""
        return self.folder / "tasks"

    def manifest(self) -> Manifest:
        """Return the version of the release and the counts of its files.

        Raises:
            FileNotFoundError: If the folder holds no release.
        """
        return read_manifest(self.folder)

    def default_images(self) -> str:
        """Return what commands take when no image set is named: the first that has runs."""
        return next((name for name, _ in released_splits(self.folder)), next(iter(IMAGES)))

    def runs(self, images: str, split: str, *, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the runs of a split, one row per run. Arguments and errors as in `load_runs`."""
        return read_table(split_path(images, split, self.folder), columns)

    def proxies(self, images: str) -> pa.Table | None:
        """Return the zero-cost proxies of an image set, one row per architecture, or None.

        Raises:
            ValueError: If the name is unknown, or the file is damaged or has another schema.
        """
        return read_proxies(images, self.folder)

    def proxy_values(
        self, images: str, architecture_ids: Sequence[str]
    ) -> NDArray[np.float64] | None:
        """Return the proxies of some networks, (networks, proxies); None if there are none.

        Raises:
            ValueError: If there are proxies, but not of all these networks.
        """
        table = self.proxies(images)
        if table is None:
            return None
        row_of = {name: i for i, name in enumerate(table["architecture_id"].to_pylist())}
        missing = [name for name in architecture_ids if name not in row_of]
        if missing:
            raise ValueError(
                f"the proxies of {images!r} lack {quantity(len(missing), 'network')}, first "
                f"{missing[0]!r}; compute them with `peephole generate proxies --images {images} "
                f"--data {self.folder}`"
            )
        values = np.stack([table[name].to_numpy() for name in PROXIES], axis=1)
        return values[[row_of[name] for name in architecture_ids]].copy()

    def recipe(self, recipe_id: str) -> Recipe:
        """Return a recipe of this version or of the release.

        Raises:
            ValueError: If neither has the recipe.
        """
        known = {recipe.recipe_id: recipe for recipe in RECIPES.values()}
        path = self.folder / "recipes.json"
        if recipe_id not in known and path.exists():
            known = read_recipes(path)
        if recipe_id not in known:
            raise ValueError(
                f"recipe {recipe_id!r} of the runs is neither current nor in {str(path)!r}"
            )
        return known[recipe_id]

    def task_names(self) -> list[str]:
        """Return the names of all frozen tasks, sorted."""
        return sorted(path.stem for path in self.tasks_folder.glob("*.json"))

    def task(self, name: str) -> Task:
        """Return a frozen task.

        Raises:
            ValueError: If the name is unknown; the message suggests the most similar one.
        """
        check_known("task", name, self.task_names())
        return read_task_file(self.tasks_folder / f"{name}.json")

    def latest_task(self, images: str, observed: int) -> Task:
        """Return the frozen task with the highest version.

        Raises:
            ValueError: If the images are unknown, or have no task with that number of observed
                epochs.
        """
        get_images(images)
        check_type("observed", observed, Integral, "a whole number")
        start = f"{images}-k{observed}-v"
        names = [name for name in self.task_names() if name.startswith(start)]
        if not names:
            known = ", ".join(self.task_names()) or "none"
            raise ValueError(
                f"this release has no data of {images!r} with {quantity(observed, 'epoch')} "
                f"observed; its tasks: {known}"
            )
        return self.task(max(names, key=lambda name: int(name.removeprefix(start))))

    def task_rows(self, task: Task, split: str) -> pa.Table:
        """Return the rows of one split of a task, sorted by run id.

        Raises:
            FileNotFoundError: If the data lacks the split.
            ValueError: If the data lacks a run of the task, or has one twice.
        """
        check_type("task", task, Task, "a `Task`, as `Release.task` returns it")
        return select_rows(task, split, self.runs(task.images_of(split), split))

    def task_tables(self, task: Task) -> dict[str, pa.Table]:
        """Return the rows of every split of a task, checked against the task's digest.

        Raises:
            FileNotFoundError: If the data lacks a split.
            ValueError: If the data lacks a run of the task or has changed values.
        """
        tables: dict[str, pa.Table] = {split: self.task_rows(task, split) for split in SPLITS}
        digest = self.rows_digest([(task.images_of(split), tables[split]) for split in SPLITS])
        if digest != task.rows_digest:
            raise ValueError(
                f"the rows of task {task.name!r} have digest {digest}, not {task.rows_digest} as "
                "when frozen"
            )
        return tables

    def rows_digest(self, splits: Sequence[tuple[str, pa.Table]]) -> str:
        """Return the digest of the rows of a task's splits, with their proxies.

        Args:
            splits: The image set and the rows of each split.

        Raises:
            ValueError: If proxies are missing or damaged.
        """
        proxies = [
            self.proxy_values(images, table.column("architecture_id").to_pylist())
            for images, table in splits
        ]
        return digest_rows([table for _, table in splits], [p for p in proxies if p is not None])


INSTALLED = Release()


def find_release(release: Release | Path | str) -> Release:
    """Return a release, or that of a folder.

    Raises:
        FileNotFoundError: If there is no such folder.
        TypeError: If it is neither a release nor a path.
    """
    if isinstance(release, Release):
        return release
    check_type("release", release, (str, PathLike), "a `Release` or the path of its folder")
    if not Path(release).is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(release)!r} of data; `peephole data export` copies the "
            "release, `peephole generate merge` makes one of your own runs"
        )
    return Release(Path(release))


def load_runs(
    images: str,
    split: str,
    *,
    columns: Sequence[str] | None = None,
    release: Release | Path | str = INSTALLED,
) -> pa.Table:
    """Return the runs of a split as an Arrow table, one row per run.

    Args:
        images: Name of an image set, such as "cifar10".
        split: "train", "validation", "test" or "heldout".
        columns: Columns to read; all by default. `benchmark.schema.COLUMNS` describes them.
        release: The data, or its folder; by default that of the installed package.

    Raises:
        FileNotFoundError: If the release does not have the split.
        TypeError: If an argument is of another type.
        ValueError: If a name is unknown or the file is damaged.
    """
    return find_release(release).runs(images, split, columns=columns)
