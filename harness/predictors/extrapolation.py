"""Extrapolation of curves by parametric families (Domhan et al., IJCAI 2015), without sampling.

Published with MCMC over weighted sums. Here each family is fitted by bounded least squares with a
weak pull to what the training curves of the family look like, families are weighted by
exp(-BIC / 2), and the spread is Laplace's approximation; this takes seconds for 1,000 networks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.imagesets import get_images
from harness.predictors.curve_families import FAMILIES, Family
from harness.predictors.curve_fits import Pull, fit_curves, slopes
from harness.predictors.scale import check_observed, check_runs, later_epochs
from harness.predictors.trivial import mean_curve
from harness.protocol import Array, Prediction, Queries, Runs

FIRST_NOISE = 0.02  # accuracy; noise while the training curves are first fitted
LEAST_NOISE = 0.003  # accuracy; about the binomial noise of 10,000 images near .9
LEAST_SPREAD = 0.02  # of a parameter, as a share of its range
MAD_TO_STD = 1.4826  # of a normal distribution
ROUNDS = 4  # of fits to the training curves


@dataclass(frozen=True, slots=True)
class _Known:
    """A family with its fits to the training curves, (runs, parameters)."""

    family: Family
    pull: Pull
    parameters: Array


class Extrapolation:
    """Eleven parametric families, weighted, with a standard deviation.

    The pull is to the median of a family's parameters over the training runs, as strong as their
    median deviation and the noise around their curves make it. With one to five points and two to
    four parameters it is what makes a fit determined. Training curves leave some parameters open,
    whose spread would be overrated, so they are fitted again with the pull that they gave, a few
    rounds over. With nothing observed the answer is the mean curve of the training runs. A network
    for which no family can be fitted gets its last value, and is counted.

    Attributes:
        failed_fits: Networks of the last `predict` that no family could be fitted to.
    """

    def __init__(self, *, iterations: int = 60) -> None:
        """Set the most steps of a fit."""
        self.iterations = iterations
        self.failed_fits = 0
        self._known: tuple[_Known, ...] = ()
        self._curves: Array | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit every family to the training curves; nothing is chosen, nothing is random.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        check_runs(train, observed)
        self._curves, self._observed = train.series.valid_accuracy.copy(), observed
        if observed > 0:
            self._known = tuple(self._learn(family) for family in FAMILIES.values())

    def _learn(self, family: Family) -> _Known:
        """Fit a family to the median curve, then, from there, to every training curve."""
        assert self._curves is not None
        lower, upper, start = (np.array(v) for v in (family.lower, family.upper, family.start))
        noise = np.full(self._curves.shape[1], FIRST_NOISE)
        pull = Pull(start, (upper - lower) / 2, noise)
        middle = np.median(self._curves, axis=0, keepdims=True)
        begin = np.stack([start, (start + lower) / 2, (start + upper) / 2])[:, None]
        typical = fit_curves(family, middle, begin, pull, self.iterations).parameters
        pull = Pull(typical[0], pull.spread, noise)
        parameters = np.broadcast_to(start, (len(self._curves), len(start)))
        for _ in range(ROUNDS):
            begin = np.stack([np.broadcast_to(pull.centre, parameters.shape), parameters])
            fit = fit_curves(family, self._curves, begin, pull, self.iterations)
            parameters = fit.parameters
            pull = _learn_pull(family, parameters, self._curves)
        return _Known(family, pull, parameters)

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones, clipped to [chance, 1].

        Raises:
            ValueError: If the predictor was not fitted, or for another number of epochs.
        """
        observed = check_observed(self._observed, queries)
        assert self._curves is not None
        self.failed_fits = 0
        if observed == 0:
            return mean_curve(self._curves, queries)
        prefixes = queries.series.valid_accuracy
        nearest = _nearest(prefixes, self._curves[:, :observed])
        chance = get_images(queries.images).chance
        answers = [self._extrapolate(known, prefixes, nearest, chance) for known in self._known]
        mean, std, failed = _mix(answers)
        self.failed_fits = int(failed.sum())
        mean[failed] = prefixes[failed, -1:]
        epochs = later_epochs(self._curves.shape[1], observed)
        return Prediction(mean, epochs, std)

    def _extrapolate(
        self, known: _Known, prefixes: Array, nearest: NDArray[np.intp], chance: float
    ) -> "_Answer":
        """Fit a family to prefixes (networks, observed), and continue it.

        Fits start at the median of the training parameters and at those of the nearest prefix.
        """
        family, pull, observed = known.family, known.pull, prefixes.shape[1]
        median = np.broadcast_to(pull.centre, (len(prefixes), len(pull.centre)))
        starts = np.stack([median, known.parameters[nearest]])
        fit = fit_curves(family, prefixes, starts, pull, self.iterations)
        seen = np.arange(1.0, observed + 1)
        later = np.arange(observed + 1.0, len(pull.noise) + 1)
        jacobian = slopes(family, seen, fit.parameters, pull.spread) / pull.noise[:observed, None]
        normal = np.einsum("nep,neq->npq", jacobian, jacobian) + np.eye(len(pull.centre))
        gradient = slopes(family, later, fit.parameters, pull.spread)
        covariance = np.linalg.inv(normal)
        variance = np.einsum("nep,npq,neq->ne", gradient, covariance, gradient)
        mean = np.clip(family.curve(later, fit.parameters[..., None]), chance, 1)
        bic = fit.cost + 2 * np.log(pull.noise[:observed]).sum()
        bic += len(pull.centre) * np.log(observed)
        variance += pull.noise[observed:] ** 2
        return _Answer(mean, variance, np.where(fit.ended, bic, np.inf))


def _learn_pull(family: Family, parameters: Array, curves: Array) -> Pull:
    """Return median and spread of parameters (runs, parameters), and the noise at each epoch."""
    epochs = np.arange(1.0, curves.shape[1] + 1)
    residuals = curves - family.curve(epochs, parameters[..., None])
    noise = np.sqrt((residuals**2).mean(axis=0))
    centre = np.median(parameters, axis=0)
    spread = MAD_TO_STD * np.median(np.abs(parameters - centre), axis=0)
    least = LEAST_SPREAD * (np.array(family.upper) - np.array(family.lower))
    return Pull(centre, np.maximum(spread, least), np.maximum(noise, LEAST_NOISE))


@dataclass(frozen=True, slots=True)
class _Answer:
    """A family's mean and variance, (networks, later epochs), and BIC (networks,)."""

    mean: Array
    variance: Array
    bic: Array


def _nearest(prefixes: Array, known: Array) -> NDArray[np.intp]:
    """Return the index of the known prefix (runs, epochs) nearest to each prefix."""
    distances = ((prefixes[:, None] - known[None]) ** 2).sum(axis=2)
    return np.asarray(distances.argmin(axis=1))


def _mix(answers: list[_Answer]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return mean and standard deviation of the mixture, and where no family has an answer."""
    bic = np.stack([answer.bic for answer in answers])  # (families, networks)
    failed = np.asarray(~np.isfinite(bic).any(axis=0))
    bic[:, failed] = 0.0
    weights = np.exp(-(bic - bic.min(axis=0)) / 2)
    weights = (weights / weights.sum(axis=0))[..., None]
    means = np.stack([answer.mean for answer in answers])
    variances = np.stack([answer.variance for answer in answers])
    mean = (weights * means).sum(axis=0)
    variance = (weights * (variances + means**2)).sum(axis=0) - mean**2
    return mean, np.sqrt(np.maximum(variance, LEAST_NOISE**2)), failed
