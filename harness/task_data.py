"""From a task's rows to what a predictor is passed, and to the truth that it is scored on.

Nothing that a predictor is passed leads to what it must predict: `Queries` own copies of the first
`observed` entries of each series, and neither they nor the `Runs` to fit on hold a test series, a
status, a time, a device or a run of another seed. What is on disk is not hidden.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa

from benchmark.proxies import PROXIES
from benchmark.recipes import Recipe
from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.schema import TENTHS
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.tasks import Task, has_whole_curve
from benchmark.util.rng import generator_for
from harness.protocol import Array, Queries, Runs, Series
from harness.scoring.targets import SCORED_SPLITS, ScoredSplit, Targets


@dataclass(frozen=True, slots=True, eq=False)
class TaskTargets:
    """What is true of the networks that a task asks for, all in one order.

    Attributes:
        valid_accuracy: Of the series that is predicted.
        test_accuracy: Of the other series that the same predictions are scored on.
    """

    valid_accuracy: Targets
    test_accuracy: Targets


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """The data of a task.

    Attributes:
        task: The task.
        train: To fit on.
        validation: To choose with.
        queries: Test and held-out networks, shuffled, under opaque ids.
        targets: Of the queries, in their order.
    """

    task: Task
    train: Runs
    validation: Runs
    queries: Queries
    targets: TaskTargets

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The run of each query, which a file of predictions names; no predictor is given them."""
        return self.targets.valid_accuracy.run_ids


def load_task_data(task: Task, release: Release = INSTALLED) -> TaskData:
    """Return the data of a task.

    Args:
        task: Any.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If the data lacks a run or the recipe of the task, or has other rows.
    """
    tables = release.task_tables(task)
    recipe = recipe_of(tables["train"], release)
    rows, splits = query_rows(task, tables)
    return TaskData(
        task,
        build_runs(tables["train"], recipe, "t", release),
        build_runs(tables["validation"], recipe, "v", release),
        build_runs(rows, recipe, "q", release).observe(task.observed),
        build_targets(task, rows, splits),
    )


def load_targets(task: Task, release: Release = INSTALLED) -> TaskTargets:
    """Return what is true of a task's test and held-out networks. Raises as `load_task_data`."""
    return build_targets(task, *query_rows(task, release.task_tables(task)))


def evaluation_rows(tables: Mapping[str, pa.Table]) -> tuple[pa.Table, tuple[ScoredSplit, ...]]:
    """Return the rows that predictions are scored on, part by part, and the part of each."""
    rows = pa.concat_tables([tables[part] for part in SCORED_SPLITS])
    return rows, tuple(part for part in SCORED_SPLITS for _ in range(len(tables[part])))


def query_rows(
    task: Task, tables: Mapping[str, pa.Table]
) -> tuple[pa.Table, tuple[ScoredSplit, ...]]:
    """Return the rows of the queries, shuffled by the task's name, and the part of each."""
    rows, splits = evaluation_rows(tables)
    order = generator_for("queries-v1", task.name).permutation(len(rows))
    return rows.take(pa.array(order)).combine_chunks(), tuple(splits[i] for i in order)


def build_targets(task: Task, rows: pa.Table, splits: tuple[ScoredSplit, ...]) -> TaskTargets:
    """Return the truths of rows for both targets of a task."""
    target = Targets(
        tuple(rows["run_id"].to_pylist()),
        tuple(rows["architecture_id"].to_pylist()),
        tuple(rows["skeleton"].to_pylist()),
        splits,
        tuple(rows["paired_architecture_id"].to_pylist()),
        series(rows, task.target),
        task.classes,
    )
    return TaskTargets(target, replace(target, curves=series(rows, task.second_target)))


def build_runs(rows: pa.Table, recipe: Recipe, prefix: str, release: Release) -> Runs:
    """Return rows as runs that own their memory, numbered in their order.

    Args:
        rows: All columns, or those that a predictor may see, and `architecture`.
        recipe: Of all rows.
        prefix: Of the ids.
        release: Where the proxies are.

    Raises:
        ValueError: If the data has proxies, but not of all the networks.
    """
    images = get_images(recipe.images)
    architectures = tuple(map(from_record, rows["architecture"].to_pylist()))
    return Runs(
        tuple(f"{prefix}{i:04d}" for i in range(len(rows))),
        images.name,
        recipe,
        architectures,
        tuple(walk(architecture, images) for architecture in architectures),
        _build_series(rows, recipe.epochs),
        _build_proxies(rows, images.name, release),
    )


def _build_proxies(rows: pa.Table, images: str, release: Release) -> Array | None:
    """Return the proxies of the networks of rows, (rows, proxies); None if the data has none."""
    table = release.proxies(images)
    if table is None:
        return None
    place = {name: i for i, name in enumerate(table["architecture_id"].to_pylist())}
    names = rows["architecture_id"].to_pylist()
    missing = [name for name in names if name not in place]
    if missing:
        raise ValueError(
            f"the proxies of {images!r} lack {len(missing)} networks, {missing[0]!r} the first; "
            f"`peephole generate proxies --images {images}` computes them"
        )
    values = np.stack([table[name].to_numpy() for name in PROXIES], axis=1)
    return values[[place[name] for name in names]].copy()


def _build_series(rows: pa.Table, epochs: int) -> Series:
    """Return copies of what a predictor may see of whole runs, null as NaN."""
    values: dict[str, Array] = {}
    for field in fields(Series):
        if field.name.startswith("initial_"):
            column = rows[field.name].to_numpy()
            values[field.name] = np.array(column, dtype=np.float64)
        elif field.name == "train_loss_tenths":
            flat = series(rows, field.name)
            values[field.name] = flat.reshape(len(rows), epochs, TENTHS).copy()
        else:
            values[field.name] = series(rows, field.name).copy()
    return Series(**values)


def recipe_of(rows: pa.Table, release: Release = INSTALLED) -> Recipe:
    """Return the one recipe of some rows.

    Raises:
        ValueError: If the rows have several, or it is not known.
    """
    ids = sorted(set(rows["recipe_id"].to_pylist()))
    if len(ids) != 1:
        raise ValueError(f"runs must share one recipe; these have {', '.join(ids) or 'none'}")
    return release.recipe(ids[0])


def training_runs(images: str, networks: int, release: Release = INSTALLED) -> Runs:
    """Return the first training runs of the released data, of seed 0 and with whole curves.

    Raises:
        FileNotFoundError: If the data lacks them.
        ValueError: If the image set or the recipe is not known.
    """
    table = release.runs(images, "train")
    rows = (
        table.filter(has_whole_curve(table)).sort_by("run_id").slice(0, networks).combine_chunks()
    )
    return build_runs(rows, recipe_of(rows, release), "t", release)
