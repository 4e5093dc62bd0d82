"""Architecture residual conditioning (ARC): the curve explains what the architecture does not.

An architecture model predicts whole logit curves. What it leaves over on networks that it was not
fitted on has a covariance over epochs; conditioning on the observed residuals moves later epochs in
closed form. Beside it, boosted trees, extra trees and support vectors go from architecture and
prefix to later logits, or to what they gain on the last observed one. The answers are mixed with
weights that suit the training networks, each held out once; spreads are those of the held-out
errors of networks with answers of like height.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import NuSVR

from harness.predictors.curve_basis import CurveBasis, fit_basis
from harness.predictors.gaussian import CurveGaussian, chosen_gaussian
from harness.predictors.prefix import network_features, prefix_features
from harness.predictors.scale import (
    check_observed,
    check_runs,
    from_logits,
    later_epochs,
    to_logits,
)
from harness.predictors.svr import numpy_state_kept
from harness.predictors.trees import ROUNDS, BoostedCurves, base, extra_trees
from harness.protocol import Array, Prediction, Queries, Runs

FOLDS, INNER_FOLDS = 5, 3
COMPONENTS = 4
LEAST_SPREAD = 1e-3  # of an accuracy
NEIGHBOURS = 60  # held-out networks whose errors make a spread
SVR_COST, SVR_SHARE, SVR_WIDTH = 1.0, 0.5, 0.3  # C, nu, and gamma times the features that vary
Fold = NDArray[np.intp]


class SupportCurves:
    """A support vector model of each component of some curves."""

    def __init__(self, components: int) -> None:
        """Set how many components."""
        self.components = components
        self._basis = CurveBasis(np.zeros(0), np.zeros((0, 0)))
        self._models: tuple[Pipeline, ...] = ()
        self._scale: Array = np.ones(1)

    def fit(self, features: Array, curves: Array) -> "SupportCurves":
        """Fit curves (networks, epochs) to features (networks, features)."""
        self._basis = fit_basis(curves, self.components)
        weights = self._basis.weights(curves)
        self._scale = np.maximum(weights.std(axis=0), 1e-9)
        width = SVR_WIDTH / max(1, int((np.ptp(features, axis=0) > 0).sum()))
        self._models = tuple(
            make_pipeline(
                StandardScaler(), NuSVR(C=SVR_COST, nu=SVR_SHARE, gamma=width, cache_size=50)
            ).fit(features, target)
            for target in (weights / self._scale).T
        )
        return self

    def predict(self, features: Array) -> Array:
        """Return curves (networks, epochs)."""
        weights = np.stack([m.predict(features) for m in self._models], axis=1)
        return self._basis.curves(weights * self._scale)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of some networks: features, and the logits of their observed epochs.

    Attributes:
        network: (networks, features), before training.
        prefix: (networks, features) of the observed epochs.
        logits: (networks, observed epochs).
    """

    network: Array
    prefix: Array
    logits: Array

    @classmethod
    def of(cls, queries: Queries) -> "Knowledge":
        """Return what queries tell."""
        logits = to_logits(queries.series.valid_accuracy)
        return cls(network_features(queries), prefix_features(queries), logits)

    def take(self, index: Fold) -> "Knowledge":
        """Return what is known of some of the networks."""
        return Knowledge(self.network[index], self.prefix[index], self.logits[index])

    @property
    def everything(self) -> Array:
        """All features beside each other."""
        return np.concatenate([self.network, self.prefix], axis=1)

    @property
    def base(self) -> Array:
        """Logit that gains are counted from, (networks, 1)."""
        return base(self.logits)


class Conditioned:
    """An architecture model, its held-out residuals conditioned on the observed epochs."""

    def __init__(self, seed: int) -> None:
        """Set the seed of its folds."""
        self.seed = seed
        self._model = SupportCurves(COMPONENTS)
        self._gaussian: CurveGaussian | None = None

    def fit(self, known: Knowledge, curves: Array) -> "Conditioned":
        """Fit logit curves (networks, epochs), whole."""
        held_out = np.empty_like(curves)
        for inside, outside in folds(len(curves), INNER_FOLDS, self.seed):
            model = SupportCurves(COMPONENTS).fit(known.network[inside], curves[inside])
            held_out[outside] = model.predict(known.network[outside])
        observed = known.logits.shape[1]
        self._gaussian = chosen_gaussian(curves - held_out, observed, self.seed)
        self._model.fit(known.network, curves)
        return self

    def predict(self, known: Knowledge) -> Array:
        """Return later logits (networks, later epochs)."""
        assert self._gaussian is not None
        observed = known.logits.shape[1]
        mean = self._model.predict(known.network)
        shift, _ = self._gaussian.condition(known.logits - mean[:, :observed])
        return np.asarray(mean[:, observed:] + shift)


def folds(count: int, number: int, seed: int) -> list[tuple[Fold, Fold]]:
    """Return (inside, outside) indices of folds of a drawn order."""
    fold = np.random.default_rng(seed).permutation(count) % min(number, count)
    return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(fold.max() + 1)]


class Members:
    """The models that are mixed; the two that need a prefix are there only if there is one."""

    def __init__(self, trees: int, rounds: int, seed: int) -> None:
        """Set the number of extra trees, the rounds of boosting and the seed."""
        self._forest = extra_trees(trees, seed)
        self._support = SupportCurves(COMPONENTS)
        self._boosted = BoostedCurves(COMPONENTS, rounds, seed)
        self._gains = BoostedCurves(COMPONENTS, rounds, seed)
        self._conditioned = Conditioned(seed)

    def fit(self, known: Knowledge, curves: Array) -> "Members":
        """Fit logit curves (networks, epochs), whole."""
        observed = known.logits.shape[1]
        later, features = curves[:, observed:], known.everything
        self._support.fit(features, later)
        self._boosted.fit(features, later)
        self._forest.fit(features, later - known.base)
        if observed:
            self._gains.fit(features, later - known.base)
            self._conditioned.fit(known, curves)
        return self

    def predict(self, known: Knowledge) -> Array:
        """Return each member's later logits, (members, networks, later epochs)."""
        features = known.everything
        forest = self._forest.predict(features).reshape(len(features), -1) + known.base
        answers = [self._support.predict(features), self._boosted.predict(features), forest]
        if known.logits.shape[1]:
            answers.append(self._gains.predict(features) + known.base)
            answers.append(self._conditioned.predict(known))
        return np.stack(answers)


class Arc:
    """Architecture residual conditioning, with trees and support vectors beside it."""

    def __init__(self, *, trees: int = 100, rounds: int = ROUNDS) -> None:
        """Set the number of extra trees, and the rounds of boosting."""
        self.trees, self.rounds = trees, rounds
        self._members: Members | None = None
        self._weights: Array = np.zeros(0)  # (members,)
        self._answers: Array = np.zeros((0, 0))  # of held-out networks, as the next
        self._errors: Array = np.zeros((0, 0))
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the members, and the mixture on held-out networks of `train`.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        check_runs(train, observed)
        known = Knowledge.of(train.observe(observed))
        curves = to_logits(train.series.valid_accuracy)
        later = curves[:, observed:]
        with numpy_state_kept():
            answers = self._held_out_answers(known, curves, seed)
            self._members = Members(self.trees, self.rounds, seed).fit(known, curves)
        weights, _ = nnls(answers.reshape(len(answers), -1).T, later.ravel())
        weights = weights if weights.any() else np.ones(len(answers))
        self._weights = weights / weights.sum()
        self._answers = np.tensordot(self._weights, answers, 1)
        self._errors = later - self._answers
        self._observed = observed

    def _held_out_answers(self, known: Knowledge, curves: Array, seed: int) -> Array:
        """Return each member's later logits of networks it was not fitted on, as `Members` does."""
        parts = folds(len(curves), FOLDS, seed)
        answers = []
        for inside, outside in parts:
            members = Members(self.trees, self.rounds, seed).fit(known.take(inside), curves[inside])
            answers.append(members.predict(known.take(outside)))
        order = np.argsort(np.concatenate([outside for _, outside in parts]))
        return np.concatenate(answers, axis=1)[:, order]

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones, with standard deviations.

        Raises:
            ValueError: If the predictor was not fitted, or for another number of epochs.
        """
        observed = check_observed(self._observed, queries)
        assert self._members is not None
        answers = self._members.predict(Knowledge.of(queries))
        logits = np.tensordot(self._weights, answers, 1)
        mean = from_logits(logits)
        epochs = later_epochs(observed + logits.shape[1], observed)
        return Prediction(mean, epochs, self._spread(logits, mean))

    def _spread(self, logits: Array, mean: Array) -> Array:
        """Return how far accuracies of held-out networks with like answers lay from theirs."""
        distance = abs(logits[:, None, -1] - self._answers[None, :, -1])
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
        possible = from_logits(logits[:, None] + self._errors[nearest])
        squares = np.square(possible - mean[:, None]).mean(axis=1)
        return np.asarray(np.maximum(np.sqrt(squares), LEAST_SPREAD))
