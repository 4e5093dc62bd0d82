"""Versions of the data: a release whose rows change must get a higher version.

`datasets` caches rows by the version on the card, so two releases with the same version would be
taken for the same, and users of the first would never see the rows of the second.
"""

import re

FIRST = "0.1.0"
_FORM = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def numbers(version: str) -> tuple[int, int, int]:
    """Return the three numbers of a version, for comparisons.

    >>> numbers("0.10.1") > numbers("0.9.3")
    True

    Raises:
        ValueError: If the version does not have the form MAJOR.MINOR.PATCH.
    """
    match = _FORM.fullmatch(version)
    if match is None:
        raise ValueError(f"version {version!r} must be three numbers, such as '0.3.0'")
    major, minor, patch = map(int, match.groups())
    return major, minor, patch


def next_version(version: str) -> str:
    """Return the version that follows when rows changed.

    >>> next_version("0.2.1")
    '0.3.0'
    """
    major, minor, _ = numbers(version)
    return f"{major}.{minor + 1}.0"


def agreed_version(old: str | None, asked: str | None, *, changed: bool) -> str:
    """Return the new version of a release.

    Args:
        old: The old version; None if there is no release yet.
        asked: The requested version; None raises the minor number if rows changed.
        changed: Whether rows changed.

    Raises:
        ValueError: If the requested version is malformed, lower than the old one, or the old one
            although rows changed.
    """
    if asked is not None:
        numbers(asked)
    if old is None:
        return asked or FIRST
    if asked is None:
        return next_version(old) if changed else old
    if numbers(asked) < numbers(old):
        raise ValueError(f"version {asked!r} is lower than {old!r}, the version of the release")
    if changed and asked == old:
        raise ValueError(
            f"version {asked!r} already names other rows; the next is {next_version(old)!r}, "
            "because `datasets` caches rows by their version"
        )
    return asked
