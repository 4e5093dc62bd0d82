"""Changes a release in a copy of it, so that a command changes all of its files or none.

A command works on the hidden folder `.draft` in the release. When it has ended, the folder holds
what is new and is renamed to `.ready`; then its files are moved to their places, the list of
checksums last. A command that is killed before the rename has changed nothing. After the rename,
the next command that writes to the release moves the rest, before it does its own work.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from benchmark.manifest import (
    CARD,
    CITATION,
    CROISSANT,
    LICENCE_FILE,
    MANIFEST,
    SUMS,
    digests,
    entries,
    released_splits,
)
from benchmark.publish.checksums import entry_problems, read_sums, sum_problems
from benchmark.util.atomic import make_folder, sync_folder
from benchmark.util.locks import locked_folder
from benchmark.util.unknown_name import check_known

DRAFT, READY = ".draft", ".ready"
# Every command writes these from the other files and reads none of them
REWRITTEN = {CARD, CITATION, CROISSANT, LICENCE_FILE}


@contextmanager
def release_draft(folder: Path, signed: Collection[str] = ()) -> Iterator[Path]:
    """Yield a checked copy of a release, whose changes enter the release when the block ends.

    The block must write the checksums of the copy. If it raises, the release stays as it was. No
    other command can write to the release at the same time; readers may, for a moment, see old and
    new files side by side.

    Args:
        folder: The release, or an empty folder.
        signed: Names of files that may differ from the checksums, because the user changed, added
            or removed them.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If another file differs from the checksums, or the folder holds links, or it has
            files but is no release.
        BlockingIOError: If another command writes to the release for too long.
        OSError: If the system cannot write; the message says whether the release is as before.
    """
    draft, ready = folder / DRAFT, folder / READY
    with _only_writer(folder):
        try:
            with explain_errors(folder, f"nothing in {str(folder)!r} was changed"):
                old = _copy(folder, draft)
                _check(draft, old, signed)
                yield draft
                if _keep_new_files(draft, folder, old):
                    draft.rename(ready)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _move_ready_files(folder)


def check_release(folder: Path) -> None:
    """Check the files of a release against its checksums, after completing a killed command.

    Raises:
        FileNotFoundError, ValueError, BlockingIOError, OSError: As for `release_draft`.
    """
    with _only_writer(folder):
        _check(folder, dict(digests(folder)), ())


def is_half_written(folder: Path) -> bool:
    """Return whether a command was killed while it moved files into a release."""
    return (folder / READY / SUMS).exists()


@contextmanager
def explain_errors(folder: Path, state: str) -> Iterator[None]:
    """Say in errors of the system which state a release is in; name its files, not their copies."""
    try:
        yield
    except (OSError, ValueError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.errno is not None:
            name = "" if error.filename is None else f": {str(error.filename)!r}"
            text = f"{os.strerror(error.errno)}{name}; {state}"
        elif not isinstance(error, OSError) and type(error) is not ValueError:
            raise  # its kind may not be made from a text
        for hidden in (DRAFT, READY):
            text = text.replace(str(folder / hidden), str(folder))
        raise type(error)(text) from error


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Lock a release, and complete what a killed command left."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r}")
    if not ((folder / SUMS).exists() or (folder / READY).exists()):
        _check_new(folder)
    with locked_folder(folder):
        for place in (folder / DRAFT, folder / READY):
            if place.is_symlink() or place.is_file():
                raise ValueError(f"{str(place)!r} is not a folder; remove it")
        for problem in entry_problems(folder):
            raise ValueError(f"{str(folder)!r} cannot be written to: {problem}")
        _move_ready_files(folder)
        yield


def _check_new(folder: Path) -> None:
    """Raise a `ValueError` if a folder is no new release: one without files, or of runs alone."""
    has_files = any(path.is_file() for _, path in entries(folder))
    if has_files and ((folder / MANIFEST).exists() or not released_splits(folder)):
        raise ValueError(f"{str(folder)!r} holds files but no {SUMS}, so it is not a release")


def _copy(folder: Path, draft: Path) -> dict[str, str]:
    """Copy the files of a release into a new draft, and return their SHA-256 by name."""
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(draft)
    for name, path in entries(folder):
        if path.is_file():
            make_folder((draft / name).parent)
            shutil.copyfile(path, draft / name)
    return dict(digests(draft))


def _check(folder: Path, found: Mapping[str, str], signed: Collection[str]) -> None:
    """Raise a `ValueError` if a file is neither as its checksum says, nor signed, nor rewritten."""
    known = dict(found)
    if (folder / SUMS).exists():
        sums = read_sums(folder)
        known |= sums
        wrong = {
            name: problem
            for name, problem in sum_problems(sums, found).items()
            if name not in REWRITTEN and name not in signed
        }
        if wrong:
            name, problem = next(iter(wrong.items()))
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise ValueError(
                f"{str(folder)!r} is not as it was signed: {problem}{more}; undo the change, or, "
                f"if it is yours, sign it: `peephole data card --data FOLDER --sign {quote(name)}`"
            )
    for name in signed:
        check_known("file", name, known)


def _keep_new_files(draft: Path, folder: Path, old: Mapping[str, str]) -> bool:
    """Remove the files of a draft that are as they were; return whether anything is new."""
    new, sums = read_sums(draft), folder / SUMS
    if old == new and sums.exists() and sums.read_bytes() == (draft / SUMS).read_bytes():
        return False
    for name, digest in new.items():
        if old.get(name) == digest:
            (draft / name).unlink()
    return True


def _move_ready_files(folder: Path) -> None:
    """Move the files that are ready, if any, to their places; the list of checksums last."""
    ready = folder / READY
    if not ready.exists():
        return
    state = f"{str(folder)!r} is partly new; run the same command again to complete it"
    with explain_errors(folder, state):
        sync_folder(folder)
        if is_half_written(folder):
            names = [name for name, path in entries(ready) if path.is_file()]
            for name in sorted(names, key=lambda name: name == SUMS):
                make_folder((folder / name).parent)
                os.replace(ready / name, folder / name)
                sync_folder((folder / name).parent)
        shutil.rmtree(ready, ignore_errors=True)  # empty folders
