"""Merges the run files of campaigns into the files of a release."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmark.publish.finish import changing_release
from benchmark.recipes import read_environments, read_recipe_fields
from benchmark.runs import (
    CORRECT_SCHEMA,
    correct_path,
    read_pages,
    read_table,
    rows_to_table,
    split_path,
    write_table,
)
from benchmark.space.splits import SPLITS
from benchmark.util.atomic import make_folder, write_atomically
from generators.campaign.campaign import Campaign
from generators.campaign.plan import Group
from generators.workers.planned_run import Row

APART = {  # what campaigns are planned for whose runs enter no split
    "pilot": "--pilot; `peephole generate pilot` shows its runs, and no release holds them",
    "calibration": "--calibration; add its runs with `peephole generate merge --calibration`",
}
PACK = 1000  # largest number of rows held as Python objects


@dataclass(slots=True)
class Pile:
    """Rows of one image set and split, as Arrow tables and a few Python objects.

    A row takes ten times as much memory as Python objects as in a table.
    """

    tables: list[pa.Table] = field(default_factory=list)
    bits: list[pa.Table] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add a row of a run file."""
        self.rows.append(row)
        if len(self.rows) == PACK:
            self.pack()

    def pack(self) -> None:
        """Convert the rows that are Python objects to tables."""
        self.rows.sort(key=lambda row: str(row["run_id"]))  # both tables have the same order
        self.tables.append(rows_to_table(self.rows))
        bits = [
            {"run_id": row["run_id"], "correct": base64.b64decode(str(row["correct"]))}
            for row in self.rows
        ]
        self.bits.append(pa.Table.from_pylist(bits, schema=CORRECT_SCHEMA))
        self.rows = []


def merge(
    campaigns: list[Campaign], folder: Path, version: str | None = None
) -> dict[tuple[str, str], int]:
    """Add the runs of some campaigns to a release, and update the files that describe it.

    Runs that the release has already are kept; a campaign's row of the same run must be equal.
    Without a new version, the minor number is raised if any run is new.

    Returns:
        The number of runs in the release, by image set and split.

    Raises:
        ValueError: If no run is finished, if a run appears twice with different content, if an
            image set would mix recipes, if a campaign is not for a release, if a run file is
            damaged or not in its campaign's plan, if a file of the release is not as it was
            signed, or if there are new runs and the version is not a higher one.
        BlockingIOError, OSError: As for `release_draft`.
    """
    for campaign in campaigns:
        if campaign.purpose in APART:
            raise ValueError(f"{str(campaign.folder)!r} was planned with {APART[campaign.purpose]}")
    piles = _gather(campaigns)
    if not piles:
        raise none_finished(campaigns)
    names = sorted({images for images, _ in piles})
    keys = [(images, split) for images in names for split in SPLITS]
    make_folder(folder)
    with changing_release(folder, version) as draft:
        files = {key: _merge_split(piles.pop(key, Pile()), key, draft) for key in keys}
        _check_recipes({key: table for key, (table, _) in files.items()})
        for key, (table, bits) in files.items():
            if _is_new(table, key, draft):
                write_table(table, split_path(*key, draft))
                write_table(bits, correct_path(*key, draft))
        used = {
            name
            for table, _ in files.values()
            for column in ("recipe_id", "environment_id")
            for name in table.column(column).unique().to_pylist()
        }
        merge_json(campaigns, draft, used)
    return {key: len(table) for key, (table, _) in files.items() if len(table)}


def none_finished(campaigns: list[Campaign]) -> ValueError:
    """Return the error of campaigns without a finished run."""
    folders = ", ".join(repr(str(campaign.folder)) for campaign in campaigns)
    return ValueError(f"no run of {folders} is finished; `peephole generate run` trains them")


def _is_new(table: pa.Table, key: tuple[str, str], folder: Path) -> bool:
    """Return whether a file of an image set and split must be written, as it has new runs."""
    path = split_path(*key, folder)
    return len(table) > (read_table(path, ["run_id"]).num_rows if path.exists() else 0)


def _gather(campaigns: list[Campaign]) -> dict[tuple[str, str], Pile]:
    """Return the runs of some campaigns by image set and split."""
    piles: dict[tuple[str, str], Pile] = {}
    holders: dict[str, Campaign] = {}
    for campaign in campaigns:
        for row, group in planned_rows(campaign):
            name = str(row["run_id"])
            if name not in holders:
                holders[name] = campaign
                piles.setdefault((str(row["images"]), group.split), Pile()).add(row)
            elif holders[name].row(name) != row:
                raise ValueError(f"run {name!r} is in two campaigns with different content")
    return piles


def planned_rows(campaign: Campaign) -> Iterator[tuple[Row, Group]]:
    """Yield the rows of a campaign's finished runs with their groups, sorted by id.

    Raises:
        ValueError: If there is no campaign, a file is damaged, or a run is not in the plan.
    """
    groups = campaign.groups()
    for row in campaign.rows():
        if row["run_id"] not in groups:
            raise ValueError(
                f"run {row['run_id']!r} is not in the plan of {str(campaign.folder)!r}"
            )
        yield row, groups[str(row["run_id"])]


def _check_recipes(files: dict[tuple[str, str], pa.Table]) -> None:
    """Check that the runs of each image set share one recipe."""
    recipes: dict[str, str] = {}
    for (images, _), table in files.items():
        for recipe in table.column("recipe_id").unique().to_pylist():
            if recipes.setdefault(images, recipe) != recipe:
                raise ValueError(
                    f"runs on {images!r} mix the recipes {recipes[images]!r} and {recipe!r}; a "
                    "release has one recipe for each image set"
                )


def _merge_split(pile: Pile, key: tuple[str, str], folder: Path) -> tuple[pa.Table, pa.Table]:
    """Return the published and the new runs of an image set and split, and their bits."""
    path = split_path(*key, folder)
    pile.pack()
    table, bits = pa.concat_tables(pile.tables), pa.concat_tables(pile.bits)
    if path.exists():
        old = read_table(path)
        new = new_rows(table, old, path)
        table = pa.concat_tables([old, table.filter(new)])
        bits = pa.concat_tables([read_pages(correct_path(*key, folder)), bits.filter(new)])
    return table.sort_by("run_id"), bits.sort_by("run_id")


def new_rows(table: pa.Table, old: pa.Table, path: Path) -> pa.ChunkedArray:
    """Return a mask of the rows of `table` that are not in `old`, the published rows of `path`.

    Raises:
        ValueError: If a run is in both with different content.
    """
    known = pc.is_in(table.column("run_id"), old.column("run_id").combine_chunks())
    again = table.filter(known).sort_by("run_id")
    names = again.column("run_id").combine_chunks()
    published = old.filter(pc.is_in(old.column("run_id"), names)).sort_by("run_id")
    if not again.equals(published):
        pairs = ((again.slice(i, 1), published.slice(i, 1)) for i in range(len(again)))
        changed = next(one.column("run_id")[0] for one, other in pairs if not one.equals(other))
        raise ValueError(
            f"run {changed.as_py()!r} is in {str(path)!r} with different content; published runs "
            "cannot be changed: plan only those that are not in the release, with "
            "`peephole generate plan --missing`"
        )
    return pc.invert(known)


def merge_json(campaigns: list[Campaign], folder: Path, used: set[str]) -> None:
    """Add the used recipes and environments to the files of the folder, by id."""
    for name, read in (("recipes", read_recipe_fields), ("environments", read_environments)):
        path = folder / f"{name}.json"
        known = read(path) if path.exists() else {}
        for campaign in campaigns:
            own = getattr(campaign, f"{name}_json")()
            known |= {key: value for key, value in own.items() if key in used}
        write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
