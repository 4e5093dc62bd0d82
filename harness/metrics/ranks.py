"""Metrics of the order of all networks.

Each function takes a `MetricInput` and returns one value per resample, NaN where it is undefined.
`harness.metrics.registry.METRICS` has the formula, range and treatment of ties of each.
"""

import numpy as np

from harness.metrics.bootstrap import Array
from harness.metrics.metric_input import MetricInput
from harness.metrics.pair_counts import count_pairs


def tau(sample: MetricInput) -> Array:
    """Return Kendall's tau-b of the final accuracy."""
    return sample.orders.tau_b()[:, -1]


def curve_tau(sample: MetricInput) -> Array:
    """Return the mean over epochs of Kendall's tau-b."""
    average: Array = sample.orders.tau_b().mean(axis=1)
    return average


def somers_d(sample: MetricInput) -> Array:
    """Return Somers' D of the final accuracy."""
    return sample.orders.somers_d()[:, -1]


def tau_paired(sample: MetricInput) -> Array:
    """Return Kendall's tau-b of the differences to the paired networks."""
    if sample.paired_target is None or sample.paired_mean is None:
        return np.full(len(sample.counts), np.nan)
    paired = np.isfinite(sample.paired_target)
    target, mean = sample.paired_target[paired, None], sample.paired_mean[paired, None]
    return count_pairs(target, mean, sample.counts[:, paired]).tau_b()[:, 0]
