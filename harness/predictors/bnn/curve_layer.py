"""The learning-curve layer of LC-Net (Klein et al., ICLR 2017), from outputs to a curve."""

import math

import torch
from torch import Tensor

# Bounds of the nine parameters of the basis functions, which the paper does not give. With time as
# a share of all epochs, they allow each function to rise early, evenly or late. Under a cosine
# schedule most curves rise late.
LOWER = (-3.0, -0.5, 0.0, 0.0, -3.0, -5.0, 0.0, 0.5, 0.05)
UPPER = (0.5, 0.0, 1.5, 1.5, 1.0, 0.0, 1.5, 6.0, 1.5)
FUNCTIONS = 3
OUTPUTS = len(LOWER) + FUNCTIONS + 1 + 2  # parameters, weights, asymptote, noise
LEAST_STD = 0.01  # of the noise of an accuracy; that of 2,500 images at .5


def basis_functions(parameters: Tensor, time: Tensor) -> Tensor:
    """Return vapour pressure, log power and Hill3 (Klein et al., section 3.2; Domhan et al.).

    exp(a + b / t + c log t), a / (1 + (t / exp(b))^c) and a t^n / (k^n + t^n).

    Args:
        parameters: (..., 9), three for each function: a, b, c; a, b, c; a, n, k.
        time: (times,), above 0.

    Returns:
        (..., 3, times).
    """
    log_time = time.log()
    p = parameters.unsqueeze(-1).unbind(-2)
    vapour = (p[0] + p[1] / time + p[2] * log_time).exp()
    log_power = p[3] * torch.sigmoid(-p[5] * (log_time - p[4]))
    hill = p[6] * torch.sigmoid(p[7] * (log_time - p[8].log()))
    return torch.stack([vapour, log_power, hill], dim=-2)


def learning_curves(outputs: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean accuracy and the log variance of its noise at each time.

    The mean is a sigmoid asymptote, reached at time 1, plus the softmax-weighted basis functions
    minus their values at time 1. The log variance is linear in time, with a lower bound.

    Args:
        outputs: (..., 15), unbounded outputs of the network.
        time: (times,), in (0, 1].

    Returns:
        Two tensors (..., times).
    """
    sizes = [len(LOWER), FUNCTIONS, 1, 2]
    shares, weights, asymptote, noise = torch.split_with_sizes(outputs, sizes, dim=-1)
    lower, upper = outputs.new_tensor(LOWER), outputs.new_tensor(UPPER)
    parameters = lower + (upper - lower) * shares.sigmoid()
    rise = basis_functions(parameters, time) - basis_functions(parameters, time.new_ones(1))
    mean = asymptote.sigmoid() + (weights.softmax(-1).unsqueeze(-1) * rise).sum(-2)
    floor = 2 * math.log(LEAST_STD)
    log_variance = noise[..., :1] + noise[..., 1:] * (2 * time - 1)
    return mean, floor + torch.nn.functional.softplus(log_variance - floor)
