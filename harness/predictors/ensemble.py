"""Several fits of one predictor, whose mean prediction is the prediction."""

from collections.abc import Callable
from functools import partial

import numpy as np

from harness.predictors.base import check_fitted
from harness.predictors.registry import load
from harness.protocol import Prediction, Predictor, Queries, Runs


class Ensemble:
    """Mean prediction of members that are fitted with the seeds 0, 1, 2, ...

    It costs as many fits. The seed that it is given has no effect. The standard deviation, if the
    members predict one, is the mean of theirs.
    """

    def __init__(self, member: str | Callable[[], Predictor], *, members: int = 5) -> None:
        """Take the name of a reference predictor, or a function that returns a new member."""
        make = partial(load, member) if isinstance(member, str) else member
        self._members = [make() for _ in range(members)]
        self._fitted = False

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit every member; `seed` is ignored."""
        for number, member in enumerate(self._members):
            member.fit(train, validation, observed=observed, seed=number)
        self._fitted = True

    def predict(self, queries: Queries) -> Prediction:
        """Return the mean over members of the predicted accuracies."""
        check_fitted(self._fitted)
        predictions = [member.predict(queries) for member in self._members]
        stds = [p.std for p in predictions if p.std is not None]
        std = np.mean(stds, axis=0) if stds else None
        mean = np.mean([p.mean for p in predictions], axis=0)
        return Prediction(mean, predictions[0].epochs, std)
