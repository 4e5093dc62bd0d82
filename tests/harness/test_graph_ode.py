"""LC-GODE: its states follow the equation, and its curves what was observed."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from harness.predictors.encoders.graph_ode import HIDDEN, STATE, GraphOde, LcGode
from harness.protocol import Array
from tests.toys.runs import toy_runs

EPOCHS = 4


@pytest.fixture
def model() -> GraphOde:
    torch.manual_seed(0)
    model = GraphOde(features=3, epochs=EPOCHS).eval()
    for parameter in model.slope.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def graph() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(1, 2, 3), torch.zeros(1, 4, 2, 2), torch.ones(1, 2, dtype=torch.bool)


def test_states_follow_the_equation(model: GraphOde) -> None:
    network, noise = graph(), torch.zeros(1, 1, STATE)
    with torch.no_grad():
        found, divergence = model(network, torch.zeros(1, 0, 5), noise)
        feature = model.embed(model.encoder.encode(*network)[1])
        mean, log_std = model.start(torch.zeros(1, HIDDEN)).chunk(2, dim=-1)

        def slope(_: float, state: Array) -> Array:
            joined = torch.cat([torch.from_numpy(state).float()[None], feature], dim=1)
            return np.asarray(model.slope(joined)[0].double().numpy())

        times = np.arange(1, EPOCHS + 1)
        solved = solve_ivp(slope, (0, EPOCHS), mean[0].numpy(), t_eval=times, rtol=1e-8)
        expected = model.decode(torch.from_numpy(solved.y.T).float())[:, 0]
    assert found[0, 0].numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    normal = kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum()
    assert divergence.item() == pytest.approx(normal.item(), rel=1e-5)


def test_curves_go_on_from_what_was_observed() -> None:
    """Networks are alike, and their curves are flat at an accuracy of their own."""
    runs = toy_runs(60)
    levels = np.linspace(0.2, 0.9, 60)[:, None]
    for name in ("valid_accuracy", "train_accuracy"):
        getattr(runs.series, name)[:] = levels
    predictor = LcGode(training_epochs=30)
    inside, outside = np.arange(60) % 4 > 0, np.arange(60) % 4 == 0
    train, others = runs.take(np.flatnonzero(inside)), runs.take(np.flatnonzero(outside))
    predictor.fit(train, others, observed=1, seed=0)
    predicted = predictor.predict(others.observe(1)).mean[:, -1]
    assert np.corrcoef(predicted, levels[outside, 0])[0, 1] > 0.9
