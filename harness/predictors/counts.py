"""Predictors that know a network by its counts alone: parameters, multiply-accumulates, depth."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestRegressor
from sklearn.isotonic import IsotonicRegression

from benchmark.walk import LayerRow, macs, parameters
from harness.encodings import count_features
from harness.predictors.scale import (
    check_fitted,
    check_runs,
    from_logits,
    later_epochs,
    to_logits,
)
from harness.protocol import Array, Prediction, Queries, Runs

Count = Literal["parameters", "macs"]
COUNTS: dict[Count, Callable[[tuple[LayerRow, ...]], int]] = {
    "parameters": parameters,
    "macs": macs,
}


class IsotonicCount:
    """A monotone step function from one count to the accuracy at each epoch.

    Whether it rises or falls is decided for each epoch by the sign of Kendall's tau on the training
    runs. It does not look at curves, so its answer is the same however many epochs are observed.
    """

    def __init__(self, count: Count) -> None:
        """Set what is counted."""
        self._count = COUNTS[count]
        self._models: tuple[IsotonicRegression, ...] = ()

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit a function per epoch; nothing is chosen, nothing is random.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        check_runs(train, observed)
        counts = self._counts(train)
        self._models = tuple(_isotonic(counts, y) for y in train.series.valid_accuracy.T)

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones.

        Raises:
            ValueError: If the predictor was not fitted.
        """
        check_fitted(bool(self._models))
        counts = self._counts(queries)
        later = self._models[queries.observed :]
        mean = np.stack([model.predict(counts) for model in later], axis=1)
        return Prediction(mean, later_epochs(len(self._models), queries.observed))

    def _counts(self, networks: Runs | Queries) -> Array:
        return np.array([self._count(rows) for rows in networks.layer_rows], dtype=np.float64)


def _isotonic(counts: Array, accuracies: Array) -> IsotonicRegression:
    """Return a fit of accuracies to counts, flat beyond the counts seen."""
    falls = kendalltau(counts, accuracies).statistic < 0  # of a constant: NaN, so it rises
    return IsotonicRegression(increasing=not falls, out_of_bounds="clip").fit(counts, accuracies)


class ForestCounts:
    """A random forest from log parameters, log MACs and depth to the logits of all epochs.

    It does not look at curves, so its answer is the same however many epochs are observed.
    """

    def __init__(self, *, trees: int = 300, least_leaf: int = 3) -> None:
        """Set the number of trees and the fewest training runs in a leaf."""
        self.trees = trees
        self.least_leaf = least_leaf
        self._forest: RandomForestRegressor | None = None
        self._epochs = 0

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Grow the forest; `validation` is not used.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        check_runs(train, observed)
        self._epochs = train.recipe.epochs
        forest = RandomForestRegressor(
            self.trees, min_samples_leaf=self.least_leaf, random_state=seed
        )
        self._forest = forest.fit(_features(train), to_logits(train.series.valid_accuracy))

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones.

        Raises:
            ValueError: If the predictor was not fitted.
        """
        check_fitted(self._forest is not None)
        assert self._forest is not None
        logits = self._forest.predict(_features(queries)).reshape(len(queries), self._epochs)
        mean = from_logits(logits[:, queries.observed :])
        return Prediction(mean, later_epochs(self._epochs, queries.observed))


def _features(networks: Runs | Queries) -> Array:
    """Return the counts of each network, (networks, 3)."""
    return np.stack([count_features(rows) for rows in networks.layer_rows])
