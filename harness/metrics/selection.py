"""Metrics of choosing networks: the best, the best few, and those that learn at all.

Each function takes a `MetricInput` and returns one value per resample (`regret`: per candidate
set), NaN where it is undefined. Networks tied at the boundary of a chosen set share the remaining
slots, so the result does not depend on the order of rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array, Counts
from harness.metrics.metric_input import MetricInput
from harness.metrics.pair_counts import count_pairs

TOP_PARTS = 5  # the top set is a fifth of the networks, rounded up


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """Networks in the order in which they are chosen, in groups of ties.

    Attributes:
        group: Index of each network's group, from 0, (networks,).
        drawn: Number of draws of each network, (resamples, networks).
        size: Number of draws of each group, (resamples, groups).
        before: Number of draws of all earlier groups, (resamples, groups).
    """

    group: NDArray[np.intp]
    drawn: Array
    size: Array
    before: Array


def _rank_sorted(keys: Array, counts: Counts) -> _Ranking:
    """Return the ranking of networks that are already in order; equal keys are ties."""
    first = np.append(True, keys[1:] != keys[:-1])
    drawn = counts.astype(np.float64)
    size = np.add.reduceat(drawn, np.flatnonzero(first), axis=1)
    return _Ranking(np.cumsum(first) - 1, drawn, size, np.cumsum(size, axis=1) - size)


def tau_top(sample: MetricInput) -> Array:
    """Return Kendall's tau-b among the true top 20 %."""
    weights = _top_weights(sample)
    kept = weights.any(axis=0)
    return count_pairs(sample.final_target[kept], sample.final_mean[kept], weights[:, kept]).tau_b()


def _top_weights(sample: MetricInput) -> Array:
    """Return how many draws of each network are in the true top set, (resamples, networks)."""
    order = np.argsort(-sample.final_target, kind="stable")
    ranking = _rank_sorted(sample.final_target[order], sample.counts[:, order])
    top = -(-sample.counts.sum(axis=1, keepdims=True) // TOP_PARTS)
    fraction = np.clip(top - ranking.before, 0, ranking.size) / np.maximum(ranking.size, 1)
    weights = np.empty_like(ranking.drawn)
    weights[:, order] = ranking.drawn * fraction[:, ranking.group]
    return weights


def regret(sample: MetricInput, chosen: int) -> Array:
    """Return, for each candidate set, its best minus the best of the `chosen` predicted best of it.

    For ties in the prediction it is the expected value of a random choice. If a set has fewer
    networks than slots, all of it is chosen.
    """
    target, mean, counts = sample.final_target, sample.final_mean, sample.candidates
    best: Array = np.where(counts > 0, target, -np.inf).max(axis=1)
    # Best predicted first; among ties the best true first, so that the first one chosen counts
    order = np.lexsort((-target, -mean))
    # Leave out networks that no set ever reaches
    order = order[(np.cumsum(counts[:, order], axis=1) - counts[:, order] < chosen).any(axis=0)]
    reached = np.flatnonzero(mean >= mean[order[-1]])
    order = reached[np.lexsort((-target[reached], -mean[reached]))]
    ranking = _rank_sorted(mean[order], counts[:, order])
    slots = np.clip(chosen - ranking.before, 0, ranking.size)
    return best - _expected_best(target[order], ranking, slots)


def _expected_best(target: Array, ranking: _Ranking, slots: Array) -> Array:
    """Return the expected best target of the chosen networks, (resamples,).

    All of each group is chosen, except in the last group reached, of which a random part is chosen.

    Args:
        target: True accuracies, (networks,), falling within each group.
        ranking: The networks in the order of their prediction.
        slots: Number of chosen networks of each group, (resamples, groups).
    """
    last = slots.shape[1] - 1 - np.argmax(slots[:, ::-1] > 0, axis=1)[:, None]
    certain = (ranking.group < last) & (ranking.drawn > 0)
    best_certain = np.where(certain, target, -np.inf).max(axis=1, keepdims=True)
    size, slots = (np.take_along_axis(values, last, axis=1) for values in (ranking.size, slots))
    through = np.cumsum(ranking.drawn, axis=1) - ranking.before[:, ranking.group]
    earlier = through - ranking.drawn
    probability = _missed(earlier, size, slots) - _missed(through, size, slots)
    values = np.maximum(target, best_certain)
    expected: Array = np.where(ranking.group == last, probability * values, 0.0).sum(axis=1)
    return expected


def _missed(first: Array, size: Array, slots: Array) -> Array:
    """Return the probability that a random choice of `slots` out of `size` misses the `first`."""
    missed = np.ones_like(first)
    for slot in range(int(slots.max())):
        left = size - slot
        factor = np.clip(left - first, 0.0, left) / np.maximum(left, 1.0)
        missed *= np.where(slot < slots, factor, 1.0)
    return missed


def auc_learned(sample: MetricInput) -> Array:
    """Return the AUC of the predicted final accuracy as a classifier of networks that learned."""
    learned, failed = sample.counts[:, sample.learned], sample.counts[:, ~sample.learned]
    mean = sample.final_mean
    signs = np.sign(np.subtract.outer(mean[sample.learned], mean[~sample.learned]))
    pairs = learned.sum(axis=1) * failed.sum(axis=1)
    net = np.einsum("rn,rn->r", learned @ signs, failed)
    return np.where(pairs > 0, 0.5 + 0.5 * net / np.maximum(pairs, 1), np.nan)
