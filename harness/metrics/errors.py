"""Metrics of errors, which are means over networks.

Each function takes a `MetricInput` and returns one value per resample, NaN where it is undefined.
`harness.metrics.registry.METRICS` has the formula, range and treatment of ties of each.
"""

from collections.abc import Sequence

import numpy as np

from harness.metrics.bootstrap import Array
from harness.metrics.metric_input import MetricInput

QUANTILE_95 = 1.6448536269514722  # of the standard normal distribution
# Fraction of the second moment below which a variance is rounding error; float64 errs by 1e-16
NO_VARIANCE = 1e-12


def mse(sample: MetricInput) -> Array:
    """Return the mean squared error of the final accuracy."""
    return _squared_errors(sample)[:, -1]


def curve_mse(sample: MetricInput) -> Array:
    """Return the mean over epochs of the mean squared error."""
    average: Array = _squared_errors(sample).mean(axis=1)
    return average


def r2(*skeletons: MetricInput) -> Array:
    """Return 1 - SSE / SST of the final accuracy, sums over skeletons, each about its own mean."""
    return _r2(skeletons)[:, -1]


def curve_r2(*skeletons: MetricInput) -> Array:
    """Return the mean over epochs of `r2` at each epoch."""
    average: Array = _r2(skeletons).mean(axis=1)
    return average


def squared_pearson(sample: MetricInput) -> Array:
    """Return the square of Pearson's correlation of the final accuracy."""
    target = sample.final_target - sample.final_target.mean()
    mean = sample.final_mean - sample.final_mean.mean()
    columns = np.stack([target, mean, target**2, mean**2, target * mean], axis=1)
    target1, mean1, target2, mean2, product = sample.average(columns).T
    target_variance = _variance(target1, target2)
    mean_variance = _variance(mean1, mean2)
    scale = target_variance * mean_variance
    covariance = np.where(scale > 0, product - target1 * mean1, 0.0)
    squared = covariance**2 / np.where(scale > 0, scale, 1.0)
    return np.where(target_variance > 0, np.minimum(squared, 1.0), np.nan)


def nll(sample: MetricInput) -> Array:
    """Return the mean negative log likelihood of the true final accuracy, in nats."""
    score, std = _standard_score(sample)
    return _mean(sample, np.log(std) + 0.5 * (np.log(2 * np.pi) + score**2))


def crps(sample: MetricInput) -> Array:
    """Return the mean continuous ranked probability score, in accuracy."""
    from scipy.special import ndtr

    score, std = _standard_score(sample)
    density = np.exp(-0.5 * score**2) / np.sqrt(2 * np.pi)
    values = std * (score * (2 * ndtr(score) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return _mean(sample, values)


def coverage_90(sample: MetricInput) -> Array:
    """Return the fraction of networks whose true accuracy lies in the central 90 % interval."""
    score, _ = _standard_score(sample)
    return _mean(sample, (np.abs(score) <= QUANTILE_95).astype(np.float64))


def _mean(sample: MetricInput, values: Array) -> Array:
    return sample.average(values[:, None])[:, 0]


def _squared_errors(sample: MetricInput) -> Array:
    """Return the mean squared error of every epoch, (resamples, epochs)."""
    return sample.average((sample.mean - sample.target) ** 2)


def _r2(skeletons: Sequence[MetricInput]) -> Array:
    """Return 1 - SSE / SST of every epoch, (resamples, epochs)."""
    errors, squares = (sum(parts) for parts in zip(*map(_sums, skeletons), strict=True))
    ratio = errors / np.where(squares > 0, squares, 1.0)
    return np.where(squares > 0, 1.0 - ratio, np.nan)


def _sums(sample: MetricInput) -> tuple[Array, Array]:
    """Return SSE, and SST about the mean, of every epoch, (resamples, epochs) each."""
    # Centred, to lose little precision when squares are subtracted
    centred = sample.target - sample.target.mean(axis=0)
    draws = sample.counts.sum(axis=1, keepdims=True)
    variance = _variance(sample.average(centred), sample.average(centred**2))
    return draws * _squared_errors(sample), draws * variance


def _variance(first: Array, second: Array) -> Array:
    """Return the variance from the first two moments, exactly 0 where it is rounding error."""
    variance = second - first**2
    return np.where(variance > NO_VARIANCE * second, variance, 0.0)


def _standard_score(sample: MetricInput) -> tuple[Array, Array]:
    """Return the final errors in standard deviations, and the standard deviations, (networks,)."""
    if sample.std is None:
        raise ValueError("a sample without std has no nll, crps or coverage_90")
    return (sample.final_target - sample.final_mean) / sample.std, sample.std
