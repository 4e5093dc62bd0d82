"""Copies a release to a folder or to an archive, whose bytes depend only on the release.

The archive is a ZIP file without compression: Parquet is already compressed, and the output of a
compressor may change with its version.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.manifest import MANIFEST, SUMS, digests, read_manifest
from benchmark.publish.verify import verify_release
from benchmark.runs import sha256
from benchmark.util.atomic import make_folder, replacing, sync, sync_folder

NAME = "peephole-bench-data"
MODE = 0o100644 << 16  # a regular file that everybody may read
UNIX = 3  # the `create_system` for which `MODE` has this meaning


def export_folder(source: Path, target: Path) -> Path:
    """Copy a release into a new folder and verify the copy; return the folder.

    A folder that already holds this release is not changed.

    Raises:
        ValueError: If the release is damaged, or the target holds something else or is in a
            release.
        OSError: If the copy cannot be written; an incomplete copy is removed.
    """
    if target.is_dir() and not target.samefile(source) and content(target) == content(source):
        check_valid(source)
        return target
    _check_paths(source, target)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ValueError(_occupied(target))
    with replacing_folder(target) as draft:
        for name in content(source):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, draft / name)
        check_valid(draft)
    return target


def export_archive(source: Path, target: Path) -> Path:
    """Write a release as an archive into a folder and verify it; return the path of the archive.

    The archive is named after the version and unpacks to one folder of the same name.

    Raises:
        ValueError: If the release is damaged, another file has the archive's name, or the target
            is a release or in one.
        OSError: If the archive cannot be written; an incomplete archive is removed.
    """
    _check_paths(source, target)
    manifest = read_manifest(source)
    stem = f"{NAME}-{manifest.version}"
    year, month, day = map(int, manifest.date.split("-"))
    path = target / f"{stem}.zip"
    with replacing(path) as draft:
        with zipfile.ZipFile(draft, "w") as archive:
            for name in content(source):
                entry = zipfile.ZipInfo(f"{stem}/{name}", (year, month, day, 0, 0, 0))
                entry.external_attr, entry.create_system = MODE, UNIX
                archive.writestr(entry, (source / name).read_bytes())
        _check_archive(draft, stem, source)
        if path.exists() and sha256(path) != sha256(draft):
            raise ValueError(_occupied(path))
    return path


def _check_paths(source: Path, folder: Path) -> None:
    """Check that the source is a valid release, and that no release has what enters a folder."""
    for parent in (folder.resolve(), *folder.resolve().parents):
        if parent == source.resolve() or all((parent / name).exists() for name in (MANIFEST, SUMS)):
            raise ValueError(
                f"{str(parent)!r} is a release, and a file more would spoil it; export to another "
                "folder"
            )
    check_valid(source)


def _occupied(path: Path) -> str:
    return f"{str(path)!r} exists and is not this release; it was not changed"


def content(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a release by path, with the list of checksums last."""
    sums = folder / SUMS
    return dict(digests(folder)) | ({SUMS: sha256(sums)} if sums.exists() else {})


def check_valid(folder: Path) -> None:
    """Check that a folder is a valid release.

    Raises:
        ValueError: If it is not; the message has the first problem and the number of others.
    """
    problems = verify_release(folder)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ValueError(f"{str(folder)!r} is not a valid release: {problems[0]}{more}")


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder, which replaces `target` when the block ends, or is removed if it raises.

    The new folder is in a hidden folder beside the target; a process that is killed may leave the
    hidden folder behind.
    """
    target = target.resolve()
    make_folder(target.parent)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as hidden:
        draft = Path(hidden) / target.name
        draft.mkdir()
        yield draft
        for path in draft.rglob("*"):
            sync(path)
        if target.exists():
            shutil.rmtree(target)
        draft.replace(target)
    sync_folder(target.parent)


def _check_archive(path: Path, stem: str, source: Path) -> None:
    """Raise a `ValueError` if the files of an archive differ from those of the release."""
    with zipfile.ZipFile(path) as archive:
        archived = {
            name.removeprefix(f"{stem}/"): hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
        }
    if archived != content(source):
        raise ValueError(f"{str(path)!r} differs from {str(source)!r} after writing")
