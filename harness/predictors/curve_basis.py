"""Curves as a mean and a few components, learned from training curves."""

from dataclasses import dataclass

import numpy as np

from harness.protocol import Array


@dataclass(frozen=True, slots=True)
class CurveBasis:
    """A mean curve, and directions that are added to it.

    Attributes:
        mean: (epochs,).
        analysis: (epochs, components), takes a curve less the mean to its components.
        directions: (components, epochs), what one unit of each component adds.
    """

    mean: Array
    analysis: Array
    directions: Array

    def weights(self, curves: Array) -> Array:
        """Return the components (curves, components) of curves (curves, epochs)."""
        return np.asarray((curves - self.mean) @ self.analysis)

    def curves(self, weights: Array) -> Array:
        """Return curves (curves, epochs) of components (curves, components).

        >>> basis = fit_basis(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), 1)
        >>> basis.curves(basis.weights(np.array([[3.0, 3.0]]))).round(6).tolist()
        [[3.0, 3.0]]
        """
        return np.asarray(self.mean + weights @ self.directions)


def fit_basis(curves: Array, components: int) -> CurveBasis:
    """Return the singular directions of curves (curves, epochs); few epochs have fewer."""
    mean = curves.mean(axis=0)
    directions = np.linalg.svd(curves - mean, full_matrices=False)[2][:components]
    return CurveBasis(mean, directions.T, directions)


def fit_final_basis(curves: Array, components: int) -> CurveBasis:
    """Return a basis whose first component is the value at the last epoch, less its mean.

    Its direction is how the other epochs go with the last one, by least squares; the further
    components are the singular directions of what that leaves, which is nothing at the last epoch.
    So a model of the first component is a model of the final accuracy.
    """
    mean = curves.mean(axis=0)
    centred = curves - mean
    final = centred[:, -1]
    along = centred.T @ final / max(float(final @ final), 1e-12)
    along[-1] = 1.0
    rest = np.linalg.svd(centred - np.outer(final, along), full_matrices=False)[2]
    rest = rest[: components - 1]
    analysis = np.zeros((len(mean), 1 + len(rest)))
    analysis[-1, 0] = 1.0
    analysis[:, 1:] = rest.T
    analysis[-1, 1:] -= rest @ along
    return CurveBasis(mean, analysis, np.concatenate([along[None], rest]))
