"""Learning curves as a mean curve plus a few components, fitted to training curves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.protocol import Array

LEAST_SCALE = 1e-9  # weights with a smaller standard deviation are divided by it


@dataclass(frozen=True, slots=True)
class CurveBasis:
    """A mean curve and the directions of its components.

    Attributes:
        mean: (epochs,), mean curve.
        analysis: (epochs, components), maps a curve minus the mean to its component weights.
        directions: (components, epochs), what a weight of 1 adds to the curve.
    """

    mean: Array
    analysis: Array
    directions: Array

    def weights(self, curves: Array) -> Array:
        """Return the component weights (curves, components) of curves (curves, epochs)."""
        return np.asarray((curves - self.mean) @ self.analysis)

    def curves(self, weights: Array) -> Array:
        """Return the curves (curves, epochs) of component weights (curves, components).

        >>> basis = fit_basis(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), 1)
        >>> basis.curves(basis.weights(np.array([[3.0, 3.0]]))).round(6).tolist()
        [[3.0, 3.0]]
        """
        return np.asarray(self.mean + weights @ self.directions)


def fit_basis(curves: Array, components: int) -> CurveBasis:
    """Return the first singular directions of curves (curves, epochs), at most one per epoch."""
    mean = curves.mean(axis=0)
    directions = np.linalg.svd(curves - mean, full_matrices=False)[2][:components]
    return CurveBasis(mean, directions.T, directions)


def fit_final_basis(curves: Array, components: int) -> CurveBasis:
    """Return a basis whose first component is the value at the last epoch minus its mean.

    The first direction is the least squares regression of each epoch on the last one. The other
    components are the singular directions of its residuals, which are 0 at the last epoch. So a
    model of the first component is a model of the final accuracy.
    """
    mean = curves.mean(axis=0)
    centred = curves - mean
    final = centred[:, -1]
    slopes = centred.T @ final / max(float(final @ final), 1e-12)
    slopes[-1] = 1.0
    others = np.linalg.svd(centred - np.outer(final, slopes), full_matrices=False)[2]
    others = others[: components - 1]
    analysis = np.zeros((len(mean), 1 + len(others)))
    analysis[-1, 0] = 1.0
    analysis[:, 1:] = others.T
    analysis[-1, 1:] -= others @ slopes
    return CurveBasis(mean, analysis, np.concatenate([slopes[None], others]))


class Regressor(Protocol):
    """A fitted regression from features to one number."""

    def predict(self, features: Array) -> Array:
        """Return numbers (networks,) for features (networks, features)."""
        ...


class ComponentCurves:
    """One regression for the weights of each component of curves."""

    def __init__(self, model: Callable[[Array, Array], Regressor], basis: CurveBasis) -> None:
        """Set what fits a model to features and weights of standard deviation 1, and the basis."""
        self.model, self.basis = model, basis
        self._models: tuple[Regressor, ...] = ()
        self._scale: Array = np.ones(1)

    def fit(self, features: Array, curves: Array) -> "ComponentCurves":
        """Fit to features (networks, features) and curves (networks, epochs)."""
        weights = self.basis.weights(curves)
        self._scale = np.maximum(weights.std(axis=0), LEAST_SCALE)
        self._models = tuple(self.model(features, target) for target in (weights / self._scale).T)
        return self

    def predict(self, features: Array) -> Array:
        """Return predicted curves (networks, epochs)."""
        weights = np.stack([model.predict(features) for model in self._models], axis=1)
        return self.basis.curves(weights * self._scale)
