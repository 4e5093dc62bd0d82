"""Checks a release: the checksums, schemas and rows of its files, and its descriptions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
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
from benchmark.proxies import proxy_problems
from benchmark.publish.checksums import empty_folders, entry_problems, read_sums, sum_problems
from benchmark.publish.croissant import tables
from benchmark.publish.draft import is_half_written
from benchmark.runs import (
    CORRECT_SCHEMA,
    correct_path,
    null_problems,
    read_pages,
    read_table,
    split_path,
)
from benchmark.schema import COLUMNS, SCHEMA, check_row, run_id
from benchmark.space.architectures import architecture_id, from_record
from benchmark.space.imagesets import IMAGES, ImageSet, get_images
from benchmark.space.layer_walk import macs, parameters, walk
from benchmark.space.splits import split_of
from benchmark.util.strict_json import parse_json, read_limited

FINAL_BITS = ("valid_accuracy", "test_accuracy")  # the accuracies of a run's bits, in order
NULLABLE = tuple(  # runs that did not complete lack some numbers
    name
    for name, column in COLUMNS.items()
    if column.range.endswith("or null") or column.type == pa.float32()
)
REMEDY = "`peephole data card` rewrites it"
ROUNDING = 1e-6  # largest rounding error of an accuracy in single precision


def verify_release(folder: Path) -> list[str]:
    """Return the problems of a release; an empty list if it is valid."""
    problems = list(_file_problems(folder))
    if problems:
        return problems
    seen: dict[str, str] = {}
    seeds: dict[str, dict[str, set[int]]] = {}  # seeds of runs, by image set and architecture
    for images, split in released_splits(folder):
        table = _read_runs(split_path(images, split, folder), problems)
        if table is None:
            continue
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
        rows = [] if table is None else table.to_pylist()
        problems += [problem for row in rows for problem in row_problems(row)]
        if len({row["run_id"] for row in rows}) < len(rows):
            problems.append(f"{images}/calibration.parquet has a run more than once")
    for images in released_proxies(folder):
        problems += proxy_problems(images, folder, seeds.get(images, {}))
    # Invalid rows make the descriptions wrong, too, so these are checked only if rows are valid.
    return problems or list(description_problems(folder))


def _file_problems(folder: Path) -> Iterator[str]:
    """Yield what is not as the checksums say, or is there without belonging to the release."""
    if is_half_written(folder):
        yield (
            f"a command was killed while it wrote to {str(folder)!r}; `peephole data card` "
            "completes its work"
        )
        return
    yield from entry_problems(folder)
    yield from empty_folders(folder)
    try:
        yield from sum_problems(read_sums(folder), dict(digests(folder))).values()
    except (FileNotFoundError, ValueError) as error:
        yield str(error)


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


def row_problems(row: dict[str, object], split: str | None = None) -> list[str]:
    """Return the problems of a row: invalid fields, contradictions, or the wrong split.

    A calibration run has no split.
    """
    name, problems = row["run_id"], []
    try:
        check_row(row)
    except ValueError as error:
        problems.append(str(error))
    try:
        architecture = from_record(row["architecture"])  # type: ignore[arg-type]
        rows = walk(architecture, get_images(str(row["images"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [*problems, f"`architecture` of run {name!r} cannot be read: {error}"]
    identity = architecture_id(architecture)
    expected = {
        "architecture_id": identity,
        "skeleton": architecture.skeleton,
        "run_id": run_id(
            str(row["images"]), identity, str(row["recipe_id"]), int(str(row["seed"]))
        ),
        "parameters": parameters(rows),
        "macs": macs(rows),
    }
    for field, value in expected.items():
        if row[field] != value:
            problems.append(f"`{field}` of run {name!r} is {row[field]!r} and must be {value!r}")
    drawn = str(row["drawn_architecture_id"])
    if not get_images(str(row["images"])).halved and drawn != identity:
        problems.append(
            f"`drawn_architecture_id` of run {name!r} is {drawn!r} and must be {identity!r}"
        )
    right = split_of(architecture.skeleton, drawn)
    if split not in (None, right):
        problems.append(f"run {name!r} is in {split!r} but belongs in {right!r}")
    return problems


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


def bit_problems(row: dict[str, object], bits: bytes, images: ImageSet) -> Iterator[str]:
    """Yield bits that contradict a run's final accuracies; incomplete runs have no bits set."""
    size = -(-(images.valid + images.test) // 8)
    if len(bits) != size:
        yield f"`correct` of run {row['run_id']!r} has {len(bits)} bytes, not {size}"
        return
    right = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(bool)
    parts = right[: images.valid], right[images.valid : images.valid + images.test]
    for name, part in zip(FINAL_BITS, parts, strict=True):
        accuracies = row[name]
        assert isinstance(accuracies, list)
        final = 0.0 if row["status"] != "completed" else accuracies[-1] if accuracies else None
        if final is None:  # a problem of the row, and named there
            continue
        if abs(part.mean() - final) > ROUNDING:
            yield (
                f"`correct` of run {row['run_id']!r} gives {part.mean():.6f}, but its final "
                f"`{name}` is {final:.6f}"
            )


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
