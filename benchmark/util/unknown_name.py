"""What messages say of wrong names and types, and of a file that holds something else."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

Value = TypeVar("Value")
LONGEST = 100  # characters of a wrong name or value that a message shows
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
    name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    return f"unknown {what} {name!r}{known_names(name, known)}"


def known_names(name: str, known: Iterable[str]) -> str:
    """Return the end of a message on an unknown name: the nearest known name, and all of them.

    One that starts with the unknown name is nearer than others.
    """
    names = list(known)
    small = {known.lower(): known for known in names}
    longer = [known for known in small if known.startswith(name.lower())]
    matches = difflib.get_close_matches(name.lower(), longer or small, n=1, cutoff=0.5)
    hint = f"; did you mean {small[matches[0]]!r}?" if matches else "."
    return f"{hint} Known: {', '.join(names) or 'none'}"


def not_called(what: str, name: str, known: Iterable[str]) -> str:
    """Return a message on an unknown id with the nearest one; there are too many to name them all.

    >>> not_called("run", "digits-12", ["digits-11", "mnist-3"])
    "no run is called 'digits-12'; the nearest is 'digits-11'"
    """
    name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.0)
    hint = f"; the nearest is {close[0]!r}" if close else ""
    return f"no {what} is called {name!r}{hint}"


def starting_with(start: str, ids: Iterable[str]) -> list[str]:
    """Return the ids, of small letters, that a text begins, sorted; the empty text begins none.

    >>> starting_with("A1", ["a12f", "b001", "a1"])
    ['a1', 'a12f']
    """
    return sorted(i for i in ids if start and i.startswith(start.lower()))


def check_one(what: str, start: str, found: Sequence[str], known: Iterable[str]) -> None:
    """Check that a text begins the id of one network alone, from what `starting_with` found.

    Raises:
        ValueError: If it begins none, with the nearest; or several, with the first.
    """
    if not found:
        raise ValueError(not_called(what, start, known))
    if len(found) > 1:
        shown = ", ".join(found[:3]) + ", ..." * (len(found) > 3)
        raise ValueError(f"{start!r} is a prefix of {len(found)} networks: {shown}")


def check_known(what: str, name: object, known: Iterable[str]) -> None:
    """Check that a name is known; `what` says of what it is the name.

    Raises:
        TypeError: If it is not text.
        ValueError: If it is unknown.
    """
    names = list(known)
    if not isinstance(name, str):
        check_type(what, name, str, f"a name: {', '.join(names) or 'none is known'}")
    elif name not in names:
        raise ValueError(unknown_name(what, name, names))


def check_type(where: str, value: object, kind: type | tuple[type, ...], rule: str) -> None:
    """Check the type of an argument; `rule` says what it must be.

    Raises:
        TypeError: If it is another one.

    >>> check_type("seeds", None, int, "a whole number")
    Traceback (most recent call last):
    TypeError: `seeds` (=None) must be a whole number
    """
    if not isinstance(value, kind):
        shown = f"={value!r}"
        if len(shown) > LONGEST or not shown.isprintable() or shown.startswith("=<"):
            shown = f"of type {type(value).__name__}"
        raise TypeError(f"`{where}` ({shown}) must be {rule}")


class Registry(dict[str, Value]):
    """Values by name; an unknown name is a `ValueError` with the nearest one."""

    def __init__(self, what: str, values: Mapping[str, Value]) -> None:
        """Create it; `what` is as for `check_known`."""
        super().__init__(values)
        self.what = what

    def __missing__(self, name: str) -> None:
        """Refuse an unknown name."""
        check_known(self.what, name, self)


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
        return content.decode("utf-8-sig")  # some editors put a mark first
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not in UTF-8; save the file in UTF-8") from error
