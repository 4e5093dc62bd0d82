"""Predictors from counts of a network alone: parameters, multiply-accumulates and depth.

Their prediction is the same for any number of observed epochs.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from benchmark.space.layer_walk import LayerRow, macs, parameters
from harness.features.architecture import count_features
from harness.predictors.base import check_runs
from harness.predictors.regressions import ForestCurves, IsotonicCurves
from harness.protocol import Array, Prediction, Queries, Runs

Count = Literal["parameters", "macs"]
COUNTS: dict[Count, Callable[[tuple[LayerRow, ...]], int]] = {
    "parameters": parameters,
    "macs": macs,
}


class IsotonicCount:
    """A monotone step function from one count to the accuracy at each epoch."""

    def __init__(self, count: Count) -> None:
        """Set which count to use."""
        self._count = COUNTS[count]
        self._curves = IsotonicCurves()

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit one function per epoch; `validation` and `seed` are not used."""
        check_runs(train, observed)
        self._curves.fit(self._counts(train), train.series.valid_accuracy)

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        return self._curves.predict(self._counts(queries), queries.observed)

    def _counts(self, networks: Runs | Queries) -> Array:
        return np.array([self._count(rows) for rows in networks.layer_rows], dtype=np.float64)


class ForestCounts:
    """A random forest from log parameters, log MACs and depth to the logits of all epochs."""

    def __init__(self, *, trees: int = 300, least_leaf: int = 3) -> None:
        """Set the number of trees and the fewest training runs in a leaf."""
        self._curves = ForestCurves(trees, least_leaf)

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the forest; `validation` is not used."""
        check_runs(train, observed)
        self._curves.fit(_features(train), train.series.valid_accuracy, seed)

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        return self._curves.predict(_features(queries), queries.observed)


def _features(networks: Runs | Queries) -> Array:
    """Return the counts of each network, (networks, 3)."""
    return np.stack([count_features(rows) for rows in networks.layer_rows])
