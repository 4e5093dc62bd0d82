"""Writes the manifest, licence, citation, card, Croissant file and checksums of a release."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmark.calibration import calibration_path
from benchmark.manifest import (
    CARD,
    CITATION,
    CROISSANT,
    LICENCE_FILE,
    MANIFEST,
    Manifest,
    count_release,
    described_files,
    read_manifest,
    write_sums,
)
from benchmark.publish.card import card_text
from benchmark.publish.checksums import read_sums
from benchmark.publish.citation import citation_cff, licence_text
from benchmark.publish.croissant import croissant_text
from benchmark.publish.draft import release_draft
from benchmark.publish.versions import FIRST, agreed_version
from benchmark.runs import sha256
from benchmark.space.imagesets import IMAGES
from benchmark.util.atomic import write_atomically


@contextmanager
def changing_release(
    folder: Path, version: str | None = None, signed: Collection[str] = ()
) -> Iterator[Path]:
    """Yield a copy of a release; when the block ends, describe it and bring its changes back.

    By default, the minor number of the version is raised if rows changed. Arguments and errors as
    in `release_draft`.

    Raises:
        ValueError: If a file is damaged, or rows changed and the version is not higher.
    """
    with release_draft(folder, signed) as draft:
        yield draft
        _describe(draft, version)


def finish_release(
    folder: Path, version: str | None = None, signed: Collection[str] = ()
) -> Manifest:
    """Write all files that describe a release, and return its manifest.

    Arguments and errors as in `changing_release`.
    """
    with changing_release(folder, version, signed):
        pass
    return read_manifest(folder)


def _has_new_calibration(folder: Path) -> bool:
    """Return whether calibration runs, which no manifest counts, are not those of the checksums."""
    paths = [path for name in IMAGES if (path := calibration_path(name, folder)).exists()]
    signed = read_sums(folder) if paths else {}
    return any(signed.get(path.relative_to(folder).as_posix()) != sha256(path) for path in paths)


def _describe(folder: Path, version: str | None) -> None:
    """Write the manifest, licence, citation, card, Croissant file and checksums of a folder."""
    old = read_manifest(folder) if (folder / MANIFEST).exists() else None
    today = str(datetime.now(UTC).date())
    counted = count_release(folder, version or FIRST, today)
    changed = old is None or not counted.has_rows_of(old) or _has_new_calibration(folder)
    agreed = agreed_version(old.version if old else None, version, changed=changed)
    day = old.date if old and agreed == old.version else today
    manifest = replace(counted, version=agreed, date=day)
    write_atomically(folder / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
    write_atomically(folder / LICENCE_FILE, licence_text())
    write_atomically(folder / CITATION, citation_cff(agreed, day))
    write_atomically(folder / CARD, card_text(manifest, folder))
    write_atomically(folder / CROISSANT, croissant_text(manifest, folder, described_files(folder)))
    write_sums(folder)
