"""Exclusive locks on files, which the system releases when their process ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[TextIO]:
    """Hold a file, which is made if it is not there, and yield it open for reading and appending.

    Args:
        path: The file; its folder is made, too.
        busy: What to say if another process holds the file. None: wait for it.

    Raises:
        BlockingIOError: If another process holds the file and there is a message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise BlockingIOError(busy) from error
        yield file
