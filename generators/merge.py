"""From a campaign's run files to the files of a release."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.atomic import write_whole
from benchmark.files import (
    CORRECT_SCHEMA,
    correct_path,
    read_table,
    rows_to_table,
    split_path,
    write_table,
)
from benchmark.release import finish_release
from benchmark.splits import SPLITS
from generators.campaign import Campaign

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Merged:
    """How many runs a merge wrote, by image set and split."""

    counts: dict[tuple[str, str], int]


def merge(campaigns: list[Campaign], folder: Path, version: str) -> Merged:
    """Build the Parquet files of all runs of some campaigns, and everything that describes them.

    Runs that the folder holds already stay; the same run from a campaign must be the same row.

    Raises:
        ValueError: If a run appears twice with different content, if an image set would mix
            recipes, or if a run file is damaged or not of its campaign's plan.
    """
    rows: dict[str, tuple[Row, str]] = {}
    for campaign in campaigns:
        splits = {run.run_id: run.split for run in campaign.plan()}
        for row in campaign.rows():
            name = str(row["run_id"])
            if name not in splits:
                raise ValueError(f"run {name!r} is not in the plan of {str(campaign.folder)!r}")
            _add(rows, row, splits[name])
    found = {str(row["images"]) for row, _ in rows.values()}
    files = {
        (images, split): _merged(
            [row for row, of in rows.values() if of == split and row["images"] == images],
            (images, split),
            folder,
        )
        for images in sorted(found)
        for split in SPLITS
    }
    _refuse_mixes([table for table, _ in files.values()])
    for (images, split), (table, bits) in files.items():  # only now, when nothing can be wrong
        if len(table):
            # Bits first: a file of runs whose bits are not there must never be seen.
            write_table(bits, correct_path(images, split, folder))
            write_table(table, split_path(images, split, folder))
    used = {str(row[name]) for row, _ in rows.values() for name in ("recipe_id", "environment_id")}
    _merge_json(campaigns, folder, used)
    finish_release(folder, version)
    return Merged({key: len(table) for key, (table, _) in files.items() if len(table)})


def _add(rows: dict[str, tuple[Row, str]], row: Row, split: str) -> None:
    name = str(row["run_id"])
    if name in rows and rows[name][0] != row:
        raise ValueError(f"run {name!r} is in two campaigns with different content")
    rows[name] = row, split


def _refuse_mixes(tables: list[pa.Table]) -> None:
    recipes: dict[str, str] = {}
    for table in tables:
        for row in table.select(["images", "recipe_id"]).to_pylist():
            images, recipe = row["images"], row["recipe_id"]
            if recipes.setdefault(images, recipe) != recipe:
                raise ValueError(
                    f"runs on {images!r} mix the recipes {recipes[images]!r} and {recipe!r}; a "
                    "release has one recipe for each image set"
                )


def _merged(rows: list[Row], place: tuple[str, str], folder: Path) -> tuple[pa.Table, pa.Table]:
    """Return the runs of an image set and split, new and published, and their bits."""
    path, bits_path = split_path(*place, folder), correct_path(*place, folder)
    table = rows_to_table(rows)
    bits = {str(row["run_id"]): base64.b64decode(str(row["correct"])) for row in rows}
    if path.exists():
        table = _with_kept(table, read_table(path), path)
        for old in pq.read_table(bits_path).to_pylist():
            bits.setdefault(old["run_id"], old["correct"])
    ids = table.column("run_id").to_pylist()
    ordered = [{"run_id": name, "correct": bits[name]} for name in ids]
    return table, pa.Table.from_pylist(ordered, schema=CORRECT_SCHEMA)


def _with_kept(new: pa.Table, old: pa.Table, path: Path) -> pa.Table:
    """Return all runs of two tables; those in both must agree."""
    known = {row["run_id"]: row for row in old.to_pylist()}
    fresh = {row["run_id"]: row for row in new.to_pylist()}
    for name in known.keys() & fresh.keys():
        if known[name] != fresh[name]:
            raise ValueError(
                f"run {name!r} is in {str(path)!r} with other content; a published run is kept"
            )
    added = new.filter(pa.array([name not in known for name in fresh], pa.bool_()))
    return pa.concat_tables([old, added]).sort_by("run_id")


def _merge_json(campaigns: list[Campaign], folder: Path, used: set[str]) -> None:
    """Add the recipes and environments that runs used to those of the folder, by id."""
    for name in ("recipes", "environments"):
        path = folder / f"{name}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        for campaign in campaigns:
            found = getattr(campaign, f"{name}_json")()
            known |= {key: value for key, value in found.items() if key in used}
        write_whole(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
