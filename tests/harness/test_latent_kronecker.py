"""The process over networks times epochs, compared with one dense normal distribution."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from harness.features.logits import to_logits
from harness.features.observed import network_groups
from harness.predictors.gaussian import accuracy_moments
from harness.predictors.mixture import latent_kronecker
from harness.predictors.mixture.latent_kronecker import LEAST_VARIANCE, LatentKronecker, _maximise
from harness.protocol import Array
from tests.toys.runs import EPOCHS, toy_runs

RUNS = toy_runs(30)
TRAIN, OTHERS = RUNS.take(np.arange(26)), RUNS.take(np.arange(26, 30))


@pytest.mark.parametrize("observed", [0, 3])
def test_it_is_the_dense_process_conditioned(observed: int) -> None:
    predictor = LatentKronecker()
    predictor.fit(TRAIN, TRAIN, observed=observed, seed=0)
    found = predictor.predict(OTHERS.observe(observed))
    process, shared = predictor._process, predictor._shared
    own = predictor._own + LEAST_VARIANCE * np.eye(EPOCHS)
    known = to_logits(TRAIN.series.valid_accuracy) - predictor._mean
    cross = process.covariances(network_groups(OTHERS.observe(0)))
    inside = process.covariances(network_groups(TRAIN.observe(0)))
    for query in range(len(OTHERS)):
        networks = np.block(
            [[inside, cross[query][:, None]], [cross[query], np.array([[process.variance]])]]
        )
        size = len(networks)
        covariance = np.kron(networks, shared) + np.kron(np.eye(size), own)
        prefix = to_logits(OTHERS.series.valid_accuracy[query, :observed])
        given = np.concatenate([known.ravel(), prefix - predictor._mean[:observed]])
        seen, rest = np.arange(len(given)), np.arange(len(given), size * EPOCHS)
        gain = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, rest)])
        mean = predictor._mean[observed:] + given @ gain
        left = covariance[np.ix_(rest, rest)] - covariance[np.ix_(rest, seen)] @ gain
        expected, std = accuracy_moments(mean, np.diag(left))
        assert found.mean[query] == pytest.approx(expected, abs=1e-4)
        assert found.std is not None
        assert found.std[query] == pytest.approx(std, abs=1e-3)


def likelihood(values: Array, curves: Array, shared: Array, own: Array) -> float:
    return sum(
        float(multivariate_normal.logpdf(curve, None, value * shared + own, allow_singular=True))
        for value, curve in zip(values, curves, strict=True)
    )


def test_each_round_raises_the_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=60)
    drawn = np.sqrt(values)[:, None] * rng.normal(size=(60, 4)) @ np.diag([2.0, 1.0, 1.0, 0.5])
    curves = drawn + 0.3 * rng.normal(size=(60, 4))
    reached = []
    for rounds in (0, 1, 2, 5, 20, 60):
        monkeypatch.setattr(latent_kronecker, "ROUNDS", rounds)
        reached.append(likelihood(values, curves, *_maximise(values, curves)))
    assert reached == sorted(reached)
    assert reached[-1] > reached[0] + 5
