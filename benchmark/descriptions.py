"""Whether what describes a release, its manifest, card and Croissant file, is still true of it.

Texts may differ between versions of this project, so what is compared is what they say of the
files: versions, counts, checksums, columns.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from benchmark.croissant import tables
from benchmark.release import (
    CARD,
    CITATION,
    CROISSANT,
    DESCRIPTIONS,
    MANIFEST,
    Manifest,
    count_release,
    described,
    read_manifest,
)

AGAIN = "`peephole data card` writes it again"


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
