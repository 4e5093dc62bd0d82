"""Versions of the data: a release whose rows change must raise its own.

`datasets` keeps what it has read by the version on the card: two releases of one version would be
taken for the same, and users of the first would be served its rows for ever.
"""

import re

FIRST = "0.1.0"
_FORM = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def numbers(version: str) -> tuple[int, int, int]:
    """Return the three numbers of a version, to compare by.

    >>> numbers("0.10.1") > numbers("0.9.3")
    True

    Raises:
        ValueError: If it is not of the form MAJOR.MINOR.PATCH.
    """
    found = _FORM.fullmatch(version)
    if found is None:
        raise ValueError(f"version {version!r} must be three numbers, as '0.3.0'")
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def raised(version: str) -> str:
    """Return the version after which rows were added.

    >>> raised("0.2.1")
    '0.3.0'
    """
    major, minor, _ = numbers(version)
    return f"{major}.{minor + 1}.0"


def agreed_version(old: str | None, asked: str | None, *, changed: bool) -> str:
    """Return the version of a release from now on.

    Args:
        old: What it was; None if there is no release yet.
        asked: What it is to be; None lets the minor number rise if anything changed.
        changed: Whether rows change.

    Raises:
        ValueError: If what is asked for has another form, goes back, or is that of other rows.
    """
    if asked is not None:
        numbers(asked)
    if old is None:
        return asked or FIRST
    if asked is None:
        return raised(old) if changed else old
    if numbers(asked) < numbers(old):
        raise ValueError(f"version {asked!r} lies before {old!r}, which the release has")
    if changed and asked == old:
        raise ValueError(
            f"version {asked!r} is that of other rows; the next is {raised(old)!r}, as `datasets` "
            "serves rows it has read before by their version"
        )
    return asked
