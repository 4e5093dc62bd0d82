"""The error message for an unknown name."""

import difflib
from collections.abc import Iterable

LONGEST = 100  # characters of the unknown name that a message shows


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return a message with the unknown name, the most similar known name and all known names.

    >>> unknown_name("images", "cifar", ["cifar10", "mnist"])
    "unknown images 'cifar'; did you mean 'cifar10'? Known: cifar10, mnist"
    >>> unknown_name("images", "xyz", ["cifar10", "mnist"])
    "unknown images 'xyz'. Known: cifar10, mnist"
    >>> unknown_name("images", "xyz", [])
    "unknown images 'xyz'. Known: none"
    """
    names = list(known)
    name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {matches[0]!r}?" if matches else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(names) or 'none'}"
