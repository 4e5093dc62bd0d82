"""Atomic writes: a file is replaced completely or not at all, also if the power fails."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
# What systems say that cannot sync a folder, or do not let this user open it for reading
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a draft file beside `path`, which replaces `path` when the block ends.

    If the block raises, the draft is removed and `path` stays as it was. Missing folders are
    created. The draft is a new file with a random name, so it cannot be replaced with a link, and
    two writers never share one. Its name ends in `.part`, which no reader opens: a process that is
    killed may leave one behind. If `path` is a link, the link is replaced, never its target.

    The draft is synced to disk before it is moved, and the folder after that. If only the sync of
    the folder fails, `path` is new although an error is raised.

    Raises:
        OSError: If the system cannot write; the error names `path`, not the draft.
    """
    make_folder(path.parent)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    with name_errors(path, draft):
        os.close(os.open(draft, NEW_FILE, 0o666))
        try:
            yield draft
            sync(draft)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all. Errors as in `replacing`."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def check_writable(path: Path) -> None:
    """Check that a file can be written, before the work is done whose outcome it will hold.

    The file stays as it is, and no folder is created: the nearest one that exists is tried.

    Raises:
        ValueError: If the system cannot write there.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    draft = folder / f"{path.name}.{secrets.token_hex(8)}.part"
    try:
        os.close(os.open(draft, NEW_FILE, 0o666))
        draft.unlink()
    except OSError as error:
        raise ValueError(
            f"{str(path)!r} cannot be written: {error.strerror}; choose another place"
        ) from error


def make_folder(folder: Path) -> None:
    """Create a folder and those on its way, where missing, and sync the names of the new ones."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    if new:
        folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync_folder(path.parent)


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        with name_errors(path):
            os.fsync(number)
    finally:
        os.close(number)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk, if the system can do that."""
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


@contextmanager
def name_errors(path: Path, draft: Path | None = None) -> Iterator[None]:
    """Give errors of the system that name no file, as those of Arrow, or a draft, a file's name."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(draft)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
