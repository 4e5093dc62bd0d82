"""Logits (log odds) of accuracies, the scale on which predictors model them."""

import numpy as np
from scipy.special import expit, logit

from harness.protocol import Array

# Accuracies are clipped to this range, so that no single network dominates a fit: values below it
# are noise, and small image sets do not resolve values above it.
LOWEST, HIGHEST = 0.02, 0.995


def to_logits(accuracy: Array) -> Array:
    """Return the logits of accuracies, which are clipped to [.02, .995] first; any shape."""
    return np.asarray(logit(np.clip(accuracy, LOWEST, HIGHEST)), dtype=np.float64)


def from_logits(logits: Array) -> Array:
    """Return the accuracies of logits; any shape.

    >>> from_logits(to_logits(np.array([0.1, 0.5, 1.0]))).round(3).tolist()
    [0.1, 0.5, 0.995]
    """
    return np.asarray(expit(logits), dtype=np.float64)
