"""From a campaign's run files to the files of a release."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmark.manifest import MANIFEST, read_manifest
from benchmark.publish.finish import finish_release
from benchmark.publish.versions import agreed_version
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
from benchmark.util.atomic import write_atomically
from generators.campaign.campaign import Campaign

Row = dict[str, object]
PACK = 1000  # rows that are Python objects at a time


@dataclass(frozen=True, slots=True)
class Merged:
    """How many runs a merge wrote, by image set and split."""

    counts: dict[tuple[str, str], int]


@dataclass(slots=True)
class Pile:
    """Rows of one image set and split, as Arrow tables but for the last few.

    A row as Python objects takes ten times the memory that it takes in a table.
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
        """Turn rows that are Python objects into tables."""
        self.rows.sort(key=lambda row: str(row["run_id"]))  # so that both tables have one order
        self.tables.append(rows_to_table(self.rows))
        bits = [
            {"run_id": row["run_id"], "correct": base64.b64decode(str(row["correct"]))}
            for row in self.rows
        ]
        self.bits.append(pa.Table.from_pylist(bits, schema=CORRECT_SCHEMA))
        self.rows = []


def merge(campaigns: list[Campaign], folder: Path, version: str | None = None) -> Merged:
    """Build the Parquet files of all runs of some campaigns, and everything that describes them.

    Runs that the folder holds already stay; the same run from a campaign must be the same row.

    Args:
        campaigns: Whose runs.
        folder: Of the release.
        version: Of the data from then on; by default, the minor number is raised if any run is
            new.

    Raises:
        ValueError: If a run appears twice with different content, if an image set would mix
            recipes, if a run file is damaged or not of its campaign's plan, or if there are new
            runs and the version is not a higher one.
    """
    piles = _gather(campaigns)
    names = sorted({images for images, _ in piles})
    places = [(images, split) for images in names for split in SPLITS]
    files = {place: _merged(piles.pop(place, Pile()), place, folder) for place in places}
    _refuse_mixes({place: table for place, (table, _) in files.items()})
    new = {place: pair for place, pair in files.items() if _is_new(pair[0], place, folder)}
    if (folder / MANIFEST).exists():
        agreed_version(read_manifest(folder).version, version, changed=bool(new))
    used = {
        name
        for table, _ in files.values()
        for column in ("recipe_id", "environment_id")
        for name in table.column(column).unique().to_pylist()
    }
    for (images, split), (table, bits) in new.items():  # only now, when nothing can be wrong
        # Bits first: a file of runs whose bits are not there must never be seen.
        write_table(bits, correct_path(images, split, folder))
        write_table(table, split_path(images, split, folder))
    _merge_json(campaigns, folder, used)
    finish_release(folder, version)
    return Merged({key: len(table) for key, (table, _) in files.items() if len(table)})


def _is_new(table: pa.Table, place: tuple[str, str], folder: Path) -> bool:
    """Return whether a file has to be written: one is never empty, and the same one is kept."""
    path = split_path(*place, folder)
    return len(table) > (read_table(path, ["run_id"]).num_rows if path.exists() else 0)


def _gather(campaigns: list[Campaign]) -> dict[tuple[str, str], Pile]:
    """Return the runs of some campaigns by image set and split."""
    piles: dict[tuple[str, str], Pile] = {}
    holders: dict[str, Campaign] = {}
    for campaign in campaigns:
        groups = campaign.groups()
        for row in campaign.rows():
            name = str(row["run_id"])
            if name not in groups:
                raise ValueError(f"run {name!r} is not in the plan of {str(campaign.folder)!r}")
            if name not in holders:
                holders[name] = campaign
                piles.setdefault((str(row["images"]), groups[name].split), Pile()).add(row)
            elif holders[name].row(name) != row:
                raise ValueError(f"run {name!r} is in two campaigns with different content")
    return piles


def _refuse_mixes(files: dict[tuple[str, str], pa.Table]) -> None:
    recipes: dict[str, str] = {}
    for (images, _), table in files.items():
        for recipe in table.column("recipe_id").unique().to_pylist():
            if recipes.setdefault(images, recipe) != recipe:
                raise ValueError(
                    f"runs on {images!r} mix the recipes {recipes[images]!r} and {recipe!r}; a "
                    "release has one recipe for each image set"
                )


def _merged(pile: Pile, place: tuple[str, str], folder: Path) -> tuple[pa.Table, pa.Table]:
    """Return the runs of an image set and split, new and published, and their bits."""
    path = split_path(*place, folder)
    pile.pack()
    table, bits = pa.concat_tables(pile.tables), pa.concat_tables(pile.bits)
    if path.exists():
        old = read_table(path)
        new = _new(table, old, path)
        table = pa.concat_tables([old, table.filter(new)])
        kept = read_pages(correct_path(*place, folder))
        # A merge that was killed may have written the bits of runs that their file lacks.
        kept = kept.filter(pc.is_in(kept.column("run_id"), old.column("run_id").combine_chunks()))
        bits = pa.concat_tables([kept, bits.filter(new)])
    return table.sort_by("run_id"), bits.sort_by("run_id")


def _new(found: pa.Table, old: pa.Table, path: Path) -> pa.ChunkedArray:
    """Return which of the runs found are not published; those that are must be the same rows."""
    known = pc.is_in(found.column("run_id"), old.column("run_id").combine_chunks())
    again = found.filter(known).sort_by("run_id")
    names = again.column("run_id").combine_chunks()
    published = old.filter(pc.is_in(old.column("run_id"), names)).sort_by("run_id")
    if not again.equals(published):
        pairs = ((again.slice(i, 1), published.slice(i, 1)) for i in range(len(again)))
        changed = next(one.column("run_id")[0] for one, other in pairs if not one.equals(other))
        raise ValueError(
            f"run {changed.as_py()!r} is in {str(path)!r} with other content; a published run is "
            "kept"
        )
    return pc.invert(known)


def _merge_json(campaigns: list[Campaign], folder: Path, used: set[str]) -> None:
    """Add the recipes and environments that runs used to those of the folder, by id."""
    for name in ("recipes", "environments"):
        path = folder / f"{name}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        for campaign in campaigns:
            found = getattr(campaign, f"{name}_json")()
            known |= {key: value for key, value in found.items() if key in used}
        write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
