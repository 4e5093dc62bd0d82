"""A release: the manifest, the checksums and the checks that make a folder of runs trustworthy."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.architectures import architecture_id, from_record
from benchmark.atomic import write_whole
from benchmark.card import card_text
from benchmark.files import CORRECT_SCHEMA, correct_path, read_table, sha256, split_path
from benchmark.imagesets import IMAGES, ImageSet, get_images
from benchmark.proxies import load_proxies, proxies_path, proxy_problems
from benchmark.record import SCHEMA, SCHEMA_VERSION, check_row, run_id
from benchmark.splits import SPLITS, split_of
from benchmark.walk import macs, parameters, walk

MANIFEST, SUMS, CARD = "manifest.json", "SHA256SUMS", "README.md"
FINAL_BITS = ("valid_accuracy", "test_accuracy")  # what the bits of a run are of, in their order
ROUNDING = 1e-6  # of an accuracy that is kept in single precision


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """What one file of runs holds; `seeds` counts runs of other seeds than 0."""

    images: str
    split: str
    runs: int
    networks: int
    seeds: int
    statuses: dict[str, int]
    skeletons: dict[str, int]
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ProxyCounts:
    """What one file of zero-cost proxies holds; `seed` and `batch` are those of all its rows."""

    images: str
    networks: int
    seed: int
    batch: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a release holds: its version, and counts of its files of runs and of proxies."""

    version: str
    splits: tuple[SplitCounts, ...]
    proxies: tuple[ProxyCounts, ...]


def count_split(images: str, split: str, folder: Path) -> SplitCounts:
    """Count the runs of a file."""
    path = split_path(images, split, folder)
    table = read_table(path, ["architecture_id", "seed", "status", "skeleton"])
    seeds = table.column("seed").to_pylist()
    return SplitCounts(
        images,
        split,
        runs=len(table),
        networks=len(set(table.column("architecture_id").to_pylist())),
        seeds=sum(seed != 0 for seed in seeds),
        statuses=_tally(table.column("status")),
        skeletons=_tally(table.column("skeleton")),
        bytes=path.stat().st_size,
        sha256=sha256(path),
    )


def count_proxies(images: str, folder: Path) -> ProxyCounts:
    """Count the networks of a file of proxies.

    Raises:
        ValueError: If it is damaged, of another schema, or empty.
    """
    path = proxies_path(images, folder)
    table = load_proxies(images, folder)
    if table is None or not len(table):
        raise ValueError(f"{str(path)!r} holds no proxies")
    seed, batch = (table.column(name)[0].as_py() for name in ("seed", "batch"))
    return ProxyCounts(images, len(table), seed, batch, path.stat().st_size, sha256(path))


def _tally(column: pa.ChunkedArray) -> dict[str, int]:
    counts = {str(c["values"]): int(c["counts"]) for c in column.value_counts().to_pylist()}
    return dict(sorted(counts.items()))


def released_splits(folder: Path) -> list[tuple[str, str]]:
    """Return the image sets and splits whose files are there, in their fixed order."""
    return [(i, s) for i in IMAGES for s in SPLITS if split_path(i, s, folder).exists()]


def released_proxies(folder: Path) -> list[str]:
    """Return the image sets whose file of proxies is there, in their fixed order."""
    return [name for name in IMAGES if proxies_path(name, folder).exists()]


def count_release(folder: Path, version: str) -> Manifest:
    """Count what the files of a folder hold.

    Raises:
        ValueError: If a file is damaged or of another schema.
    """
    return Manifest(
        version,
        tuple(count_split(images, split, folder) for images, split in released_splits(folder)),
        tuple(count_proxies(name, folder) for name in released_proxies(folder)),
    )


def finish_release(folder: Path, version: str) -> None:
    """Write manifest, card and checksums of the files that are there."""
    counted = count_release(folder, version)
    manifest = {"version": version, "schema_version": SCHEMA_VERSION} | {
        part: [asdict(entry) for entry in getattr(counted, part)] for part in ("splits", "proxies")
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    write_whole(folder / CARD, card_text(counted, folder))
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """Write the checksums of the files that are there, in the form `sha256sum -c` reads."""
    write_whole(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in _digests(folder)))


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and SHA-256 of every released file but the list of them."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS and path.suffix not in (".part", ".pyc"):
            yield name, sha256(path)


def is_signed(path: Path, folder: Path) -> bool:
    """Return whether the checksums of a folder hold that of a file as it is."""
    sums = folder / SUMS
    line = f"{sha256(path)}  {path.relative_to(folder).as_posix()}"
    return sums.exists() and line in sums.read_text().splitlines()


def read_manifest(folder: Path) -> Manifest:
    """Return the version of a release and what its files hold, without opening them.

    Raises:
        FileNotFoundError: If the folder holds no release.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"{str(folder)!r} holds no {MANIFEST}, so no release")
    manifest = json.loads(path.read_text())
    return Manifest(
        manifest["version"],
        tuple(SplitCounts(**entry) for entry in manifest["splits"]),
        tuple(ProxyCounts(**entry) for entry in manifest.get("proxies", [])),
    )


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
        problems += _bit_problems(images, split, folder, table)
    for images in released_proxies(folder):
        problems += proxy_problems(images, folder, seeds.get(images, {}))
    return problems


def _checksum_problems(folder: Path) -> Iterator[str]:
    sums = folder / SUMS
    if not sums.exists():
        yield f"{str(folder)!r} holds no {SUMS}"
        return
    lines = (line.split("  ", 1) for line in sums.read_text().splitlines())
    expected = {name: digest for digest, name in lines}
    found = dict(_digests(folder))
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
    if split_of(architecture.skeleton, identity) != split:
        right = split_of(architecture.skeleton, identity)
        problems.append(f"run {name!r} is in {split!r} and belongs in {right!r}")
    return problems


def _bit_problems(images: str, split: str, folder: Path, runs: pa.Table) -> Iterator[str]:
    """Check the file of bits against the runs of its split."""
    spec = get_images(images)
    size = -(-(spec.valid + spec.test) // 8)
    try:
        table = pq.read_table(correct_path(images, split, folder), schema=CORRECT_SCHEMA)
    except (OSError, pa.ArrowException) as error:
        yield f"correct/{images}/{split}.parquet cannot be read: {error}"
        return
    bits = {row["run_id"]: row["correct"] for row in table.to_pylist()}
    if bits.keys() != set(runs.column("run_id").to_pylist()):
        yield f"correct/{images}/{split}.parquet has other runs than {images}/{split}.parquet"
        return
    for row in runs.select(["run_id", "status", *FINAL_BITS]).to_pylist():
        found = bits[row["run_id"]]
        if len(found) != size:
            yield f"`correct` of run {row['run_id']!r} has {len(found)} bytes, not {size}"
        else:
            yield from _bit_contradictions(row, found, spec)


def _bit_contradictions(row: dict[str, object], bits: bytes, images: ImageSet) -> Iterator[str]:
    """Check the bits of a run against its final accuracies; one that did not complete has none."""
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
