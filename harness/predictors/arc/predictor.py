"""Architecture residual conditioning (ARC): the curve explains what the architecture does not.

An architecture model predicts whole logit curves, and its residuals on the observed epochs move
them (`harness.predictors.arc.residuals`); boosted trees correct what that leaves. They are mixed
with support vectors and extra trees, with weights that suit the training networks, each held out
once. From those held-out answers come the calibration, the spreads and the failure probability.
With a pretrained encoder (`harness.predictors.arc.encoder`), the architecture model reads what the
encoder makes of the layers, beside the features made by hand.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmark.space.imagesets import get_images, learned_above
from harness.features.logits import to_logits
from harness.predictors.arc.calibration import (
    MixedPrediction,
    Rising,
    Spread,
    fit_rising,
    fit_spread,
)
from harness.predictors.arc.encoder import Encoder
from harness.predictors.arc.failure import FailureModel
from harness.predictors.arc.pretraining import Pretraining, pretrained
from harness.predictors.arc.residuals import Explained, Knowledge
from harness.predictors.arc.support import SupportCurves
from harness.predictors.base import (
    check_observed,
    check_runs,
    folds,
    later_epochs,
    preserve_numpy_state,
)
from harness.predictors.curve_basis import fit_final_basis
from harness.predictors.trees import BoostedCurves, Boosting, extra_trees
from harness.protocol import Array, Prediction, Queries, Runs

FOLDS = 5
COMPONENTS = 4
BOOSTING = Boosting(bags=2, share=0.3)
FAILURE_ROUNDS = 100  # of boosting


class Members:
    """The models that are mixed, and that of failure."""

    def __init__(self, trees: int, boosting: Boosting, seed: int) -> None:
        """Set the number of extra trees, how there is boosting and the seed."""
        self._support = SupportCurves(COMPONENTS)
        self._by_hand = SupportCurves(COMPONENTS)
        self._explained = Explained(seed)
        self._boosted = BoostedCurves(boosting, seed)
        self._forest = extra_trees(trees, seed)
        self._failure = FailureModel(trees, min(FAILURE_ROUNDS, boosting.rounds), seed)

    def fit(self, known: Knowledge, curves: Array, failed: NDArray[np.int64]) -> "Members":
        """Fit logit curves (networks, epochs), whole, and who failed, (networks,)."""
        later = curves[:, known.logits.shape[1] :]
        self._support.fit(known.everything, later)
        if known.encoded.shape[1]:
            self._by_hand.fit(known.by_hand, later)
        explained = np.concatenate([known.by_hand, self._explained.fit(known, curves)], axis=1)
        self._boosted.fit(explained, later, fit_final_basis(later, COMPONENTS))
        self._forest.fit(known.by_hand, later - known.base)
        self._failure.fit(known.by_hand, failed)
        return self

    def predict(self, known: Knowledge) -> Array:
        """Return each member's later logits, (members, networks, later epochs)."""
        predictions = [self._support.predict(known.everything)]
        if known.encoded.shape[1]:
            predictions.append(self._by_hand.predict(known.by_hand))
        explained = np.concatenate([known.by_hand, self._explained.features(known)], axis=1)
        predictions.append(self._boosted.predict(explained))
        gains = self._forest.predict(known.by_hand).reshape(len(known), -1)
        return np.stack([*predictions, gains + known.base])

    def failure(self, known: Knowledge) -> Array:
        """Return the probability of having failed, (networks,)."""
        return self._failure.probability(known.by_hand)


def arc_with_encoder() -> "Arc":
    """Return an ARC with a pretrained encoder."""
    return Arc(pretraining=Pretraining())


class Arc:
    """Architecture residual conditioning.

    With a pretraining, its architecture model reads what a pretrained encoder makes of the layers;
    the encoder is made once for an image set, which takes minutes, and kept (`pretrained`).
    """

    def __init__(
        self,
        *,
        trees: int = 100,
        boosting: Boosting = BOOSTING,
        pretraining: Pretraining | None = None,
        cache: Path | None = None,
    ) -> None:
        """Set the extra trees, the boosting, and how and where there is an encoder, if any."""
        self.trees, self.boosting = trees, boosting
        self.pretraining, self.cache = pretraining, cache
        self.counts: dict[str, int] = {}
        self._encoder: Encoder | None = None
        self._members: Members | None = None
        self._weights: Array = np.zeros(0)  # (members,)
        self._rising: Rising | None = None
        self._spread: Spread | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the members; mixture, calibration and spreads on held-out networks of `train`.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        check_runs(train, observed)
        if self.pretraining is not None:
            self._encoder = pretrained(train.images, self.pretraining, self.cache)
            self.counts = {"pretraining_seconds": self._encoder.seconds}
        known = self._known(train.observe(observed))
        classes = get_images(train.images).classes
        failed = (train.final_accuracy <= learned_above(classes)).astype(np.int64)
        curves = to_logits(train.series.valid_accuracy)
        later = curves[:, observed:]
        with preserve_numpy_state():
            predictions, failure = self._held_out(known, curves, failed, seed)
            self._members = Members(self.trees, self.boosting, seed).fit(known, curves, failed)
        weights, _ = nnls(predictions.reshape(len(predictions), -1).T, later.ravel())
        weights = weights if weights.any() else np.ones(len(predictions))
        self._weights = weights / weights.sum()
        logits = np.tensordot(self._weights, predictions, 1)
        accuracy = train.series.valid_accuracy[:, observed:]
        self._rising = fit_rising(logits, accuracy)
        held_out = MixedPrediction(logits, self._rising(logits), failure)
        self._spread = fit_spread(held_out, accuracy, 1 / classes)
        self._observed = observed

    def _known(self, queries: Queries) -> Knowledge:
        """Return what is known of networks, their encodings included."""
        if self._encoder is None:
            return Knowledge.of(queries, np.zeros((len(queries), 0)))
        return Knowledge.of(queries, self._encoder.encode(queries.layer_rows))

    def _held_out(
        self, known: Knowledge, curves: Array, failed: NDArray[np.int64], seed: int
    ) -> tuple[Array, Array]:
        """Return what members say of networks that they were not fitted on.

        Returns:
            Later logits (members, networks, later epochs), failure probability (networks,).
        """
        parts = folds(len(curves), FOLDS, seed)
        predictions, failure = [], np.empty(len(curves))
        for inside, outside in parts:
            members = Members(self.trees, self.boosting, seed)
            members.fit(known.take(inside), curves[inside], failed[inside])
            predictions.append(members.predict(known.take(outside)))
            failure[outside] = members.failure(known.take(outside))
        order = np.argsort(np.concatenate([outside for _, outside in parts]))
        return np.concatenate(predictions, axis=1)[:, order], failure

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones, with standard deviations.

        Raises:
            ValueError: If the predictor was not fitted, or for another number of epochs.
        """
        observed = check_observed(self._observed, queries)
        assert self._members is not None
        assert self._rising is not None
        assert self._spread is not None
        known = self._known(queries)
        logits = np.tensordot(self._weights, self._members.predict(known), 1)
        predictions = MixedPrediction(logits, self._rising(logits), self._members.failure(known))
        epochs = later_epochs(observed + logits.shape[1], observed)
        return Prediction(predictions.accuracy, epochs, self._spread.of(predictions))

    def failure_probability(self, queries: Queries) -> Array:
        """Return how likely each network ends at no more than twice chance, (networks,).

        Raises:
            ValueError: If the predictor was not fitted, or for another number of epochs.
        """
        check_observed(self._observed, queries)
        assert self._members is not None
        return self._members.failure(self._known(queries))
