"""Networks that are in no release: maintainers sample and train them, and keep them to themselves.

`docs/trust.md` says how they are made. They form a folder like a release; all its splits are used,
because nobody has seen any of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from benchmark.manifest import released_splits
from benchmark.release import Release
from benchmark.space.skeletons import SKELETONS
from benchmark.tasks import has_full_curve
from benchmark.util.rng import generator_for
from harness.protocol import Queries
from harness.scoring.targets import ScoredSplit, Targets
from harness.task_data import TaskData, build_runs, build_targets, recipe_of

FEWEST = 20  # networks of seen skeletons from which tau is compared
FEWEST_OF_SKELETON = 5  # networks of a held-out skeleton; one with fewer is left out


@dataclass(frozen=True, slots=True, eq=False)
class FreshNetworks:
    """Fresh networks as queries, and their targets in the same order.

    As in a task, networks of seen skeletons are in the split `test`, others in `heldout`.
    """

    queries: Queries
    targets: Targets


def load_fresh(data: TaskData, release: Release, fresh: Release) -> FreshNetworks:
    """Return the complete runs of a folder as queries of a task, in an order of their own.

    Args:
        data: The data of the task.
        release: The release of the task, which must have none of the networks.
        fresh: The folder with the fresh networks.

    Raises:
        FileNotFoundError: If the folder has no runs on the task's image set.
        ValueError: If a network is in the release, networks are too few or lack a skeleton of the
            test networks, or the recipe or proxies are not those of the task.
    """
    images, where = data.task.images, str(fresh.folder)
    rows = _complete_rows(fresh, images)
    _check_unknown(rows["architecture_id"].to_pylist(), release, where)
    recipe = recipe_of(rows, fresh)
    if recipe != data.queries.recipe:
        raise ValueError(
            f"the recipe {recipe.recipe_id!r} of the fresh networks in {where!r} must be "
            f"{data.queries.recipe.recipe_id!r}, that of the task"
        )
    splits: tuple[ScoredSplit, ...] = tuple(
        "heldout" if SKELETONS[name].held_out else "test" for name in rows["skeleton"].to_pylist()
    )
    targets = build_targets(data.task, rows, splits).valid_accuracy
    _check_skeletons(targets, data.targets.valid_accuracy, where)
    runs = build_runs(rows, recipe, "q", fresh)
    if data.train.proxies is not None and runs.proxies is None:
        raise ValueError(
            f"the fresh networks in {where!r} must have proxies; compute them with `peephole "
            f"generate proxies --images {images} --data {where}`"
        )
    return FreshNetworks(runs.observe(data.task.observed), targets)


def _complete_rows(fresh: Release, images: str) -> pa.Table:
    """Return the runs of seed 0 of all splits, shuffled, without held-out skeletons of few."""
    tables = [fresh.runs(i, split) for i, split in released_splits(fresh.folder) if i == images]
    if not tables:
        raise FileNotFoundError(
            f"no fresh networks on {images!r} in {str(fresh.folder)!r}; docs/trust.md says how to "
            "make them"
        )
    rows = pa.concat_tables(tables)
    rows = rows.filter(has_full_curve(rows)).sort_by("run_id")
    skeletons = rows["skeleton"].to_pylist()
    few = {
        name
        for name in set(skeletons)
        if SKELETONS[name].held_out and skeletons.count(name) < FEWEST_OF_SKELETON
    }
    order = generator_for("fresh-queries-v1", images).permutation(len(rows))
    kept = [int(row) for row in order if skeletons[row] not in few]
    return rows.take(pa.array(kept, pa.int64())).combine_chunks()


def _check_unknown(names: Sequence[str], release: Release, where: str) -> None:
    """Check that no network is in a release, on any image set."""
    for images, split in released_splits(release.folder):
        table = release.runs(images, split, columns=["architecture_id"])
        known = set(table["architecture_id"].to_pylist()) & set(names)
        if known:
            raise ValueError(
                f"{len(known)} fresh networks in {where!r} are in the release, first "
                f"{min(known)!r} ({images} {split}); fresh networks must be in no release"
            )


def _check_skeletons(fresh: Targets, task: Targets, where: str) -> None:
    """Check that there are enough networks, of every skeleton of the test networks."""
    count = fresh.splits.count("test")
    if count < FEWEST:
        raise ValueError(
            f"{count} fresh networks of seen skeletons in {where!r} must be at least {FEWEST}"
        )
    missing = sorted(
        name
        for name, split in task.skeleton_splits.items()
        if split == "test" and name not in fresh.skeletons
    )
    if missing:
        raise ValueError(f"the fresh networks in {where!r} lack the skeleton {missing[0]!r}")
