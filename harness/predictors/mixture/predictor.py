"""Regressions of normal scores on features of networks and of their observed epochs, mixed.

Every member predicts the normal scores of the later epochs. Scores of networks that were held out
give the members their weights, and the mixed scores their accuracies and standard deviations. The
target is the level of the later accuracies and never their gain, because the noise of the last
observed epoch is a part of a gain.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import nnls

from harness.features.ngrams import fit_ngrams
from harness.features.observed import feature_groups, observed_groups
from harness.predictors.base import check_observed, check_runs, folds, later_epochs
from harness.predictors.mixture.gaussian_process import Groups
from harness.predictors.mixture.members import MEMBERS, MakeMember, Member
from harness.predictors.mixture.normal_scores import ScoreScale, normal_scores
from harness.predictors.trees import ROUNDS
from harness.protocol import Array, Prediction, Queries, Runs

FOLDS = 5
SHRINKAGE = 0.3  # of weights towards equal ones; 0 is least squares


def _sequences(train: Queries) -> Callable[[Queries], Groups]:
    """Return a function that counts sequences of layers, and adds what was observed."""
    count = fit_ngrams(train)
    return lambda queries: (*count(queries), *observed_groups(queries))


FEATURES: dict[str, Callable[[Queries], Callable[[Queries], Groups]]] = {  # from training networks
    "hand-made": lambda train: feature_groups,
    "sequences": _sequences,
}


class Mixture:
    """A weighted mean of members, from `MEMBERS` or made by functions, on `FEATURES`."""

    def __init__(
        self,
        *,
        members: Sequence[str | MakeMember] = tuple(MEMBERS),
        features: str = "hand-made",
        trees: int = 200,
        rounds: int = ROUNDS,
    ) -> None:
        """Set the members, the features, the number of extra trees and of boosting rounds."""
        self.members, self.trees, self.rounds = tuple(members), trees, rounds
        self.features = features
        self._groups: Callable[[Queries], Groups] = feature_groups
        self.weights: Array = np.zeros(0)  # (members,)
        self._members: list[Member] = []
        self._scale: ScoreScale | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the members, and weigh and scale them by cross-validation on `train`.

        `validation` is not used.
        """
        check_runs(train, observed)
        queries = train.observe(observed)
        self._groups = FEATURES[self.features](queries)
        groups = self._groups(queries)
        accuracies = train.series.valid_accuracy[:, observed:]
        held_out = np.empty((len(self.members), *accuracies.shape))
        for inside, outside in folds(len(train), FOLDS, 0):
            members = self._fit(_take(groups, inside), accuracies[inside], seed)
            scores = [member.predict(_take(groups, outside)) for member in members]
            held_out[:, outside] = np.stack(scores)
        self.weights = _weigh(held_out[..., -1], normal_scores(accuracies)[:, -1])
        self._scale = ScoreScale.fit(accuracies, np.tensordot(self.weights, held_out, 1))
        self._members = self._fit(groups, accuracies, seed)
        self._observed = observed

    def _fit(self, groups: Groups, accuracies: Array, seed: int) -> list[Member]:
        """Return members, fitted to the normal scores of accuracies (networks, epochs)."""
        scores = normal_scores(accuracies)
        makers = [MEMBERS[m] if isinstance(m, str) else m for m in self.members]
        members = [make(self.trees, self.rounds, seed) for make in makers]
        for member in members:
            member.fit(groups, scores)
        return members

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, with standard deviations."""
        observed = check_observed(self._observed, queries)
        assert self._scale is not None
        groups = self._groups(queries)
        scores = np.stack([member.predict(groups) for member in self._members])
        mean, std = self._scale.moments(np.tensordot(self.weights, scores, 1))
        return Prediction(mean, later_epochs(observed + mean.shape[1], observed), std)


def _take(groups: Groups, index: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> Groups:
    return tuple(group[index] for group in groups)


def _weigh(held_out: Array, target: Array) -> Array:
    """Return non-negative weights that sum to 1, by least squares shrunk towards equal weights.

    Held-out scores are (members, networks), and their target (networks,).
    """
    number, networks = held_out.shape
    strength = np.sqrt(SHRINKAGE * networks)
    left = np.concatenate([held_out.T, strength * np.eye(number)])
    right = np.concatenate([target, np.full(number, strength / number)])
    weights, _ = nnls(left, right)
    weights = weights if weights.any() else np.ones(number)
    return np.asarray(weights / weights.sum())
