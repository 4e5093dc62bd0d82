"""Metrics of the order of all networks.

Each function takes a `MetricInput` and returns one value per resample, NaN where it is undefined.
`harness.metrics.registry.METRICS` has the formula, range and treatment of ties of each.
"""

import numpy as np

from harness.metrics.bootstrap import Array
from harness.metrics.metric_input import MetricInput
from harness.metrics.pair_counts import count_pairs, somers_d_of_distinct


def tau(sample: MetricInput) -> Array:
    """Return Kendall's tau-b of the final accuracy."""
    return sample.pairs().tau_b()


def curve_tau(sample: MetricInput) -> Array:
    """Return the mean over epochs of Kendall's tau-b."""
    epochs = range(sample.target.shape[1])
    average: Array = np.mean([sample.pairs(epoch).tau_b() for epoch in epochs], axis=0)
    return average


def somers_d(sample: MetricInput) -> Array:
    """Return Somers' D of the final accuracy."""
    return sample.pairs().somers_d()


def tau_distinct(sample: MetricInput) -> Array:
    """Return Somers' D among networks that differ by more than two runs of one network do."""
    if sample.seed_difference is None:
        return np.full(len(sample.counts), np.nan)
    arrays = sample.final_target, sample.final_mean, sample.counts
    return somers_d_of_distinct(*arrays, sample.seed_difference)


def tau_paired(sample: MetricInput) -> Array:
    """Return Kendall's tau-b of the differences to the paired networks."""
    if sample.paired_target is None or sample.paired_mean is None:
        return np.full(len(sample.counts), np.nan)
    paired = np.isfinite(sample.paired_target)
    target, mean = sample.paired_target[paired], sample.paired_mean[paired]
    return count_pairs(target, mean, sample.counts[:, paired]).tau_b()
