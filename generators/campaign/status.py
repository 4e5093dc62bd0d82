"""How far a campaign is."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmark.release import Release
from benchmark.runs import split_path
from benchmark.space.splits import SPLITS
from generators.campaign.campaign import Campaign


@dataclass(frozen=True)
class GroupStatus:
    """Runs of one image set, skeleton and split."""

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


def published_runs(images: Iterable[str], release: Release) -> set[str]:
    """Return the ids of the runs that a release holds of some image sets."""
    found: set[str] = set()
    for name in images:
        for split in SPLITS:
            if split_path(name, split, release.folder).exists():
                table = release.runs(name, split, columns=["run_id"])
                found.update(table.column("run_id").to_pylist())
    return found
