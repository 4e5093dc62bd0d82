"""The pool of a search: the test networks of an image set, whose runs are stored."""

from dataclasses import dataclass, replace

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.tasks import has_full_curve
from harness.protocol import Array, Runs
from harness.task_data import build_runs, recipe_of

SEED = 0  # of the runs; the other seeds are for the noise


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Networks that a search can train; nothing is modelled.

    Attributes:
        images: Name of the image set.
        runs: The stored run of each network.
        architecture_ids: Id of each network.
        test_accuracy: Final test accuracy of each network, which no algorithm sees.
        release: The data.
    """

    images: str
    runs: Runs
    architecture_ids: tuple[str, ...]
    test_accuracy: Array
    release: Release

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.runs)

    def take(self, number: int) -> "Pool":
        """Return a pool of the first networks."""
        index = np.arange(min(number, len(self)))
        return replace(
            self,
            runs=self.runs.take(index),
            architecture_ids=self.architecture_ids[:number],
            test_accuracy=self.test_accuracy[index],
        )

    @property
    def epochs(self) -> int:
        """Number of epochs of a whole training."""
        return self.runs.recipe.epochs

    @property
    def regret(self) -> Array:
        """The best final validation accuracy of the pool minus that of each network."""
        final = self.runs.final_accuracy
        return np.asarray(final.max() - final)


def load_pool(images: str, release: Release = INSTALLED) -> Pool:
    """Return the test networks of the latest task of an image set, so that new runs change nothing.

    Without a task, they are all test networks whose run of seed 0 has a whole curve.

    Raises:
        FileNotFoundError: If the release has no test runs on the image set.
        ValueError: If the image set is unknown, or the runs have several recipes.
    """
    if any(name.startswith(f"{images}-k0-v") for name in release.task_names()):
        rows = release.task_rows(release.latest_task(images, 0), "test")
    else:
        table = release.runs(images, "test")
        rows = table.filter(has_full_curve(table))
    rows = rows.sort_by("architecture_id").combine_chunks()
    return Pool(
        images,
        build_runs(rows, recipe_of(rows, release), "n", release),
        tuple(rows["architecture_id"].to_pylist()),
        series(rows, "test_accuracy")[:, -1],
        release,
    )
