"""Nearest networks in features of the architecture and of the observed curve."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from harness.features.logits import to_logits
from harness.features.observed import network_features
from harness.predictors.base import Standardiser, check_observed, check_runs, folds, later_epochs
from harness.predictors.gaussian import accuracy_moments
from harness.protocol import Array, Prediction, Queries, Runs

NEIGHBOURS = (3, 5, 8, 12, 18, 27, 40)
POWERS = (0.0, 1.0, 2.0, 4.0, 6.0)  # of the inverse distance; with 0, neighbours count alike
CURVE_SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)  # of the squared distance
FOLDS = 5
CLOSEST = 1e-6  # distances below it count as it, so that a copy's weight is finite


@dataclass(frozen=True, slots=True)
class Settings:
    """What cross-validation chooses.

    Attributes:
        neighbours: Networks that count.
        power: A neighbour at distance d weighs d to the minus this.
        curve_share: Of the squared distance, what the curve's block contributes on average; the
            architecture's block contributes the rest.
    """

    neighbours: int
    power: float
    curve_share: float


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Standardised features of some networks.

    Attributes:
        architecture: (networks, 163).
        curve: (networks, 2 observed - 1), or (networks, 0) with nothing observed.
    """

    architecture: Array
    curve: Array


class NearestNeighbours:
    """Weighted mean and spread of what later logits were for the nearest training networks.

    Distances are Euclidean, in two blocks of standardised features: `network_features`, and
    observed logits with their steps. Five folds of the training runs choose how many neighbours
    count, how fast their weights fall with distance, and the share of the curve's block, by the
    squared error of later logits. Mean and standard deviation of accuracies are those of normal
    logits with the neighbours' mean and spread.
    """

    def __init__(self) -> None:
        """Make a predictor that is yet to be fitted."""
        self.settings: Settings | None = None
        self._raw: Blocks | None = None
        self._targets: Array = np.zeros((0, 0))
        self._expected: Array = np.zeros(0)
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Keep the runs and choose the settings; nothing is random, `validation` is not used.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        check_runs(train, observed)
        self._raw = raw_blocks(train.observe(observed))
        self._targets = to_logits(train.series.valid_accuracy[:, observed:])
        self.settings, self._expected = chosen(self._raw, self._targets)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones, with standard deviations.

        Raises:
            ValueError: If the predictor was not fitted, or for another number of epochs.
        """
        observed = check_observed(self._observed, queries)
        assert self._raw is not None
        assert self.settings is not None
        known, asked = standardised(self._raw, raw_blocks(queries))
        squares = blended(squared_distances(asked, known), self.settings.curve_share)
        index, distances = nearest(squares, self.settings.neighbours)
        weights = weights_of(distances, self.settings.power)
        means, variances = moments(weights, self._targets[index], self._expected)
        mean, std = accuracy_moments(means, variances)
        return Prediction(mean, later_epochs(observed + means.shape[1], observed), std)


def raw_blocks(queries: Queries) -> Blocks:
    """Return the features of networks as they are."""
    logits = to_logits(queries.series.valid_accuracy)
    return Blocks(
        network_features(queries), np.concatenate([logits, np.diff(logits, axis=1)], axis=1)
    )


def standardised(known: Blocks, asked: Blocks) -> tuple[Blocks, Blocks]:
    """Return both with the mean and spread of `known`; what never varies there counts nothing."""
    architecture, curve = Standardiser.fit(known.architecture), Standardiser.fit(known.curve)
    known, asked = (
        Blocks(architecture(blocks.architecture), curve(blocks.curve)) for blocks in (known, asked)
    )
    return known, asked


def squared_distances(asked: Blocks, known: Blocks) -> tuple[Array, Array]:
    """Return mean squared differences per feature, (asked, known), by block.

    The curve's are 0 with nothing observed.
    """
    architecture = cdist(asked.architecture, known.architecture, "sqeuclidean")
    curve = np.zeros_like(architecture)
    if known.curve.shape[1]:
        curve = cdist(asked.curve, known.curve, "sqeuclidean") / known.curve.shape[1]
    return architecture / known.architecture.shape[1], curve


def blended(squares: tuple[Array, Array], curve_share: float) -> Array:
    """Return squared distances over both blocks."""
    architecture, curve = squares
    return (1 - curve_share) * architecture + curve_share * curve


def nearest(squares: Array, count: int) -> tuple[NDArray[np.intp], Array]:
    """Return which are nearest, nearest first, and their squared distances, (asked, count).

    Among equals the earlier is nearer.
    """
    index = np.argsort(squares, axis=1, kind="stable")[:, :count]
    return index, np.take_along_axis(squares, index, axis=1)


def weights_of(squares: Array, power: float) -> Array:
    """Return the weights of neighbours at these squared distances; they sum to 1."""
    weights = np.maximum(np.sqrt(squares), CLOSEST) ** -power
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def moments(weights: Array, found: Array, expected: Array) -> tuple[Array, Array]:
    """Return the weighted mean of neighbours, and the variance to expect about it.

    Neighbours with unequal weights count as 1 / sum of squared weights (Kish 1965, section 11.7).
    What was expected beforehand counts as one more, as neighbours may agree by chance.

    Args:
        weights: (asked, neighbours), which sum to 1.
        found: (asked, neighbours, epochs), the neighbours' logits.
        expected: (epochs,), the mean squared error of such answers.

    Returns:
        Two arrays (asked, epochs).
    """
    means = np.einsum("ac,ace->ae", weights, found)
    within = np.einsum("ac,ace->ae", weights, np.square(found - means[:, None]))
    count = 1 / np.square(weights).sum(axis=1, keepdims=True)
    return means, (count * within + expected) / (count + 1)


def chosen(raw: Blocks, targets: Array) -> tuple[Settings, Array]:
    """Return the settings with the least squared error in folds, of equals the first, and it.

    The error is a mean over networks, (epochs,).
    """
    shares = CURVE_SHARES if raw.curve.shape[1] else (0.0,)
    errors: dict[Settings, Array] = {}
    for inside, outside in folds(len(targets), FOLDS, 0):
        known, asked = standardised(_take(raw, inside), _take(raw, outside))
        apart = squared_distances(asked, known)
        for share in shares:
            index, squares = nearest(blended(apart, share), max(NEIGHBOURS))
            found = targets[inside][index]
            for count, power in product(NEIGHBOURS, POWERS):
                weights = weights_of(squares[:, :count], power)
                means = np.einsum("ac,ace->ae", weights, found[:, :count])
                miss = np.square(means - targets[outside]).sum(axis=0) / len(targets)
                settings = Settings(count, power, share)
                errors[settings] = errors.get(settings, 0.0) + miss
    best = min(errors, key=lambda settings: float(errors[settings].sum()))
    return best, errors[best]


def _take(blocks: Blocks, index: NDArray[np.intp]) -> Blocks:
    return Blocks(blocks.architecture[index], blocks.curve[index])
