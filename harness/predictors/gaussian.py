"""Curves as a Gaussian process whose mean and covariance are those of the training curves."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from harness.features.logits import to_logits
from harness.predictors.base import check_observed, check_runs, folds, later_epochs
from harness.protocol import Array, Prediction, Queries, Runs

SHRINKAGES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of the covariance towards its mean variance
FOLDS = 5
NODES = 15  # of Gauss-Hermite quadrature


@dataclass(frozen=True, slots=True)
class CurveGaussian:
    """A multivariate normal distribution of logit curves about means that may differ by network.

    Attributes:
        covariance: (epochs, epochs), already shrunk.
    """

    covariance: Array

    def condition(self, residuals: Array) -> tuple[Array, Array]:
        """Return mean (curves, later epochs) and variance (later epochs,) of what comes after.

        Args:
            residuals: (curves, observed epochs), observed logits less their means.
        """
        k = residuals.shape[1]
        inner, cross = self.covariance[:k, :k], self.covariance[:k, k:]
        rest = np.diag(self.covariance)[k:]
        if not k:
            return np.zeros((len(residuals), len(rest))), rest
        gain = cho_solve(cho_factor(inner), cross)  # (observed, later)
        return residuals @ gain, rest - (cross * gain).sum(axis=0)


def shrunk(residuals: Array, shrinkage: float) -> CurveGaussian:
    """Return the covariance of residuals (curves, epochs), a share of its mean variance added."""
    covariance = residuals.T @ residuals / len(residuals)
    epochs = len(covariance)
    level = max(float(np.trace(covariance)) / epochs, 1e-9)
    return CurveGaussian(covariance + shrinkage * level * np.eye(epochs))


def chosen_gaussian(residuals: Array, observed: int, seed: int) -> CurveGaussian:
    """Return the covariance with the shrinkage that predicts the last epoch best, in folds.

    Args:
        residuals: (curves, epochs), logits less their means.
        observed: Epochs that will be seen.
        seed: Of the folds.
    """
    if not observed:
        return shrunk(residuals, SHRINKAGES[0])
    divisions = folds(len(residuals), FOLDS, seed)
    errors = [
        sum(
            float(
                np.square(
                    shrunk(residuals[inside], s).condition(residuals[outside, :observed])[0]
                    - residuals[outside, observed:]
                )[:, -1].sum()
            )
            for inside, outside in divisions
        )
        for s in SHRINKAGES
    ]
    return shrunk(residuals, SHRINKAGES[int(np.argmin(errors))])


def accuracy_moments(logits: Array, variances: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of accuracies whose logits are normal; any shape."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    values = expit(logits[..., None] + np.sqrt(variances)[..., None] * nodes)
    mean = values @ weights
    spread = np.sqrt(np.maximum(values**2 @ weights - mean**2, 0.0))
    return mean, np.maximum(spread, 1e-4)


class EmpiricalGaussian:
    """Mean and shrunk covariance of training logit curves, conditioned on the observed epochs."""

    def __init__(self) -> None:
        """Make a predictor that is yet to be fitted."""
        self._mean: Array = np.zeros(0)
        self._gaussian: CurveGaussian | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Take mean and covariance; cross-validation on `train` chooses the shrinkage.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        check_runs(train, observed)
        logits = to_logits(train.series.valid_accuracy)
        self._mean = logits.mean(axis=0)
        self._gaussian = chosen_gaussian(logits - self._mean, observed, 0)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones, with standard deviations.

        Raises:
            ValueError: If the predictor was not fitted, or for another number of epochs.
        """
        k = check_observed(self._observed, queries)
        assert self._gaussian is not None
        residuals = to_logits(queries.series.valid_accuracy) - self._mean[:k]
        shift, variance = self._gaussian.condition(residuals)
        logits = self._mean[k:] + shift
        mean, std = accuracy_moments(logits, np.broadcast_to(variance, logits.shape))
        return Prediction(mean, later_epochs(len(self._mean), k), std)
