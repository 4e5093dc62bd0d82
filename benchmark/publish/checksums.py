"""Compares the files of a release with its checksums, and these with the published releases.

`published.txt` has a line for each published state of the data: the SHA-256 of its `SHA256SUMS` and
its version. A test holds the line of the data in this package.
"""

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from benchmark.manifest import SUMS, entries, read_manifest
from benchmark.runs import sha256

PUBLISHED = "published.txt"
SUM = re.compile(r"([0-9a-f]{64})  (.+)")  # a line of `sha256sum`


def read_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 that a release states for each of its files, by name.

    Raises:
        FileNotFoundError: If there is no list of checksums.
        ValueError: If a line is not a checksum and a name, or a name appears twice.
    """
    path = folder / SUMS
    if not path.is_file():
        raise FileNotFoundError(f"{str(folder)!r} has no {SUMS}, so it is not a release")
    sums: dict[str, str] = {}
    text = path.read_bytes().decode("utf-8", "backslashreplace")
    for line in text.removesuffix("\n").split("\n"):
        match = SUM.fullmatch(line)
        if match is None:
            raise ValueError(
                f"{SUMS} has the line {line!r:.90}, which is not a checksum and a name"
            )
        if match[2] in sums:
            raise ValueError(f"{SUMS} names {match[2]!r} twice")
        sums[match[2]] = match[1]
    return sums


def sum_problems(expected: Mapping[str, str], actual: Mapping[str, str]) -> dict[str, str]:
    """Return where files differ from their checksums; all arguments are by the name of the file."""
    problems = {}
    for name in sorted(expected.keys() | actual.keys()):
        shown = _printable(name)
        if name not in actual:
            problems[name] = f"{shown} is missing"
        elif name not in expected:
            problems[name] = f"{shown} is not in {SUMS}"
        elif actual[name] != expected[name]:
            problems[name] = f"{shown} has SHA-256 {actual[name]}, but {SUMS} says {expected[name]}"
    return problems


def entry_problems(folder: Path) -> Iterator[str]:
    """Yield what can be in no release: links, what is neither file nor folder, and odd names."""
    for name, path in entries(folder):
        shown = _printable(name)
        if path.is_symlink():
            yield f"{shown} is a link, and a release holds none; remove it"
        elif not path.is_file() and not path.is_dir():
            yield f"{shown} is neither a file nor a folder; remove it"
        elif not name.isprintable():
            yield f"{shown} has a name that cannot be printed; remove it"


def empty_folders(folder: Path) -> Iterator[str]:
    """Yield the folders of a release that hold nothing, for which no file accounts."""
    for name, path in entries(folder):
        if path.is_dir() and not any(path.iterdir()):
            yield f"{_printable(name)} is an empty folder; remove it"


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def published_line(folder: Path) -> str:
    """Return the line of `published.txt` for a release."""
    return f"{sha256(folder / SUMS)}  {read_manifest(folder).version}"


def compare_with_published(folder: Path) -> str:
    """Return whether a valid release is one of those in `published.txt`, in words."""
    known = (resources.files("benchmark.publish") / PUBLISHED).read_text("utf-8").splitlines()
    line, version = published_line(folder), read_manifest(folder).version
    if line in known:
        return "all as published"
    if any(other.endswith(f"  {version}") for other in known):
        return f"valid, but not release {version} as published"
    return f"valid; release {version} is not a published one"
