"""Curves as a mean and a few components: the singular value decomposition of training curves."""

from dataclasses import dataclass

import numpy as np

from harness.protocol import Array


@dataclass(frozen=True, slots=True)
class CurveBasis:
    """A mean curve and orthonormal directions in which curves vary most.

    Attributes:
        mean: (epochs,).
        directions: (components, epochs).
    """

    mean: Array
    directions: Array

    def weights(self, curves: Array) -> Array:
        """Return the components (curves, components) of curves (curves, epochs)."""
        return np.asarray((curves - self.mean) @ self.directions.T)

    def curves(self, weights: Array) -> Array:
        """Return curves (curves, epochs) of components (curves, components).

        >>> basis = CurveBasis(np.array([1.0, 2.0]), np.array([[0.6, 0.8]]))
        >>> basis.curves(basis.weights(np.array([[1.6, 2.8]]))).round(6).tolist()
        [[1.6, 2.8]]
        """
        return np.asarray(self.mean + weights @ self.directions)


def fit_basis(curves: Array, components: int) -> CurveBasis:
    """Return the basis of curves (curves, epochs); with few epochs it has fewer components."""
    mean = curves.mean(axis=0)
    directions = np.linalg.svd(curves - mean, full_matrices=False)[2]
    return CurveBasis(mean, directions[:components])
