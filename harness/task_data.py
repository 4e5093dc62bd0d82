"""Builds the inputs of a predictor and the targets from the rows of a task.

The inputs do not reveal the targets: `Queries` own copies of the observed epochs, and neither they
nor `Runs` hold a test accuracy, a status, a time, a device or a run of another seed. The files on
disk are not hidden from a predictor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa

from benchmark.recipes import Recipe
from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.schema import TENTHS
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.tasks import Task, has_full_curve
from benchmark.util.rng import generator_for
from harness.protocol import Array, Queries, Runs, Series
from harness.scoring.targets import SCORED_SPLITS, ScoredSplit, Targets


@dataclass(frozen=True, slots=True, eq=False)
class TaskTargets:
    """The targets of a task's queries, in the same order.

    Attributes:
        valid_accuracy: Validation accuracy, which is predicted.
        test_accuracy: Test accuracy, on which the same predictions are scored as well.
        valid_likelihood: exp(-validation loss), the geometric mean of the probabilities of the true
            classes, 0 where the loss is not finite. The order of the predictions is scored on it,
            because the loss separates networks whose accuracies are tied.
    """

    valid_accuracy: Targets
    test_accuracy: Targets
    valid_likelihood: Targets


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """The data of a task.

    Attributes:
        task: The task.
        train: Runs to fit on.
        validation: Runs for model selection.
        queries: Test and held-out networks, shuffled, with opaque ids.
        targets: Targets of the queries, in the same order.
    """

    task: Task
    train: Runs
    validation: Runs
    queries: Queries
    targets: TaskTargets

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The run id of each query, as in a file of predictions; predictors do not receive them."""
        return self.targets.valid_accuracy.run_ids


def load_task_data(task: Task, release: Release = INSTALLED) -> TaskData:
    """Return the data of a task.

    Args:
        task: The task.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If a run or the recipe is missing from the data, or rows differ from the task's.
    """
    tables = release.task_tables(task)
    recipe = recipe_of(tables["train"], release)
    rows, splits = query_rows(task, tables)
    asked = recipe_of(rows, release)
    return TaskData(
        task,
        build_runs(tables["train"], recipe, "t", release),
        build_runs(tables["validation"], recipe, "v", release),
        build_runs(rows, asked, "q", release).observe(task.observed),
        build_targets(task, rows, splits),
    )


def load_targets(task: Task, release: Release = INSTALLED) -> TaskTargets:
    """Return the targets of a task. Raises the errors of `load_task_data`."""
    return build_targets(task, *query_rows(task, release.task_tables(task)))


def evaluation_rows(tables: Mapping[str, pa.Table]) -> tuple[pa.Table, tuple[ScoredSplit, ...]]:
    """Return the rows on which predictions are scored, split by split, and the split of each."""
    rows = pa.concat_tables([tables[split] for split in SCORED_SPLITS])
    return rows, tuple(split for split in SCORED_SPLITS for _ in range(len(tables[split])))


def query_rows(
    task: Task, tables: Mapping[str, pa.Table]
) -> tuple[pa.Table, tuple[ScoredSplit, ...]]:
    """Return the rows of the queries, shuffled by the task's name, and the split of each."""
    rows, splits = evaluation_rows(tables)
    order = generator_for("queries-v1", task.name).permutation(len(rows))
    return rows.take(pa.array(order)).combine_chunks(), tuple(splits[i] for i in order)


def build_targets(task: Task, rows: pa.Table, splits: tuple[ScoredSplit, ...]) -> TaskTargets:
    """Return the targets of a task for some rows."""
    target = Targets(
        tuple(rows["run_id"].to_pylist()),
        tuple(rows["architecture_id"].to_pylist()),
        tuple(rows["skeleton"].to_pylist()),
        splits,
        tuple(rows["paired_architecture_id"].to_pylist()),
        series(rows, task.target),
        task.classes,
        get_images(task.images).seed_difference,
    )
    likelihood = replace(
        target,
        curves=likelihood_of(series(rows, "valid_loss")),
        seed_difference=None,
        final_accuracy=target.curves[:, -1],
    )
    second = replace(target, curves=series(rows, task.second_target))
    return TaskTargets(target, second, likelihood)


def likelihood_of(losses: Array) -> Array:
    """Return exp(-loss) of cross-entropies in nats, 0 where a loss is not finite.

    >>> likelihood_of(np.array([0.0, np.inf, np.nan])).tolist()
    [1.0, 0.0, 0.0]
    """
    finite = np.isfinite(losses)
    return np.where(finite, np.exp(-np.where(finite, losses, 0.0)), 0.0)


def build_runs(rows: pa.Table, recipe: Recipe, prefix: str, release: Release) -> Runs:
    """Return rows as runs that own their memory; ids are numbers in the order of the rows.

    Args:
        rows: Rows with `architecture` and the columns that a predictor may see.
        recipe: The recipe of all rows.
        prefix: Prefix of the ids.
        release: The data, from which proxies are read.

    Raises:
        ValueError: If the data has proxies, but not for all networks.
    """
    images = get_images(recipe.images)
    architectures = tuple(map(from_record, rows["architecture"].to_pylist()))
    return Runs(
        tuple(f"{prefix}{i:04d}" for i in range(len(rows))),
        images.name,
        images.classes,
        recipe,
        architectures,
        tuple(walk(architecture, images) for architecture in architectures),
        _build_series(rows, recipe.epochs),
        release.proxy_values(images.name, rows["architecture_id"].to_pylist()),
    )


def _build_series(rows: pa.Table, epochs: int) -> Series:
    """Return copies of the series that a predictor may see, over all epochs, with null as NaN."""
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
    """Return the recipe that all rows share.

    Raises:
        ValueError: If the rows have several recipes or none, or the recipe is unknown.
    """
    ids = sorted(set(rows["recipe_id"].to_pylist()))
    if len(ids) != 1:
        raise ValueError(f"runs must share one recipe; these have {', '.join(ids) or 'none'}")
    return release.recipe(ids[0])


def training_runs(images: str, networks: int, release: Release = INSTALLED) -> Runs:
    """Return the first training runs of the data, with seed 0 and complete curves.

    Raises:
        FileNotFoundError: If the data has no training runs.
        ValueError: If the image set or the recipe is unknown.
    """
    table = release.runs(images, "train")
    complete = table.filter(has_full_curve(table)).sort_by("run_id")
    rows = complete.slice(0, networks).combine_chunks()
    return build_runs(rows, recipe_of(rows, release), "t", release)
