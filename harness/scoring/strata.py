"""The strata of a truth, and the value of every metric in each of their resamples."""

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

# Decimals of a difference of accuracies. They are shares of at most 10,000 images, but stored in
# float32: without rounding, equal differences would differ by about 1e-8 and no longer be ties.
DIFFERENCE_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A truth and a prediction of it, run by run, in the order of the architecture ids.

    Attributes:
        architecture_ids: Of each run.
        skeletons: Of each run.
        held_out: Whether each run is of the held-out part.
        learned: Whether each run's true final accuracy is above twice chance.
        target: True accuracy, (runs, predicted epochs).
        mean: Predicted accuracy, likewise.
        std: Predicted standard deviation of the final accuracy, (runs,), if there is one.
        paired_target: True final accuracy less that of the paired network, NaN without one.
        paired_mean: The same of the predicted final accuracies.
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
    """Return the table of a truth and a prediction that have been checked."""
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
    """Return each value less the mean value of the paired network's runs, NaN without one."""
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
) -> dict[str, Samples]:
    """Return the samples of every stratum that has networks.

    Args:
        table: Runs and prediction.
        novelty: Why each skeleton is held out; by default that of `SKELETONS`.
        resamples: How many values of each metric follow the first.
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
    found = {
        "test": samples(~table.held_out),
        "heldout": _average(own[name] for name in held_out),
    }
    for kind in NOVELTIES:
        names = [name for name in held_out if novelty.get(name) == kind]
        found[f"heldout/{kind}"] = _average(own[name] for name in names)
    found["test/learned"] = samples(~table.held_out & table.learned, learned=True)
    found["heldout/learned"] = _average(learned.values())
    found |= {f"skeleton/{name}": values for name, values in own.items()}
    return {name: values for name, values in found.items() if values}


def _samples(
    table: Table,
    rows: NDArray[np.bool_],
    *,
    resamples: int,
    paired: bool = False,
    learned: bool = False,
) -> Samples:
    """Return every metric that applies to some rows; none if there are no rows.

    Args:
        table: Runs and prediction.
        rows: Which runs, (runs,).
        resamples: How many.
        paired: Whether differences to paired networks are scored, if there are any.
        learned: Whether the rows are chosen as those that learned.
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

    Skeletons without networks, and for each metric those whose truth leaves it undefined, are left
    out. Resample i of the average is the average of the skeletons' resamples i.
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
