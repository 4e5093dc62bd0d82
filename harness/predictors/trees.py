"""Tree models of learning curves, on features of the network and of the observed epochs.

`FeatureTrees` averages extra trees and boosting on hand-made features, which beat learned encoders
when training networks are few (GRAF, Kadlecova et al. 2024, arXiv:2404.16551). `CurveSvd` boosts
one model per component of the curves (NAS-Bench-x11, Yan et al. 2021, arXiv:2111.03602).
"""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

from harness.features.logits import from_logits, to_logits
from harness.features.observed import measured_features, network_features, prefix_features
from harness.predictors.base import check_observed, check_runs, last_observed, later_epochs
from harness.predictors.curve_basis import CurveBasis, fit_basis, fit_final_basis
from harness.protocol import Array, Prediction, Queries, Runs

COMPONENTS = 4
ROUNDS = 150  # of boosting
SEED_STEP = 1000  # difference between the seeds of bagged models


def tree_features(queries: Queries) -> Array:
    """Return features of networks, proxies (if any) and observed epochs, (networks, features)."""
    functions = (network_features, measured_features, prefix_features)
    return np.concatenate([features(queries) for features in functions], axis=1)


def gains(curves: Array, observed: int) -> Array:
    """Return logits of later epochs minus the logit of the last observed epoch, if there is one.

    `curves` are the accuracies at all epochs, (networks, epochs).
    """
    logits = to_logits(curves)
    return logits[:, observed:] - last_observed(logits[:, :observed])


@dataclass(frozen=True, slots=True)
class Boosting:
    """Settings of gradient boosting for one target.

    Attributes:
        rounds: Number of trees of a model.
        bags: Number of models with different seeds, whose mean is the prediction.
        share: Share of the features that is drawn at random for each split.
    """

    rounds: int = ROUNDS
    bags: int = 1
    share: float = 0.5

    def fit(
        self, features: Array, target: Array, seed: int
    ) -> tuple[HistGradientBoostingRegressor, ...]:
        """Return the models, fitted to features (networks, features) and a target (networks,)."""
        return tuple(
            HistGradientBoostingRegressor(
                learning_rate=0.05,
                max_iter=self.rounds,
                max_leaf_nodes=8,
                min_samples_leaf=10,
                l2_regularization=1.0,
                max_features=self.share,
                random_state=seed + SEED_STEP * bag,
            ).fit(features, target)
            for bag in range(self.bags)
        )


class BoostedCurves:
    """One boosted model for each component of curves."""

    def __init__(self, boosting: Boosting, seed: int) -> None:
        """Set the boosting of each component, and the seed."""
        self.boosting, self.seed = boosting, seed
        self._basis = CurveBasis(np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)))
        self._models: tuple[tuple[HistGradientBoostingRegressor, ...], ...] = ()

    def fit(self, features: Array, curves: Array, basis: CurveBasis) -> "BoostedCurves":
        """Fit to features (networks, features) and curves (networks, epochs) in a given basis."""
        self._basis = basis
        targets = basis.weights(curves).T
        self._models = tuple(self.boosting.fit(features, y, self.seed) for y in targets)
        return self

    def predict(self, features: Array) -> Array:
        """Return predicted curves (networks, epochs)."""
        weights = [np.mean([m.predict(features) for m in bags], axis=0) for bags in self._models]
        return self._basis.curves(np.stack(weights, axis=1))


def extra_trees(trees: int, seed: int) -> ExtraTreesRegressor:
    """Return an unfitted forest, which predicts all epochs at once."""
    return ExtraTreesRegressor(trees, max_features=0.5, min_samples_leaf=2, random_state=seed)


class FeatureTrees:
    """The mean of extra trees and boosted components, fitted to the gains of later logits."""

    def __init__(self, *, trees: int = 300, rounds: int = ROUNDS) -> None:
        """Set the number of extra trees and of boosting rounds."""
        self.trees, self.rounds = trees, rounds
        self._models: tuple[ExtraTreesRegressor, BoostedCurves] | None = None
        self._observed: int | None = None
        self._epochs = 0

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the trees; `validation` is not used."""
        check_runs(train, observed)
        features = tree_features(train.observe(observed))
        targets = gains(train.series.valid_accuracy, observed)
        basis = fit_final_basis(targets, COMPONENTS)
        boosted = BoostedCurves(Boosting(self.rounds), seed).fit(features, targets, basis)
        self._models = extra_trees(self.trees, seed).fit(features, targets), boosted
        self._observed, self._epochs = observed, train.recipe.epochs

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        observed = check_observed(self._observed, queries)
        assert self._models is not None
        features = tree_features(queries)
        shape = (len(queries), self._epochs - observed)
        mean = np.mean([model.predict(features).reshape(shape) for model in self._models], axis=0)
        logits = mean + last_observed(to_logits(queries.series.valid_accuracy))
        return Prediction(from_logits(logits), later_epochs(self._epochs, observed))


class CurveSvd:
    """One boosted model for each of the first components of later logits."""

    def __init__(self, *, components: int = COMPONENTS, rounds: int = ROUNDS) -> None:
        """Set the number of components and of boosting rounds."""
        self.components, self.rounds = components, rounds
        self._model: BoostedCurves | None = None
        self._observed: int | None = None
        self._epochs = 0

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit one model per component; `validation` is not used."""
        check_runs(train, observed)
        logits = to_logits(train.series.valid_accuracy[:, observed:])
        features = tree_features(train.observe(observed))
        basis = fit_basis(logits, self.components)
        self._model = BoostedCurves(Boosting(self.rounds), seed).fit(features, logits, basis)
        self._observed, self._epochs = observed, train.recipe.epochs

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        observed = check_observed(self._observed, queries)
        assert self._model is not None
        logits = self._model.predict(tree_features(queries))
        return Prediction(from_logits(logits), later_epochs(self._epochs, observed))
