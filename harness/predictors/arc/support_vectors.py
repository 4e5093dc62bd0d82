"""Support vector models of learning curves."""

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import NuSVR

from harness.predictors.curve_basis import CurveBasis, fit_final_basis
from harness.protocol import Array

COST, NU = 1.0, 0.5  # for targets of standard deviation 1
GAMMA = 0.3  # divided by the number of features that vary


class SupportVectorCurves:
    """One support vector model for each component of curves; the first is the last epoch."""

    def __init__(self, components: int) -> None:
        """Set the number of components."""
        self.components = components
        self._basis = CurveBasis(np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)))
        self._models: tuple[Pipeline, ...] = ()
        self._scale: Array = np.ones(1)

    def fit(self, features: Array, curves: Array) -> "SupportVectorCurves":
        """Fit curves (networks, epochs) to features (networks, features)."""
        self._basis = fit_final_basis(curves, self.components)
        weights = self._basis.weights(curves)
        self._scale = np.maximum(weights.std(axis=0), 1e-9)
        gamma = GAMMA / max(1, int((np.ptp(features, axis=0) > 0).sum()))
        self._models = tuple(
            make_pipeline(StandardScaler(), NuSVR(C=COST, nu=NU, gamma=gamma, cache_size=50)).fit(
                features, target
            )
            for target in (weights / self._scale).T
        )
        return self

    def predict(self, features: Array) -> Array:
        """Return predicted curves (networks, epochs)."""
        weights = np.stack([m.predict(features) for m in self._models], axis=1)
        return self._basis.curves(weights * self._scale)
