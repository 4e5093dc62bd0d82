"""Scale-adapted stochastic gradient Hamiltonian Monte Carlo (Springenberg et al., NIPS 2016)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, ...]  # each (chains, ...)
SMALLEST = 1e-16  # lower bound of squared gradients and variances, against division by 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of the sampler.

    Attributes:
        burn_in: Number of steps before the first sample, in which gradient sizes are estimated.
        samples: Number of states kept from each chain.
        apart: Number of steps between kept states.
        step: Learning rate of a parameter whose gradient per observation has size 1.
        friction: Share of the momentum lost in a step.
    """

    burn_in: int = 3000
    samples: int = 10
    apart: int = 100
    step: float = 1e-2
    friction: float = 0.05


class _Scale:
    """Running estimates of a parameter's gradient and its square (algorithm 1 of the paper)."""

    def __init__(self, parameter: Tensor) -> None:
        self.window, self.square = torch.ones_like(parameter), torch.ones_like(parameter)
        self.mean = torch.zeros_like(parameter)

    def update(self, gradient: Tensor) -> None:
        """Update the estimates with a gradient; noisy gradients lengthen the averaging window."""
        rate = 1 / (self.window + 1)
        self.window += 1 - self.window * self.mean**2 / self.square.clamp(min=SMALLEST)
        self.mean += rate * (gradient - self.mean)
        self.square += rate * (gradient**2 - self.square)

    def inverse(self) -> Tensor:
        """Return the inverse of the gradient's root mean square."""
        return self.square.clamp(min=SMALLEST).rsqrt()


def sample(
    start: State,
    energy: Callable[[State], Tensor],
    points: int,
    sampling: Sampling,
    generator: torch.Generator,
) -> list[State]:
    """Return the kept states of chains that run as one batch.

    Args:
        start: Initial parameters (chains, ...); not modified.
        energy: Returns the negative log posterior of each chain divided by `points`, (chains,), up
            to a constant, or an estimate of it from a batch of observations.
        points: Number of observations.
        sampling: Settings of the sampler.
        generator: Random generator of the noise.
    """
    state = tuple(p.clone() for p in start)
    momenta = tuple(torch.zeros_like(p) for p in start)
    scales = [_Scale(p) for p in start]
    squared_step = sampling.step**2 / points
    kept: list[State] = []
    for step in range(sampling.burn_in + sampling.samples * sampling.apart):
        open_state = tuple(p.requires_grad_() for p in state)
        gradients = torch.autograd.grad(energy(open_state).sum(), open_state)
        state = tuple(p.detach() for p in open_state)
        for p, momentum, scale, gradient in zip(state, momenta, scales, gradients, strict=True):
            if step < sampling.burn_in:
                scale.update(gradient)
            inverse = scale.inverse()
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            # The variance that keeps the temperature at 1 (equation 8 of the paper)
            variance = 2 * squared_step * sampling.friction * inverse - squared_step**2
            momentum += noise * variance.clamp(min=SMALLEST).sqrt()
            momentum -= sampling.step**2 * inverse * gradient + sampling.friction * momentum
            p += momentum
        since = step + 1 - sampling.burn_in
        if since > 0 and since % sampling.apart == 0:
            kept.append(tuple(p.clone() for p in state))
    return kept
