"""Architecture residual conditioning (ARC), a mixture of models of the logits at later epochs.

An architecture model predicts logit curves; its residuals on the observed epochs correct them
(`harness.predictors.arc.residuals`), and boosted trees correct the result. The mixture also has
support vector models and extra trees. Its weights, the calibration, the standard deviations and the
failure probability are fitted to cross-validated predictions for the training networks. With a
pretrained encoder (`harness.predictors.arc.encoder`), the architecture model and a support vector
model also use the encoded layers.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmark.space.imagesets import learned_above
from harness.features.logits import to_logits
from harness.predictors.arc.calibration import (
    AccuracyMap,
    MixedPrediction,
    StdModel,
    fit_accuracy_map,
    fit_std_model,
)
from harness.predictors.arc.encoder import Encoder
from harness.predictors.arc.failure_probability import FailureModel
from harness.predictors.arc.pretraining import Pretraining, load_or_pretrain
from harness.predictors.arc.residuals import Inputs, ResidualFeatures
from harness.predictors.arc.support_vectors import SupportVectorCurves
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
    """The members of the mixture, and the failure model."""

    def __init__(self, trees: int, boosting: Boosting, seed: int) -> None:
        """Set the number of extra trees, the boosting settings and the seed."""
        self._support_all = SupportVectorCurves(COMPONENTS)
        self._support_without_encoder = SupportVectorCurves(COMPONENTS)
        self._residuals = ResidualFeatures(seed)
        self._boosted = BoostedCurves(boosting, seed)
        self._forest = extra_trees(trees, seed)
        self._failure = FailureModel(trees, min(FAILURE_ROUNDS, boosting.rounds), seed)

    def fit(self, inputs: Inputs, curves: Array, failed: NDArray[np.int64]) -> "Members":
        """Fit to logit curves (networks, epochs) at all epochs and to failures (networks,)."""
        features = inputs.without_encoder
        later = curves[:, inputs.logits.shape[1] :]
        self._support_all.fit(inputs.all_features, later)
        if inputs.encoded.shape[1]:
            self._support_without_encoder.fit(features, later)
        residuals = np.concatenate([features, self._residuals.fit(inputs, curves)], axis=1)
        self._boosted.fit(residuals, later, fit_final_basis(later, COMPONENTS))
        self._forest.fit(features, later - inputs.last_logit)
        self._failure.fit(features, failed)
        return self

    def predict(self, inputs: Inputs) -> Array:
        """Return the later logits of each member, (members, networks, later epochs)."""
        features = inputs.without_encoder
        predictions = [self._support_all.predict(inputs.all_features)]
        if inputs.encoded.shape[1]:
            predictions.append(self._support_without_encoder.predict(features))
        residuals = np.concatenate([features, self._residuals.features(inputs)], axis=1)
        predictions.append(self._boosted.predict(residuals))
        gains = self._forest.predict(features).reshape(len(inputs), -1)
        return np.stack([*predictions, gains + inputs.last_logit])

    def failure_probability(self, inputs: Inputs) -> Array:
        """Return the probability of failure, (networks,)."""
        return self._failure.probability(inputs.without_encoder)


def arc_with_encoder() -> "Arc":
    """Return an ARC with a pretrained encoder."""
    return Arc(pretraining=Pretraining())


class Arc:
    """Architecture residual conditioning, with or without a pretrained encoder of layers.

    Pretraining an encoder takes minutes per image set; the encoder is then cached
    (`load_or_pretrain`).
    """

    def __init__(
        self,
        *,
        trees: int = 100,
        boosting: Boosting = BOOSTING,
        pretraining: Pretraining | None = None,
        cache: Path | None = None,
    ) -> None:
        """Set the extra trees, the boosted trees and the encoder [default: no encoder].

        `cache` is the folder of pretrained encoders [default: the user's cache].
        """
        self.trees, self.boosting = trees, boosting
        self.pretraining, self.cache = pretraining, cache
        self.counts: dict[str, int] = {}
        self._encoder: Encoder | None = None
        self._members: Members | None = None
        self._weights: Array = np.zeros(0)  # (members,)
        self._accuracy_map: AccuracyMap | None = None
        self._std_model: StdModel | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the members, and calibrate them by cross-validation; `validation` is not used."""
        check_runs(train, observed)
        if self.pretraining is not None:
            self._encoder = load_or_pretrain(train.images, self.pretraining, self.cache)
            self.counts = {"pretraining_seconds": self._encoder.seconds}
        inputs = self._inputs(train.observe(observed))
        failed = (train.final_accuracy <= learned_above(train.classes)).astype(np.int64)
        curves = to_logits(train.series.valid_accuracy)
        later = curves[:, observed:]
        with preserve_numpy_state():
            predictions, failure = self._cross_validate(inputs, curves, failed, seed)
            self._members = Members(self.trees, self.boosting, seed).fit(inputs, curves, failed)
        weights, _ = nnls(predictions.reshape(len(predictions), -1).T, later.ravel())
        weights = weights if weights.any() else np.ones(len(predictions))
        self._weights = weights / weights.sum()
        logits = np.tensordot(self._weights, predictions, 1)
        accuracy = train.series.valid_accuracy[:, observed:]
        self._accuracy_map = fit_accuracy_map(logits, accuracy)
        held_out = MixedPrediction(logits, self._accuracy_map(logits), failure)
        self._std_model = fit_std_model(held_out, accuracy, 1 / train.classes)
        self._observed = observed

    def _inputs(self, queries: Queries) -> Inputs:
        """Return the inputs of networks, encoded if there is an encoder."""
        if self._encoder is None:
            return Inputs.of(queries, np.zeros((len(queries), 0)))
        return Inputs.of(queries, self._encoder.encode(queries.layer_rows))

    def _cross_validate(
        self, inputs: Inputs, curves: Array, failed: NDArray[np.int64], seed: int
    ) -> tuple[Array, Array]:
        """Return the predictions of members for networks that they were not fitted to.

        Returns:
            Later logits (members, networks, later epochs), failure probabilities (networks,).
        """
        divisions = folds(len(curves), FOLDS, seed)
        predictions, failure = [], np.empty(len(curves))
        for inside, outside in divisions:
            members = Members(self.trees, self.boosting, seed)
            members.fit(inputs.take(inside), curves[inside], failed[inside])
            predictions.append(members.predict(inputs.take(outside)))
            failure[outside] = members.failure_probability(inputs.take(outside))
        order = np.argsort(np.concatenate([outside for _, outside in divisions]))
        return np.concatenate(predictions, axis=1)[:, order], failure

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, with standard deviations."""
        observed = check_observed(self._observed, queries)
        assert self._members is not None
        assert self._accuracy_map is not None
        assert self._std_model is not None
        inputs = self._inputs(queries)
        logits = np.tensordot(self._weights, self._members.predict(inputs), 1)
        failure = self._members.failure_probability(inputs)
        predictions = MixedPrediction(logits, self._accuracy_map(logits), failure)
        epochs = later_epochs(observed + logits.shape[1], observed)
        return Prediction(predictions.accuracy, epochs, self._std_model.std(predictions))

    def failure_probability(self, queries: Queries) -> Array:
        """Return the probability that the final accuracy is at most twice chance, (networks,)."""
        check_observed(self._observed, queries)
        assert self._members is not None
        return self._members.failure_probability(self._inputs(queries))
