"""Members of a mixture: regressions from groups of features to scores of networks in each epoch."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import NuSVR

from harness.predictors.base import preserve_numpy_state
from harness.predictors.curve_basis import ComponentCurves, Regressor, fit_final_basis
from harness.predictors.mixture.gaussian_process import GroupedProcess, Groups
from harness.predictors.trees import boost
from harness.protocol import Array

COMPONENTS = 4  # of the scores over epochs; the first is the last epoch
COST, NU = 1.0, 0.5  # of support vectors, for targets of standard deviation 1
GAMMA = 0.3  # divided by the number of features that vary
SHARE = 0.3  # of the features that is drawn for each split of boosted trees


class Member(Protocol):
    """A regression from groups of features to scores.

    Groups are those of `harness.features.observed.feature_groups`.
    """

    def fit(self, groups: Groups, scores: Array) -> object:
        """Fit to scores (networks, epochs)."""
        ...

    def predict(self, groups: Groups) -> Array:
        """Return scores (networks, epochs)."""
        ...


class Trees:
    """Extra trees, which predict the scores of all epochs at once."""

    def __init__(self, trees: int, seed: int) -> None:
        """Set the number of trees and the seed."""
        self._model = ExtraTreesRegressor(
            trees, max_features=0.5, min_samples_leaf=2, random_state=seed
        )

    def fit(self, groups: Groups, scores: Array) -> None:
        """Fit to scores (networks, epochs)."""
        targets = scores if scores.shape[1] > 1 else scores[:, 0]
        self._model.fit(np.concatenate(groups, axis=1), targets)

    def predict(self, groups: Groups) -> Array:
        """Return scores (networks, epochs)."""
        features = np.concatenate(groups, axis=1)
        return np.asarray(self._model.predict(features).reshape(len(features), -1))


class Components:
    """One regression for each component of the scores."""

    def __init__(self, model: Callable[[Array, Array], Regressor]) -> None:
        """Set what fits a model to features (networks, features) and numbers (networks,)."""
        self.model = model
        self._curves: ComponentCurves | None = None

    def fit(self, groups: Groups, scores: Array) -> None:
        """Fit to scores (networks, epochs)."""
        curves = ComponentCurves(self.model, fit_final_basis(scores, COMPONENTS))
        self._curves = curves.fit(np.concatenate(groups, axis=1), scores)

    def predict(self, groups: Groups) -> Array:
        """Return scores (networks, epochs)."""
        assert self._curves is not None
        return self._curves.predict(np.concatenate(groups, axis=1))


def _support_vectors(features: Array, target: Array) -> Pipeline:
    """Return a fitted support vector machine."""
    gamma = GAMMA / max(1, int((np.ptp(features, axis=0) > 0).sum()))
    with preserve_numpy_state():
        return make_pipeline(StandardScaler(), NuSVR(C=COST, nu=NU, gamma=gamma)).fit(
            features, target
        )


MakeMember = Callable[[int, int, int], Member]  # from trees, boosting rounds and seed

MEMBERS: dict[str, MakeMember] = {
    "process": lambda trees, rounds, seed: GroupedProcess(),
    "support vectors": lambda trees, rounds, seed: Components(_support_vectors),
    "trees": lambda trees, rounds, seed: Trees(trees, seed),
    "boosted trees": lambda trees, rounds, seed: Components(
        partial(boost, rounds=rounds, share=SHARE, seed=seed)
    ),
}
