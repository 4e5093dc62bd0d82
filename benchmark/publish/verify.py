"""Checks a release: the checksums, schemas and rows of its files, and its descriptions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmark.calibration import calibration_path
from benchmark.manifest import (
    CARD,
    CITATION,
    CROISSANT,
    DESCRIPTIONS,
    MANIFEST,
    Manifest,
    count_release,
    described_files,
    digests,
    read_manifest,
    released_proxies,
    released_splits,
)
from benchmark.proxies import proxy_problems, read_proxies
from benchmark.publish.checksums import empty_folders, entry_problems, read_sums, sum_problems
from benchmark.publish.croissant import tables
from benchmark.publish.draft import is_half_written
from benchmark.recipes import read_environments, read_recipe_fields
from benchmark.row_rules import FINAL_BITS, bit_problems, row_problems
from benchmark.runs import (
    CORRECT_SCHEMA,
    correct_path,
    null_problems,
    read_pages,
    read_table,
    split_path,
)
from benchmark.schema import COLUMNS, SCHEMA
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.util.strict_json import parse_json, read_limited

NULLABLE = tuple(  # runs that did not complete lack some numbers
    name
    for name, column in COLUMNS.items()
    if column.range.endswith("or null") or column.type == pa.float32()
)
REMEDY = "`peephole data card --data FOLDER` rewrites it"


def verify_release(folder: Path) -> list[str]:
    """Return the problems of a release; an empty list if it is valid."""
    problems = list(_file_problems(folder))
    if problems:
        return problems
    seen: dict[str, str] = {}
    seeds: dict[str, dict[str, set[int]]] = {}  # seeds of runs, by image set and architecture
    used: list[pa.Table] = []
    for images, split in released_splits(folder):
        table = _read_runs(split_path(images, split, folder), problems)
        if table is None:
            continue
        used.append(table)
        for row in table.to_pylist():
            problems += row_problems(row, split)
            if row["images"] != images:
                problems.append(f"run {row['run_id']!r} is not one of {images!r}")
            if row["run_id"] in seen:
                problems.append(f"run {row['run_id']!r} is in {seen[row['run_id']]} and {split}")
            seen[row["run_id"]] = split
            seeds.setdefault(images, {}).setdefault(row["architecture_id"], set()).add(row["seed"])
        problems += _bit_file_problems(images, split, folder, table)
    for images in IMAGES:
        path = calibration_path(images, folder)
        table = _read_runs(path, problems) if path.exists() else None
        used += [] if table is None else [table]
        rows = [] if table is None else table.to_pylist()
        problems += [problem for row in rows for problem in row_problems(row)]
        if len({row["run_id"] for row in rows}) < len(rows):
            problems.append(f"{images}/calibration.parquet has a run more than once")
    for images in released_proxies(folder):
        problems += proxy_problems(images, folder, seeds.get(images, {}))
        proxies = None if problems else read_proxies(images, folder)
        used += [] if proxies is None else [proxies]
    problems += _unknown_ids(used, folder)
    # Invalid rows make the descriptions wrong, too, so these are checked only if rows are valid.
    return problems or list(description_problems(folder))


def _unknown_ids(tables: list[pa.Table], folder: Path) -> Iterator[str]:
    """Yield the recipes and environments of rows that the files of these do not have."""
    for field, name, read in (
        ("recipe_id", "recipes.json", read_recipe_fields),
        ("environment_id", "environments.json", read_environments),
    ):
        try:
            known = read(folder / name) if (folder / name).exists() else {}
        except ValueError as error:
            yield str(error)
            continue
        columns = [table[field].to_pylist() for table in tables if field in table.column_names]
        for missing in sorted({value for column in columns for value in column} - known.keys()):
            yield f"{name} lacks {missing!r}, the `{field}` of a row"


def _file_problems(folder: Path) -> Iterator[str]:
    """Yield what is not as the checksums say, or is there without belonging to the release."""
    if is_half_written(folder):
        yield (
            f"a command was killed while it wrote to {str(folder)!r}; `peephole data card --data "
            "FOLDER` completes its work"
        )
        return
    try:
        sums = read_sums(folder)
    except (FileNotFoundError, ValueError) as error:
        yield str(error)
        return
    yield from entry_problems(folder)
    yield from empty_folders(folder)
    yield from sum_problems(sums, dict(digests(folder))).values()


def _read_runs(path: Path, problems: list[str]) -> pa.Table | None:
    """Return the runs of a file, or add to `problems` why they cannot be read."""
    try:
        table = read_table(path)
    except ValueError as error:
        problems.append(str(error))
        return None
    if not table.schema.equals(SCHEMA, check_metadata=True):
        images = path.parent.name
        problems.append(f"{path.name} of {images!r} does not have the schema of this release")
        return None
    nulls = null_problems(table, f"{path.parent.name}/{path.name}", NULLABLE)
    problems += nulls
    return None if nulls else table


def _bit_file_problems(images: str, split: str, folder: Path, runs: pa.Table) -> Iterator[str]:
    """Yield the problems of a file of bits, compared with the runs of its split."""
    spec = get_images(images)
    try:
        table = read_pages(correct_path(images, split, folder))
    except (OSError, ValueError) as error:
        yield f"correct/{images}/{split}.parquet cannot be read: {error}"
        return
    if not table.schema.equals(CORRECT_SCHEMA):
        yield f"correct/{images}/{split}.parquet does not have the schema of this release"
        return
    nulls = null_problems(table, f"correct/{images}/{split}.parquet", ())
    if nulls:
        yield from nulls
        return
    bits = {row["run_id"]: row["correct"] for row in table.to_pylist()}
    if len(bits) < len(table):
        yield f"correct/{images}/{split}.parquet has a run more than once"
        return
    if bits.keys() != set(runs.column("run_id").to_pylist()):
        yield f"correct/{images}/{split}.parquet does not have the runs of {images}/{split}.parquet"
        return
    for row in runs.select(["run_id", "status", *FINAL_BITS]).to_pylist():
        yield from bit_problems(row, bits[row["run_id"]], spec)


def description_problems(folder: Path) -> Iterator[str]:
    """Yield the problems of the files that describe a release."""
    missing = [name for name in DESCRIPTIONS if not (folder / name).exists()]
    if missing:
        yield from (f"{name} is missing; {REMEDY}" for name in missing)
        return
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        yield f"{error}; {REMEDY}"
        return
    if not count_release(folder, manifest.version, manifest.date).has_rows_of(manifest):
        yield f"{MANIFEST} does not match the rows of the files; {REMEDY}"
        return
    for name in (CARD, CITATION):
        text = read_limited(folder / name).decode(errors="replace")
        versions = re.findall(r"^ *version: (\S+)$", text, re.MULTILINE)
        if set(versions) - {manifest.version}:
            yield (
                f"{name} has version {versions[0]}, but {MANIFEST} has {manifest.version}; {REMEDY}"
            )
    yield from _croissant_problems(manifest, folder)


def _croissant_problems(manifest: Manifest, folder: Path) -> Iterator[str]:
    try:
        content: Any = parse_json(read_limited(folder / CROISSANT))
        version = content["version"], content["datePublished"]
        sums = {entry["@id"]: entry["sha256"] for entry in content["distribution"]}
        columns = {
            entry["@id"]: {field["@id"] for field in entry["field"]}
            for entry in content["recordSet"]
        }
    except (ValueError, KeyError, TypeError) as error:
        yield f"{CROISSANT} cannot be read ({error!r}); {REMEDY}"
        return
    expected = {t.name: {f"{t.name}/{name}" for name in t.columns} for t in tables(manifest)}
    pairs = {
        "version and date": (version, (manifest.version, manifest.date)),
        "files": (sums, described_files(folder)),
        "columns": (columns, expected),
    }
    for what, (stated, actual) in pairs.items():
        if stated != actual:
            yield f"{CROISSANT} does not match the {what} of the release; {REMEDY}"
