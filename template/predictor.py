"""A small predictor to start from: ridge regression on what a network looks like and what is seen.

Try it with `peephole check template`; `peephole submit template` lays it out for a pull request.
"""

import numpy as np
from numpy.typing import NDArray

import peephole

Array = NDArray[np.float64]
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # the best on the validation runs is taken


class Ridge:
    """Ridge regression of every later epoch on size, depth, normalisation and observed accuracy."""

    def fit(
        self, train: peephole.Runs, validation: peephole.Runs, *, observed: int, seed: int
    ) -> None:
        """Fit one linear map to all later epochs; nothing is random, so the seed is not used."""
        inputs = features(train.observe(observed))  # (runs, features)
        self._centre, self._scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
        curves = train.series.valid_accuracy[:, observed:]  # (runs, later epochs)
        self._mean = curves.mean(axis=0)
        x = (inputs - self._centre) / self._scale
        final = validation.final_accuracy
        least = np.inf
        for penalty in PENALTIES:
            gram = x.T @ x + penalty * np.eye(x.shape[1])
            weights = np.linalg.solve(gram, x.T @ (curves - self._mean))
            prediction = self._predict(validation.observe(observed), weights)
            error = float(np.mean((prediction[:, -1] - final) ** 2))
            if error < least:
                least, self._weights = error, weights

    def predict(self, queries: peephole.Queries) -> peephole.Prediction:
        """Predict all epochs after the observed ones."""
        later = tuple(range(queries.observed + 1, queries.recipe.epochs + 1))
        return peephole.Prediction(self._predict(queries, self._weights), later)

    def _predict(self, queries: peephole.Queries, weights: Array) -> Array:
        """Return the accuracy of each query after each later epoch, clipped to [0, 1]."""
        x = (features(queries) - self._centre) / self._scale
        prediction: Array = np.clip(self._mean + x @ weights, 0.0, 1.0)
        return prediction


def features(queries: peephole.Queries) -> Array:
    """Return what is known of each network as numbers, (networks, features)."""
    known = []
    for rows in queries.layer_rows:
        kinds = [row.kind for row in rows]
        counts = [kinds.count(kind) for kind in ("conv", "bn", "relu", "max_pool", "avg_pool")]
        cost = [sum(row.macs for row in rows), sum(row.parameters for row in rows)]
        known.append([*np.log(cost), *counts])
    seen = queries.series.valid_accuracy  # (networks, observed): never NaN, also if one diverged
    return np.concatenate([np.array(known), seen, seen[:, -1:] ** 2], axis=1)
