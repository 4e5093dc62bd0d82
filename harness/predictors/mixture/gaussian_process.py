"""A Gaussian process over groups of features, with one length scale for each group."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from harness.predictors.base import Standardiser
from harness.protocol import Array

KERNELS = 2  # that are added, each with its own length scales
CLIP = 4.0  # of standardised features, in standard deviations
PRIOR_VARIANCE = 25.0  # of logarithms of weights
LEAST_NOISE = 1e-3  # variance, of targets with variance 1
STEPS = 25  # of L-BFGS
MOST = 800  # training networks that weights, amplitudes and noise are fitted to
Groups = tuple[Array, ...]  # (networks, features) each, of the same networks


class GroupedProcess:
    """Gaussian process regression with the sum of two Matern 5/2 kernels and white noise.

    The squared distance of two networks is the weighted sum, over groups, of the mean squared
    difference of standardised features. Weights, amplitudes and noise maximise the posterior of the
    last target, with a normal prior on the logarithms of the weights; the other targets share them.
    Of more than 800 networks, a random part of 800 decides on them.
    """

    def __init__(self) -> None:
        """Create an unfitted process."""
        self._standardisers: tuple[Standardiser, ...] = ()
        self._train: Groups = ()
        self._parameters: Array = np.zeros(0)
        self._mean: Array = np.zeros(0)
        self._solved: Array = np.zeros((0, 0))  # (networks, targets)

    def fit(self, groups: Groups, targets: Array) -> "GroupedProcess":
        """Fit to groups of features and targets (networks, targets)."""
        groups = tuple(group for group in groups if group.shape[1])
        self._standardisers = tuple(Standardiser.fit(group) for group in groups)
        self._train = self._standardise(groups)
        squares = self._squares(self._train)
        self._mean = targets.mean(axis=0)
        centred = targets - self._mean
        share = np.log(1 / len(groups))
        start = np.concatenate(
            [*(np.full(len(groups), share - 1.5 * j) for j in range(KERNELS)),
             np.full(KERNELS, -0.7), [-1.0]]
        )  # fmt: skip
        part = np.sort(np.random.default_rng(0).permutation(len(targets))[:MOST])
        found = minimize(
            _loss, start, (squares[:, part[:, None], part], centred[part, -1], share), "L-BFGS-B",
            jac=True, options={"maxiter": STEPS},
        )  # fmt: skip
        self._parameters = found.x
        kernel = _kernel(self._parameters, squares)[0] + _noise(found.x) * np.eye(len(targets))
        self._solved = cho_solve(cho_factor(kernel), centred)
        return self

    def predict(self, groups: Groups) -> Array:
        """Return the posterior means of the targets, (networks, targets)."""
        return np.asarray(self._mean + self.covariances(groups) @ self._solved)

    def covariances(self, groups: Groups) -> Array:
        """Return prior covariances to the training networks, without noise, (networks, train)."""
        groups = self._standardise(tuple(group for group in groups if group.shape[1]))
        return _kernel(self._parameters, self._squares(groups))[0]

    @property
    def variance(self) -> float:
        """The prior variance of a network, without noise."""
        return float(np.exp(self._parameters[-1 - KERNELS : -1]).sum())

    def _standardise(self, groups: Groups) -> Groups:
        pairs = zip(self._standardisers, groups, strict=True)
        return tuple(np.clip(standardise(group), -CLIP, CLIP) for standardise, group in pairs)

    def _squares(self, groups: Groups) -> Array:
        """Return mean squared differences to the training networks, (groups, networks, train)."""
        varying = [max(1, int(np.isfinite(s.std).sum())) for s in self._standardisers]
        return np.stack(
            [
                cdist(others, train, "sqeuclidean") / number
                for others, train, number in zip(groups, self._train, varying, strict=True)
            ]
        )


def _noise(parameters: Array) -> float:
    return float(LEAST_NOISE + np.exp(parameters[-1]))


def _kernel(parameters: Array, squares: Array) -> tuple[Array, list[tuple[Array, Array]]]:
    """Return the kernel, and of each term itself and its derivative to the squared distance."""
    amplitudes = np.exp(parameters[-1 - KERNELS : -1])
    weights = np.exp(parameters[: -1 - KERNELS]).reshape(KERNELS, -1)
    terms = []
    for amplitude, weight in zip(amplitudes, weights, strict=True):
        distance = np.sqrt(5 * np.tensordot(weight, squares, 1))
        decay = amplitude * np.exp(-distance)
        value = decay * (1 + distance + np.square(distance) / 3)
        terms.append((value, -5 / 6 * decay * (1 + distance)))
    return np.sum([value for value, _ in terms], axis=0), terms


def _loss(
    parameters: Array, squares: Array, target: Array, centre: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the negative log posterior of the parameters, up to a constant, and its gradient."""
    size = len(target)
    kernel, terms = _kernel(parameters, squares)
    try:
        factor = cho_factor(kernel + _noise(parameters) * np.eye(size), lower=True)
    except LinAlgError:
        return np.inf, np.zeros_like(parameters)
    solved = cho_solve(factor, target)
    logs = parameters[: -1 - KERNELS]
    value = target @ solved / 2 + np.log(np.diag(factor[0])).sum()
    value += np.square(logs - centre).sum() / (2 * PRIOR_VARIANCE)
    inner = (cho_solve(factor, np.eye(size)) - np.outer(solved, solved)) / 2
    weights = np.exp(logs).reshape(KERNELS, -1)
    slopes = [
        weight * np.tensordot(squares, inner * derivative, 2)
        for weight, (_, derivative) in zip(weights, terms, strict=True)
    ]
    gradient = np.concatenate(
        [
            np.concatenate(slopes) + (logs - centre) / PRIOR_VARIANCE,
            [(inner * term).sum() for term, _ in terms],
            [np.trace(inner) * np.exp(parameters[-1])],
        ]
    )
    return float(value), gradient
