"""Baselines without a model: the mean curve, the last value, and the last value plus the mean gain.

Other predictors rarely beat them by much once some epochs are observed (Egele et al.,
arXiv:2404.04111). With nothing observed, all three predict the mean curve of the training runs.
"""

import numpy as np

from harness.predictors.base import check_fitted, check_observed, check_runs, later_epochs
from harness.protocol import Array, Prediction, Queries, Runs


class MeanCurve:
    """The mean accuracy of the training runs at each epoch, and its standard deviation."""

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        self._curves: Array | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Store the training curves; `validation` and `seed` are not used."""
        check_runs(train, observed)
        self._curves = train.series.valid_accuracy.copy()

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, the same for every network."""
        check_fitted(self._curves is not None)
        assert self._curves is not None
        return mean_curve(self._curves, queries)


def mean_curve(curves: Array, queries: Queries) -> Prediction:
    """Return the mean and standard deviation of `curves` (runs, epochs) for every query."""
    epochs = later_epochs(curves.shape[1], queries.observed)
    later = curves[:, queries.observed :]
    shape = (len(queries), len(epochs))
    mean = np.broadcast_to(later.mean(axis=0), shape).copy()
    return Prediction(mean, epochs, np.broadcast_to(later.std(axis=0), shape).copy())


class LastValue:
    """The last observed accuracy at all later epochs; the mean curve if nothing is observed."""

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        self._curves: Array | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Store the training curves; `validation` and `seed` are not used."""
        check_runs(train, observed)
        self._curves, self._observed = train.series.valid_accuracy.copy(), observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        observed = check_observed(self._observed, queries)
        assert self._curves is not None
        if observed == 0:
            fallback = mean_curve(self._curves, queries)
            return Prediction(fallback.mean, fallback.epochs)
        epochs = later_epochs(self._curves.shape[1], observed)
        last = queries.series.valid_accuracy[:, -1:]
        return Prediction(np.repeat(last, len(epochs), axis=1), epochs)


def _last_observed(prefixes: Array) -> Array:
    """Return the last column of (networks, observed) as (networks, 1); 0 if there is none.

    >>> _last_observed(np.array([[0.1, 0.4]])).tolist(), _last_observed(np.empty((1, 0))).tolist()
    ([[0.4]], [[0.0]])
    """
    return prefixes[:, -1:] if prefixes.shape[1] else np.zeros((len(prefixes), 1))


class LastPlusGain:
    """The last observed accuracy plus the mean gain of the training runs after that epoch.

    With nothing observed, gains are counted from 0, which gives the mean curve. The standard
    deviation is that of the gains.
    """

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        self._gains: Array | None = None  # (runs, epochs after the observed ones)
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Store the gains of the training runs; `validation` and `seed` are not used."""
        check_runs(train, observed)
        curves = train.series.valid_accuracy
        gains = curves[:, observed:] - _last_observed(curves[:, :observed])
        self._gains, self._observed = gains, observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, clipped to [0, 1]."""
        observed = check_observed(self._observed, queries)
        assert self._gains is not None
        last = _last_observed(queries.series.valid_accuracy)
        mean = np.clip(last + self._gains.mean(axis=0), 0, 1)
        epochs = later_epochs(observed + self._gains.shape[1], observed)
        return Prediction(mean, epochs, np.broadcast_to(self._gains.std(axis=0), mean.shape).copy())
