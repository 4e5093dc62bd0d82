"""The manifest of a release, with counts of what its files hold, and its checksums."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from benchmark.proxies import PROXIES, proxies_path, read_proxies
from benchmark.runs import null_problems, read_table, sha256, split_path
from benchmark.schema import SCHEMA_VERSION
from benchmark.space.imagesets import IMAGES
from benchmark.space.splits import SPLITS
from benchmark.util.atomic import write_atomically
from benchmark.util.strict_json import read_record, refuse
from benchmark.util.text import check_line

MANIFEST, SUMS, CARD, CROISSANT = "manifest.json", "SHA256SUMS", "README.md", "croissant.json"
LICENCE_FILE, CITATION = "LICENSE", "CITATION.cff"
DESCRIPTIONS = (MANIFEST, SUMS, CARD, CROISSANT, LICENCE_FILE, CITATION)
_VERSION, _DATE = re.compile(r"\d{1,9}(\.\d{1,9}){2}"), re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Counts of one file of runs; `seeds` is the number of runs with a seed other than 0."""

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
    """Counts of one file of zero-cost proxies; all its rows have the same `seed` and `batch`."""

    images: str
    networks: int
    seed: int
    batch: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The version and date of a release, and counts of its files of runs and proxies.

    `date` is the day (UTC) on which these rows got this version, such as "2026-11-25", and
    `schema_version` that of the runs.
    """

    version: str
    date: str
    schema_version: int
    splits: tuple[SplitCounts, ...]
    proxies: tuple[ProxyCounts, ...] = ()

    def __post_init__(self) -> None:
        """Check the texts, which are shown, and the names of image sets and splits."""
        if not _VERSION.fullmatch(self.version):
            refuse("version", self.version, "three numbers, such as '0.3.0'")
        if not _DATE.fullmatch(self.date):
            refuse("date", self.date, "a day as YYYY-MM-DD")
        for entry in self.splits:
            split_path(entry.images, entry.split, Path())
            for field in ("statuses", "skeletons"):
                for name in getattr(entry, field):
                    check_line(field, name)
        for proxies in self.proxies:
            proxies_path(proxies.images, Path())

    @property
    def images(self) -> tuple[str, ...]:
        """The image sets of the runs."""
        return tuple(dict.fromkeys(entry.images for entry in self.splits))

    def has_rows_of(self, other: "Manifest") -> bool:
        """Return whether both have the same files of runs and proxies, byte for byte."""
        return (self.splits, self.proxies) == (other.splits, other.proxies)


def count_split(images: str, split: str, folder: Path) -> SplitCounts:
    """Count the runs of a file.

    Raises:
        ValueError: If the file is damaged, has another schema, or lacks a value.
    """
    path = split_path(images, split, folder)
    table = read_table(path, ["architecture_id", "seed", "status", "skeleton"])
    nulls = null_problems(table, str(path), ())
    if nulls:
        raise ValueError("; ".join(nulls))
    return SplitCounts(
        images,
        split,
        runs=len(table),
        networks=len(set(table.column("architecture_id").to_pylist())),
        seeds=sum(seed != 0 for seed in table.column("seed").to_pylist()),
        statuses=_tally(table.column("status")),
        skeletons=_tally(table.column("skeleton")),
        bytes=path.stat().st_size,
        sha256=sha256(path),
    )


def count_proxies(images: str, folder: Path) -> ProxyCounts:
    """Count the networks of a file of proxies.

    Raises:
        ValueError: If the file is damaged, has another schema, or is empty.
    """
    path = proxies_path(images, folder)
    table = read_proxies(images, folder)
    if table is None or not len(table):
        raise ValueError(f"{str(path)!r} holds no proxies")
    nulls = null_problems(table, str(path), PROXIES)
    if nulls:
        raise ValueError("; ".join(nulls))
    seed, batch = (table.column(name)[0].as_py() for name in ("seed", "batch"))
    return ProxyCounts(images, len(table), seed, batch, path.stat().st_size, sha256(path))


def _tally(column: pa.ChunkedArray) -> dict[str, int]:
    counts = {str(c["values"]): int(c["counts"]) for c in column.value_counts().to_pylist()}
    return dict(sorted(counts.items()))


def released_splits(folder: Path) -> list[tuple[str, str]]:
    """Return the image sets and splits that have a file, in their fixed order."""
    return [(i, s) for i in IMAGES for s in SPLITS if split_path(i, s, folder).exists()]


def released_proxies(folder: Path) -> list[str]:
    """Return the image sets that have a file of proxies, in their fixed order."""
    return [name for name in IMAGES if proxies_path(name, folder).exists()]


def count_release(folder: Path, version: str, date: str) -> Manifest:
    """Count the rows of the files of a folder.

    Raises:
        ValueError: If a file is damaged or has another schema.
    """
    return Manifest(
        version,
        date,
        SCHEMA_VERSION,
        tuple(count_split(images, split, folder) for images, split in released_splits(folder)),
        tuple(count_proxies(name, folder) for name in released_proxies(folder)),
    )


def described_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files that the Croissant description lists, by path."""
    return {name: digest for name, digest in digests(folder) if name not in DESCRIPTIONS}


def write_sums(folder: Path) -> None:
    """Write the checksums of the files of a folder, in the format that `sha256sum -c` reads."""
    lines = [f"{digest}  {name}\n" for name, digest in digests(folder)]
    write_atomically(folder / SUMS, "".join(lines))


def entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and path of all that is in a folder and not hidden, sorted; enter no link.

    Hidden files do not belong to a release: a clone of a repository has `.git`, one from the Hub
    `.gitattributes`, and a folder that was written to `.lock`.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not any(part.startswith(".") for part in name.split("/")):
            yield name, path


def digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and SHA-256 of every plain file of a release except the checksums."""
    for name, path in entries(folder):
        if path.is_file() and not path.is_symlink() and name != SUMS:
            yield name, sha256(path)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a release.

    Raises:
        FileNotFoundError: If the folder holds no release.
        ValueError: If the file is not a manifest; the message starts with its path.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"{str(folder)!r} has no {MANIFEST}, so it is not a release")
    return read_record(path, Manifest)
