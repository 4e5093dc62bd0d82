"""Support vector models of whole curves."""

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import NuSVR

from harness.predictors.curve_basis import CurveBasis, fit_final_basis
from harness.protocol import Array

COST, SHARE = 1.0, 0.5  # C and nu, of targets of standard deviation 1
WIDTH = 0.3  # gamma times the features that vary


class SupportCurves:
    """A support vector model of the last epoch, and of each further component of some curves."""

    def __init__(self, components: int) -> None:
        """Set how many components."""
        self.components = components
        self._basis = CurveBasis(np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)))
        self._models: tuple[Pipeline, ...] = ()
        self._scale: Array = np.ones(1)

    def fit(self, features: Array, curves: Array) -> "SupportCurves":
        """Fit curves (networks, epochs) to features (networks, features)."""
        self._basis = fit_final_basis(curves, self.components)
        weights = self._basis.weights(curves)
        self._scale = np.maximum(weights.std(axis=0), 1e-9)
        width = WIDTH / max(1, int((np.ptp(features, axis=0) > 0).sum()))
        self._models = tuple(
            make_pipeline(
                StandardScaler(), NuSVR(C=COST, nu=SHARE, gamma=width, cache_size=50)
            ).fit(features, target)
            for target in (weights / self._scale).T
        )
        return self

    def predict(self, features: Array) -> Array:
        """Return curves (networks, epochs)."""
        weights = np.stack([m.predict(features) for m in self._models], axis=1)
        return self._basis.curves(weights * self._scale)
