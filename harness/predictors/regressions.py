"""Regressions from numbers of a network to its learning curve, used by several predictors."""

import numpy as np
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestRegressor
from sklearn.isotonic import IsotonicRegression

from harness.features.logits import from_logits, to_logits
from harness.predictors.base import check_fitted, later_epochs
from harness.protocol import Array, Prediction


class IsotonicCurves:
    """A monotone step function from one number to the accuracy, for each epoch.

    The sign of Kendall's tau on the training runs decides whether it increases or decreases.
    """

    def __init__(self) -> None:
        """Create an unfitted regression."""
        self._models: tuple[IsotonicRegression, ...] = ()

    def fit(self, numbers: Array, curves: Array) -> None:
        """Fit one function per epoch to numbers (networks,) and accuracies (networks, epochs)."""
        self._models = tuple(_fit_isotonic(numbers, y) for y in curves.T)

    def predict(self, numbers: Array, observed: int) -> Prediction:
        """Predict all epochs after the observed ones."""
        check_fitted(bool(self._models))
        mean = np.stack([model.predict(numbers) for model in self._models[observed:]], axis=1)
        return Prediction(mean, later_epochs(len(self._models), observed))


def _fit_isotonic(numbers: Array, accuracies: Array) -> IsotonicRegression:
    """Return a fit of accuracies to numbers, constant outside the range of the numbers."""
    falls = kendalltau(numbers, accuracies).statistic < 0  # NaN for a constant, which gives False
    return IsotonicRegression(increasing=not falls, out_of_bounds="clip").fit(numbers, accuracies)


class ForestCurves:
    """A random forest from features to the logits of all epochs."""

    def __init__(self, trees: int, least_leaf: int) -> None:
        """Set the number of trees and the fewest training runs in a leaf."""
        self.trees, self.least_leaf = trees, least_leaf
        self._forest: RandomForestRegressor | None = None
        self._epochs = 0

    def fit(self, features: Array, curves: Array, seed: int) -> None:
        """Fit the forest to features (networks, features) and accuracies (networks, epochs)."""
        self._epochs = curves.shape[1]
        forest = RandomForestRegressor(
            self.trees, min_samples_leaf=self.least_leaf, random_state=seed
        )
        self._forest = forest.fit(features, to_logits(curves))

    def predict(self, features: Array, observed: int) -> Prediction:
        """Predict all epochs after the observed ones."""
        check_fitted(self._forest is not None)
        assert self._forest is not None
        logits = self._forest.predict(features).reshape(len(features), self._epochs)
        return Prediction(from_logits(logits[:, observed:]), later_epochs(self._epochs, observed))
