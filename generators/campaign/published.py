"""Reads the runs of a release: their ids, their rows, and the planned runs behind the rows."""

from collections.abc import Collection, Sequence

from benchmark.calibration import calibration_path
from benchmark.manifest import released_splits
from benchmark.release import Release
from benchmark.runs import read_table, split_path
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.sampler import Drawn
from benchmark.space.splits import Split
from generators.campaign.plan import plan_run
from generators.workers.planned_run import PlannedRun, Row


def published_ids(images: Collection[str], release: Release) -> set[str]:
    """Return the ids of a release's runs on some image sets, calibration runs included."""
    ids: set[str] = set()
    folder = release.folder
    paths = [split_path(*key, folder) for key in released_splits(folder) if key[0] in images]
    paths += [path for name in images if (path := calibration_path(name, folder)).exists()]
    for path in paths:
        ids.update(read_table(path, ["run_id"])["run_id"].to_pylist())
    return ids


def published_rows(
    images: str, release: Release, columns: Sequence[str] | None = None
) -> list[tuple[Split, Row]]:
    """Return every published run of an image set with its split; `columns` None: all columns.

    Raises:
        FileNotFoundError: If there is no run.
    """
    rows: list[tuple[Split, Row]] = []
    for name, split in released_splits(release.folder):
        if name == images:
            table = release.runs(name, split, columns=columns)
            rows += [(split, row) for row in table.to_pylist()]  # type: ignore[misc]
    if not rows:
        raise FileNotFoundError(f"{str(release.folder)!r} holds no runs on {images!r}")
    return rows


def planned_again(row: Row, split: Split, release: Release) -> PlannedRun:
    """Return the planned run of a published row.

    Raises:
        ValueError: If the release lacks its recipe.
    """
    paired = row["paired_architecture_id"]
    drawn = Drawn(
        from_record(row["architecture"]),  # type: ignore[arg-type]
        str(row["architecture_id"]),
        str(row["drawn_architecture_id"]),
        int(str(row["draw_index"])),
        split,
        None if paired is None else str(paired),
        1,
    )
    recipe = release.recipe(str(row["recipe_id"]))
    return plan_run(drawn, get_images(recipe.images), recipe, int(str(row["seed"])))
