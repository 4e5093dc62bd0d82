"""A Gaussian process over networks and epochs at once (Lin et al. 2024, arXiv:2410.09239).

The covariance of the logits of two networks at two epochs is that of the networks times that of the
epochs, plus, within a network, a second covariance of epochs. Training curves are complete, so the
eigenvectors of the covariance of networks make the curves independent, and everything is exact.
"""

import numpy as np

from harness.features.logits import to_logits
from harness.features.observed import network_groups
from harness.predictors.base import check_observed, check_runs, later_epochs
from harness.predictors.gaussian import accuracy_moments
from harness.predictors.mixture.gaussian_process import GroupedProcess
from harness.protocol import Array, Prediction, Queries, Runs

ROUNDS = 50  # of expectation maximisation
LEAST_VARIANCE = 1e-6  # that is added to the variance of each epoch, in squared logits


class LatentKronecker:
    """Logit curves with a covariance of networks times one of epochs, given the observed epochs.

    The covariance of networks is that of a `GroupedProcess` of final logits on features of the
    networks; the two of epochs maximise the likelihood of the training curves.
    """

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        self._process = GroupedProcess()
        self._mean: Array = np.zeros(0)  # (epochs,)
        self._shared: Array = np.zeros((0, 0))  # (epochs, epochs), times that of networks
        self._own: Array = np.zeros((0, 0))  # (epochs, epochs), within a network
        self._vectors: Array = np.zeros((0, 0))  # (networks, eigenvectors)
        self._inverses: Array = np.zeros((0, 0, 0))  # (eigenvectors, epochs, epochs)
        self._solved: Array = np.zeros((0, 0))  # (eigenvectors, epochs)
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the covariances; `validation` and `seed` are not used."""
        check_runs(train, observed)
        logits = to_logits(train.series.valid_accuracy)
        groups = network_groups(train.observe(0))
        self._mean = logits.mean(axis=0)
        scale = max(float(logits[:, -1].std()), 1e-6)
        self._process.fit(groups, logits[:, -1:] / scale)
        values, self._vectors = np.linalg.eigh(self._process.covariances(groups))
        values, turned = np.maximum(values, 0.0), self._vectors.T @ (logits - self._mean)
        self._shared, self._own = _maximise(values, turned)
        self._inverses = _invert(values, self._shared, self._own)
        self._solved = np.einsum("nef,nf->ne", self._inverses, turned)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, with standard deviations."""
        k = check_observed(self._observed, queries)
        turned = self._process.covariances(network_groups(queries)) @ self._vectors
        means = self._mean + turned @ self._solved @ self._shared
        known = self._shared @ np.tensordot(np.square(turned), self._inverses, 1) @ self._shared
        covariances = self._process.variance * self._shared + self._own - known
        variances = np.diagonal(covariances, axis1=1, axis2=2)[:, k:]
        means, residuals = means[:, k:], to_logits(queries.series.valid_accuracy) - means[:, :k]
        if k:
            gains = np.linalg.solve(covariances[:, :k, :k], covariances[:, :k, k:])
            means = means + np.einsum("nk,nke->ne", residuals, gains)
            variances = variances - np.einsum("nke,nke->ne", covariances[:, :k, k:], gains)
        mean, std = accuracy_moments(means, np.maximum(variances, LEAST_VARIANCE))
        return Prediction(mean, later_epochs(len(self._mean), k), std)


def _invert(values: Array, shared: Array, own: Array) -> Array:
    """Return the inverse covariance of the curve of each eigenvector, (vectors, epochs, epochs)."""
    floor = LEAST_VARIANCE * np.eye(len(own))
    return np.asarray(np.linalg.inv(values[:, None, None] * shared + own + floor))


def _maximise(values: Array, curves: Array) -> tuple[Array, Array]:
    """Return the two covariances of epochs that maximise the likelihood of independent curves.

    Curve i, (epochs,), has the covariance `values[i]` times the first one plus the second one.
    """
    number = len(curves)
    own = curves.T @ curves / (2 * number)
    shared = own / max(float(values.mean()), LEAST_VARIANCE)
    for _ in range(ROUNDS):
        inverses = _invert(values, shared, own)
        solved = np.einsum("nef,nf->ne", inverses, curves)
        weighed = np.tensordot(values, inverses, 1)
        left = np.einsum("n,ne,nf->ef", values, solved, solved)
        alone = solved.T @ solved - inverses.sum(axis=0)
        shared, own = (
            shared + shared @ (left - weighed) @ shared / number,
            own + own @ alone @ own / number,
        )
        shared, own = (shared + shared.T) / 2, (own + own.T) / 2  # but for rounding
    return shared, own
