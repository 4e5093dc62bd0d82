import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.predictors.bnn.curve_layer import (
    LEAST_STD,
    LOWER,
    UPPER,
    basis_functions,
    learning_curves,
)
from harness.predictors.bnn.predictor import (
    CHAINS,
    HIDDEN,
    Bnn,
    initial_state,
    negative_log_likelihood,
    negative_log_prior,
    outputs,
    predictive,
)
from harness.predictors.bnn.sghmc import Sampling, State, sample
from tests.toys.runs import EPOCHS, toy_runs

TIME = torch.tensor([0.25, 0.5, 1.0])


def test_basis_functions_by_hand() -> None:
    parameters = torch.tensor([0.0, -0.5, 1.0, 0.8, math.log(0.5), -2.0, 0.9, 1.0, 0.5])
    vapour = [0.25 * math.exp(-2), 0.5 * math.exp(-1), math.exp(-0.5)]
    log_power = [0.8 / (1 + 4), 0.8 / 2, 0.8 / (1 + 1 / 4)]
    hill = [0.9 * 0.25 / 0.75, 0.9 / 2, 0.9 / 1.5]
    expected = torch.tensor([vapour, log_power, hill])
    torch.testing.assert_close(basis_functions(parameters, TIME), expected)


def test_a_curve_by_hand() -> None:
    """With outputs of 0, parameters are in the middle of their bounds and weights are equal."""
    mean, log_variance = learning_curves(torch.zeros(15), TIME)
    middle = (torch.tensor(LOWER) + torch.tensor(UPPER)) / 2
    functions = basis_functions(middle, TIME)
    torch.testing.assert_close(mean, 0.5 + (functions - functions[:, 2:]).mean(dim=0))
    assert mean[-1] == pytest.approx(0.5)
    torch.testing.assert_close(log_variance, torch.full((3,), math.log(1 + LEAST_STD**2)))


def test_curves_rise_to_their_asymptote_and_noise_has_a_floor() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = 3 * torch.randn(500, 15, generator=generator)
    mean, log_variance = learning_curves(numbers, torch.arange(1, 21) / 20)
    torch.testing.assert_close(mean[:, -1], numbers[:, 12].sigmoid())
    assert (mean.diff(dim=1) >= -1e-6).all()
    assert log_variance.min() >= 2 * math.log(LEAST_STD)


def test_batched_outputs_agree_with_each_chain() -> None:
    generator = torch.Generator().manual_seed(0)
    state = initial_state(7, generator)
    inputs = torch.randn(5, 7, generator=generator)
    together = outputs(state, inputs)
    assert together.shape == (CHAINS, 5, 15)
    for chain in range(CHAINS):
        hidden = inputs
        layers = [p[chain] for p in state]
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            hidden = torch.tanh(hidden @ weight + bias)
        expected = hidden @ layers[-2] + layers[-1]
        torch.testing.assert_close(together[chain], expected, atol=1e-5, rtol=1e-5)


def test_likelihood_and_prior_are_normal() -> None:
    generator = torch.Generator().manual_seed(1)
    state = initial_state(7, generator)
    inputs = torch.randn(5, 7, generator=generator)
    targets = torch.rand(5, 3, generator=generator)
    mean, log_variance = learning_curves(outputs(state, inputs), TIME)
    expected = torch.nn.functional.gaussian_nll_loss(
        mean, targets, log_variance.exp(), reduction="none"
    ).mean(dim=(1, 2))
    sampled = negative_log_likelihood(state, inputs, targets, TIME)
    torch.testing.assert_close(sampled, expected)
    moved = (
        *state[:-1],
        state[-1] + 1.0,
    )  # each bias of the last layer, starting at its prior mean
    added = negative_log_prior(moved) - negative_log_prior(state)
    torch.testing.assert_close(added, torch.full((CHAINS,), 15 / (2 * 2.0**2)))
    doubled = (2 * state[0], *state[1:])
    added = negative_log_prior(doubled) - negative_log_prior(state)
    scale = 0.4 / math.sqrt(7)
    torch.testing.assert_close(added, 3 * state[0].square().sum((1, 2)) / (2 * scale**2))
    assert state[0].shape == (CHAINS, 7, HIDDEN)


def test_the_sampler_finds_a_known_posterior() -> None:
    """The means of two normal distributions with standard deviations 1 and .01."""
    rng = np.random.default_rng(0)
    numbers = torch.tensor(rng.normal([1.0, -2.0], [1.0, 0.01], (200, 2)))
    precision = 200 / torch.tensor([1.0, 0.01]) ** 2 + 1

    def energy(state: State) -> Tensor:
        misfit = (numbers - state[0][:, None]) / torch.tensor([1.0, 0.01])
        return (misfit.square().sum((1, 2)) + state[0].square().sum(1)) / 2 / 200

    start = (torch.zeros(50, 2, dtype=torch.float64),)
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(burn_in=2000, samples=40, apart=25, step=3e-2)
    states = sample(start, energy, 200, sampling, generator)
    assert len(states) == 40
    assert not start[0].any()
    sampled = torch.cat([state[0] for state in states])
    expected = numbers.sum(0) / torch.tensor([1.0, 0.01]) ** 2 / precision
    assert ((sampled.mean(0) - expected).abs() < 0.2 * precision**-0.5).all()
    np.testing.assert_allclose(sampled.std(0), precision**-0.5, rtol=0.15)


def test_the_predictive_variance_is_that_of_means_plus_noise() -> None:
    means, noise = np.array([[[0.2]], [[0.6]]]), np.array([[[0.01]], [[0.03]]])
    mean, std = predictive(means, noise)
    assert mean == pytest.approx(np.array([[0.4]]))
    assert std == pytest.approx(np.array([[math.sqrt(0.04 + 0.02)]]))
    assert predictive(means + 2, noise)[0] == pytest.approx(np.array([[1.0]]))


def test_it_learns_curves_and_their_noise() -> None:
    runs = toy_runs(60)
    rng = np.random.default_rng(0)
    layers = np.array([float(len(rows)) for rows in runs.layer_rows])
    quality = 0.6 + 0.1 * (layers - layers.mean()) / layers.std()
    time = np.arange(1, EPOCHS + 1) / EPOCHS
    curves = quality[:, None] * time / (time + 0.3) + rng.normal(0, 0.02, (60, EPOCHS))
    runs = replace(runs, series=replace(runs.series, valid_accuracy=curves))
    predictor = Bnn(sampling=Sampling(burn_in=600, samples=4, apart=25))
    predictor.fit(runs.take(np.arange(45)), runs, observed=0, seed=0)
    queries = runs.take(np.arange(45, 60))
    prediction = predictor.predict(queries.observe(0))
    assert prediction.std is not None
    errors = prediction.mean - queries.series.valid_accuracy
    assert np.corrcoef(prediction.mean[:, -1], quality[45:])[0, 1] > 0.8
    assert np.sqrt(np.mean(errors**2)) < 0.06
    assert 0.8 < np.mean(np.abs(errors) < 2 * prediction.std) <= 1.0
    assert prediction.std.mean() < 0.15
