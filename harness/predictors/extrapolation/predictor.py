"""Extrapolation of curves by parametric families (Domhan et al., IJCAI 2015), without sampling.

Published with MCMC over weighted sums. Here each family is fitted by bounded least squares with a
pull to what the training curves of the family look like, and Laplace's approximation gives the
spread and each family's weight, its evidence; this takes seconds for 1,000 networks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.space.imagesets import get_images
from harness.predictors.base import check_observed, check_runs, later_epochs
from harness.predictors.baselines import mean_curve
from harness.predictors.extrapolation.families import FAMILIES, Family
from harness.predictors.extrapolation.fits import Pull, fit_curves, slopes
from harness.protocol import Array, Prediction, Queries, Runs

FIRST_NOISE = 0.02  # accuracy; noise while the training curves are first fitted
LEAST_NOISE = 0.003  # accuracy; about the binomial noise of 10,000 images near .9
LEAST_SPREAD = 0.02  # of a parameter, as a share of its range
ROUNDS = 8  # of fits to the training curves


@dataclass(frozen=True, slots=True)
class _Known:
    """A family with its fits to the training curves, (runs, parameters)."""

    family: Family
    pull: Pull
    parameters: Array


class Extrapolation:
    """Eleven parametric families, weighted, with a standard deviation.

    The pull is to the mean of a family's parameters over the training runs, as strong as their
    spread and the noise around their curves make it. With one to five points and two to four
    parameters it is what makes a fit determined. It is found by expectation maximisation: training
    curves are fitted with the pull that they gave before, a few rounds over, and how far each fit
    leaves its parameters open is part of the spread and of the noise. Without that part the spread
    would shrink from round to round, the more surely the more runs there are. With nothing observed
    the answer is the mean curve of the training runs. A network for which no family can be fitted
    gets its last value, and is counted.

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
            pull = _learn_pull(family, parameters, self._curves, pull)
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
        predictions = [self._extrapolate(known, prefixes, nearest, chance) for known in self._known]
        mean, std, failed = _mix(predictions)
        self.failed_fits = int(failed.sum())
        mean[failed] = prefixes[failed, -1:]
        epochs = later_epochs(self._curves.shape[1], observed)
        return Prediction(mean, epochs, std)

    def _extrapolate(
        self, known: _Known, prefixes: Array, nearest: NDArray[np.intp], chance: float
    ) -> "_FamilyPrediction":
        """Fit a family to prefixes (networks, observed), and continue it.

        Fits start at the mean of the training parameters and at those of the nearest prefix.
        """
        family, pull, observed = known.family, known.pull, prefixes.shape[1]
        centre = np.broadcast_to(pull.centre, (len(prefixes), len(pull.centre)))
        starts = np.stack([centre, known.parameters[nearest]])
        fit = fit_curves(family, prefixes, starts, pull, self.iterations)
        seen = np.arange(1.0, observed + 1)
        later = np.arange(observed + 1.0, len(pull.noise) + 1)
        covariance = _covariance(family, seen, fit.parameters, pull)
        variance = _variance(family, later, fit.parameters, pull, covariance)
        variance += pull.noise[observed:] ** 2
        mean = np.clip(family.curve(later, fit.parameters[..., None]), chance, 1)
        misfit = fit.cost + 2 * np.log(pull.noise[:observed]).sum()
        misfit -= np.linalg.slogdet(covariance)[1]
        return _FamilyPrediction(mean, variance, np.where(fit.ended, misfit, np.inf))


def _covariance(family: Family, epochs: Array, parameters: Array, pull: Pull) -> Array:
    """Return Laplace's covariance of fits, (curves, parameters, parameters), in spreads."""
    jacobian = slopes(family, epochs, parameters, pull.spread) / pull.noise[: len(epochs), None]
    normal = np.einsum("nep,neq->npq", jacobian, jacobian) + np.eye(len(pull.centre))
    return np.asarray(np.linalg.inv(normal))


def _variance(
    family: Family, epochs: Array, parameters: Array, pull: Pull, covariance: Array
) -> Array:
    """Return the variance of fitted curves that a covariance in spreads makes, (curves, epochs)."""
    gradient = slopes(family, epochs, parameters, pull.spread)
    return np.asarray(np.einsum("nep,npq,neq->ne", gradient, covariance, gradient))


def _learn_pull(family: Family, parameters: Array, curves: Array, pull: Pull) -> Pull:
    """Return the pull that fits (runs, parameters), made with another pull, lead to."""
    epochs = np.arange(1.0, curves.shape[1] + 1)
    covariance = _covariance(family, epochs, parameters, pull)
    residuals = curves - family.curve(epochs, parameters[..., None])
    open_curves = _variance(family, epochs, parameters, pull, covariance)
    noise = np.sqrt((residuals**2 + open_curves).mean(axis=0))
    open_parameters = np.einsum("npp->np", covariance) * pull.spread**2
    spread = np.sqrt(parameters.var(axis=0) + open_parameters.mean(axis=0))
    least = LEAST_SPREAD * (np.array(family.upper) - np.array(family.lower))
    centre = parameters.mean(axis=0)
    return Pull(centre, np.maximum(spread, least), np.maximum(noise, LEAST_NOISE))


@dataclass(frozen=True, slots=True)
class _FamilyPrediction:
    """A family's mean and variance, (networks, later epochs), and its misfit (networks,).

    The misfit is -2 log evidence, but for what is the same for all families.
    """

    mean: Array
    variance: Array
    misfit: Array


def _nearest(prefixes: Array, known: Array) -> NDArray[np.intp]:
    """Return the index of the known prefix (runs, epochs) nearest to each prefix."""
    distances = ((prefixes[:, None] - known[None]) ** 2).sum(axis=2)
    return np.asarray(distances.argmin(axis=1))


def _mix(predictions: list[_FamilyPrediction]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return mean and standard deviation of the mixture, and where no family has an answer."""
    misfit = np.stack([answer.misfit for answer in predictions])  # (families, networks)
    failed = np.asarray(~np.isfinite(misfit).any(axis=0))
    misfit[:, failed] = 0.0
    weights = np.exp(-(misfit - misfit.min(axis=0)) / 2)
    weights = (weights / weights.sum(axis=0))[..., None]
    means = np.stack([answer.mean for answer in predictions])
    variances = np.stack([answer.variance for answer in predictions])
    mean = (weights * means).sum(axis=0)
    variance = (weights * (variances + means**2)).sum(axis=0) - mean**2
    return mean, np.sqrt(np.maximum(variance, LEAST_NOISE**2)), failed
