"""Exclusive file locks, which the system releases when the process ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[TextIO]:
    """Lock a file and yield it, open for reading and appending.

    Args:
        path: The file; it and its folder are created if missing.
        busy: Error message if another process holds the lock. None: wait for the lock.

    Raises:
        BlockingIOError: If another process holds the lock and `busy` is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise BlockingIOError(busy) from error
        yield file
