"""Log odds, the scale that predictors model accuracies on."""

import numpy as np
from scipy.special import expit, logit

from harness.protocol import Array

# Accuracies are clipped to this range before the logit, so that no network counts for more than a
# few: below chance lies noise, above lies the resolution of small image sets.
LOWEST, HIGHEST = 0.02, 0.995


def to_logits(accuracy: Array) -> Array:
    """Return the log odds of accuracies, clipped to [.02, .995]; any shape."""
    return np.asarray(logit(np.clip(accuracy, LOWEST, HIGHEST)), dtype=np.float64)


def from_logits(logits: Array) -> Array:
    """Return the accuracies of log odds; any shape.

    >>> from_logits(to_logits(np.array([0.1, 0.5, 1.0]))).round(3).tolist()
    [0.1, 0.5, 0.995]
    """
    return np.asarray(expit(logits), dtype=np.float64)
