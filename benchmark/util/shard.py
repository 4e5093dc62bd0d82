"""Shards: the part of a list of jobs that one command runs."""

import re

MOST_DIGITS = 7


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of "i/n".

    >>> parse_shard("1/4")
    (1, 4)

    Raises:
        ValueError: If the text has another form.
    """
    if not re.fullmatch("[0-9]+/[0-9]+", text):
        raise ValueError(f"`shard` (={text!r}) must be i/n, as 1/4")
    index, count = text.split("/")
    if max(len(index), len(count)) > MOST_DIGITS:
        raise ValueError(f"`shard` (={text!r}) must have at most {MOST_DIGITS} digits a number")
    return int(index), int(count)
