"""Shows the runs of an image set in the terminal: their numbers and accuracies."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from benchmark.manifest import released_splits
from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.space.imagesets import get_images, learned_above
from benchmark.space.skeletons import SKELETONS
from benchmark.util.text import quantity
from leaderboard.show.chart import Array, histogram

COLUMNS = ("architecture_id", "skeleton", "seed", "status", "valid_accuracy")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHOWN_EPOCHS = (1, 2, 3, 5, 10, 20)
BINS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The runs of a split and skeleton.

    Attributes:
        runs: Number of runs of all seeds and statuses.
        networks: Number of different architectures.
        statuses: Number of runs with each status.
        curves: Valid accuracy of the trained runs of seed 0 (networks, epochs).
    """

    split: str
    skeleton: str
    runs: int
    networks: int
    statuses: Mapping[str, int]
    curves: Array


def check_images(images: str, release: Release) -> None:
    """Check that a release has data of an image set.

    Raises:
        ValueError: If the image set is unknown; the message suggests the nearest name.
        FileNotFoundError: If the release has no data of it; the message lists what it has.
    """
    get_images(images)
    known = list(dict.fromkeys(name for name, _ in released_splits(release.folder)))
    if images not in known:
        raise FileNotFoundError(
            f"data of {images!r} is not in this release; there is data of "
            f"{', '.join(known) or 'no image set'}"
        )


def load_groups(images: str, release: Release = INSTALLED) -> list[Group]:
    """Read the groups of an image set by split and skeleton. Errors as in `check_images`."""
    check_images(images, release)
    groups = []
    for split in (s for name, s in released_splits(release.folder) if name == images):
        table = release.runs(images, split, columns=COLUMNS)
        for skeleton in SKELETONS:
            rows = table.filter(pc.equal(table["skeleton"], skeleton))
            if len(rows):
                trained = pc.and_(
                    pc.equal(rows["seed"], 0),
                    pc.greater(pc.list_value_length(rows["valid_accuracy"]), 0),
                )
                statuses = Counter(rows["status"].to_pylist())
                networks = len(rows["architecture_id"].unique())
                curves = series(rows.filter(trained), "valid_accuracy")
                groups.append(Group(split, skeleton, len(rows), networks, statuses, curves))
    return groups


def group_record(group: Group) -> dict[str, object]:
    """Return a group as an object of JSON, with the final accuracies of its curves."""
    names = ("split", "skeleton", "networks", "runs")
    final = group.curves[:, -1].tolist() if len(group.curves) else []
    counts = {name: getattr(group, name) for name in names} | {"statuses": dict(group.statuses)}
    return counts | {"final_valid_accuracy": final}


def pooled(groups: list[Group]) -> dict[str, Array]:
    """Return the curves of each split (networks, epochs), with all skeletons pooled."""
    pools: dict[str, list[Array]] = {}
    for group in groups:
        if len(group.curves):
            pools.setdefault(group.split, []).append(group.curves)
    return {split: np.concatenate(curves) for split, curves in pools.items()}


def group_lines(images: str, groups: list[Group]) -> Iterator[str]:
    """Yield lines of counts, final accuracies and quantiles, at most 80 columns wide."""
    runs, networks = sum(g.runs for g in groups), sum(g.networks for g in groups)
    yield f"{images}: {quantity(runs, 'run')} of {quantity(networks, 'network')}"
    yield ""
    yield f"{'':34}{'final valid accuracy of seed 0':>46}"
    heads = "".join(f"{f'{q:.0%}':>6}" for q in (0.05, 0.5, 0.95))
    start = f"{'split':11}{'skeleton':14}{'nets':>5}{'runs':>6}"
    yield f"{start}{heads}  0{'':{BINS - 2}}1 {'learned':>7}"
    split = ""
    threshold = learned_above(get_images(images).classes)
    for group in groups:
        yield _group(group, "" if group.split == split else group.split, threshold)
        split = group.split
    yield ""
    statuses = sum((Counter(group.statuses) for group in groups), Counter())
    yield "statuses: " + ", ".join(f"{name} {n:,}" for name, n in statuses.most_common())
    yield "learned: share of networks with final accuracy above twice chance"
    yield ""
    yield from _quantiles(pooled(groups))


def _group(group: Group, split: str, threshold: float) -> str:
    start = f"{split:11}{group.skeleton:14}{group.networks:5}{group.runs:6}"
    if not len(group.curves):
        return f"{start}  no run was trained"
    final = group.curves[:, -1]
    quantiles = "".join(f"{v:6.3f}" for v in np.quantile(final, (0.05, 0.5, 0.95)))
    learned = float((final > threshold).mean())
    return f"{start}{quantiles}  {histogram(final, BINS)} {learned:7.0%}"


def _quantiles(curves: Mapping[str, Array]) -> Iterator[str]:
    """Yield quantiles over networks of the valid accuracy after selected epochs."""
    epochs = [e for e in SHOWN_EPOCHS if all(e <= c.shape[1] for c in curves.values())]
    heads = "".join(f"{e:>7}" for e in epochs)
    yield f"{'split':11}{'networks':>9}  {'after epoch':>11}{heads}"
    for split, values in curves.items():
        for quantile in QUANTILES:
            first = quantile == QUANTILES[0]
            name = f"{split:11}{len(values):9}" if first else f"{'':20}"
            accuracies = np.quantile(values[:, np.array(epochs) - 1], quantile, axis=0)
            yield f"{name}  {quantile:>11.0%}" + "".join(f"{v:7.3f}" for v in accuracies)
