"""The checks that make a folder of runs trustworthy: checksums, schemas, and what rows promise."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.manifest import (
    CARD,
    CITATION,
    CROISSANT,
    DESCRIPTIONS,
    MANIFEST,
    SUMS,
    Manifest,
    count_release,
    described,
    digests,
    read_manifest,
    released_proxies,
    released_splits,
)
from benchmark.proxies import proxy_problems
from benchmark.publish.croissant import tables
from benchmark.runs import CORRECT_SCHEMA, correct_path, read_pages, read_table, split_path
from benchmark.schema import SCHEMA, check_row, run_id
from benchmark.space.architectures import architecture_id, from_record
from benchmark.space.imagesets import ImageSet, get_images
from benchmark.space.layer_walk import macs, parameters, walk
from benchmark.space.splits import split_of

FINAL_BITS = ("valid_accuracy", "test_accuracy")  # what the bits of a run are of, in their order
SUM = re.compile(r"[0-9a-f]{64}  .+")  # a line of `sha256sum`
AGAIN = "`peephole data card` writes it again"
ROUNDING = 1e-6  # of an accuracy that is kept in single precision


def verify_release(folder: Path) -> list[str]:
    """Check every file of a release against its checksum and its rules; return what is wrong."""
    problems = list(_checksum_problems(folder))
    if problems:
        return problems
    seen: dict[str, str] = {}
    seeds: dict[str, dict[str, set[int]]] = {}  # of the runs, by image set and architecture
    for images, split in released_splits(folder):
        path = split_path(images, split, folder)
        try:
            table = read_table(path)
        except ValueError as error:
            problems.append(str(error))
            continue
        if not table.schema.equals(SCHEMA, check_metadata=True):
            problems.append(f"{path.name} of {images!r} has another schema than this release")
        for row in table.to_pylist():
            problems += row_problems(row, split)
            if row["run_id"] in seen:
                problems.append(f"run {row['run_id']!r} is in {seen[row['run_id']]} and {split}")
            seen[row["run_id"]] = split
            known = seeds.setdefault(images, {})
            known.setdefault(row["architecture_id"], set()).add(row["seed"])
        problems += _bit_file_problems(images, split, folder, table)
    for images in released_proxies(folder):
        problems += proxy_problems(images, folder, seeds.get(images, {}))
    # Rows that break a promise make their description wrong as well, so they are named alone.
    return problems or list(description_problems(folder))


def _checksum_problems(folder: Path) -> Iterator[str]:
    sums = folder / SUMS
    if not sums.exists():
        yield f"{str(folder)!r} holds no {SUMS}"
        return
    lines = sums.read_text().splitlines()
    wrong = [line for line in lines if not SUM.fullmatch(line)]
    if wrong:
        yield f"{SUMS} holds {wrong[0]!r:.90}, which is no checksum and name"
        return
    expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    found = dict(digests(folder))
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is not in {SUMS}"
        elif found[name] != expected[name]:
            yield f"{name} has SHA-256 {found[name]}, and {SUMS} says {expected[name]}"


def row_problems(row: dict[str, object], split: str) -> list[str]:
    """Return what in a row contradicts itself or its split."""
    name, problems = row["run_id"], []
    try:
        check_row(row)
    except ValueError as error:
        problems.append(str(error))
    try:
        architecture = from_record(row["architecture"])  # type: ignore[arg-type]
        rows = walk(architecture, get_images(str(row["images"])))
    except (ValueError, KeyError, TypeError) as error:
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
    if split_of(architecture.skeleton, drawn) != split:
        right = split_of(architecture.skeleton, drawn)
        problems.append(f"run {name!r} is in {split!r} and belongs in {right!r}")
    return problems


def _bit_file_problems(images: str, split: str, folder: Path, runs: pa.Table) -> Iterator[str]:
    """Check the file of bits against the runs of its split."""
    spec = get_images(images)
    try:
        table = read_pages(correct_path(images, split, folder))
    except (OSError, ValueError) as error:
        yield f"correct/{images}/{split}.parquet cannot be read: {error}"
        return
    if not table.schema.equals(CORRECT_SCHEMA):
        yield f"correct/{images}/{split}.parquet has another schema than this release"
        return
    bits = {row["run_id"]: row["correct"] for row in table.to_pylist()}
    if bits.keys() != set(runs.column("run_id").to_pylist()):
        yield f"correct/{images}/{split}.parquet has other runs than {images}/{split}.parquet"
        return
    for row in runs.select(["run_id", "status", *FINAL_BITS]).to_pylist():
        yield from bit_problems(row, bits[row["run_id"]], spec)


def bit_problems(row: dict[str, object], bits: bytes, images: ImageSet) -> Iterator[str]:
    """Check the bits of a run against its final accuracies; one that did not complete has none."""
    size = -(-(images.valid + images.test) // 8)
    if len(bits) != size:
        yield f"`correct` of run {row['run_id']!r} has {len(bits)} bytes, not {size}"
        return
    right = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(bool)
    parts = right[: images.valid], right[images.valid : images.valid + images.test]
    for name, part in zip(FINAL_BITS, parts, strict=True):
        accuracies = row[name]
        assert isinstance(accuracies, list)
        final = accuracies[-1] if row["status"] == "completed" else 0.0
        if abs(part.mean() - final) > ROUNDING:
            yield (
                f"`correct` of run {row['run_id']!r} gives {part.mean():.6f}, and its final "
                f"`{name}` is {final:.6f}"
            )


def description_problems(folder: Path) -> Iterator[str]:
    """Yield what the files that describe a release say wrongly of it."""
    missing = [name for name in DESCRIPTIONS if not (folder / name).exists()]
    if missing:
        yield from (f"{name} is missing; {AGAIN}" for name in missing)
        return
    try:
        manifest = read_manifest(folder)
    except (ValueError, KeyError, TypeError) as error:
        yield f"{MANIFEST} cannot be read ({error!r}); {AGAIN}"
        return
    if not count_release(folder, manifest.version, manifest.date).has_rows_of(manifest):
        yield f"{MANIFEST} counts other rows than the files hold; {AGAIN}"
        return
    for name in (CARD, CITATION):
        found = re.findall(r"^ *version: (\S+)$", (folder / name).read_text(), re.MULTILINE)
        if set(found) - {manifest.version}:
            yield f"{name} is of version {found[0]}, and {MANIFEST} of {manifest.version}; {AGAIN}"
    yield from _croissant_problems(manifest, folder)


def _croissant_problems(manifest: Manifest, folder: Path) -> Iterator[str]:
    try:
        content = json.loads((folder / CROISSANT).read_text())
        version = content["version"], content["datePublished"]
        sums = {entry["@id"]: entry["sha256"] for entry in content["distribution"]}
        columns = {
            entry["@id"]: {field["@id"] for field in entry["field"]}
            for entry in content["recordSet"]
        }
    except (ValueError, KeyError, TypeError) as error:
        yield f"{CROISSANT} cannot be read ({error!r}); {AGAIN}"
        return
    expected = {t.name: {f"{t.name}/{name}" for name in t.columns} for t in tables(manifest)}
    pairs = {
        "version and day": (version, (manifest.version, manifest.date)),
        "files": (sums, described(folder)),
        "columns": (columns, expected),
    }
    for what, (said, true) in pairs.items():
        if said != true:
            yield f"{CROISSANT} has other {what} than the release; {AGAIN}"
