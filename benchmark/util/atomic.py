"""Atomic writes: a file is replaced completely or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a draft file beside `path`, which replaces `path` when the block ends.

    If the block raises, the draft is removed and `path` stays as it was. Missing folders are
    created. The draft is a new file with a random name, so it cannot be replaced with a link, and
    two writers never share one. Its name ends in `.part`, which no reader opens: a process that is
    killed may leave one behind. The draft is synced to disk before it is moved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    os.close(os.open(draft, NEW_FILE, 0o666))
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
