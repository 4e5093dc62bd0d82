"""Extrapolation of curves by parametric families (Domhan et al., IJCAI 2015), without sampling.

The published method samples weighted sums of families by MCMC. Here each family is fitted by
bounded least squares with a normal prior from the training curves. Laplace's approximation gives
the standard deviations and the evidence of each family, which is its weight. This takes seconds for
1,000 networks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.predictors.base import Index, check_observed, check_runs, later_epochs
from harness.predictors.baselines import mean_curve
from harness.predictors.extrapolation.families import FAMILIES, Family
from harness.predictors.extrapolation.fits import Prior, derivatives, fit_curves
from harness.protocol import Array, Prediction, Queries, Runs

FIRST_NOISE = 0.02  # accuracy; noise assumed in the first fit to the training curves
LEAST_NOISE = 0.003  # accuracy; about the binomial noise of 10,000 images near .9
LEAST_STD = 0.02  # of a parameter, as a share of its range
ROUNDS = 8  # of expectation maximisation


@dataclass(frozen=True, slots=True)
class _FittedFamily:
    """A family with its prior and its fits to the training curves."""

    family: Family
    prior: Prior
    parameters: Array  # (runs, parameters)


class Extrapolation:
    """A weighted mixture of eleven parametric families, with standard deviations.

    One to five observed epochs do not determine two to four parameters, so each family has a normal
    prior. Expectation maximisation learns it: training curves are fitted with the prior of the
    previous round, and the new prior has the mean and standard deviation of the fitted parameters.
    The uncertainty of each fit (Laplace) is part of the prior's standard deviation and of the
    noise. Without it the prior would become narrower in every round.

    With nothing observed the prediction is the mean curve of the training runs. A network to which
    no family can be fitted gets its last value, and is counted.

    Attributes:
        failed_fits: Number of networks in the last `predict` to which no family could be fitted.
    """

    def __init__(self, *, iterations: int = 60) -> None:
        """Set the maximal number of steps of a fit."""
        self.iterations = iterations
        self.failed_fits = 0
        self._families: tuple[_FittedFamily, ...] = ()
        self._curves: Array | None = None
        self._observed: int | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit every family to the training curves; `validation` and `seed` are not used."""
        check_runs(train, observed)
        self._curves, self._observed = train.series.valid_accuracy.copy(), observed
        if observed > 0:
            self._families = tuple(self._fit_family(family) for family in FAMILIES.values())

    def _fit_family(self, family: Family) -> _FittedFamily:
        """Fit a family to the median curve, then, from there, to every training curve."""
        assert self._curves is not None
        lower, upper, start = (np.array(v) for v in (family.lower, family.upper, family.start))
        noise = np.full(self._curves.shape[1], FIRST_NOISE)
        prior = Prior(start, (upper - lower) / 2, noise)
        median = np.median(self._curves, axis=0, keepdims=True)
        starts = np.stack([start, (start + lower) / 2, (start + upper) / 2])[:, None]
        typical = fit_curves(family, median, starts, prior, self.iterations).parameters
        prior = Prior(typical[0], prior.std, noise)
        parameters = np.broadcast_to(start, (len(self._curves), len(start)))
        for _ in range(ROUNDS):
            starts = np.stack([np.broadcast_to(prior.mean, parameters.shape), parameters])
            fit = fit_curves(family, self._curves, starts, prior, self.iterations)
            parameters = fit.parameters
            prior = _learn_prior(family, parameters, self._curves, prior)
        return _FittedFamily(family, prior, parameters)

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, clipped to [chance, 1]."""
        observed = check_observed(self._observed, queries)
        assert self._curves is not None
        self.failed_fits = 0
        if observed == 0:
            return mean_curve(self._curves, queries)
        prefixes = queries.series.valid_accuracy
        distances = ((prefixes[:, None] - self._curves[None, :, :observed]) ** 2).sum(axis=2)
        nearest = distances.argmin(axis=1)  # the training prefix nearest to each prefix
        chance = 1 / queries.classes
        predictions = [self._extrapolate(f, prefixes, nearest, chance) for f in self._families]
        mean, std, failed = _mix(predictions)
        self.failed_fits = int(failed.sum())
        mean[failed] = prefixes[failed, -1:]
        return Prediction(mean, later_epochs(self._curves.shape[1], observed), std)

    def _extrapolate(
        self, fitted: _FittedFamily, prefixes: Array, nearest: Index, chance: float
    ) -> "_FamilyPrediction":
        """Fit a family to prefixes (networks, observed) and extrapolate it.

        Fits start at the prior mean and at the parameters of the nearest training prefix.
        """
        family, prior, observed = fitted.family, fitted.prior, prefixes.shape[1]
        mean = np.broadcast_to(prior.mean, (len(prefixes), len(prior.mean)))
        starts = np.stack([mean, fitted.parameters[nearest]])
        fit = fit_curves(family, prefixes, starts, prior, self.iterations)
        seen = np.arange(1.0, observed + 1)
        later = np.arange(observed + 1.0, len(prior.noise) + 1)
        covariance = _covariance(family, seen, fit.parameters, prior)
        variance = _curve_variance(family, later, fit.parameters, prior, covariance)
        variance += prior.noise[observed:] ** 2
        curves = np.clip(family.curve(later, fit.parameters[..., None]), chance, 1)
        misfit = fit.cost + 2 * np.log(prior.noise[:observed]).sum()
        misfit -= np.linalg.slogdet(covariance)[1]
        return _FamilyPrediction(curves, variance, np.where(fit.converged, misfit, np.inf))


def _covariance(family: Family, epochs: Array, parameters: Array, prior: Prior) -> Array:
    """Return Laplace's covariance of fitted parameters (curves, parameters) at fitted epochs.

    Returns:
        (curves, parameters, parameters), in prior standard deviations.
    """
    jacobian = derivatives(family, epochs, parameters, prior.std) / prior.noise[: len(epochs), None]
    normal = np.einsum("nep,neq->npq", jacobian, jacobian) + np.eye(len(prior.mean))
    return np.asarray(np.linalg.inv(normal))


def _curve_variance(
    family: Family, epochs: Array, parameters: Array, prior: Prior, covariance: Array
) -> Array:
    """Return the variance of fitted curves (curves, epochs) for a covariance of the parameters."""
    gradient = derivatives(family, epochs, parameters, prior.std)
    return np.asarray(np.einsum("nep,npq,neq->ne", gradient, covariance, gradient))


def _learn_prior(family: Family, parameters: Array, curves: Array, prior: Prior) -> Prior:
    """Return the prior for the next round, from fits (runs, parameters) with the last prior."""
    epochs = np.arange(1.0, curves.shape[1] + 1)
    covariance = _covariance(family, epochs, parameters, prior)
    residuals = curves - family.curve(epochs, parameters[..., None])
    curve_variance = _curve_variance(family, epochs, parameters, prior, covariance)
    noise = np.sqrt((residuals**2 + curve_variance).mean(axis=0))
    parameter_variance = np.einsum("npp->np", covariance) * prior.std**2
    std = np.sqrt(parameters.var(axis=0) + parameter_variance.mean(axis=0))
    least = LEAST_STD * (np.array(family.upper) - np.array(family.lower))
    mean = parameters.mean(axis=0)
    return Prior(mean, np.maximum(std, least), np.maximum(noise, LEAST_NOISE))


@dataclass(frozen=True, slots=True)
class _FamilyPrediction:
    """The accuracies that one family predicts.

    The misfit is -2 log evidence up to a constant common to all families; infinity if the fit did
    not converge.
    """

    mean: Array  # (networks, later epochs)
    variance: Array  # (networks, later epochs)
    misfit: Array  # (networks,)


def _mix(predictions: list[_FamilyPrediction]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return mean and standard deviation of the mixture, and where no family was fitted."""
    misfit = np.stack([prediction.misfit for prediction in predictions])  # (families, networks)
    failed = np.asarray(~np.isfinite(misfit).any(axis=0))
    misfit[:, failed] = 0.0
    weights = np.exp(-(misfit - misfit.min(axis=0)) / 2)
    weights = (weights / weights.sum(axis=0))[..., None]
    means = np.stack([prediction.mean for prediction in predictions])
    variances = np.stack([prediction.variance for prediction in predictions])
    mean = (weights * means).sum(axis=0)
    variance = (weights * (variances + means**2)).sum(axis=0) - mean**2
    return mean, np.sqrt(np.maximum(variance, LEAST_NOISE**2)), failed
