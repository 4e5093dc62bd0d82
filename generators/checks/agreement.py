"""Tests whether retrained networks agree with the published runs, within the spread of seeds.

On a CPU with the same versions, a retrained run should be bit-identical; elsewhere only statistics
can agree. The yardstick is the difference in final accuracy between two seeds of one network, from
the runs of a release. A retrained run keeps its seed, so its difference should be no larger.

Runs are compared by kind of difference (`KINDS`). A kind *agrees* unless a training failed or one
of three tests rejects agreement: absolute differences are larger than those between seeds
(Mann-Whitney U, one-sided), differences are shifted to one side (Wilcoxon signed rank), or too few
of them are `within` the spread of seeds (binomial). Of a few networks, only the last can reject.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, mannwhitneyu, wilcoxon

from benchmark.retrained import KINDS, Comparison, Verdict
from benchmark.schema import EPOCH_SERIES, TRAINED_STATUSES
from generators.workers.planned_run import Row

LEVEL = 0.01  # significance level of the tests
FEW_LEVEL = 0.0501  # of the third, so that it can reject agreement of one network
WITHIN = 0.95  # quantile of the differences between seeds that one network should not exceed
TIMED = ("epoch_seconds",)  # series that differ between any two trainings
GPU_NAMES = ("NVIDIA", "Tesla", "Quadro", "GeForce", "AMD Instinct", "Radeon")  # their first words
Array = NDArray[np.float64]


def seed_differences(runs: Sequence[Row]) -> Array:
    """Return the absolute differences in final valid accuracy between two seeds, (networks,).

    Each network with several seeds gives one pair, of its two lowest seeds, so that pairs are
    independent.
    """
    finals: dict[str, dict[int, float]] = {}
    for row in runs:
        if row["status"] in TRAINED_STATUSES:
            seeds = finals.setdefault(str(row["architecture_id"]), {})
            seeds[int(str(row["seed"]))] = final_accuracy(row)
    pairs = [[seeds[s] for s in sorted(seeds)[:2]] for seeds in finals.values() if len(seeds) > 1]
    return np.array([abs(first - second) for first, second in pairs])


def final_accuracy(row: Row) -> float:
    """Return the valid accuracy after the last epoch, rounded to fp32 as in a release."""
    accuracies = row["valid_accuracy"]
    assert isinstance(accuracies, list)
    return float(np.float32(accuracies[-1]))


def kind_of(published: Row, retrained: Row) -> str:
    """Return how the devices and versions of two rows differ, one of `KINDS`."""
    devices = str(published["device"]), str(retrained["device"])
    if devices[0] == devices[1]:
        same = published["environment_id"] == retrained["environment_id"]
        return KINDS[0] if same else KINDS[1]
    gpus = [name.startswith(GPU_NAMES) for name in devices]
    return KINDS[2] if all(gpus) else KINDS[4] if any(gpus) else KINDS[3]


def compare(published: Row, retrained: Row, spread: Array) -> Comparison:
    """Compare the row of a published run with that of the same run retrained.

    `spread` holds differences between seeds, as `seed_differences` returns them; at least one.
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
    """Return the bits of a series as a release stores it: in fp32, null as NaN."""
    assert isinstance(values, list)
    return np.array([np.nan if v is None else v for v in values], np.float32).tobytes()


def verdicts(comparisons: Sequence[Comparison], spread: Array) -> list[Verdict]:
    """Return the verdict on each kind that has comparisons, in the order of `KINDS`."""
    groups = [[c for c in comparisons if c.kind == kind] for kind in KINDS]
    return [_verdict(group, spread) for group in groups if group]


def _verdict(group: Sequence[Comparison], spread: Array) -> Verdict:
    trained = [(c.published, c.retrained) for c in group if c.retrained is not None]
    differences = np.array([second - first for first, second in trained])
    larger = shifted = None
    if len(differences):
        larger = float(mannwhitneyu(abs(differences), spread, alternative="greater").pvalue)
        shifted = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    failed = len(group) - len(trained)
    p_values = [value for value in (larger, shifted) if value is not None]
    within = sum(c.within for c in group)
    few = float(binomtest(within, len(group), WITHIN, alternative="less").pvalue)
    return Verdict(
        group[0].kind,
        len(group),
        failed,
        sum(c.identical for c in group),
        within,
        float(np.median(abs(differences))) if len(differences) else None,
        float(np.median(spread)),
        larger,
        shifted,
        not failed and few > FEW_LEVEL and all(value >= LEVEL for value in p_values),
    )
