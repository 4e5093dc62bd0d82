"""Resamples of architectures and the intervals they give.

A resample draws as many architectures as there are, with replacement, and is kept as the number of
times that each is drawn. The draws depend on the architectures alone: every predictor is scored on
the same resamples, so that two predictors can be compared resample by resample.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int32]

RESAMPLES = 1000
LEVEL = 0.95  # of the percentile intervals
SEED_NAME = "bootstrap-v1:"  # a new name redraws every resample, and so every published interval


def resample_counts(architecture_ids: Sequence[str], *, resamples: int = RESAMPLES) -> Counts:
    """Return how often each row is drawn in each resample, (resamples, rows).

    Whole architectures are drawn: the rows of one architecture share a count.

    Args:
        architecture_ids: The architecture of each row; its order only orders the columns.
        resamples: How many.

    >>> counts = resample_counts(["b", "a", "c"], resamples=2)
    >>> counts.shape, counts.sum(axis=1).tolist()
    ((2, 3), [3, 3])
    """
    names, columns = np.unique(np.asarray(architecture_ids, dtype=np.str_), return_inverse=True)
    digest = hashlib.sha256((SEED_NAME + "\n".join(names.tolist())).encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    size = len(names)
    drawn = rng.integers(size, size=(resamples, size))
    drawn += np.arange(resamples)[:, None] * size
    counts = np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size)
    return counts[:, columns].astype(np.int32)


def interval(samples: Array) -> tuple[float, float] | None:
    """Return the percentile interval of one value per resample.

    Resamples in which the value is undefined (NaN) are left out; None if they are more than half.

    >>> interval(np.array([0.4, 0.4, np.nan]))
    (0.4, 0.4)
    """
    defined = samples[np.isfinite(samples)]
    if 2 * len(defined) < len(samples) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
