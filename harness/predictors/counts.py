"""Predictors that know a network by its counts alone: parameters, multiply-accumulates, depth."""

from collections.abc import Callable

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

Rows = tuple[tuple[LayerRow, ...], ...]


class _IsotonicCount:
    """A monotone step function from one count to the accuracy at each epoch.

    Whether it rises or falls is decided for each epoch by the sign of Kendall's tau on the training
    runs. It does not look at curves, so its answer is the same however many epochs are observed.
    """

    def __init__(self, count: Callable[[tuple[LayerRow, ...]], int]) -> None:
        self.count = count
        self.models: tuple[IsotonicRegression, ...] = ()

    def fit(self, train: Runs, observed: int) -> None:
        check_runs(train, observed)
        counts = self.counts(train.layer_rows)
        self.models = tuple(_isotonic(counts, y) for y in train.series.valid_accuracy.T)

    def predict(self, queries: Queries) -> Prediction:
        check_fitted(bool(self.models))
        counts = self.counts(queries.layer_rows)
        later = self.models[queries.observed :]
        mean = np.stack([model.predict(counts) for model in later], axis=1)
        return Prediction(mean, later_epochs(len(self.models), queries.observed))

    def counts(self, layer_rows: Rows) -> Array:
        return np.array([self.count(rows) for rows in layer_rows], dtype=np.float64)


def _isotonic(counts: Array, accuracies: Array) -> IsotonicRegression:
    """Return a fit of accuracies to counts, flat beyond the counts seen."""
    falls = kendalltau(counts, accuracies).statistic < 0  # of a constant: NaN, so it rises
    return IsotonicRegression(increasing=not falls, out_of_bounds="clip").fit(counts, accuracies)


class Parameters:
    """Isotonic fit of the accuracy at each epoch to the number of parameters."""

    def __init__(self) -> None:
        """Make a predictor that is yet to be fitted."""
        self._isotonic = _IsotonicCount(parameters)

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit a function per epoch; nothing is chosen, nothing is random.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        self._isotonic.fit(train, observed)

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones.

        Raises:
            ValueError: If the predictor was not fitted.
        """
        return self._isotonic.predict(queries)


class Macs:
    """Isotonic fit of the accuracy at each epoch to the multiply-accumulates of an image."""

    def __init__(self) -> None:
        """Make a predictor that is yet to be fitted."""
        self._isotonic = _IsotonicCount(macs)

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit a function per epoch; nothing is chosen, nothing is random.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        self._isotonic.fit(train, observed)

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones.

        Raises:
            ValueError: If the predictor was not fitted.
        """
        return self._isotonic.predict(queries)


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
