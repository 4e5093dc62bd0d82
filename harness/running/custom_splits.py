"""Trials on the runs of a task, with other splits than the task's.

A seen skeleton is left out of the training runs at a time, or training sets increase in size.
"""

from collections.abc import Sequence

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.space.architectures import architecture_id
from benchmark.tasks import Task
from benchmark.util.rng import generator_for
from harness.protocol import Runs
from harness.running.trials import Trial
from harness.task_data import build_runs, recipe_of


def skeleton_trials(task: Task, release: Release = INSTALLED) -> list[Trial]:
    """Return a trial for each seen skeleton: fit on the other skeletons, test on this one.

    Only train and validation runs of the task are used, so choices made by these scores do not
    depend on test or held-out networks.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If the rows are not those that the task was frozen on.
    """
    train, validation, _ = _load_splits(task, release)
    names = [_skeletons(runs) for runs in (train, validation)]
    trials = []
    for left_out in sorted(set(names[0])):
        inside = [np.flatnonzero(skeletons != left_out) for skeletons in names]
        outside = [np.flatnonzero(skeletons == left_out) for skeletons in names]
        test = train.take(outside[0]).concat(validation.take(outside[1]))
        label = f"without {left_out}"
        fitted = (train.take(inside[0]), validation.take(inside[1]))
        trials.append(Trial(label, 0, *fitted, test, _architecture_ids(test)))
    return trials


def ladder_trials(task: Task, sizes: Sequence[int], release: Release = INSTALLED) -> list[Trial]:
    """Return a trial for each number of training networks, with nested training sets.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If a size is out of range, or the rows are not those that the task was frozen
            on.
    """
    train, validation, test = _load_splits(task, release)
    for size in sizes:
        if not 2 <= size <= len(train):
            raise ValueError(f"`train-size` (={size}) must be in 2..{len(train)}")
    order = generator_for("ladder-v1", task.images).permutation(len(train))
    taken = {size: train.take(order[:size]) for size in sizes}
    groups = _architecture_ids(test)
    return [
        Trial(f"{size} networks", 0, runs, validation, test, groups) for size, runs in taken.items()
    ]


def _load_splits(task: Task, release: Release) -> tuple[Runs, Runs, Runs]:
    """Return the train, validation and test runs of a task, with all epochs.

    Raises:
        ValueError: If it is a transfer task.
    """
    if task.fitted_on != task.images:
        raise ValueError(
            f"other splits need runs of one image set, but task {task.name!r} has those of "
            f"{task.fitted_on!r} and {task.images!r}"
        )
    tables = release.task_tables(task)
    recipe = recipe_of(tables["train"], release)
    train, validation, test = (
        build_runs(tables[split], recipe, split[0], release)
        for split in ("train", "validation", "test")
    )
    return train, validation, test


def _skeletons(runs: Runs) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    return np.array([network.skeleton if network else "" for network in runs.architectures])


def _architecture_ids(runs: Runs) -> tuple[str, ...]:
    return tuple(architecture_id(network) if network else "" for network in runs.architectures)
