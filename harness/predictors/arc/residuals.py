"""Predictions of an architecture model, corrected by its residuals on the observed epochs.

The architecture model predicts logit curves from the network alone. The covariance over epochs of
its held-out residuals is known, so conditioning on the observed residuals corrects later epochs in
closed form. Tree models take both predictions and the residuals as features.
"""

from dataclasses import dataclass

import numpy as np

from harness.features.logits import to_logits
from harness.features.observed import measured_features, network_features, prefix_features
from harness.predictors.arc.support_vectors import SupportVectorCurves
from harness.predictors.base import Index, folds, last_observed
from harness.predictors.gaussian import CurveGaussian, choose_gaussian
from harness.protocol import Array, Queries

FOLDS = 5
COMPONENTS = 4


@dataclass(frozen=True, slots=True)
class Inputs:
    """Features of some networks, and the logits of their observed epochs.

    Attributes:
        network: (networks, features), hand-made features and, if computed, zero-cost proxies.
        encoded: (networks, width), output of a pretrained encoder; of width 0 without one.
        prefix: (networks, features), features of the observed epochs.
        logits: (networks, observed epochs), logits of the observed accuracies.
    """

    network: Array
    encoded: Array
    prefix: Array
    logits: Array

    @classmethod
    def of(cls, queries: Queries, encoded: Array) -> "Inputs":
        """Return the inputs of queries, given the output of an encoder (networks, width)."""
        logits = to_logits(queries.series.valid_accuracy)
        network = np.concatenate([network_features(queries), measured_features(queries)], axis=1)
        return cls(network, encoded, prefix_features(queries), logits)

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.network)

    def take(self, index: Index) -> "Inputs":
        """Return the inputs of some of the networks."""
        arrays = (self.network, self.encoded, self.prefix, self.logits)
        return Inputs(*(array[index] for array in arrays))

    @property
    def architecture(self) -> Array:
        """All features that are known before training, (networks, features)."""
        return np.concatenate([self.network, self.encoded], axis=1)

    @property
    def without_encoder(self) -> Array:
        """Features of the network and of the observed epochs, (networks, features)."""
        return np.concatenate([self.network, self.prefix], axis=1)

    @property
    def all_features(self) -> Array:
        """All features, (networks, features)."""
        return np.concatenate([self.architecture, self.prefix], axis=1)

    @property
    def last_logit(self) -> Array:
        """Last observed logit, or 0, from which gains are counted, (networks, 1)."""
        return last_observed(self.logits)


class ResidualFeatures:
    """Features from the architecture model and from its residuals on the observed epochs."""

    def __init__(self, seed: int) -> None:
        """Set the seed of the folds."""
        self.seed = seed
        self._model = SupportVectorCurves(COMPONENTS)
        self._gaussian: CurveGaussian | None = None

    def fit(self, inputs: Inputs, curves: Array) -> Array:
        """Fit to logit curves (networks, epochs) at all epochs.

        Returns:
            The features of these networks, as `features` returns them, but each from a model that
            was not fitted to the network.
        """
        held_out = np.empty_like(curves)
        for inside, outside in folds(len(curves), FOLDS, self.seed):
            model = SupportVectorCurves(COMPONENTS)
            model.fit(inputs.architecture[inside], curves[inside])
            held_out[outside] = model.predict(inputs.architecture[outside])
        observed = inputs.logits.shape[1]
        self._gaussian = choose_gaussian(curves - held_out, observed, self.seed)
        self._model.fit(inputs.architecture, curves)
        return self._features(inputs, held_out)

    def features(self, inputs: Inputs) -> Array:
        """Return features from the fitted architecture model.

        Returns:
            (networks, 2) with nothing observed, else (networks, 3 + observed): predicted logits at
            the middle and the last epoch, the last one corrected, and the observed residuals.
        """
        return self._features(inputs, self._model.predict(inputs.architecture))

    def _features(self, inputs: Inputs, curves: Array) -> Array:
        assert self._gaussian is not None
        observed, total = inputs.logits.shape[1], curves.shape[1]
        predictions = curves[:, [(total - 1) // 2, total - 1]]
        if not observed:
            return predictions
        residuals = inputs.logits - curves[:, :observed]
        shift, _ = self._gaussian.condition(residuals)
        return np.concatenate([predictions, predictions[:, -1:] + shift[:, -1:], residuals], axis=1)
