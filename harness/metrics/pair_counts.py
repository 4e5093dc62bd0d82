"""Counts of concordant, discordant and tied pairs, for many resamples at once.

The matrix of pair signs does not depend on the resample, so the pair counts of a resample are a
quadratic form of its draw counts, and those of all resamples are a matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array, Counts

Signs = NDArray[np.float32]
PairValues = Callable[[slice, slice], Array | Signs]  # of rows and columns of the pair matrix
BLOCK = 256  # columns; only blocks on and above the diagonal are multiplied
# Counts and their products are integers up to the square of the rows: exact in float32 to 2^24
EXACT_ROWS = 4096
ROUNDING = 1e-12  # fraction of all pairs below which a difference of weight sums counts as 0


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Numbers of ordered pairs of drawn networks, (resamples,) each.

    Two draws of the same network are tied in the target and in the prediction.

    Attributes:
        net: Number of concordant pairs minus number of discordant pairs.
        untied_target: Number of pairs not tied in the target.
        untied_prediction: Number of pairs not tied in the prediction.
    """

    net: Array
    untied_target: Array
    untied_prediction: Array

    def tau_b(self) -> Array:
        """Return Kendall's tau-b: 0 for a constant prediction, NaN for a constant target."""
        scale = np.sqrt(self.untied_target * self.untied_prediction)
        return self._divide_net(np.where(scale > 0, scale, 1.0))

    def somers_d(self) -> Array:
        """Return Somers' D given the target: NaN for a constant target."""
        return self._divide_net(np.where(self.untied_target > 0, self.untied_target, 1.0))

    def _divide_net(self, scale: Array) -> Array:
        return np.where(self.untied_target > 0, np.clip(self.net / scale, -1.0, 1.0), np.nan)


def count_pairs(target: Array, prediction: Array, weights: Counts | Array) -> PairCounts:
    """Count the pairs of networks that are concordant, and those that are untied.

    Args:
        target: True values, (networks,).
        prediction: Predicted values, (networks,).
        weights: How often each network is drawn, (resamples, networks); may be fractional.
    """
    factors = _factors(weights)
    drawn: Array | Signs = factors.T.copy()  # (networks, resamples)
    own = np.einsum("nr,nr->r", drawn, drawn).astype(np.float64)
    total = drawn.sum(axis=0, dtype=np.float64) ** 2
    target_ranks, predicted_ranks = ranks(target), ranks(prediction)
    return PairCounts(
        _sum_over_pairs(factors, *map(_signs, (target_ranks, predicted_ranks))),
        _untied(target_ranks, drawn, own, total),
        _untied(predicted_ranks, drawn, own, total),
    )


def somers_d_of_distinct(
    target: Array, prediction: Array, weights: Counts, difference: float
) -> Array:
    """Return Somers' D among the pairs whose targets differ by more than `difference`.

    The arguments are those of `count_pairs`; NaN for a resample without such a pair.
    """
    factors = _factors(weights)

    def distinct(rows: slice, columns: slice) -> Array:
        differences = np.subtract.outer(target[rows], target[columns])
        return np.where(np.abs(differences) > difference, np.sign(differences), 0.0)

    net = _sum_over_pairs(factors, distinct, _signs(ranks(prediction)))
    pairs = _sum_over_pairs(factors, distinct, distinct)
    return np.where(pairs > 0, net / np.where(pairs > 0, pairs, 1.0), np.nan)


def _factors(weights: Counts | Array) -> Array | Signs:
    """Return weights as floats whose sums of products are exact."""
    exact = np.issubdtype(weights.dtype, np.integer) and weights.shape[1] <= EXACT_ROWS
    return weights.astype(np.float32) if exact else weights.astype(np.float64)


def ranks(values: Array) -> NDArray[np.intp]:
    """Return dense ranks from 0; equal values share one.

    >>> ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [1, 0, 1]
    """
    return np.unique(values, return_inverse=True)[1]


def _signs(values: NDArray[np.intp]) -> PairValues:
    """Return a function that returns the signs of the differences of rows and columns."""
    numbers = values.astype(np.float32)
    return lambda rows, columns: np.sign(np.subtract.outer(numbers[rows], numbers[columns]))


def _sum_over_pairs(weights: Array | Signs, first: PairValues, second: PairValues) -> Array:
    """Return the weighted sum of first * second over ordered pairs of networks, (resamples,)."""
    total = np.zeros(len(weights))
    for start in range(0, weights.shape[1], BLOCK):
        stop = min(start + BLOCK, weights.shape[1])
        rows, columns = slice(0, stop), slice(start, stop)
        values = first(rows, columns) * second(rows, columns)
        values[start:] = np.triu(values[start:])
        reached = weights[:, :stop] @ values.astype(weights.dtype, copy=False)
        total += 2.0 * np.einsum("rn,rn->r", reached, weights[:, start:stop])
    return total


def _untied(values: NDArray[np.intp], drawn: Array | Signs, own: Array, total: Array) -> Array:
    """Return the number of ordered pairs with different values: all pairs minus tied pairs.

    Args:
        values: Dense ranks, (networks,).
        drawn: Weights, (networks, resamples).
        own: Sum of squared weights, which counts the pairs of a network with itself, (resamples,).
        total: Square of the sum of weights, (resamples,).
    """
    sizes = np.bincount(values)
    order = np.argsort(values, kind="stable")
    shared = order[sizes[values[order]] > 1]
    tied = own
    if len(shared):
        starts = np.flatnonzero(np.diff(values[shared], prepend=-1))
        weights = drawn[shared]
        groups = np.add.reduceat(weights, starts, axis=0)
        within = np.einsum("nr,nr->r", groups, groups) - np.einsum("nr,nr->r", weights, weights)
        tied = own + within
    untied = total - tied
    return np.where(untied > ROUNDING * total, untied, 0.0)
