"""Learning curves as a normal distribution with the mean and covariance of the training curves."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from harness.features.logits import to_logits
from harness.predictors.base import check_observed, check_runs, folds, later_epochs
from harness.protocol import Array, Prediction, Queries, Runs

SHRINKAGES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # candidates; shares of the mean variance
FOLDS = 5
NODES = 15  # of Gauss-Hermite quadrature


@dataclass(frozen=True, slots=True)
class CurveGaussian:
    """A multivariate normal distribution of logit curves around means that may differ by network.

    Attributes:
        covariance: (epochs, epochs), shrunk covariance.
    """

    covariance: Array

    def condition(self, residuals: Array) -> tuple[Array, Array]:
        """Return the mean (curves, later epochs) and variance (later epochs,) of later residuals.

        Args:
            residuals: (curves, observed epochs), observed logits minus their means.
        """
        k = residuals.shape[1]
        inner, cross = self.covariance[:k, :k], self.covariance[:k, k:]
        variance = np.diag(self.covariance)[k:]
        if not k:
            return np.zeros((len(residuals), len(variance))), variance
        gain = cho_solve(cho_factor(inner), cross)  # (observed, later)
        return residuals @ gain, variance - (cross * gain).sum(axis=0)


def fit_gaussian(residuals: Array, shrinkage: float) -> CurveGaussian:
    """Return the covariance of residuals (curves, epochs), logits minus their means.

    `shrinkage` is the share of the mean variance that is added to the diagonal.
    """
    covariance = residuals.T @ residuals / len(residuals)
    epochs = len(covariance)
    level = max(float(np.trace(covariance)) / epochs, 1e-9)
    return CurveGaussian(covariance + shrinkage * level * np.eye(epochs))


def choose_gaussian(residuals: Array, observed: int, seed: int) -> CurveGaussian:
    """Return the covariance of residuals (curves, epochs) with the best shrinkage.

    It predicts the last epoch best in cross-validation; with nothing observed it is the first.
    """
    if not observed:
        return fit_gaussian(residuals, SHRINKAGES[0])
    divisions = folds(len(residuals), FOLDS, seed)
    errors = [
        sum(
            float(
                np.square(
                    fit_gaussian(residuals[inside], s).condition(residuals[outside, :observed])[0]
                    - residuals[outside, observed:]
                )[:, -1].sum()
            )
            for inside, outside in divisions
        )
        for s in SHRINKAGES
    ]
    return fit_gaussian(residuals, SHRINKAGES[int(np.argmin(errors))])


def accuracy_moments(logits: Array, variances: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of accuracies whose logits are normally distributed.

    The means `logits` and the `variances` have the same shape, which may be any.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    values = expit(logits[..., None] + np.sqrt(variances)[..., None] * nodes)
    mean = values @ weights
    std = np.sqrt(np.maximum(values**2 @ weights - mean**2, 0.0))
    return mean, np.maximum(std, 1e-4)


class EmpiricalGaussian:
    """Mean and shrunk covariance of training logit curves, conditioned on the observed epochs."""

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        self._mean: Array = np.zeros(0)
        self._gaussian: CurveGaussian | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit mean and covariance; cross-validation on `train` chooses the shrinkage."""
        check_runs(train, observed)
        logits = to_logits(train.series.valid_accuracy)
        self._mean = logits.mean(axis=0)
        self._gaussian = choose_gaussian(logits - self._mean, observed, 0)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, with standard deviations."""
        k = check_observed(self._observed, queries)
        assert self._gaussian is not None
        residuals = to_logits(queries.series.valid_accuracy) - self._mean[:k]
        shift, variance = self._gaussian.condition(residuals)
        logits = self._mean[k:] + shift
        mean, std = accuracy_moments(logits, np.broadcast_to(variance, logits.shape))
        return Prediction(mean, later_epochs(len(self._mean), k), std)
