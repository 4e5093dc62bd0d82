"""Counts of concordant, discordant and tied pairs, for many resamples at once.

The matrix of pair signs does not depend on the resample, so the pair counts of a resample are a
quadratic form of its draw counts, and those of all resamples are a matrix product.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array, Counts

Signs = NDArray[np.float32]
BLOCK = 256  # columns; only blocks on and above the diagonal are multiplied
# Counts and their products are integers up to the square of the rows: exact in float32 to 2^24
EXACT_ROWS = 4096
ROUNDING = 1e-12  # fraction of all pairs below which a difference of weight sums counts as 0


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Numbers of ordered pairs of drawn networks, (resamples, columns) each.

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
    """Count the pairs of each column.

    Args:
        target: True values, (networks, columns).
        prediction: Predicted values, (networks, columns).
        weights: How often each network is drawn, (resamples, networks); may be fractional.
    """
    exact = np.issubdtype(weights.dtype, np.integer) and len(target) <= EXACT_ROWS
    factors: Array | Signs
    factors = weights.astype(np.float32) if exact else weights.astype(np.float64)
    drawn: Array | Signs = factors.T.copy()  # (networks, resamples)
    own = np.einsum("nr,nr->r", drawn, drawn).astype(np.float64)
    total = drawn.sum(axis=0, dtype=np.float64) ** 2
    shape = (len(weights), target.shape[1])
    net, untied_target, untied_prediction = np.empty(shape), np.empty(shape), np.empty(shape)
    for column in range(target.shape[1]):
        target_ranks, predicted_ranks = ranks(target[:, column]), ranks(prediction[:, column])
        net[:, column] = _net(target_ranks, predicted_ranks, factors)
        untied_target[:, column] = _untied(target_ranks, drawn, own, total)
        untied_prediction[:, column] = _untied(predicted_ranks, drawn, own, total)
    return PairCounts(net, untied_target, untied_prediction)


def ranks(values: Array) -> NDArray[np.intp]:
    """Return dense ranks from 0; equal values share one.

    >>> ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [1, 0, 1]
    """
    return np.unique(values, return_inverse=True)[1]


def _net(target: NDArray[np.intp], prediction: NDArray[np.intp], weights: Array | Signs) -> Array:
    """Return twice the sum over pairs of weights times signs, (resamples,)."""
    first, second = target.astype(np.float32), prediction.astype(np.float32)
    total = np.zeros(len(weights))
    for start in range(0, len(target), BLOCK):
        stop = min(start + BLOCK, len(target))
        signs = np.subtract.outer(first[:stop], first[start:stop])
        signs *= np.subtract.outer(second[:stop], second[start:stop])
        np.sign(signs, out=signs)
        signs[start:] = np.triu(signs[start:])
        reached = weights[:, :stop] @ signs.astype(weights.dtype, copy=False)
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
