"""What an architecture model makes of a network, and what the observed epochs add to that.

The model predicts whole logit curves from the network alone. What it leaves over, on networks that
it was not fitted on, has a covariance over epochs; conditioning on the observed residuals moves
later epochs in closed form. Trees are then given both answers and the residuals as features, and
correct what is left.
"""

from dataclasses import dataclass

import numpy as np

from harness.features.logits import to_logits
from harness.features.observed import measured_features, network_features, prefix_features
from harness.predictors.arc.support import SupportCurves
from harness.predictors.base import Index, folds, last_observed
from harness.predictors.gaussian import CurveGaussian, chosen_gaussian
from harness.protocol import Array, Queries

FOLDS = 5
COMPONENTS = 4


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of some networks: features, and the logits of their observed epochs.

    Attributes:
        network: (networks, features), made by hand or measured before training.
        encoded: (networks, width) of a pretrained encoder; of width 0 without one.
        prefix: (networks, features) of the observed epochs.
        logits: (networks, observed epochs).
    """

    network: Array
    encoded: Array
    prefix: Array
    logits: Array

    @classmethod
    def of(cls, queries: Queries, encoded: Array) -> "Knowledge":
        """Return what queries tell, and what an encoder says of them."""
        logits = to_logits(queries.series.valid_accuracy)
        network = np.concatenate([network_features(queries), measured_features(queries)], axis=1)
        return cls(network, encoded, prefix_features(queries), logits)

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.network)

    def take(self, index: Index) -> "Knowledge":
        """Return what is known of some of the networks."""
        parts = (self.network, self.encoded, self.prefix, self.logits)
        return Knowledge(*(part[index] for part in parts))

    @property
    def architecture(self) -> Array:
        """All that is known before training."""
        return np.concatenate([self.network, self.encoded], axis=1)

    @property
    def by_hand(self) -> Array:
        """What is no encoder's: features of the network and of its prefix."""
        return np.concatenate([self.network, self.prefix], axis=1)

    @property
    def everything(self) -> Array:
        """All features beside each other."""
        return np.concatenate([self.architecture, self.prefix], axis=1)

    @property
    def base(self) -> Array:
        """Logit that gains are counted from, (networks, 1)."""
        return last_observed(self.logits)


class Explained:
    """The architecture model, and its held-out residuals conditioned on the observed epochs."""

    def __init__(self, seed: int) -> None:
        """Set the seed of its folds."""
        self.seed = seed
        self._model = SupportCurves(COMPONENTS)
        self._gaussian: CurveGaussian | None = None

    def fit(self, known: Knowledge, curves: Array) -> Array:
        """Fit logit curves (networks, epochs), whole.

        Returns:
            What `features` would say of these networks if they had not been fitted on.
        """
        held_out = np.empty_like(curves)
        for inside, outside in folds(len(curves), FOLDS, self.seed):
            model = SupportCurves(COMPONENTS).fit(known.architecture[inside], curves[inside])
            held_out[outside] = model.predict(known.architecture[outside])
        observed = known.logits.shape[1]
        self._gaussian = chosen_gaussian(curves - held_out, observed, self.seed)
        self._model.fit(known.architecture, curves)
        return self._features(known, held_out)

    def features(self, known: Knowledge) -> Array:
        """Return the answers for the middle and last epoch, and what the prefix says of them.

        Returns:
            (networks, 2) with nothing observed, else (networks, 3 + observed): logits of the model
            at the middle and last epoch, the last one conditioned, the observed residuals.
        """
        return self._features(known, self._model.predict(known.architecture))

    def _features(self, known: Knowledge, curves: Array) -> Array:
        assert self._gaussian is not None
        observed, total = known.logits.shape[1], curves.shape[1]
        predictions = curves[:, [(total - 1) // 2, total - 1]]
        if not observed:
            return predictions
        residuals = known.logits - curves[:, :observed]
        shift, _ = self._gaussian.condition(residuals)
        return np.concatenate([predictions, predictions[:, -1:] + shift[:, -1:], residuals], axis=1)
