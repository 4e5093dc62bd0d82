"""Nearest training networks in features of the architecture and of the observed curve."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.spatial.distance import cdist

from harness.features.logits import to_logits
from harness.features.observed import network_features
from harness.predictors.base import (
    Index,
    Standardiser,
    check_observed,
    check_runs,
    folds,
    later_epochs,
)
from harness.predictors.gaussian import accuracy_moments
from harness.protocol import Array, Prediction, Queries, Runs

NEIGHBOURS = (3, 5, 8, 12, 18, 27, 40)
POWERS = (0.0, 1.0, 2.0, 4.0, 6.0)  # of the inverse distance; 0 gives equal weights
CURVE_SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)  # of the squared distance
FOLDS = 5
LEAST_DISTANCE = 1e-6  # smaller distances are set to it, so that the weight of a copy is finite


@dataclass(frozen=True, slots=True)
class Settings:
    """Hyperparameters, chosen by cross-validation.

    Attributes:
        neighbours: Number of neighbours.
        power: A neighbour at distance d has weight d to the minus this power.
        curve_share: Share of the curve features in the mean squared distance; the architecture
            features have the rest.
    """

    neighbours: int
    power: float
    curve_share: float


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Two blocks of features of some networks.

    Attributes:
        architecture: (networks, 163), features of the architecture.
        curve: (networks, 2 observed - 1), observed logits and their differences; (networks, 0)
            with nothing observed.
    """

    architecture: Array
    curve: Array


class NearestNeighbours:
    """Weighted mean and variance of the later logits of the nearest training networks.

    Distances are Euclidean, over two blocks of standardised features: `network_features`, and
    observed logits with their differences. Each of the latter is multiplied by its absolute
    correlation with the last logit, so that noisy epochs count less. Five-fold cross-validation on
    the training runs chooses the number of neighbours, how fast their weights decrease with
    distance, and the share of the curve block, by the squared error of later logits. The mean and
    standard deviation of an accuracy are those of a normal logit with the mean and variance of the
    neighbours.
    """

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        self.settings: Settings | None = None
        self._features: Blocks | None = None
        self._targets: Array = np.zeros((0, 0))  # (runs, later epochs), logits
        self._errors: Array = np.zeros(0)  # (later epochs,), mean squared, of cross-validation
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Store the runs and choose the settings; `validation` and `seed` are not used."""
        check_runs(train, observed)
        self._features = feature_blocks(train.observe(observed))
        self._targets = to_logits(train.series.valid_accuracy[:, observed:])
        self.settings, self._errors = choose_settings(self._features, self._targets)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, with standard deviations."""
        observed = check_observed(self._observed, queries)
        assert self._features is not None
        assert self.settings is not None
        train, others = standardise(self._features, feature_blocks(queries), self._targets[:, -1])
        squares = blend(squared_distances(others, train), self.settings.curve_share)
        index, distances = find_nearest(squares, self.settings.neighbours)
        weights = neighbour_weights(distances, self.settings.power)
        means, variances = weighted_moments(weights, self._targets[index], self._errors)
        mean, std = accuracy_moments(means, variances)
        return Prediction(mean, later_epochs(observed + means.shape[1], observed), std)


def feature_blocks(queries: Queries) -> Blocks:
    """Return the features of networks, not standardised."""
    logits = to_logits(queries.series.valid_accuracy)
    return Blocks(
        network_features(queries), np.concatenate([logits, np.diff(logits, axis=1)], axis=1)
    )


def standardise(train: Blocks, others: Blocks, last: Array) -> tuple[Blocks, Blocks]:
    """Return both, standardised by the means and standard deviations of `train`.

    Features of the curve are multiplied by weights whose mean square is 1: their absolute
    correlations with the last logits of `train`, (networks,).
    """
    architecture, curve = Standardiser.fit(train.architecture), Standardiser.fit(train.curve)
    weights = abs(curve(train.curve).T @ (last - last.mean()))
    size = np.sqrt(np.square(weights).mean()) if weights.any() else 0.0
    weights = weights / size if size else np.ones_like(weights)
    train, others = (
        Blocks(architecture(blocks.architecture), curve(blocks.curve) * weights)
        for blocks in (train, others)
    )
    return train, others


def squared_distances(others: Blocks, train: Blocks) -> tuple[Array, Array]:
    """Return mean squared differences per feature, (others, train), for each block.

    Those of the curve are 0 with nothing observed.
    """
    architecture = cdist(others.architecture, train.architecture, "sqeuclidean")
    curve = np.zeros_like(architecture)
    if train.curve.shape[1]:
        curve = cdist(others.curve, train.curve, "sqeuclidean") / train.curve.shape[1]
    return architecture / train.architecture.shape[1], curve


def blend(squares: tuple[Array, Array], curve_share: float) -> Array:
    """Return the weighted mean of the squared distances of both blocks."""
    architecture, curve = squares
    return (1 - curve_share) * architecture + curve_share * curve


def find_nearest(squares: Array, count: int) -> tuple[Index, Array]:
    """Return the nearest columns of each row, nearest first, and their squared distances.

    Among equal distances the first column wins. Squared distances (others, train) give two arrays
    (others, count).
    """
    index = np.argsort(squares, axis=1, kind="stable")[:, :count]
    return index, np.take_along_axis(squares, index, axis=1)


def neighbour_weights(squares: Array, power: float) -> Array:
    """Return the weights, which sum to 1, of neighbours at squared distances (others, count)."""
    weights = np.maximum(np.sqrt(squares), LEAST_DISTANCE) ** -power
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def weighted_moments(weights: Array, targets: Array, errors: Array) -> tuple[Array, Array]:
    """Return the weighted mean of neighbours and the variance to expect around it.

    Neighbours with unequal weights count as 1 / sum of squared weights (Kish 1965, section 11.7).
    Because neighbours may agree by chance, the error of cross-validation counts as one more.

    Args:
        weights: (networks, neighbours), which sum to 1.
        targets: (networks, neighbours, epochs), logits of the neighbours.
        errors: (epochs,), mean squared errors in cross-validation.

    Returns:
        Two arrays (networks, epochs).
    """
    means = np.einsum("ac,ace->ae", weights, targets)
    within = np.einsum("ac,ace->ae", weights, np.square(targets - means[:, None]))
    count = 1 / np.square(weights).sum(axis=1, keepdims=True)
    return means, (count * within + errors) / (count + 1)


def choose_settings(features: Blocks, targets: Array) -> tuple[Settings, Array]:
    """Return the settings with the least squared error in cross-validation, and that error.

    The error is the mean over networks, (epochs,). Among equal errors the first settings win.

    Args:
        features: Features of the training networks, not standardised.
        targets: (networks, epochs), later logits.
    """
    shares = CURVE_SHARES if features.curve.shape[1] else (0.0,)
    errors: dict[Settings, Array] = {}
    for inside, outside in folds(len(targets), FOLDS, 0):
        last = targets[inside, -1]
        train, others = standardise(_take(features, inside), _take(features, outside), last)
        distances = squared_distances(others, train)
        for share in shares:
            index, squares = find_nearest(blend(distances, share), max(NEIGHBOURS))
            neighbours = targets[inside][index]
            for count, power in product(NEIGHBOURS, POWERS):
                weights = neighbour_weights(squares[:, :count], power)
                means = np.einsum("ac,ace->ae", weights, neighbours[:, :count])
                error = np.square(means - targets[outside]).sum(axis=0) / len(targets)
                settings = Settings(count, power, share)
                errors[settings] = errors.get(settings, 0.0) + error
    best = min(errors, key=lambda settings: float(errors[settings].sum()))
    return best, errors[best]


def _take(blocks: Blocks, index: Index) -> Blocks:
    return Blocks(blocks.architecture[index], blocks.curve[index])
