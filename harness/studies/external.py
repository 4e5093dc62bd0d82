"""Reads data of another origin and divides it into splits, to score predictors on it.

`docs/external_data.md` defines the file. Networks of a group, such as copies, are in one split.
Either the file gives the split of every network, or a hash divides the groups, in three divisions.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path

import numpy as np

from benchmark.recipes import Recipe
from benchmark.space.layer_walk import LayerRow
from benchmark.util.strict_json import MOST_BYTES, parse_record, refuse
from harness.protocol import Array, Runs, Series
from harness.running.trials import Trial
from harness.studies.external_format import SPLITS, Header, NetworkFields, Split, rows_of, series_of

DIVISIONS = 3  # different divisions into splits; scores are means over them
CUMULATIVE_SHARES = (0.70, 0.75, 1.0)  # of train, validation and test


@dataclass(frozen=True, slots=True, eq=False)
class ExternalData:
    """The networks of a file.

    Attributes:
        name: Name of the data.
        runs: The networks, in the order of their lines.
        groups: Group of each network; its id if it has none.
        splits: Split of each network; None if a hash divides the groups.
    """

    name: str
    runs: Runs
    groups: tuple[str, ...]
    splits: tuple[Split | None, ...]


def read_external(path: Path) -> ExternalData:
    """Return the networks of a file.

    Raises:
        ValueError: If the file breaks a rule of the format; the message names the file, the line,
            the field, its value and the rule.
        OSError: If the file cannot be read.
    """
    lines = _lines(path)
    header = parse_record(next(lines, b""), Header, f"{path}: line 1")
    networks: dict[str, NetworkFields] = {}
    splits: dict[str, Split | None] = {}  # of each group
    walks, series = [], []
    for number, line in enumerate(lines, start=2):
        network = parse_record(line, NetworkFields, f"{path}: line {number}")
        try:
            _check_names(network, networks, splits)
            walks.append(rows_of(network.layers, header))
            series.append(series_of(network.series, header))
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        networks[network.id] = network
    if not networks:
        raise ValueError(f"{path}: a network must follow the header")
    runs = _build_runs(header, tuple(networks), tuple(walks), series)
    groups = tuple(network.group or name for name, network in networks.items())
    return ExternalData(header.name, runs, groups, tuple(splits[group] for group in groups))


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, none longer than `MOST_BYTES`."""
    with path.open("rb") as file:
        for number in count(1):
            line = file.readline(MOST_BYTES + 1)
            if len(line) > MOST_BYTES:
                raise ValueError(f"{path}: line {number}: must have at most {MOST_BYTES:,} bytes")
            if not line:
                return
            yield line


def _check_names(
    network: NetworkFields, before: dict[str, NetworkFields], splits: dict[str, Split | None]
) -> None:
    """Check id, group and split against the lines before; add the group to `splits`."""
    if network.id in before:
        line = list(before).index(network.id) + 2
        refuse("id", network.id, f"different from that of line {line}")
    first = next(iter(splits.values()), network.split)
    if (network.split is None) != (first is None):
        refuse("split", network.split, "given on every line or on none")
    group = network.group or network.id
    if splits.setdefault(group, network.split) != network.split:
        refuse("split", network.split, f"{splits[group]!r}, that of the group {group!r} so far")


def _build_runs(
    header: Header,
    ids: tuple[str, ...],
    walks: tuple[tuple[LayerRow, ...], ...],
    series: list[dict[str, Array]],
) -> Runs:
    images = header.nearest_images
    names = [field.name for field in fields(Series)]
    return Runs(
        ids,
        images,
        header.classes,
        Recipe(images, header.epochs, warmup_epochs=0),
        (None,) * len(ids),
        walks,
        Series(**{name: np.stack([network[name] for network in series]) for name in names}),
        proxies=None,
    )


def split_of(name: str, group: str, division: int) -> Split:
    """Return the split of a group in one of the divisions of the data of that name.

    >>> [split_of("mine", "net-7", division) for division in range(DIVISIONS)]
    ['train', 'train', 'validation']
    """
    digest = hashlib.sha256(f"{name}-v1:{division}:{group}".encode()).digest()
    uniform = int.from_bytes(digest[:8], "big") / 2**64
    pairs = zip(CUMULATIVE_SHARES, SPLITS, strict=True)
    return next(split for share, split in pairs if uniform < share)


def external_trials(path: Path) -> list[Trial]:
    """Return a trial for each division of the networks of a file.

    Raises:
        ValueError: If the file breaks a rule of the format, or a split has no network.
        OSError: If the file cannot be read.
    """
    data = read_external(path)
    if None not in data.splits:
        return [_trial(path, data, 0, data.splits)]
    return [
        _trial(path, data, division, [split_of(data.name, g, division) for g in data.groups])
        for division in range(DIVISIONS)
    ]


def _trial(path: Path, data: ExternalData, division: int, splits: Sequence[Split | None]) -> Trial:
    """Return the trial of one division."""
    rows = {split: np.flatnonzero(np.array(splits) == split) for split in SPLITS}
    for split, index in rows.items():
        if not len(index):
            raise ValueError(
                f"{path}: division {division} has no network in {split!r}; each split must have "
                "one: give more networks, or every network a `split`"
            )
    train, validation, test = (data.runs.take(index) for index in rows.values())
    groups = tuple(data.groups[i] for i in rows["test"])
    return Trial(data.name, division, train, validation, test, groups)
