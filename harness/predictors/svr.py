"""nu-SVR on simple features and the observed curve (Baker et al. 2017, arXiv:1705.10823)."""

import numpy as np
from scipy.stats import loguniform, uniform
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import KFold, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import NuSVR

from harness.features.architecture import ARCHITECTURE_FEATURES, architecture_features
from harness.features.logits import from_logits, to_logits
from harness.predictors.base import check_observed, check_runs, later_epochs, preserve_numpy_state
from harness.protocol import Array, Prediction, Queries, Runs

# Distributions of the random search. Targets are standardised, so C means the same for every epoch.
# The standardised features of the curve are multiplied by a weight. Without it the few curve
# features would hardly change distances, which the many architecture features dominate.
CURVE_WEIGHTS = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0)
SEARCH_SPACE = {
    "svr__C": loguniform(1e-1, 1e2),
    "svr__nu": uniform(0.1, 0.8),  # from .1 to .9
    "svr__gamma": loguniform(1e-4, 1e-1),
    "scale__transformer_weights": [{"curve": weight} for weight in CURVE_WEIGHTS],
}
FOLDS = 3


class NuSvr:
    """Support vector regression of later logits on the architecture and the observed logits.

    The features are `architecture_features`, the observed logits, and their first and second
    differences; with nothing observed, `architecture_features` alone. A random search with 3-fold
    cross-validation on the final epoch chooses C, nu, gamma and the weight of the curve features.
    One model per later epoch is then fitted with these settings.
    """

    def __init__(self, *, candidates: int = 50) -> None:
        """Set how many candidate settings the search evaluates."""
        self.candidates = candidates
        self._models: tuple[Pipeline, ...] = ()
        self._observed: int | None = None
        self._mean: Array = np.zeros(0)
        self._std: Array = np.ones(0)

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Choose the settings by cross-validation on `train` and fit; `validation` is not used.

        Raises:
            ValueError: Also if `train` has fewer than 3 runs.
        """
        check_runs(train, observed)
        if len(train) < FOLDS:
            raise ValueError(f"`train` must hold at least {FOLDS} runs, not {len(train)}")
        inputs = curve_features(train.observe(observed))
        targets = to_logits(train.series.valid_accuracy[:, observed:])
        self._mean, self._std = targets.mean(axis=0), targets.std(axis=0)
        self._std[self._std == 0] = 1.0
        scaled = (targets - self._mean) / self._std
        with preserve_numpy_state():
            best = _search(inputs, scaled[:, -1], self.candidates, seed)
            self._models = tuple(clone(best).fit(inputs, target) for target in scaled.T)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        observed = check_observed(self._observed, queries)
        inputs = curve_features(queries)
        scaled = np.stack([model.predict(inputs) for model in self._models], axis=1)
        epochs = later_epochs(observed + len(self._models), observed)
        return Prediction(from_logits(scaled * self._std + self._mean), epochs)


def curve_features(queries: Queries) -> Array:
    """Return 47 architecture and up to 3 observed - 3 curve features, (networks, features)."""
    architectures = np.stack([architecture_features(rows) for rows in queries.layer_rows])
    logits = to_logits(queries.series.valid_accuracy)
    steps = [np.diff(logits, n=order, axis=1) for order in (1, 2) if queries.observed > order]
    return np.concatenate([architectures, logits, *steps], axis=1)


def _pipeline(features: int) -> Pipeline:
    """Return an unfitted regression that scales architecture and curve features separately."""
    split = len(ARCHITECTURE_FEATURES)
    scale = ColumnTransformer(
        [
            ("architecture", StandardScaler(), list(range(split))),
            ("curve", StandardScaler(), list(range(split, features))),
        ]
    )
    return Pipeline([("scale", scale), ("svr", NuSVR(cache_size=50))])


def _search(inputs: Array, target: Array, candidates: int, seed: int) -> Pipeline:
    """Return the unfitted pipeline with the best settings of a random search."""
    pipeline = _pipeline(inputs.shape[1])
    search = RandomizedSearchCV(
        pipeline,
        SEARCH_SPACE,
        n_iter=candidates,
        scoring="neg_mean_squared_error",
        cv=KFold(FOLDS, shuffle=True, random_state=seed),
        random_state=seed,
        refit=False,
        n_jobs=1,
    )
    search.fit(inputs, target)
    return pipeline.set_params(**search.best_params_)
