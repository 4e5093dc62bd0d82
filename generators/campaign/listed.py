"""Plans exactly the runs whose ids a file lists, such as a part of a release."""

from pathlib import Path

from benchmark.manifest import released_splits
from benchmark.release import Release
from benchmark.space.imagesets import IMAGES
from benchmark.util.strict_json import read_limited
from benchmark.util.text import quantity
from benchmark.util.unknown_name import LONGEST, not_called, text_of
from generators.campaign.plan import make_plan
from generators.campaign.published import planned_again, published_ids, published_rows
from generators.workers.planned_run import PlannedRun

COLUMNS = (
    "run_id", "architecture", "architecture_id", "drawn_architecture_id", "draw_index",
    "paired_architecture_id", "recipe_id", "seed",
)  # fmt: skip


def listed_runs(path: Path, release: Release) -> list[PlannedRun]:
    """Return the runs whose ids a file lists, one in each line, in the order of the file.

    They are runs of the release, with the recipes that they had, or of the plans of its image sets.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it lists no run, one twice, or one that is not known; the message starts with
            its path.
    """
    ids = _read_ids(path)
    sets = [images for images in IMAGES if any(name.startswith(f"{images}-") for name in ids)]
    released = {images for images, _ in released_splits(release.folder)}
    rows = (r for i in sets if i in released for r in published_rows(i, release, COLUMNS))
    found = {}
    for split, row in rows:
        if (name := str(row["run_id"])) in ids:
            found[name] = planned_again(row, split, release)
    if len(found) < len(ids):
        planned = {run.run_id: run for run in make_plan(sets)}
        found = planned | found
        unknown = [name for name in ids if name not in found]
        if unknown:
            others = published_ids(IMAGES, release) - {unknown[0]}  # a calibration run
            first = not_called("run", unknown[0], others | planned.keys())
            more = f"; {quantity(len(unknown) - 1, 'more id')} unknown" if unknown[1:] else ""
            raise ValueError(f"{path}: line {ids[unknown[0]]}: {first}{more}")
    return [found[name] for name in ids]


def _read_ids(path: Path) -> dict[str, int]:
    """Return the line of each id that a file lists."""
    content = read_limited(path)
    try:
        lines = text_of(content).splitlines()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    ids: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        first = ids.setdefault(name, number)
        if name and first != number:
            raise ValueError(f"{path}: {name[:LONGEST]!r} is on line {first} and on line {number}")
    ids.pop("", None)
    if not ids:
        raise ValueError(f"{path}: it lists no run; write one id in each line")
    return ids
