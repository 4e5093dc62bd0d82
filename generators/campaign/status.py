"""Counts the planned and finished runs of a campaign."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from generators.campaign.campaign import Campaign


@dataclass(frozen=True)
class GroupStatus:
    """Numbers of finished and planned runs of one image set, skeleton and split."""

    images: str
    skeleton: str
    split: str
    done: int
    planned: int


def campaign_status(folder: Path) -> list[GroupStatus]:
    """Count runs by image set, skeleton and split, from the plan and the names of the run files."""
    campaign = Campaign(folder)
    groups, finished = campaign.groups(), campaign.done()
    planned = Counter(groups.values())
    done = Counter(groups[name] for name in finished if name in groups)
    counts = [
        GroupStatus(group.images, group.skeleton, group.split, done[group], count)
        for group, count in planned.items()
    ]
    return sorted(counts, key=lambda count: (count.images, count.skeleton, count.split))
