"""The networks of a task, which the page shows together with the predictions."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.release import INSTALLED, Release
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, walk
from harness.scoring.targets import Targets
from harness.task_data import build_targets, evaluation_rows


@dataclass(frozen=True, slots=True, eq=False)
class TaskNetworks:
    """The networks of a task.

    Attributes:
        targets: True curves of the task's test and held-out runs.
        layer_rows: Layer walk of each run's network, in the order of the targets.
    """

    targets: Targets
    layer_rows: tuple[tuple[LayerRow, ...], ...]

    def __post_init__(self) -> None:
        """Check that there is one layer walk for each run."""
        if len(self.layer_rows) != len(self.targets.run_ids):
            raise ValueError(
                f"layer_rows (={len(self.layer_rows)} networks) must have one entry per run "
                f"({len(self.targets.run_ids)})"
            )


def load_networks(task_name: str, release: Release = INSTALLED) -> TaskNetworks:
    """Read the networks of a task from the data.

    Args:
        task_name: Name of a frozen task.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If the task is unknown, or its runs are missing from the data or differ.
        FileNotFoundError: If a split is missing from the data.
    """
    task = release.task(task_name)
    images = get_images(task.images)
    rows, splits = evaluation_rows(release.task_tables(task))
    targets = build_targets(task, rows, splits).valid_accuracy
    architectures = map(from_record, rows["architecture"].to_pylist())
    layer_rows = tuple(walk(architecture, images) for architecture in architectures)
    return TaskNetworks(targets, layer_rows)


def load_all_networks(
    task_names: Iterable[str], release: Release = INSTALLED
) -> dict[str, TaskNetworks]:
    """Return the networks of several tasks, by task name; raise as `load_networks`."""
    return {name: load_networks(name, release) for name in task_names}
