"""What messages say of a name that is not known, and of a file that holds something else."""

import difflib
import re
from collections.abc import Iterable

LONGEST = 100  # characters of the unknown name that a message shows
_CONFLICT = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)
_POINTER = b"version https://git-lfs."  # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return a message with the unknown name, the most similar known name and all known names.

    >>> unknown_name("images", "CIFAR", ["cifar10", "mnist"])
    "unknown images 'CIFAR'; did you mean 'cifar10'? Known: cifar10, mnist"
    >>> unknown_name("images", "xyz", ["cifar10", "mnist"])
    "unknown images 'xyz'. Known: cifar10, mnist"
    >>> unknown_name("images", "xyz", [])
    "unknown images 'xyz'. Known: none"
    """
    names = list(known)
    name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    small = {known.lower(): known for known in names}
    matches = difflib.get_close_matches(name.lower(), small, n=1, cutoff=0.5)
    hint = f"; did you mean {small[matches[0]]!r}?" if matches else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(names) or 'none'}"


def foreign_content(content: bytes) -> str:
    r"""Return what Git or an editor left in place of a file's content; an empty text if nothing.

    >>> foreign_content(b"{\n<<<<<<< HEAD\n}")
    'line 2 is a mark of a conflict in Git; resolve it'
    """
    if content.startswith(_POINTER):
        return "it is a pointer of Git LFS; `git lfs pull` fetches the file"
    if content.startswith(_UTF_16):
        return "it is in UTF-16; save it in UTF-8"
    mark = _CONFLICT.search(content)
    if mark:
        line = content.count(b"\n", 0, mark.start()) + 1
        return f"line {line} is a mark of a conflict in Git; resolve it"
    return ""


def text_of(content: bytes) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        ValueError: If it is not in UTF-8, or `foreign_content` knows what it is.
    """
    problem = foreign_content(content)
    if problem:
        raise ValueError(problem)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not in UTF-8; save the file in UTF-8") from error
