"""Shared divisions of curve predictors, compared with direct computation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import multivariate_normal

from harness.features.logits import to_logits
from harness.features.observed import LOST, measured_features, network_features, prefix_features
from harness.predictors.base import folds
from harness.predictors.curve_basis import fit_basis, fit_final_basis
from harness.predictors.gaussian import accuracy_moments, choose_gaussian, fit_gaussian
from tests.toys.runs import EPOCHS, toy_runs

RUNS = toy_runs(30)


def test_conditioning_is_that_of_a_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    residuals = rng.standard_normal((50, 4)) @ rng.standard_normal((4, 4))
    gaussian = fit_gaussian(residuals, 0.01)
    mean, variance = gaussian.condition(residuals[:3, :2])
    cov = gaussian.covariance
    for i in range(3):
        given = np.linalg.solve(cov[:2, :2], residuals[i, :2])
        assert mean[i] == pytest.approx(cov[2:, :2] @ given)
    rest = cov[2:, 2:] - cov[2:, :2] @ np.linalg.solve(cov[:2, :2], cov[:2, 2:])
    assert variance == pytest.approx(np.diag(rest))
    joint = multivariate_normal(np.zeros(4), cov)
    marginal = multivariate_normal(np.zeros(2), cov[:2, :2])
    x = residuals[0]
    own = multivariate_normal(mean[0], rest)
    assert joint.logpdf(x) - marginal.logpdf(x[:2]) == pytest.approx(own.logpdf(x[2:]))


def test_with_nothing_observed_mean_and_variance_are_unchanged() -> None:
    residuals = np.random.default_rng(0).standard_normal((20, 3))
    mean, variance = fit_gaussian(residuals, 0.01).condition(residuals[:, :0])
    assert not mean.any()
    assert variance == pytest.approx(np.diag(fit_gaussian(residuals, 0.01).covariance))


def test_more_shrinkage_is_chosen_for_few_noisy_networks() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((8, 6))
    line = np.outer(rng.standard_normal(200), np.ones(6)) + 0.01 * rng.standard_normal((200, 6))
    few, many = choose_gaussian(noise, 3, 0), choose_gaussian(line, 3, 0)

    def share(
        gaussian: object, residuals: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    ) -> float:
        raw = residuals.T @ residuals / len(residuals)
        return float((gaussian.covariance - raw)[0, 0] / np.trace(raw) * 6)  # type: ignore[attr-defined]

    assert share(few, noise) > share(many, line)


def test_moments_of_accuracies_agree_with_sampling() -> None:
    rng = np.random.default_rng(0)
    logits, variances = np.array([-1.0, 0.5, 3.0]), np.array([0.01, 1.0, 4.0])
    mean, std = accuracy_moments(logits, variances)
    draws = expit(logits + np.sqrt(variances) * rng.standard_normal((200_000, 3)))
    assert mean == pytest.approx(draws.mean(axis=0), abs=3e-3)
    assert std == pytest.approx(draws.std(axis=0), abs=3e-3)


def test_all_components_are_exact_and_fewer_are_the_best_approximation() -> None:
    curves = to_logits(RUNS.series.valid_accuracy)
    complete = fit_basis(curves, EPOCHS)
    assert complete.curves(complete.weights(curves)) == pytest.approx(curves)
    two = fit_basis(curves, 2)
    error = np.square(two.curves(two.weights(curves)) - curves).sum()
    singular = np.linalg.svd(curves - curves.mean(axis=0), compute_uv=False)
    assert error == pytest.approx(np.square(singular[2:]).sum())


def test_the_first_component_of_a_final_basis_is_the_last_epoch_alone() -> None:
    curves = to_logits(RUNS.series.valid_accuracy)
    basis = fit_final_basis(curves, 3)
    weights = basis.weights(curves)
    assert weights[:, 0] == pytest.approx(curves[:, -1] - curves[:, -1].mean())
    assert basis.curves(weights)[:, -1] == pytest.approx(curves[:, -1])
    assert basis.directions[1:, -1] == pytest.approx(0, abs=1e-9)
    for epoch in range(EPOCHS):  # the direction is a regression on the last epoch
        slope = np.polyfit(curves[:, -1], curves[:, epoch], 1)[0]
        assert basis.directions[0, epoch] == pytest.approx(slope)
    complete = fit_final_basis(curves, EPOCHS)
    assert complete.curves(complete.weights(curves)) == pytest.approx(curves)
    plain = fit_basis(curves, 3)  # which is less accurate at the last epoch
    assert abs(plain.curves(plain.weights(curves)) - curves)[:, -1].max() > 1e-3


def test_a_constant_last_epoch_has_a_basis() -> None:
    curves = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    basis = fit_final_basis(curves, 2)
    assert basis.curves(basis.weights(curves)) == pytest.approx(curves)


def test_features_have_their_shapes_and_mark_missing_values() -> None:
    assert network_features(RUNS).shape == (30, 163)
    assert prefix_features(RUNS.observe(0)).shape == (30, 0)
    for k in (1, 3):
        features = prefix_features(RUNS.observe(k))
        assert features.shape == (30, 9 * k)
        assert np.isfinite(features).all()
        lost = np.isnan(RUNS.series.valid_loss[:, :k]).any(axis=1)
        assert ((features == LOST).any(axis=1) == lost).all()


def test_proxies_are_given_on_two_scales() -> None:
    assert measured_features(replace(RUNS, proxies=None)).shape == (30, 0)
    proxies = np.array([[0.0, -3.0, 1e6], [1e-15, 0.5, 2.0]])
    features = measured_features(replace(RUNS.take(np.arange(2)), proxies=proxies))
    assert features[:, :3] == pytest.approx(np.arcsinh(proxies))
    assert features[0, 3:] == pytest.approx(np.log([1e-12, 3.0, 1e6]))
    assert features[1, 3] == features[0, 3]


def test_folds_hold_out_every_row_once() -> None:
    divisions = folds(23, 5, 0)
    assert sorted(np.concatenate([outside for _, outside in divisions])) == list(range(23))
    assert all(not set(inside) & set(outside) for inside, outside in divisions)
    assert {len(inside) + len(outside) for inside, outside in divisions} == {23}
    assert [len(outside) for _, outside in folds(3, 5, 0)] == [1, 1, 1]
