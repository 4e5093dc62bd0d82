"""Boosted trees for the components of learning curves (Yan et al. 2021, arXiv:2111.03602)."""

from functools import partial

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from harness.features.logits import from_logits, to_logits
from harness.features.observed import feature_groups
from harness.predictors.base import check_observed, check_runs, later_epochs
from harness.predictors.curve_basis import ComponentCurves, fit_basis
from harness.protocol import Array, Prediction, Queries, Runs

COMPONENTS = 4
ROUNDS = 150  # of boosting
SHARE = 0.5  # of the features that is drawn at random for each split


def boost(
    features: Array, target: Array, *, rounds: int, share: float, seed: int
) -> HistGradientBoostingRegressor:
    """Return boosted trees, fitted to features (networks, features) and a target (networks,)."""
    return HistGradientBoostingRegressor(
        learning_rate=0.05,
        max_iter=rounds,
        max_leaf_nodes=8,
        min_samples_leaf=10,
        l2_regularization=1.0,
        max_features=share,
        random_state=seed,
    ).fit(features, target)


class CurveSvd:
    """One boosted model for each of the first components of later logits."""

    def __init__(self, *, components: int = COMPONENTS, rounds: int = ROUNDS) -> None:
        """Set the number of components and of boosting rounds."""
        self.components, self.rounds = components, rounds
        self._model: ComponentCurves | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit one model per component; `validation` is not used."""
        check_runs(train, observed)
        logits = to_logits(train.series.valid_accuracy[:, observed:])
        features = np.concatenate(feature_groups(train.observe(observed)), axis=1)
        model = partial(boost, rounds=self.rounds, share=SHARE, seed=seed)
        basis = fit_basis(logits, self.components)
        self._model = ComponentCurves(model, basis).fit(features, logits)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        observed = check_observed(self._observed, queries)
        assert self._model is not None
        logits = self._model.predict(np.concatenate(feature_groups(queries), axis=1))
        epochs = later_epochs(observed + logits.shape[1], observed)
        return Prediction(from_logits(logits), epochs)
