"""Bounded least squares of one curve family to many curves at once, with a pull to a centre.

Levenberg-Marquardt in numpy over all curves in parallel: one fit takes microseconds, where a call
of scipy.optimize.least_squares takes milliseconds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.predictors.extrapolation.families import Family
from harness.protocol import Array

DIFFERENCE = 1e-4  # step of central differences, in spreads of a parameter
STILL = 1e-3  # a fit has ended where no parameter moves by more, in spreads
DAMPING, MOST_DAMPING = 1e-2, 1e8


@dataclass(frozen=True, slots=True)
class Pull:
    """What is known of a family's curves before one is seen.

    Attributes:
        centre: (parameters,), where parameters are pulled to.
        spread: (parameters,), how far from it one is at the cost of one squared residual.
        noise: (epochs,), standard deviation of accuracies around the curve.
    """

    centre: Array
    spread: Array
    noise: Array


@dataclass(frozen=True, slots=True)
class Fit:
    """The best curves of a family.

    Attributes:
        parameters: (curves, parameters).
        cost: (curves,), squared residuals over the noise plus squared distance from the centre.
        ended: (curves,), whether the search came to rest at a finite cost.
    """

    parameters: Array
    cost: Array
    ended: NDArray[np.bool_]


def fit_curves(family: Family, curves: Array, starts: Array, pull: Pull, iterations: int) -> Fit:
    """Fit each curve from several starts and keep the best.

    Args:
        family: The family.
        curves: (curves, epochs), accuracies after epochs 1, 2, ...; maybe fewer than `pull.noise`.
        starts: (starts, curves, parameters).
        pull: Centre, spread and noise.
        iterations: Most steps of a fit.
    """
    fits = [_fit(_Problem(family, curves, pull), start, iterations) for start in starts]
    costs = np.where([f.ended for f in fits], [f.cost for f in fits], np.inf)
    best, every = costs.argmin(axis=0), np.arange(len(curves))
    return Fit(
        np.stack([fit.parameters for fit in fits])[best, every],
        np.stack([fit.cost for fit in fits])[best, every],
        np.stack([fit.ended for fit in fits])[best, every],
    )


def slopes(family: Family, epochs: Array, parameters: Array, spread: Array) -> Array:
    """Return derivatives by each parameter in spreads, (curves, epochs, parameters)."""
    steps = DIFFERENCE * np.diag(spread)  # (parameters, parameters), one step a row
    above = family.curve(epochs, (parameters[:, None] + steps)[..., None])
    below = family.curve(epochs, (parameters[:, None] - steps)[..., None])
    return np.swapaxes(above - below, 1, 2) / (2 * DIFFERENCE)


@dataclass(frozen=True, slots=True)
class _Problem:
    """Curves to fit, with what the cost is made of. Positions are in spreads from the centre."""

    family: Family
    curves: Array
    pull: Pull

    def take(self, index: NDArray[np.intp]) -> "_Problem":
        return _Problem(self.family, self.curves[index], self.pull)

    @property
    def epochs(self) -> Array:
        return np.arange(1.0, self.curves.shape[1] + 1)

    @property
    def bounds(self) -> tuple[Array, Array]:
        lower, upper = np.array(self.family.lower), np.array(self.family.upper)
        return self.position(lower), self.position(upper)

    def position(self, parameters: Array) -> Array:
        return (parameters - self.pull.centre) / self.pull.spread

    def parameters(self, position: Array) -> Array:
        return self.pull.centre + self.pull.spread * position

    def residuals(self, position: Array) -> Array:
        model = self.family.curve(self.epochs, self.parameters(position)[..., None])
        return (model - self.curves) / self.pull.noise[: self.curves.shape[1]]

    def cost(self, position: Array) -> Array:
        residuals = self.residuals(position)
        return np.asarray((residuals**2).sum(axis=1) + (position**2).sum(axis=1))

    def step(self, position: Array, damping: Array) -> Array:
        """Return where a damped Gauss-Newton step leads, within the bounds.

        A parameter at a bound that the gradient pushes against is left there, and the others step
        as if it were fixed.
        """
        noise = self.pull.noise[: self.curves.shape[1], None]
        jacobian = slopes(self.family, self.epochs, self.parameters(position), self.pull.spread)
        jacobian = jacobian / noise
        gradient = np.einsum("nep,ne->np", jacobian, self.residuals(position)) + position
        lower, upper = self.bounds
        stuck = (position <= lower) & (gradient > 0) | (position >= upper) & (gradient < 0)
        jacobian = np.where(stuck[:, None], 0.0, jacobian)
        normal = np.einsum("nep,neq->npq", jacobian, jacobian)
        normal += (1 + damping)[:, None, None] * np.eye(position.shape[1])
        step = np.linalg.solve(normal, np.where(stuck, 0.0, -gradient)[..., None])[..., 0]
        return np.clip(position + step, lower, upper)


def _fit(problem: _Problem, start: Array, iterations: int) -> Fit:
    """Fit each curve from one start (curves, parameters)."""
    position = np.clip(problem.position(start), *problem.bounds)
    cost = problem.cost(position)
    damping = np.full(len(position), DAMPING)
    ended = np.zeros(len(position), dtype=bool)
    moving = np.flatnonzero(np.isfinite(cost))
    for _ in range(iterations):
        if not len(moving):
            break
        part = problem.take(moving)
        candidate = part.step(position[moving], damping[moving])
        candidate_cost = part.cost(candidate)
        better = candidate_cost < cost[moving]
        distance = np.abs(candidate - position[moving]).max(axis=1)
        gained = moving[better]
        position[gained], cost[gained] = candidate[better], candidate_cost[better]
        damping[moving] *= np.where(better, 0.2, 10.0)
        still = (distance < STILL) | (damping[moving] > MOST_DAMPING)
        ended[moving[still]] = True
        moving = moving[~still]
    return Fit(problem.parameters(position), cost, ended)
