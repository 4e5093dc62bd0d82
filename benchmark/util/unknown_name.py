"""The one message for a name that is not known."""

import difflib
from collections.abc import Iterable


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return a message that names the unknown value, its nearest match and all known names.

    >>> nearest("images", "cifar", ["cifar10", "mnist"])
    "unknown images 'cifar'; did you mean 'cifar10'? Known: cifar10, mnist"
    >>> nearest("images", "xyz", ["cifar10", "mnist"])
    "unknown images 'xyz'. Known: cifar10, mnist"
    >>> nearest("images", "xyz", [])
    "unknown images 'xyz'. Known: none"
    """
    names = list(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {matches[0]!r}?" if matches else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(names) or 'none'}"
