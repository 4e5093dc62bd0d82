"""Metrics of choosing networks: the best, the best few, and those that learn at all.

Each function takes a `MetricInput` and returns one value per resample (`regret`: per candidate
set), NaN where it is undefined. Networks tied at the boundary of a chosen set share the remaining
slots, so the result does not depend on the order of rows.
"""

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array
from harness.metrics.metric_input import MetricInput
from harness.metrics.pair_counts import count_pairs

TOP_PARTS = 5  # the top set is a fifth of the networks, rounded up


def tau_top(sample: MetricInput) -> Array:
    """Return Kendall's tau-b among the true top 20 %."""
    weights = _top_weights(sample)
    kept = weights.any(axis=0)
    return count_pairs(sample.final_target[kept], sample.final_mean[kept], weights[:, kept]).tau_b()


def _top_weights(sample: MetricInput) -> Array:
    """Return how many draws of each network are in the true top set, (resamples, networks)."""
    order = np.argsort(-sample.final_target, kind="stable")
    ranked, drawn = sample.final_target[order], sample.counts[:, order].astype(np.float64)
    first = np.append(True, ranked[1:] != ranked[:-1])  # of each group of ties
    group = np.cumsum(first) - 1
    size = np.add.reduceat(drawn, np.flatnonzero(first), axis=1)
    before = np.cumsum(size, axis=1) - size
    top = -(-drawn.sum(axis=1, keepdims=True) // TOP_PARTS)
    fraction = np.clip(top - before, 0, size) / np.maximum(size, 1)
    weights = np.empty_like(drawn)
    weights[:, order] = drawn * fraction[:, group]
    return weights


def regret(sample: MetricInput, chosen: int) -> Array:
    """Return, for each candidate set, its best minus the best of the `chosen` predicted best of it.

    For ties in the prediction it is the expected value of a random choice. If a set has fewer
    networks than slots, all of it is chosen.
    """
    target, mean = (  # (sets, members); index -1, where a set has no more networks, is -inf
        np.append(values, -np.inf)[sample.candidates]
        for values in (sample.final_target, sample.final_mean)
    )
    chosen = min(chosen, mean.shape[1])
    last = -np.partition(-mean, chosen - 1, axis=1)[:, chosen - 1, None]
    certain, tied = mean > last, mean == last
    slots = chosen - certain.sum(axis=1)
    best_certain = np.where(certain, target, -np.inf).max(axis=1)
    of_tied = np.where(tied, target, -np.inf)
    best = np.maximum(best_certain, of_tied.max(axis=1))
    some = np.flatnonzero((tied.sum(axis=1) > slots) & np.isfinite(last[:, 0]))
    if len(some):
        best[some] = _expected_best(of_tied[some], best_certain[some], slots[some])
    difference: Array = target.max(axis=1) - best
    return difference


def _expected_best(tied: Array, best_certain: Array, slots: NDArray[np.intp]) -> Array:
    """Return the expected best target if some of the tied networks are chosen at random, (sets,).

    Args:
        tied: Targets of tied networks, -inf for others, (sets, members).
        best_certain: Best target of the networks that are chosen in any case, (sets,).
        slots: Number of tied networks that are chosen, (sets,).
    """
    size = np.isfinite(tied).sum(axis=1, keepdims=True)
    falling = -np.sort(-tied, axis=1)[:, : size.max()]
    missed = _missed(np.arange(falling.shape[1] + 1.0), size, slots[:, None])
    probability = missed[:, :-1] - missed[:, 1:]  # that this is the best one chosen
    values = np.where(np.isfinite(falling), np.maximum(falling, best_certain[:, None]), 0.0)
    expected: Array = (probability * values).sum(axis=1)
    return expected


def _missed(first: Array, size: NDArray[np.intp], slots: NDArray[np.intp]) -> Array:
    """Return the probability that a random choice of `slots` out of `size` misses the `first`.

    `first` has shape (numbers,), the others (sets, 1), the result (sets, numbers).
    """
    missed = np.ones((len(size), len(first)))
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
