"""Exclusive file locks, which the system releases when the process ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

LOCK = ".lock"  # in a folder; hidden files belong to no release and to no results
PATIENCE = 60.0  # seconds; most commands write for a few
_PAUSE = 0.05  # seconds between two attempts


@contextmanager
def locked(path: Path, busy: str | None = None, patience: float = 0.0) -> Iterator[TextIO]:
    """Lock a file and yield it, open for reading and appending; a link is not followed.

    Args:
        path: The file; it and its folder are created if missing.
        busy: Error message if another process holds the lock. None: wait for the lock.
        patience: Seconds to wait for the lock before the error.

    Raises:
        BlockingIOError: If another process holds the lock and `busy` is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8", opener=_open_no_link) as file:
        end = time.monotonic() + patience
        while not _is_taken(file):
            if busy is not None and time.monotonic() >= end:
                raise BlockingIOError(busy)
            time.sleep(_PAUSE)
        yield file


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_taken(file: TextIO) -> bool:
    """Try to lock a file; return whether this process now holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked_folder(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Lock a folder for a command that reads files in it, changes them and writes them.

    Every such command takes the lock around all three, so that none overwrites what another wrote
    in between. A second one waits, because scripts should not fail for the few seconds that most
    commands write, and is refused after `patience` seconds. Readers need no lock. It must not be
    taken twice: a process that holds it would wait for itself. The hidden file `.lock` stays.

    Raises:
        BlockingIOError: If another process holds the lock for too long.
        OSError: If the folder cannot be written to.
    """
    busy = (
        f"another command has written to {str(folder)!r} for {patience:g} seconds; run this one "
        "again when it has ended"
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK, busy, patience))
        except BlockingIOError:
            raise
        except OSError as error:
            raise type(error)(
                f"{str(folder)!r} cannot be written to: {error.strerror}: {error.filename!r}"
            ) from error
        yield
