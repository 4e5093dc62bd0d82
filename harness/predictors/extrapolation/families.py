"""The eleven curve families of Domhan et al. (IJCAI 2015, table 1), accuracy against epochs.

Parameters are bounded, and positive ones are given by their logarithms. The comment of each
function names its parameters in order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.protocol import Array

Curve = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Family:
    """A parametric family of curves.

    Attributes:
        name: Published name.
        curve: Maps epochs (epochs,), counted from 1, and parameters (..., parameters, 1) to
            accuracies (..., epochs).
        lower: Lower bound of each parameter.
        upper: Upper bound of each parameter.
        start: Parameters of a typical learning curve, where the first fit starts.
    """

    name: str
    curve: Curve
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    start: tuple[float, ...]


def _pow3(t: Array, p: Array) -> Array:  # c, a, log alpha
    return np.asarray(p[..., 0, :] - p[..., 1, :] * t ** -np.exp(p[..., 2, :]))


def _pow4(t: Array, p: Array) -> Array:  # c, log a, log b, log alpha
    base = np.exp(p[..., 1, :]) * t + np.exp(p[..., 2, :])
    return np.asarray(p[..., 0, :] - base ** -np.exp(p[..., 3, :]))


def _rise(p: Array, share: Array) -> Array:
    """Return alpha - (alpha - beta) share, for the first two parameters alpha and beta."""
    return np.asarray(p[..., 0, :] - (p[..., 0, :] - p[..., 1, :]) * share)


def _mmf(t: Array, p: Array) -> Array:  # alpha, beta, log kappa, log delta
    return _rise(p, 1 / (1 + (np.exp(p[..., 2, :]) * t) ** np.exp(p[..., 3, :])))


def _janoschek(t: Array, p: Array) -> Array:  # alpha, beta, log kappa, log delta
    return _rise(p, np.exp(-np.exp(p[..., 2, :]) * t ** np.exp(p[..., 3, :])))


def _weibull(t: Array, p: Array) -> Array:  # alpha, beta, log kappa, log delta
    return _rise(p, np.exp(-((np.exp(p[..., 2, :]) * t) ** np.exp(p[..., 3, :]))))


def _exp4(t: Array, p: Array) -> Array:  # c, log a, log alpha, b
    exponent = -np.exp(p[..., 1, :]) * t ** np.exp(p[..., 2, :]) + p[..., 3, :]
    return np.asarray(p[..., 0, :] - np.exp(exponent))


def _hill3(t: Array, p: Array) -> Array:  # largest value, log eta, log kappa
    power = t ** np.exp(p[..., 1, :])
    half = np.exp(p[..., 2, :]) ** np.exp(p[..., 1, :])
    return np.asarray(p[..., 0, :] * power / (half + power))


def _log_power(t: Array, p: Array) -> Array:  # a, b, c
    return np.asarray(p[..., 0, :] / (1 + (t / np.exp(p[..., 1, :])) ** p[..., 2, :]))


def _log_log_linear(t: Array, p: Array) -> Array:  # a, b
    return np.log(np.maximum(p[..., 0, :] * np.log(t) + p[..., 1, :], 1e-3))


def _vapour_pressure(t: Array, p: Array) -> Array:  # a, b, c
    return np.exp(p[..., 0, :] + p[..., 1, :] / t + p[..., 2, :] * np.log(t))


def _ilog2(t: Array, p: Array) -> Array:  # c, a
    return np.asarray(p[..., 0, :] - p[..., 1, :] / np.log(t + 1))


_RISE_BOUNDS = ((0.0, -0.5, -5.0, -3.0), (1.0, 1.0, 3.0, 1.5))
_ALL = (
    Family("pow3", _pow3, (0.0, -1.0, -4.0), (1.0, 1.0, 1.5), (0.8, 0.4, 0.0)),
    Family("pow4", _pow4, (0.0, -4.0, -4.0, -4.0), (1.0, 3.0, 3.0, 1.5), (0.8, 0.0, 0.0, 0.0)),
    Family("mmf", _mmf, *_RISE_BOUNDS, (0.8, 0.2, -0.5, 0.0)),
    Family("janoschek", _janoschek, *_RISE_BOUNDS, (0.8, 0.2, -0.5, 0.0)),
    Family("weibull", _weibull, *_RISE_BOUNDS, (0.8, 0.2, -0.5, 0.0)),
    Family("exp4", _exp4, (0.0, -4.0, -4.0, -4.0), (1.0, 2.0, 1.0, 2.0), (0.8, -0.7, -0.5, 0.0)),
    Family("hill3", _hill3, (0.0, -4.0, -4.0), (1.0, 1.5, 4.0), (0.8, 0.0, 0.0)),
    Family("log_power", _log_power, (0.0, -5.0, -5.0), (1.0, 5.0, 0.0), (0.8, 0.0, -1.0)),
    Family("log_log_linear", _log_log_linear, (-0.5, 1.0), (1.0, 2.8), (0.2, 1.5)),
    Family("vapour_pressure", _vapour_pressure, (-4.0, -4.0, -0.5), (0.5, 1.0, 0.5), (-0.3, -1, 0)),
    Family("ilog2", _ilog2, (0.0, -0.5), (1.5, 1.0), (0.9, 0.3)),
)
FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
