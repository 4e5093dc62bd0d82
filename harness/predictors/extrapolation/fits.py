"""Least squares fits of one curve family to many curves at once, with bounds and a normal prior.

Levenberg-Marquardt in numpy over all curves in parallel: one fit takes microseconds, where a call
of scipy.optimize.least_squares takes milliseconds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.predictors.base import Index
from harness.predictors.extrapolation.families import Family
from harness.protocol import Array

DIFFERENCE = 1e-4  # step of central differences, in prior standard deviations of a parameter
TOLERANCE = 1e-3  # largest step of a converged fit, in prior standard deviations
DAMPING, MOST_DAMPING = 1e-2, 1e8


@dataclass(frozen=True, slots=True)
class Prior:
    """The normal distribution of a family's parameters, and the noise of accuracies.

    Attributes:
        mean: (parameters,), means of the parameters.
        std: (parameters,), standard deviations of the parameters.
        noise: (epochs,), standard deviation of accuracies around the curve.
    """

    mean: Array
    std: Array
    noise: Array


@dataclass(frozen=True, slots=True)
class Fit:
    """The best fit of a family to each curve.

    Attributes:
        parameters: (curves, parameters), fitted parameters.
        cost: (curves,), sum of squared residuals, in units of the noise, plus the squared distance
            from the prior mean, in prior standard deviations.
        converged: (curves,), whether the search converged at a finite cost.
    """

    parameters: Array
    cost: Array
    converged: NDArray[np.bool_]


def fit_curves(family: Family, curves: Array, starts: Array, prior: Prior, iterations: int) -> Fit:
    """Fit each curve from several starts and keep the best fit.

    Args:
        family: Curve family.
        curves: (curves, epochs), accuracies from epoch 1 on; at most as many as in `prior.noise`.
        starts: (starts, curves, parameters), initial parameters.
        prior: Prior of the parameters, and noise.
        iterations: Maximal number of steps of a fit.
    """
    fits = [_fit(_Problem(family, curves, prior), start, iterations) for start in starts]
    costs = np.where([f.converged for f in fits], [f.cost for f in fits], np.inf)
    best, every = costs.argmin(axis=0), np.arange(len(curves))
    return Fit(
        np.stack([fit.parameters for fit in fits])[best, every],
        np.stack([fit.cost for fit in fits])[best, every],
        np.stack([fit.converged for fit in fits])[best, every],
    )


def derivatives(family: Family, epochs: Array, parameters: Array, std: Array) -> Array:
    """Return derivatives of curves by each parameter, at parameters (curves, parameters).

    Returns:
        (curves, epochs, parameters), per prior standard deviation `std` (parameters,).
    """
    steps = DIFFERENCE * np.diag(std)  # (parameters, parameters), one step per row
    above = family.curve(epochs, (parameters[:, None] + steps)[..., None])
    below = family.curve(epochs, (parameters[:, None] - steps)[..., None])
    return np.swapaxes(above - below, 1, 2) / (2 * DIFFERENCE)


@dataclass(frozen=True, slots=True)
class _Problem:
    """Curves to fit, and their cost function.

    Positions are parameters in prior standard deviations from the prior mean.
    """

    family: Family
    curves: Array
    prior: Prior

    def take(self, index: Index) -> "_Problem":
        return _Problem(self.family, self.curves[index], self.prior)

    @property
    def epochs(self) -> Array:
        return np.arange(1.0, self.curves.shape[1] + 1)

    @property
    def bounds(self) -> tuple[Array, Array]:
        lower, upper = np.array(self.family.lower), np.array(self.family.upper)
        return self.position(lower), self.position(upper)

    def position(self, parameters: Array) -> Array:
        return (parameters - self.prior.mean) / self.prior.std

    def parameters(self, position: Array) -> Array:
        return self.prior.mean + self.prior.std * position

    def residuals(self, position: Array) -> Array:
        model = self.family.curve(self.epochs, self.parameters(position)[..., None])
        return (model - self.curves) / self.prior.noise[: self.curves.shape[1]]

    def cost(self, position: Array) -> Array:
        residuals = self.residuals(position)
        return np.asarray((residuals**2).sum(axis=1) + (position**2).sum(axis=1))

    def step(self, position: Array, damping: Array) -> Array:
        """Return the position after a damped Gauss-Newton step, within the bounds.

        A parameter at a bound stays there if the gradient points outside, and the step of the
        other parameters treats it as fixed.
        """
        noise = self.prior.noise[: self.curves.shape[1], None]
        jacobian = derivatives(self.family, self.epochs, self.parameters(position), self.prior.std)
        jacobian = jacobian / noise
        gradient = np.einsum("nep,ne->np", jacobian, self.residuals(position)) + position
        lower, upper = self.bounds
        fixed = (position <= lower) & (gradient > 0) | (position >= upper) & (gradient < 0)
        jacobian = np.where(fixed[:, None], 0.0, jacobian)
        normal = np.einsum("nep,neq->npq", jacobian, jacobian)
        normal += (1 + damping)[:, None, None] * np.eye(position.shape[1])
        step = np.linalg.solve(normal, np.where(fixed, 0.0, -gradient)[..., None])[..., 0]
        return np.clip(position + step, lower, upper)


def _fit(problem: _Problem, start: Array, iterations: int) -> Fit:
    """Fit each curve from one start (curves, parameters)."""
    position = np.clip(problem.position(start), *problem.bounds)
    cost = problem.cost(position)
    damping = np.full(len(position), DAMPING)
    converged = np.zeros(len(position), dtype=bool)
    active = np.flatnonzero(np.isfinite(cost))
    for _ in range(iterations):
        if not len(active):
            break
        remaining = problem.take(active)
        candidate = remaining.step(position[active], damping[active])
        candidate_cost = remaining.cost(candidate)
        better = candidate_cost < cost[active]
        distance = np.abs(candidate - position[active]).max(axis=1)
        improved = active[better]
        position[improved], cost[improved] = candidate[better], candidate_cost[better]
        damping[active] *= np.where(better, 0.2, 10.0)
        done = (distance < TOLERANCE) | (damping[active] > MOST_DAMPING)
        converged[active[done]] = True
        active = active[~done]
    return Fit(problem.parameters(position), cost, converged)
