"""From logits to accuracies that are right on average, with spreads that cover as they say.

Networks that fail make the accuracy that a logit stands for lower, on average, than its sigmoid.
All of it is learned on networks that the logits were not fitted on.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import expit

from harness.protocol import Array

SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of the sigmoids, in logits
NEIGHBOURS = 60  # held-out networks whose errors make a spread
LEAST_SPREAD = 1e-3  # of an accuracy
COVERED, DEVIATIONS = 0.9, 1.645  # a normal variable lies within so many deviations that often


@dataclass(frozen=True, slots=True)
class Rising:
    """An increasing function from logits to accuracies, one for each epoch: a sum of sigmoids.

    Increasing, so that it changes no order of networks.

    Attributes:
        weights: (epochs, sigmoids and a constant), none negative.
    """

    weights: Array

    def __call__(self, logits: Array) -> Array:
        """Return accuracies in [0, 1] of logits (networks, epochs)."""
        parts = _sigmoids(logits)  # (networks, epochs, parts)
        return np.asarray(np.clip(np.einsum("nep,ep->ne", parts, self.weights), 0.0, 1.0))


def fit_rising(logits: Array, accuracy: Array) -> Rising:
    """Return the function of least squares from logits to accuracies, (networks, epochs) both."""
    parts = _sigmoids(logits)
    weights = [nnls(parts[:, e], accuracy[:, e])[0] for e in range(logits.shape[1])]
    return Rising(np.stack(weights))


def _sigmoids(logits: Array) -> Array:
    """Return a constant and sigmoids of logits, in a new last axis."""
    steps = [expit(logits + shift) for shift in SHIFTS]
    return np.stack([np.ones_like(logits), *steps, expit(logits / 2)], axis=-1)


@dataclass(frozen=True, slots=True)
class MixedPrediction:
    """What is said of some networks, before it has a spread.

    Attributes:
        logits: (networks, epochs).
        accuracy: (networks, epochs), calibrated.
        failure: (networks,), probability of having failed.
    """

    logits: Array
    accuracy: Array
    failure: Array


@dataclass(frozen=True, slots=True)
class Spread:
    """How far accuracies lie from their predictions.

    Half of a spread is the root mean square error of the held-out networks whose final logits are
    nearest; half is what a failure would cost, the distance to chance times sqrt(p (1 - p)) for a
    failure probability p. The sum is scaled so that nine of ten held-out networks lie within 1.645
    standard deviations, epoch by epoch (split conformal prediction, Lei et al. 2018,
    arXiv:1604.04173, on held-out folds).

    Attributes:
        finals: (networks,), final logits of held-out networks.
        errors: (networks, epochs), their accuracies less the predicted ones.
        chance: Accuracy of a network that failed.
        factor: (epochs,).
    """

    finals: Array
    errors: Array
    chance: float
    factor: Array

    def of(self, predictions: MixedPrediction) -> Array:
        """Return standard deviations (networks, epochs) of predicted accuracies."""
        return self._of(predictions, _nearest(_distance(predictions.logits, self.finals)))

    def _of(self, predictions: MixedPrediction, near: NDArray[np.intp]) -> Array:
        usual = np.sqrt(np.square(self.errors[near]).mean(axis=1))
        doubt = np.sqrt(predictions.failure * (1 - predictions.failure))
        failing = doubt[:, None] * abs(predictions.accuracy - self.chance)
        return np.asarray(np.maximum(self.factor * (usual + failing) / 2, LEAST_SPREAD))


def fit_spread(predictions: MixedPrediction, true: Array, chance: float) -> Spread:
    """Return the spread that held-out networks call for.

    Args:
        predictions: For the held-out networks.
        true: (networks, epochs), accuracies.
        chance: Accuracy of a network that failed.
    """
    errors = true - predictions.accuracy
    raw = Spread(predictions.logits[:, -1], errors, chance, np.ones(errors.shape[1]))
    distance = _distance(predictions.logits, raw.finals)
    np.fill_diagonal(distance, np.inf)  # none is its own neighbour
    spreads = raw._of(predictions, _nearest(distance)[:, : len(errors) - 1])
    level = min(1.0, COVERED * (1 + 1 / len(errors)))  # as few networks call for
    factor = np.quantile(abs(errors) / spreads, level, axis=0, method="higher") / DEVIATIONS
    return replace(raw, factor=factor)


def _distance(logits: Array, finals: Array) -> Array:
    """Return how far final logits lie from others, (networks, others)."""
    return np.asarray(abs(logits[:, None, -1] - finals[None]))


def _nearest(distance: Array) -> NDArray[np.intp]:
    """Return the nearest networks of each row, (rows, up to 60)."""
    return np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
