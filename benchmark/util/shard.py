"""Shards: the part of a list of jobs that one command runs."""


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of "i/n".

    >>> parse_shard("1/4")
    (1, 4)

    Raises:
        ValueError: If the text has another form.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise ValueError(f"`shard` (={text!r}) must be i/n, as 1/4")
    return int(index), int(count)
