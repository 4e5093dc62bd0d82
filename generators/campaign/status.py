"""Counts the planned, finished and failed runs of a campaign."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from generators.campaign.campaign import Campaign


@dataclass(frozen=True)
class GroupStatus:
    """Numbers of runs of one image set, skeleton and split.

    Attributes:
        done: Finished runs.
        failed: Runs that could not be trained; they are tried again.
        planned: All runs, with those that are neither.
    """

    images: str
    skeleton: str
    split: str
    done: int
    failed: int
    planned: int


def campaign_status(folder: Path) -> tuple[list[GroupStatus], list[Path]]:
    """Return the counts by image set, skeleton and split, and the damaged run files."""
    campaign = Campaign(folder)
    groups, files = campaign.groups(), campaign.files()
    planned = Counter(groups.values())
    done = Counter(groups[name] for name in files.done if name in groups)
    failed = Counter(groups[name] for name in campaign.failures(files) if name in groups)
    counts = [
        GroupStatus(group.images, group.skeleton, group.split, done[group], failed[group], count)
        for group, count in planned.items()
    ]
    counts.sort(key=lambda count: (count.images, count.skeleton, count.split))
    return counts, files.damaged


def status_lines(groups: Sequence[GroupStatus]) -> Iterator[str]:
    """Yield a header, a line for each group, and a line of sums."""
    head = ("images", "skeleton", "split", "done", "failed", "planned")
    sums = [sum(getattr(group, name) for group in groups) for name in head[3:]]
    for line in (head, *(group.__dict__.values() for group in groups), ("all", "", "", *sums)):
        yield "{:8} {:14} {:10} {:>6} {:>6} {:>8}".format(*line)
