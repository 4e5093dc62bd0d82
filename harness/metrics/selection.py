"""The metrics of choosing networks: the best, the best few, and those that learn at all.

Each function takes a `MetricInput` and returns one value per resample, NaN where it is undefined.
Networks tied at the edge of a chosen set share the places left, so that no order of rows decides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array, Counts
from harness.metrics.metric_input import MetricInput
from harness.metrics.pair_counts import count_pairs

TOP_PARTS = 5  # the top set is a fifth of the networks, rounded up


@dataclass(frozen=True, slots=True, eq=False)
class _Queue:
    """Networks in the order in which they are chosen, in groups of ties.

    Attributes:
        group: Group of each network, from 0, (networks,).
        drawn: Draws of each network, (resamples, networks).
        size: Draws of each group, (resamples, groups).
        before: Draws of all groups before each, likewise.
    """

    group: NDArray[np.intp]
    drawn: Array
    size: Array
    before: Array


def _queue(keys: Array, counts: Counts) -> _Queue:
    """Return the queue of networks that are already in order; equal keys are ties."""
    first = np.append(True, keys[1:] != keys[:-1])
    drawn = counts.astype(np.float64)
    size = np.add.reduceat(drawn, np.flatnonzero(first), axis=1)
    return _Queue(np.cumsum(first) - 1, drawn, size, np.cumsum(size, axis=1) - size)


def tau_top(sample: MetricInput) -> Array:
    """Return Kendall's tau-b among the true top 20 %."""
    weights = _top_weights(sample)
    kept = weights.any(axis=0)
    target, mean = sample.final_target[kept, None], sample.final_mean[kept, None]
    return count_pairs(target, mean, weights[:, kept]).tau_b()[:, 0]


def _top_weights(sample: MetricInput) -> Array:
    """Return how much of each network lies in the true top set, (resamples, networks)."""
    order = np.argsort(-sample.final_target, kind="stable")
    queue = _queue(sample.final_target[order], sample.counts[:, order])
    top = -(-sample.counts.sum(axis=1, keepdims=True) // TOP_PARTS)
    share = np.clip(top - queue.before, 0, queue.size) / np.maximum(queue.size, 1)
    weights = np.empty_like(queue.drawn)
    weights[:, order] = queue.drawn * share[:, queue.group]
    return weights


def regret(sample: MetricInput, chosen: int) -> Array:
    """Return the true best less the true best of the `chosen` networks predicted best.

    Over ties in the prediction it is the expected value of a random choice. Every draw of a network
    takes one place; a resample with fewer draws than places is chosen whole.
    """
    target, mean, counts = sample.final_target, sample.final_mean, sample.counts
    best: Array = np.where(counts > 0, target, -np.inf).max(axis=1)
    # Best predicted first; among ties the best true first, so that the first one chosen counts
    order = np.lexsort((-target, -mean))
    # Networks that no resample ever reaches need not be looked at
    order = order[(np.cumsum(counts[:, order], axis=1) - counts[:, order] < chosen).any(axis=0)]
    reached = np.flatnonzero(mean >= mean[order[-1]])
    order = reached[np.lexsort((-target[reached], -mean[reached]))]
    queue = _queue(mean[order], counts[:, order])
    return best - _expected_best(
        target[order], queue, np.clip(chosen - queue.before, 0, queue.size)
    )


def _expected_best(target: Array, queue: _Queue, places: Array) -> Array:
    """Return the expected best truth of the chosen, (resamples,).

    All of a group is chosen but in the last one reached, of which a random part is.

    Args:
        target: (networks,), falling within each group.
        queue: The networks in the order of their prediction.
        places: How many of each group are chosen, (resamples, groups).
    """
    last = places.shape[1] - 1 - np.argmax(places[:, ::-1] > 0, axis=1)[:, None]
    surely = (queue.group < last) & (queue.drawn > 0)
    sure = np.where(surely, target, -np.inf).max(axis=1, keepdims=True)
    size, places = (np.take_along_axis(values, last, axis=1) for values in (queue.size, places))
    through = np.cumsum(queue.drawn, axis=1) - queue.before[:, queue.group]
    chance = _none_chosen(through - queue.drawn, size, places) - _none_chosen(through, size, places)
    values = np.maximum(target, sure)
    expected: Array = np.where(queue.group == last, chance * values, 0.0).sum(axis=1)
    return expected


def _none_chosen(first: Array, size: Array, places: Array) -> Array:
    """Return the chance that a random choice of `places` out of `size` misses the `first` ones."""
    missed = np.ones_like(first)
    for place in range(int(places.max())):
        left = size - place
        here = np.clip(left - first, 0.0, left) / np.maximum(left, 1.0)
        missed *= np.where(place < places, here, 1.0)
    return missed


def auc_learned(sample: MetricInput) -> Array:
    """Return the AUC of telling networks that learned by their predicted final accuracy."""
    learned, failed = sample.counts[:, sample.learned], sample.counts[:, ~sample.learned]
    mean = sample.final_mean
    signs = np.sign(np.subtract.outer(mean[sample.learned], mean[~sample.learned]))
    pairs = learned.sum(axis=1) * failed.sum(axis=1)
    net = np.einsum("rn,rn->r", learned @ signs, failed)
    return np.where(pairs > 0, 0.5 + 0.5 * net / np.maximum(pairs, 1), np.nan)
