"""Extrapolation: families of curves, their fits, and what is continued."""

from dataclasses import replace

import numpy as np
import pytest

from benchmark.space.imagesets import get_images
from harness.predictors.extrapolation.families import FAMILIES
from harness.predictors.extrapolation.fits import Prior, fit_curves
from harness.predictors.extrapolation.predictor import Extrapolation
from harness.protocol import Array
from tests.toys.runs import EPOCHS, toy_runs

RUNS = toy_runs(50)
TRAIN, OTHERS = RUNS.take(np.arange(10, 42)), RUNS.take(np.array([0, 1, 2, 46, 47, 48, 49]))


def fitted() -> Extrapolation:
    predictor = Extrapolation(iterations=20)
    predictor.fit(TRAIN, TRAIN, observed=2, seed=0)
    return predictor


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_recovers_its_own_curve(name: str) -> None:
    family = FAMILIES[name]
    targets = np.array(family.start)
    lower, upper = np.array(family.lower), np.array(family.upper)
    epochs = np.arange(1.0, EPOCHS + 1)
    curve: Array = family.curve(epochs, targets[None, :, None])
    start = 0.8 * targets + 0.2 * (lower + upper) / 2
    prior = Prior(start, (upper - lower) / 2, np.full(EPOCHS, 1e-4))
    fit = fit_curves(family, curve, start[None, None], prior, 300)
    fitted_curve = family.curve(epochs, fit.parameters[..., None])
    np.testing.assert_allclose(fitted_curve, curve, atol=2e-3)
    assert fit.converged.all()
    assert np.all((fit.parameters >= lower) & (fit.parameters <= upper))


def test_a_fit_agrees_with_scipy() -> None:
    from scipy.optimize import least_squares

    family, curves = FAMILIES["pow3"], OTHERS.series.valid_accuracy[1:4, :5]
    mean, std = np.array(family.start), np.array([0.2, 0.2, 0.5])
    prior = Prior(mean, std, np.full(EPOCHS, 0.02))
    start = np.broadcast_to(mean, (len(curves), 3))
    fit = fit_curves(family, curves, start[None], prior, 100)
    for curve, cost in zip(curves, fit.cost, strict=True):

        def residuals(p: Array, curve: Array = curve) -> Array:
            residual = (family.curve(np.arange(1.0, 6.0), p[:, None]) - curve) / 0.02
            return np.concatenate([residual, (p - mean) / std])

        other = least_squares(residuals, mean, bounds=(family.lower, family.upper))
        assert cost == pytest.approx(2 * other.cost, rel=1e-3)


def test_extrapolation_continues_curves_of_its_families() -> None:
    rng = np.random.default_rng(0)
    epochs = np.arange(1, EPOCHS + 1)
    limit, rate = rng.uniform(0.4, 0.9, (64, 1)), rng.uniform(0.5, 1.0, (64, 1))
    curves = limit - 0.3 * epochs**-rate
    runs = toy_runs(64)
    runs = replace(runs, series=replace(runs.series, valid_accuracy=curves))
    predictor = Extrapolation()
    predictor.fit(runs.take(np.arange(48)), runs, observed=5, seed=0)
    prediction = predictor.predict(runs.take(np.arange(48, 64)).observe(5))
    assert np.abs(prediction.mean - curves[48:, 5:]).max() < 0.03
    assert predictor.failed_fits == 0
    assert prediction.std is not None
    assert np.mean(np.abs(prediction.mean - curves[48:, 5:]) < 2 * prediction.std) > 0.9


def test_networks_that_learn_late_widen_the_standard_deviation() -> None:
    """Without the uncertainty of the fits, errors are 1.5 times their standard deviation."""
    rng = np.random.default_rng(0)
    epochs = np.arange(1, EPOCHS + 1)
    limit, rate = rng.normal(0.7, 0.08, (300, 1)), rng.normal(0.7, 0.2, (300, 1))
    curves = limit - 0.35 * epochs**-rate + rng.normal(0, 0.03, (300, EPOCHS))
    for i in range(0, 300, 5):
        late = 2 + i % 9
        curves[i, late:], curves[i, :late] = curves[i, :-late].copy(), 0.1
    runs = toy_runs(300)
    runs = replace(runs, series=replace(runs.series, valid_accuracy=curves))
    predictor = Extrapolation()
    predictor.fit(runs.take(np.arange(150)), runs, observed=3, seed=0)
    prediction = predictor.predict(runs.take(np.arange(150, 300)).observe(3))
    assert prediction.std is not None
    errors = (curves[150:, -1] - prediction.mean[:, -1]) / prediction.std[:, -1]
    assert 0.5 < np.sqrt(np.mean(errors**2)) < 1.1


def test_failed_fits_predict_the_last_value_and_are_counted() -> None:
    predictor, queries = fitted(), OTHERS.observe(2)
    predictor.predict(queries)
    assert predictor.failed_fits == 0
    predictor.iterations = 0
    prediction = predictor.predict(queries)
    assert predictor.failed_fits == len(queries)
    last = queries.series.valid_accuracy[:, -1:]
    assert np.array_equal(prediction.mean, np.broadcast_to(last, prediction.mean.shape))


def test_extrapolation_stays_between_chance_and_one() -> None:
    prediction = fitted().predict(OTHERS.observe(2))
    assert prediction.mean.min() >= get_images("digits").chance
    assert prediction.mean.max() <= 1
