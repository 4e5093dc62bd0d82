"""Calibration of accuracies, standard deviations and failure probabilities, on known cases."""

import numpy as np
import pytest
from scipy.special import expit

from harness.predictors.arc.calibration import (
    MixedPrediction,
    StdModel,
    fit_accuracy_map,
    fit_std_model,
)
from harness.predictors.arc.failure_probability import FailureModel
from harness.protocol import Array


def test_the_accuracy_map_keeps_the_order_of_networks() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (300, 2))
    accuracy = np.where(rng.random((300, 2)) < 0.2, 0.1, expit(logits))  # a fifth fails
    accuracy_map = fit_accuracy_map(logits, accuracy)
    predictions = accuracy_map(logits)
    assert (np.argsort(predictions, axis=0) == np.argsort(logits, axis=0)).all()
    assert ((predictions >= 0) & (predictions <= 1)).all()


def test_calibrated_accuracies_are_unbiased_where_sigmoids_are_not() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(1, 2, (5000, 1))
    fails = rng.random((5000, 1)) < 0.25
    accuracy = np.where(fails, 0.1, expit(logits))
    expected = 0.25 * 0.1 + 0.75 * expit(logits)
    predictions = fit_accuracy_map(logits, accuracy)(logits)
    assert abs(predictions - expected).max() < 0.03
    assert abs(expit(logits) - expected).max() > 0.2  # the counter-example


def test_calibrated_logits_are_not_changed() -> None:
    logits = np.linspace(-3, 4, 50)[:, None]
    assert fit_accuracy_map(logits, expit(logits))(logits) == pytest.approx(expit(logits), abs=1e-6)


def test_a_standard_deviation_by_hand() -> None:
    errors = np.array([[0.3], [0.1], [-0.1]])
    model = StdModel(np.array([0.0, 1.0, 2.0]), errors, 0.1, np.array([2.0]))
    predictions = MixedPrediction(np.array([[1.0]]), np.array([[0.6]]), np.array([0.2]))
    error = np.sqrt((0.09 + 0.01 + 0.01) / 3)  # all three are among its sixty neighbours
    effect = np.sqrt(0.2 * 0.8) * (0.6 - 0.1)
    assert model.std(predictions)[0, 0] == pytest.approx(2 * (error + effect) / 2)


def sample(seed: int, count: int) -> tuple[MixedPrediction, Array]:
    """Return predictions and targets; errors grow towards low logits and are not normal."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 2))
    width = 0.02 + 0.1 * expit(-logits)
    targets = expit(logits) + width * rng.laplace(size=logits.shape)
    return MixedPrediction(logits, expit(logits), np.zeros(count)), targets


def test_nine_of_ten_new_networks_lie_within_their_interval() -> None:
    predictions, targets = sample(0, 600)
    model = fit_std_model(predictions, targets, 0.1)
    new, new_targets = sample(1, 4000)
    std = model.std(new)
    inside = abs(new_targets - new.accuracy) <= 1.645 * std
    assert inside.mean(axis=0) == pytest.approx(0.9, abs=0.03)
    low, high = new.logits[:, -1] < -2, new.logits[:, -1] > 2
    assert std[low, -1].mean() > 1.5 * std[high, -1].mean()


def test_no_network_is_its_own_neighbour() -> None:
    logits, zeros = np.array([[0.0], [1.0], [2.0]]), np.zeros((3, 1))
    errors = np.array([[0.3], [0.1], [0.1]])
    model = fit_std_model(MixedPrediction(logits, zeros, np.zeros(3)), errors, 0.1)
    # Half the error of the two others: .05, sqrt(.05) / 2 and sqrt(.05) / 2. Coverage of nine of
    # ten means all three networks, so the factor is that of the first, .3 / .05.
    assert model.factor == pytest.approx([0.3 / 0.05 / 1.645])


def test_failures_are_predicted_from_their_cause() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 3))
    risk = expit(3 * features[:, 0] - 1)
    failed = (rng.random(600) < risk).astype(np.int64)
    model = FailureModel(100, 50, 0).fit(features[:400], failed[:400])
    probability = model.probability(features[400:])
    assert ((probability >= 0) & (probability <= 1)).all()
    brier = np.square(probability - failed[400:]).mean()
    constant = np.square(failed[:400].mean() - failed[400:]).mean()
    assert brier < 0.75 * constant
    assert abs(probability - risk[400:]).mean() < 0.15


def test_with_too_few_failures_their_share_is_predicted() -> None:
    failed = np.array([1, 1, 0, 0, 0, 0, 0, 0], dtype=np.int64)
    features = np.arange(8.0)[:, None]
    probability = FailureModel(10, 10, 0).fit(features, failed).probability(features[:3])
    assert probability.tolist() == [0.25] * 3
