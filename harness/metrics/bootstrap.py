"""Bootstrap resamples of architectures, random candidate sets, and percentile intervals.

A resample draws as many architectures as there are, with replacement, and is stored as the number
of draws of each. Draws depend only on the architecture ids, so all predictors are scored on the
same resamples and can be compared resample by resample.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int32]

RESAMPLES = 1000
LEVEL = 0.95  # of the percentile intervals
CANDIDATES = 100  # networks of a random candidate set, at most half of the networks
# A new name changes every resample or set, and so every published interval
SEED_NAMES = {"resamples": "bootstrap-v1:", "candidates": "candidates-v1:"}


def resample_counts(architecture_ids: Sequence[str], *, resamples: int = RESAMPLES) -> Counts:
    """Return how often each row is drawn in each resample, (resamples, rows).

    Architectures are drawn, so all rows of an architecture have the same count.

    Args:
        architecture_ids: Architecture of each row; their order affects only the column order.
        resamples: Number of resamples.

    >>> counts = resample_counts(["b", "a", "c"], resamples=2)
    >>> counts.shape, counts.sum(axis=1).tolist()
    ((2, 3), [3, 3])
    """
    names, columns = np.unique(np.asarray(architecture_ids, dtype=np.str_), return_inverse=True)
    rng, size = _generator("resamples", names), len(names)
    drawn = rng.integers(size, size=(resamples, size))
    drawn += np.arange(resamples)[:, None] * size
    counts = np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size)
    return counts[:, columns].astype(np.int32)


def sample_counts(architecture_ids: Sequence[str], *, resamples: int = RESAMPLES) -> Counts:
    """Return a row of ones, which is the sample itself, then `resample_counts`."""
    counts = resample_counts(architecture_ids, resamples=resamples)
    return np.concatenate([np.ones((1, counts.shape[1]), counts.dtype), counts])


def candidate_sets(architecture_ids: Sequence[str], *, sets: int = RESAMPLES) -> NDArray[np.intp]:
    """Return the rows of random sets, (sets, rows of the largest set), -1 where a set has fewer.

    A set has `CANDIDATES` architectures, or half of them if there are fewer than twice as many, and
    depends only on the architecture ids.

    >>> candidate_sets(["b", "a", "c", "d"], sets=3).tolist()
    [[0, 1], [0, 1], [2, 3]]
    """
    names, columns = np.unique(np.asarray(architecture_ids, dtype=np.str_), return_inverse=True)
    size = max(1, min(CANDIDATES, len(names) // 2))
    order = _generator("candidates", names).random((sets, len(names))).argsort(axis=1)
    owners, rows = np.nonzero((order < size)[:, columns])
    sizes = np.bincount(owners, minlength=sets)
    members = np.full((sets, sizes.max(initial=0)), -1)
    members[owners, np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[owners]] = rows
    return members


def _generator(purpose: str, names: NDArray[np.str_]) -> np.random.Generator:
    """Return the generator of a purpose for these architectures."""
    text = SEED_NAMES[purpose] + "\n".join(names.tolist())
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def interval(samples: Array) -> tuple[float, float] | None:
    """Return the percentile interval of one value per resample.

    Undefined values (NaN) are left out; the interval is None if they are more than half.

    >>> interval(np.array([0.4, 0.4, np.nan]))
    (0.4, 0.4)
    """
    defined = samples[np.isfinite(samples)]
    if 2 * len(defined) < len(samples) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
