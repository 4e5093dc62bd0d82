"""The strata of the targets, and the samples of every metric in each of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from benchmark.space.skeletons import SKELETONS, Novelty
from harness.metrics.bootstrap import RESAMPLES, Array, candidate_sets, sample_counts
from harness.metrics.metric_input import MetricInput
from harness.metrics.registry import METRICS, Metric
from harness.scoring.targets import Targets

Samples = dict[str, Array]  # metric -> its value, then those of each resample or candidate set
NOVELTIES: tuple[Novelty, ...] = ("extrapolates", "unseen feature")

# Decimals of a difference of accuracies. Accuracies are fractions of at most 10,000 images, stored
# in float32: without rounding, equal differences would differ by about 1e-8 and not be ties.
DIFFERENCE_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Targets and a prediction, run by run, in the order of the architecture ids.

    Attributes:
        architecture_ids: Architecture of each run, (runs,).
        skeletons: Skeleton of each run, (runs,).
        held_out: Whether each run is in the split `heldout`, (runs,).
        learned: Whether each run's true final accuracy is above twice chance, (runs,).
        target: True accuracies, (runs, predicted epochs).
        mean: Predicted accuracies, (runs, predicted epochs).
        std: Predicted standard deviation of the final accuracy, (runs,); None if not predicted.
        paired_target: True final accuracy minus that of the paired network, (runs,); NaN without
            one.
        paired_mean: Predicted final accuracy minus that of the paired network, (runs,).
        seed_difference: That of the targets.
    """

    architecture_ids: NDArray[np.str_]
    skeletons: NDArray[np.str_]
    held_out: NDArray[np.bool_]
    learned: NDArray[np.bool_]
    target: Array
    mean: Array
    std: Array | None
    paired_target: Array
    paired_mean: Array
    seed_difference: float | None


def tabulate(targets: Targets, mean: Array, *, epochs: tuple[int, ...], std: Array | None) -> Table:
    """Return the table of targets and a valid prediction."""
    keys = list(zip(targets.architecture_ids, targets.run_ids, strict=True))
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)
    ids = np.asarray(targets.architecture_ids, dtype=np.str_)[order]
    paired = [targets.paired_architecture_ids[row] for row in order]
    curves = targets.curves[order][:, np.array(epochs) - 1].astype(np.float64)
    predicted = mean[order].astype(np.float64)
    return Table(
        ids,
        np.asarray(targets.skeletons, dtype=np.str_)[order],
        np.array(targets.splits)[order] == "heldout",
        targets.learned[order],
        curves,
        predicted,
        None if std is None else std[order, -1].astype(np.float64),
        _differences(curves[:, -1], ids, paired),
        _differences(predicted[:, -1], ids, paired),
        targets.seed_difference,
    )


def _differences(values: Array, ids: NDArray[np.str_], paired: list[str | None]) -> Array:
    """Return each value minus the mean value of the paired network's runs, NaN without one."""
    names, index = np.unique(ids, return_inverse=True)
    means = np.bincount(index, weights=values) / np.bincount(index)
    by_name: dict[str | None, float] = dict(zip(names.tolist(), means.tolist(), strict=True))
    others = np.array([by_name.get(name, np.nan) for name in paired])
    differences: Array = np.round(values - others, DIFFERENCE_DECIMALS)
    return differences


def strata(
    table: Table,
    novelty: Mapping[str, Novelty | None] | None = None,
    *,
    resamples: int = RESAMPLES,
    names: Iterable[str] | None = None,
    metrics: Iterable[str] = tuple(METRICS),
) -> dict[str, Samples]:
    """Return the samples of every stratum that has networks.

    Args:
        table: Targets and prediction.
        novelty: Why each skeleton is held out; by default that of `SKELETONS`.
        resamples: Number of resamples.
        names: The strata to return; by default all.
        metrics: The metrics to compute, if they apply; by default all.
    """
    if novelty is None:
        novelty = {name: skeleton.novelty for name, skeleton in SKELETONS.items()}
    # Resample i of a stratum is the mean of resample i of its groups, or is made of them
    groups = _groups(table, novelty)
    wanted = groups if names is None else {name: groups[name] for name in names if name in groups}
    inputs = cache(partial(_metric_input, table, resamples))
    own = cache(lambda metric, skeleton: _values(METRICS[metric], inputs(skeleton)))
    by_stratum = {}
    for stratum, members in wanted.items():
        samples = {}
        for name in metrics:
            metric = METRICS[name]
            if not all(_applies(metric, inputs(member), member) for member in members):
                continue
            values = {member: own(name, member) for member in members}
            # The value is undefined only where it is undefined for every predictor
            defined = {m: v for m, v in values.items() if np.isfinite(v[0])} or values
            if metric.pooled and len(defined) > 1:
                samples[name] = metric.compute(*map(inputs, defined))
            else:
                samples[name] = np.mean(list(defined.values()), axis=0)
        by_stratum[stratum] = samples
    return by_stratum


@dataclass(frozen=True, slots=True)
class _Group:
    """Networks that are scored together: those of a skeleton, or all of the test split.

    Attributes:
        skeleton: Name of the skeleton; None for all networks of the test split.
        learned: Whether only networks that learned are scored.
    """

    skeleton: str | None
    learned: bool = False

    def rows(self, table: Table) -> NDArray[np.bool_]:
        """Return the mask of its rows, (runs,)."""
        chosen = ~table.held_out if self.skeleton is None else table.skeletons == self.skeleton
        return chosen & table.learned if self.learned else chosen


def _groups(table: Table, novelty: Mapping[str, Novelty | None]) -> dict[str, list[_Group]]:
    """Return the groups of each stratum that has networks; scores are averaged over groups."""
    skeletons: list[str] = sorted(set(table.skeletons.tolist()))
    held_out: list[str] = sorted(set(table.skeletons[table.held_out].tolist()))
    kinds = {kind: [n for n in held_out if novelty.get(n) == kind] for kind in NOVELTIES}
    groups = {
        "test": [_Group(None)],
        "heldout": [_Group(name) for name in held_out],
        **{f"heldout/{kind}": [_Group(name) for name in names] for kind, names in kinds.items()},
        "test/learned": [_Group(None, learned=True)],
        "heldout/learned": [_Group(name, learned=True) for name in held_out],
        **{f"skeleton/{name}": [_Group(name)] for name in skeletons},
    }
    filled = {name: [g for g in of if g.rows(table).any()] for name, of in groups.items()}
    return {name: of for name, of in filled.items() if of}


@lru_cache(maxsize=64)
def _candidate_sets(architecture_ids: tuple[str, ...]) -> NDArray[np.intp]:
    """Return the sets of a group, drawn once for all predictors, seeds and targets."""
    return candidate_sets(architecture_ids)


def _metric_input(table: Table, resamples: int, group: _Group) -> MetricInput:
    """Return the input of the metrics of a group; only skeletons have paired networks."""
    rows = group.rows(table)
    names = table.architecture_ids[rows].tolist()
    paired = group.skeleton is not None and not group.learned
    paired = paired and bool(np.isfinite(table.paired_target[rows]).any())
    return MetricInput(
        target=table.target[rows],
        mean=table.mean[rows],
        std=None if table.std is None else table.std[rows],
        learned=table.learned[rows],
        paired_target=table.paired_target[rows] if paired else None,
        paired_mean=table.paired_mean[rows] if paired else None,
        seed_difference=table.seed_difference,
        counts=sample_counts(names, resamples=resamples),
        candidates=_candidate_sets(tuple(names)),
    )


def _applies(metric: Metric, sample: MetricInput, group: _Group) -> bool:
    """Return whether a group has what a metric needs."""
    has: dict[str, bool] = {
        "final": True,
        "curve": sample.target.shape[1] > 1,
        "std": sample.std is not None,
        "pairs": sample.paired_target is not None,
        "classes": not group.learned,
        "noise": sample.seed_difference is not None,
    }
    return has[metric.needs]


def _values(metric: Metric, sample: MetricInput) -> Array:
    """Return the value of a metric, then its value in each resample or candidate set."""
    values = metric.compute(sample)
    if metric.sampled == "candidates":
        values = np.concatenate([[values.mean()], values])
    return values
