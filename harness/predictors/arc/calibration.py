"""Calibration of predicted logits: unbiased accuracies, and standard deviations with 90% coverage.

Because some networks fail, the mean accuracy at a predicted logit is below its sigmoid. Everything
here is fitted on networks that were held out when their logits were predicted.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls
from scipy.special import expit

from harness.predictors.base import Index
from harness.protocol import Array

SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of the sigmoids, in logits
NEIGHBOURS = 60  # held-out networks whose errors give a standard deviation
LEAST_STD = 1e-3  # of an accuracy
COVERAGE, DEVIATIONS = 0.9, 1.645  # share of a normal distribution within so many std


@dataclass(frozen=True, slots=True)
class AccuracyMap:
    """An increasing function from logits to accuracies for each epoch, a sum of sigmoids.

    It is increasing, so it keeps the order of networks.

    Attributes:
        weights: (epochs, 1 + sigmoids), non-negative weights of the constant and the sigmoids.
    """

    weights: Array

    def __call__(self, logits: Array) -> Array:
        """Return accuracies in [0, 1] of logits (networks, epochs)."""
        terms = _terms(logits)  # (networks, epochs, terms)
        return np.asarray(np.clip(np.einsum("nep,ep->ne", terms, self.weights), 0.0, 1.0))


def fit_accuracy_map(logits: Array, accuracy: Array) -> AccuracyMap:
    """Return the least squares map from logits to accuracies, both (networks, epochs)."""
    terms = _terms(logits)
    weights = [nnls(terms[:, e], accuracy[:, e])[0] for e in range(logits.shape[1])]
    return AccuracyMap(np.stack(weights))


def _terms(logits: Array) -> Array:
    """Return a constant and sigmoids of logits, along a new last axis."""
    sigmoids = [expit(logits + shift) for shift in SHIFTS]
    return np.stack([np.ones_like(logits), *sigmoids, expit(logits / 2)], axis=-1)


@dataclass(frozen=True, slots=True)
class MixedPrediction:
    """The prediction for some networks, without standard deviations.

    Attributes:
        logits: (networks, epochs), mixture of the members.
        accuracy: (networks, epochs), calibrated accuracies.
        failure: (networks,), probability of failure.
    """

    logits: Array
    accuracy: Array
    failure: Array


@dataclass(frozen=True, slots=True)
class StdModel:
    """The standard deviation of accuracies around their predictions.

    It is the mean of two terms: the root mean square error of the held-out networks with the
    nearest final logits, and the effect of a failure, which is the distance to chance times
    sqrt(p (1 - p)) for a failure probability p. A factor for each epoch scales it so that nine of
    ten held-out networks lie within 1.645 standard deviations (split conformal prediction, Lei et
    al. 2018, arXiv:1604.04173, on held-out folds).

    Attributes:
        finals: (networks,), final logits of the held-out networks.
        errors: (networks, epochs), accuracies minus predicted accuracies of these networks.
        chance: Accuracy of a network that failed.
        factor: (epochs,), scale of the standard deviations.
    """

    finals: Array
    errors: Array
    chance: float
    factor: Array

    def std(self, predictions: MixedPrediction) -> Array:
        """Return standard deviations (networks, epochs) of predicted accuracies."""
        return self._std(predictions, _nearest(_distances(predictions.logits, self.finals)))

    def _std(self, predictions: MixedPrediction, nearest: Index) -> Array:
        error = np.sqrt(np.square(self.errors[nearest]).mean(axis=1))
        failure = np.sqrt(predictions.failure * (1 - predictions.failure))
        effect = failure[:, None] * abs(predictions.accuracy - self.chance)
        return np.asarray(np.maximum(self.factor * (error + effect) / 2, LEAST_STD))


def fit_std_model(predictions: MixedPrediction, targets: Array, chance: float) -> StdModel:
    """Return the model of standard deviations, fitted to held-out networks.

    `targets` are their accuracies, (networks, epochs).
    """
    errors = targets - predictions.accuracy
    unscaled = StdModel(predictions.logits[:, -1], errors, chance, np.ones(errors.shape[1]))
    distances = _distances(predictions.logits, unscaled.finals)
    np.fill_diagonal(distances, np.inf)  # a network is not its own neighbour
    std = unscaled._std(predictions, _nearest(distances)[:, : len(errors) - 1])
    level = min(1.0, COVERAGE * (1 + 1 / len(errors)))  # corrected for few networks
    factor = np.quantile(abs(errors) / std, level, axis=0, method="higher") / DEVIATIONS
    return replace(unscaled, factor=factor)


def _distances(logits: Array, finals: Array) -> Array:
    """Return distances between the final logits of networks and `finals`, (networks, finals)."""
    return np.asarray(abs(logits[:, None, -1] - finals[None]))


def _nearest(distances: Array) -> Index:
    """Return the columns of the nearest networks for each row, (rows, up to 60)."""
    return np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
