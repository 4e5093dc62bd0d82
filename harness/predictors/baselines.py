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


class LastValue(MeanCurve):
    """The last observed accuracy at all later epochs; the mean curve if nothing is observed."""

    def __init__(self) -> None:
        """Create an unfitted predictor."""
        super().__init__()
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Store the training curves; `validation` and `seed` are not used."""
        super().fit(train, validation, observed=observed, seed=seed)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        observed = check_observed(self._observed, queries)
        assert self._curves is not None
        epochs = later_epochs(self._curves.shape[1], observed)
        if observed == 0:
            return Prediction(mean_curve(self._curves, queries).mean, epochs)
        last = queries.series.valid_accuracy[:, -1:]
        return Prediction(np.repeat(last, len(epochs), axis=1), epochs)


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
        gains = curves[:, observed:] - (curves[:, [observed - 1]] if observed else 0.0)
        self._gains, self._observed = gains, observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, clipped to [0, 1]."""
        observed = check_observed(self._observed, queries)
        assert self._gains is not None
        last = queries.series.valid_accuracy[:, -1:] if observed else np.zeros((len(queries), 1))
        mean = np.clip(last + self._gains.mean(axis=0), 0, 1)
        epochs = later_epochs(observed + self._gains.shape[1], observed)
        return Prediction(mean, epochs, np.broadcast_to(self._gains.std(axis=0), mean.shape).copy())
