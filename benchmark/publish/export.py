"""A release copied elsewhere: as a folder, or as one archive whose bytes depend on it alone.

The archive is a ZIP of stored, uncompressed files (Parquet is compressed already), because what a
compressor makes of them may change with its version.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.manifest import SUMS, digests, read_manifest
from benchmark.publish.verify import verify_release
from benchmark.runs import sha256
from benchmark.util.atomic import replacing

NAME = "peephole-bench-data"
MODE = 0o100644 << 16  # a plain file that all may read
UNIX = 3  # `create_system`: where `MODE` means that


def export_folder(source: Path, target: Path) -> Path:
    """Copy a release into a new folder and verify the copy; return the folder.

    A folder that is this release already is left as it is.

    Raises:
        ValueError: If the release is damaged, or something else is at the target.
        OSError: If the copy cannot be written; then nothing of it stays.
    """
    _check_places(source, target)
    if target.is_dir() and content(target) == content(source):
        return target
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ValueError(_occupied(target))
    with staged(target) as draft:
        for name in content(source):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, draft / name)
        check_whole(draft)
    return target


def export_archive(source: Path, target: Path) -> Path:
    """Write a release as an archive into a folder, and verify it; return the archive.

    Its name holds the version, and unpacking it gives one folder of the same name.

    Raises:
        ValueError: If the release is damaged, or another file has the archive's name.
        OSError: If it cannot be written; then nothing of it stays.
    """
    _check_places(source, target)
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


def _check_places(source: Path, target: Path) -> None:
    """Check that the source is whole, and that the target does not lie in it."""
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{str(target)!r} lies in {str(source)!r}, the release itself")
    check_whole(source)


def _occupied(path: Path) -> str:
    return f"{str(path)!r} is there and is not this release; it is left as it is"


def content(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a release by its path, the list of them last."""
    sums = folder / SUMS
    return dict(digests(folder)) | ({SUMS: sha256(sums)} if sums.exists() else {})


def check_whole(folder: Path) -> None:
    """Check that a folder is a release without a fault.

    Raises:
        ValueError: Naming its first fault, and how many there are.
    """
    problems = verify_release(folder)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ValueError(f"{str(folder)!r} is no whole release: {problems[0]}{more}")


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a new folder, which becomes `target` if all went well and is removed if it did not.

    It lies beside the target, in a hidden folder that a process which is killed may leave behind.
    What was at the target before is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as place:
        draft = Path(place) / target.name
        draft.mkdir()
        yield draft
        if target.exists():
            shutil.rmtree(target)
        draft.replace(target)


def _check_archive(path: Path, stem: str, source: Path) -> None:
    """Read an archive back.

    Raises:
        ValueError: If a file in it is not as it was.
    """
    with zipfile.ZipFile(path) as archive:
        found = {
            name.removeprefix(f"{stem}/"): hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
        }
    if found != content(source):
        raise ValueError(f"{str(path)!r} holds other files than {str(source)!r} after writing it")
