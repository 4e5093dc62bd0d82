"""Predictors that regress a learning curve on numbers of a network, without observed epochs.

A subclass says which numbers.
"""

from abc import ABC, abstractmethod

import numpy as np
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestRegressor
from sklearn.isotonic import IsotonicRegression

from harness.features.logits import from_logits, to_logits
from harness.predictors.base import check_fitted, check_runs, later_epochs
from harness.protocol import Array, Prediction, Queries, Runs


class CurveRegression(ABC):
    """Fits all epochs to inputs, and predicts those after the observed ones."""

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        self._epochs = 0

    @abstractmethod
    def inputs(self, networks: Runs | Queries) -> Array:
        """Return the numbers of each network, (networks, columns)."""

    @abstractmethod
    def fit_curves(self, inputs: Array, curves: Array, seed: int) -> None:
        """Fit accuracies (networks, epochs)."""

    @abstractmethod
    def predict_curves(self, inputs: Array) -> Array:
        """Return the accuracies of all epochs, (networks, epochs)."""

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the regression; `validation` is not used."""
        check_runs(train, observed)
        self.fit_curves(self.inputs(train), train.series.valid_accuracy, seed)
        self._epochs = train.recipe.epochs

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        check_fitted(self._epochs > 0)
        mean = self.predict_curves(self.inputs(queries))[:, queries.observed :]
        return Prediction(mean, later_epochs(self._epochs, queries.observed))


class IsotonicCurves(CurveRegression):
    """A monotone step function from one number to the accuracy, for each epoch.

    The sign of Kendall's tau on the training runs decides whether it increases or decreases.
    """

    def fit_curves(self, inputs: Array, curves: Array, seed: int) -> None:
        """Fit one function per epoch; nothing is random."""
        self._models = [_fit_isotonic(inputs[:, 0], y) for y in curves.T]

    def predict_curves(self, inputs: Array) -> Array:
        """Return the values of the functions."""
        return np.stack([model.predict(inputs[:, 0]) for model in self._models], axis=1)


def _fit_isotonic(numbers: Array, accuracies: Array) -> IsotonicRegression:
    """Return a fit of accuracies to numbers, constant outside the range of the numbers."""
    falls = kendalltau(numbers, accuracies).statistic < 0  # NaN for a constant, which gives False
    return IsotonicRegression(increasing=not falls, out_of_bounds="clip").fit(numbers, accuracies)


class ForestCurves(CurveRegression):
    """A random forest to the logits of all epochs."""

    def __init__(self, *, trees: int = 300, least_leaf: int = 3) -> None:
        """Set the number of trees and the fewest training runs in a leaf."""
        super().__init__()
        self.trees, self.least_leaf = trees, least_leaf

    def fit_curves(self, inputs: Array, curves: Array, seed: int) -> None:
        """Fit the forest."""
        forest = RandomForestRegressor(
            self.trees, min_samples_leaf=self.least_leaf, random_state=seed
        )
        self._forest = forest.fit(inputs, to_logits(curves))

    def predict_curves(self, inputs: Array) -> Array:
        """Return what the forest predicts."""
        return from_logits(self._forest.predict(inputs).reshape(len(inputs), self._epochs))
