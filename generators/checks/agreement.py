"""Whether networks trained again agree with the published runs, within the spread of seeds.

The same run on the same versions and device is expected to be the same bits on a CPU; elsewhere
only statistics can agree. The yardstick is what a release's own repeats say: how far apart the
final accuracies of two seeds of one network lie. A run trained again keeps its seed, so it should
differ from the published one by no more than that.

Runs are compared by kind of difference (`KINDS`). A kind *agrees* unless one of two tests speaks
against it at `LEVEL`: absolute differences larger than those of seeds (Mann-Whitney U, one-sided),
or differences shifted to one side (Wilcoxon signed rank).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, wilcoxon

from benchmark.schema import EPOCH_SERIES, TRAINED_STATUSES
from generators.workers.worker import Row

LEVEL = 0.01  # of a test that speaks against agreement
WITHIN = 0.95  # share of seeds' differences that one network may not exceed
TIMED = ("epoch_seconds",)  # series that no two trainings share
KINDS = (
    "same device, same versions",
    "same device, other versions",
    "another GPU",
    "another CPU",
    "CPU against GPU",
)
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published run and the same run trained again.

    Attributes:
        run_id: Its name.
        skeleton: Of its network.
        kind: One of `KINDS`.
        published: Final valid accuracy; after a divergence, chance.
        retrained: Likewise; None if the training failed.
        identical: Whether every series has the same bits, times apart.
        status: Of the training.
        within: Whether the difference is among the least 95 % of those between seeds.
    """

    run_id: str
    skeleton: str
    kind: str
    published: float
    retrained: float | None
    identical: bool
    status: str
    within: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparisons of one kind say together.

    Attributes:
        kind: One of `KINDS`.
        networks: Compared ones.
        failed: Trainings without a result.
        identical: Networks whose every bit is the same.
        within: Networks whose difference is within the spread of seeds.
        median: Of absolute differences in final valid accuracy.
        seeds_median: Of those between two seeds.
        larger: p-value of differences being no larger than those of seeds; None if none is there.
        shifted: p-value of differences lying about 0; None likewise, and 1 if all are 0.
        agrees: Whether nothing speaks against agreement, and no training failed.
    """

    kind: str
    networks: int
    failed: int
    identical: int
    within: int
    median: float
    seeds_median: float
    larger: float | None
    shifted: float | None
    agrees: bool


def seed_differences(runs: Sequence[Row]) -> Array:
    """Return absolute differences of final valid accuracy between two seeds, (networks,).

    One pair of each network that was trained repeatedly, its two least seeds, so that pairs are
    independent.
    """
    finals: dict[str, dict[int, float]] = {}
    for row in runs:
        if row["status"] in TRAINED_STATUSES:
            seeds = finals.setdefault(str(row["architecture_id"]), {})
            seeds[int(str(row["seed"]))] = final_accuracy(row)
    pairs = [[found[s] for s in sorted(found)[:2]] for found in finals.values() if len(found) > 1]
    return np.array([abs(first - second) for first, second in pairs])


def final_accuracy(row: Row) -> float:
    """Return the valid accuracy after the last epoch, in the single precision of a release."""
    accuracies = row["valid_accuracy"]
    assert isinstance(accuracies, list)
    return float(np.float32(accuracies[-1]))


def kind_of(published: Row, retrained: Row) -> str:
    """Return in what the making of two rows differs, one of `KINDS`."""
    devices = str(published["device"]), str(retrained["device"])
    if devices[0] == devices[1]:
        same = published["environment_id"] == retrained["environment_id"]
        return KINDS[0] if same else KINDS[1]
    gpus = [_is_gpu(name) for name in devices]
    return KINDS[2] if all(gpus) else KINDS[4] if any(gpus) else KINDS[3]


def _is_gpu(device: str) -> bool:
    """Return whether torch or the system named a GPU, not a processor."""
    return device.startswith(("NVIDIA", "Tesla", "Quadro", "GeForce", "AMD Instinct", "Radeon"))


def compare(published: Row, retrained: Row, spread: Array) -> Comparison:
    """Compare a published run with the same run trained again.

    Args:
        published: A row of the release.
        retrained: A row of the same run.
        spread: As `seed_differences` returns it, at least one.
    """
    first, second = final_accuracy(published), None
    if retrained["status"] in TRAINED_STATUSES:
        second = final_accuracy(retrained)
    limit = float(np.quantile(spread, WITHIN))
    series = [name for name in (*EPOCH_SERIES, "train_loss_tenths") if name not in TIMED]
    return Comparison(
        str(published["run_id"]),
        str(published["skeleton"]),
        kind_of(published, retrained),
        first,
        second,
        all(_bits(published[name]) == _bits(retrained[name]) for name in series),
        str(retrained["status"]),
        second is not None and abs(first - second) <= limit,
    )


def _bits(values: object) -> bytes:
    """Return a series as the release stores it, in single precision, null as NaN."""
    assert isinstance(values, list)
    return np.array([np.nan if v is None else v for v in values], np.float32).tobytes()


def verdicts(comparisons: Sequence[Comparison], spread: Array) -> list[Verdict]:
    """Return what the comparisons of each kind say together, in the order of `KINDS`."""
    found = [[c for c in comparisons if c.kind == kind] for kind in KINDS]
    return [_verdict(group, spread) for group in found if group]


def _verdict(group: Sequence[Comparison], spread: Array) -> Verdict:
    known = [(c.published, c.retrained) for c in group if c.retrained is not None]
    differences = np.array([second - first for first, second in known])
    larger = shifted = None
    if len(differences):
        larger = float(mannwhitneyu(abs(differences), spread, alternative="greater").pvalue)
        shifted = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    failed = len(group) - len(known)
    tests = [value for value in (larger, shifted) if value is not None]
    return Verdict(
        group[0].kind,
        len(group),
        failed,
        sum(c.identical for c in group),
        sum(c.within for c in group),
        float(np.median(abs(differences))) if len(differences) else float("nan"),
        float(np.median(spread)),
        larger,
        shifted,
        not failed and all(value >= LEVEL for value in tests),
    )
