"""Propagation of signals and gradients at initialisation, in the mean-field limit of wide layers.

A layer's activations are described by two numbers: their mean square q, and s, the part of q that
varies between images. With weights of mean 0 and He's variance (2 / fan-in), a convolution doubles
both. Batch normalisation removes the constant part and scales s to 1. An activation function is
applied to a constant of variance q - s plus a signal of variance s, both normal (integrated
numerically). Where s / q approaches 0, later layers cannot distinguish images. Squared gradients
are multiplied by a gain in each convolution, activation function and normalisation.

The limit is described by Poole et al. 2016 (arXiv:1606.05340) and Schoenholz et al. 2017
(arXiv:1611.01232). Average pools are assumed to average values with correlation `SPATIAL`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit

from benchmark.space.layer_walk import WEIGHTED, LayerRow
from harness.protocol import Array

NODES = 24  # nodes of Gauss-Hermite quadrature in each of two dimensions
SPATIAL = 0.6  # assumed correlation of neighbouring values in average pools
TINY = 1e-12  # lower bound of q and gains; its square bounds s and gradients
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (lambda u: np.maximum(u, 0.0), lambda u: np.asarray(u > 0, np.float64)),
    "sigmoid": (expit, lambda u: np.asarray(expit(u) * expit(-u))),
    "tanh": (np.tanh, lambda u: np.asarray(1 - np.tanh(u) ** 2)),
}
SIGNAL_FEATURES = (
    "log_signal_at_head",  # s
    "log_square_at_head",  # q
    "log_distinct_at_head",  # s / q
    "least_log_distinct",  # this and the next four: over all layers
    "mean_log_distinct",
    "least_log_signal",
    "largest_log_square",
    "layers_nearly_constant",  # number of layers with s / q below 1 %
    "log_gradient_at_stem",  # squared gradient at the first convolution
    "least_log_gradient",  # this and the next: over all convolutions
    "largest_log_gradient",
    "mean_log_slope",  # of activation functions: mean square of the derivative
)


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of a layer's activations at initialisation.

    Attributes:
        square: Mean square q.
        signal: Part s of the mean square that varies between images.
    """

    square: float
    signal: float

    @property
    def distinct(self) -> float:
        """Share s / q of the mean square that varies between images."""
        return self.signal / self.square


def signal_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return the features `SIGNAL_FEATURES` of a network, (12,)."""
    moments, gains = propagate(rows)
    gradients = gradients_of(rows, gains)
    head = moments[next(row.inputs[0] for row in rows if row.kind == "linear")]
    distinct = np.log([m.distinct for m in moments])
    at_convolutions = np.log(
        [g for row, g in zip(rows, gradients, strict=True) if row.kind == "conv"]
    )
    slopes = [math.log(g) for row, g in zip(rows, gains, strict=True) if row.kind in ACTIVATIONS]
    return np.array(
        [
            math.log(head.signal),
            math.log(head.square),
            math.log(head.distinct),
            distinct.min(),
            distinct.mean(),
            math.log(min(m.signal for m in moments)),
            math.log(max(m.square for m in moments)),
            (distinct < math.log(0.01)).sum(),
            at_convolutions[0],
            at_convolutions.min(),
            at_convolutions.max(),
            np.mean(slopes) if slopes else 0.0,
        ]
    )


def propagate(rows: tuple[LayerRow, ...]) -> tuple[list[Moments], list[float]]:
    """Return each row's moments, and the gain of squared gradients in its backward pass."""
    moments: list[Moments] = []
    gains: list[float] = []
    for row in rows:
        inputs = [moments[i] if i >= 0 else Moments(1.0, 1.0) for i in row.inputs]
        output, gain = _pass(row, inputs)
        moments.append(Moments(max(output.square, TINY), max(output.signal, TINY * TINY)))
        gains.append(max(gain, TINY))
    return moments, gains


def _pass(row: LayerRow, inputs: list[Moments]) -> tuple[Moments, float]:
    """Return a row's moments and its gain of squared gradients."""
    first = inputs[0]
    if row.kind in WEIGHTED:
        gain = 1.0 if row.kind == "linear" else 2.0
        ratio = row.out_channels / row.in_channels / row.stride**2
        return Moments(gain * first.square, gain * first.signal), gain * ratio
    if row.kind == "bn":
        return Moments(1.0, 1.0), 1 / max(first.signal, TINY)
    if row.kind == "add":
        return Moments(sum(m.square for m in inputs), sum(m.signal for m in inputs)), 1.0
    if row.kind in ACTIVATIONS:
        return _activate(row.kind, _rounded(first.square), _rounded(first.signal))
    if row.kind in ("avg_pool", "global_pool"):
        count = row.kernel_height * row.kernel_width
        kept = (1 + (count - 1) * SPATIAL) / count
        return Moments(first.square - first.signal * (1 - kept), first.signal * kept), kept
    return first, 1.0  # a max pool passes one value of each window


def _rounded(value: float) -> float:
    """Return a number with three significant digits, so that results can be cached."""
    return float(f"{value:.3g}")


@lru_cache(maxsize=100_000)
def _activate(kind: str, square: float, signal: float) -> tuple[Moments, float]:
    """Return an activation function's moments and the mean square of its slope."""
    function, slope = ACTIVATIONS[kind]
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    constant = math.sqrt(max(square - signal, 0.0)) * nodes[:, None]
    inputs = constant + math.sqrt(signal) * nodes[None]  # (constants, signals)
    activations = function(inputs)
    means = activations @ weights
    varying = ((activations - means[:, None]) ** 2) @ weights
    total = float(weights @ (activations**2) @ weights)
    return Moments(total, float(weights @ varying)), float(weights @ slope(inputs) ** 2 @ weights)


def gradients_of(rows: tuple[LayerRow, ...], gains: list[float]) -> list[float]:
    """Return the squared gradient at each row's activations; at the network's output it is 1."""
    gradients = [0.0] * len(rows)
    gradients[-1] = 1.0
    for index in range(len(rows) - 1, -1, -1):
        for source in rows[index].inputs:
            if source >= 0:
                gradients[source] += gradients[index] * gains[index]
    return [max(g, TINY * TINY) for g in gradients]
