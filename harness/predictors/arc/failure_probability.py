"""The probability that a network fails to learn, from the same features as its curve."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from harness.protocol import Array

FEWEST = 5  # failed and other networks; with fewer of either, the share of failures is predicted


class FailureModel:
    """The mean of the probabilities of extra trees and of boosting."""

    def __init__(self, trees: int, rounds: int, seed: int) -> None:
        """Set the number of extra trees, the number of boosting rounds and the seed."""
        self._models = (
            ExtraTreesClassifier(trees, max_features=0.5, min_samples_leaf=3, random_state=seed),
            HistGradientBoostingClassifier(
                learning_rate=0.05,
                max_iter=rounds,
                max_leaf_nodes=6,
                min_samples_leaf=10,
                random_state=seed,
            ),
        )
        self._share: float | None = None

    def fit(self, features: Array, failed: NDArray[np.int64]) -> "FailureModel":
        """Fit to features (networks, features) and failures (networks,), 1 if a network failed."""
        count = int(failed.sum())
        if min(count, len(failed) - count) < FEWEST:
            self._share = count / len(failed)
            return self
        for model in self._models:
            model.fit(features, failed)
        return self

    def probability(self, features: Array) -> Array:
        """Return the probability of failure, (networks,)."""
        if self._share is not None:
            return np.full(len(features), self._share)
        columns = [model.predict_proba(features)[:, 1] for model in self._models]
        return np.asarray(np.mean(columns, axis=0))
