"""The strata of the targets, and the value of every metric in each of their resamples."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmark.space.skeletons import SKELETONS, Novelty
from harness.metrics.bootstrap import RESAMPLES, Array, resample_counts
from harness.metrics.metric_input import MetricInput
from harness.metrics.registry import METRICS, Metric
from harness.scoring.targets import Targets

Samples = dict[str, Array]  # metric -> its value, then its value in each resample
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
    table: Table, novelty: Mapping[str, Novelty | None] | None = None, *, resamples: int = RESAMPLES
) -> dict[str, Samples]:
    """Return the samples of every stratum that has networks.

    Args:
        table: Targets and prediction.
        novelty: Why each skeleton is held out; by default that of `SKELETONS`.
        resamples: Number of resamples.
    """
    if novelty is None:
        novelty = {name: skeleton.novelty for name, skeleton in SKELETONS.items()}
    samples = partial(_samples, table, resamples=resamples)
    all_names: list[str] = sorted(set(table.skeletons.tolist()))
    own = {name: samples(table.skeletons == name, paired=True) for name in all_names}
    held_out = sorted(set(table.skeletons[table.held_out].tolist()))
    learned = {
        name: samples((table.skeletons == name) & table.learned, learned=True) for name in held_out
    }
    by_stratum = {
        "test": samples(~table.held_out),
        "heldout": _average(own[name] for name in held_out),
    }
    for kind in NOVELTIES:
        names = [name for name in held_out if novelty.get(name) == kind]
        by_stratum[f"heldout/{kind}"] = _average(own[name] for name in names)
    by_stratum["test/learned"] = samples(~table.held_out & table.learned, learned=True)
    by_stratum["heldout/learned"] = _average(learned.values())
    by_stratum |= {f"skeleton/{name}": values for name, values in own.items()}
    return {name: values for name, values in by_stratum.items() if values}


def _samples(
    table: Table,
    rows: NDArray[np.bool_],
    *,
    resamples: int,
    paired: bool = False,
    learned: bool = False,
) -> Samples:
    """Return the samples of all metrics that apply to some rows; none if there are no rows.

    Args:
        table: Targets and prediction.
        rows: Mask of the rows, (runs,).
        resamples: Number of resamples.
        paired: Whether to score differences to paired networks, if there are any.
        learned: Whether the rows were selected as the networks that learned.
    """
    if not rows.any():
        return {}
    counts = resample_counts(table.architecture_ids[rows].tolist(), resamples=resamples)
    paired = paired and bool(np.isfinite(table.paired_target[rows]).any())
    sample = MetricInput(
        table.target[rows],
        table.mean[rows],
        None if table.std is None else table.std[rows],
        table.learned[rows],
        table.paired_target[rows] if paired else None,
        table.paired_mean[rows] if paired else None,
        np.concatenate([np.ones((1, counts.shape[1]), counts.dtype), counts]),
    )
    used = [m for m in METRICS.values() if _applies(m, sample, learned=learned)]
    return {metric.name: metric.compute(sample) for metric in used}


def _applies(metric: Metric, sample: MetricInput, *, learned: bool) -> bool:
    """Return whether a sample has what a metric needs."""
    has: dict[str, bool] = {
        "final": True,
        "curve": sample.target.shape[1] > 1,
        "std": sample.std is not None,
        "pairs": sample.paired_target is not None,
        "classes": not learned,
    }
    return has[metric.needs]


def _average(skeletons: Iterable[Samples]) -> Samples:
    """Return the mean over skeletons of the metrics that all of them have.

    Skeletons without networks, and for each metric those for which it is undefined, are left out.
    Resample i of the average is the average of resample i of the skeletons.
    """
    filled = [samples for samples in skeletons if samples]
    average: Samples = {}
    for name in METRICS:
        if not filled or any(name not in samples for samples in filled):
            continue
        values = np.stack([samples[name] for samples in filled])
        defined = np.isfinite(values[:, 0])
        average[name] = values[defined].mean(axis=0) if defined.any() else values[0]
    return average
