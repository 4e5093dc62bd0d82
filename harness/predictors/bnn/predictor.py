"""LC-Net, a Bayesian neural network with a learning-curve layer (Klein et al., ICLR 2017)."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from harness.features.observed import network_features, prefix_features
from harness.predictors.base import Standardiser, check_observed, check_runs, later_epochs
from harness.predictors.bnn.curve_layer import OUTPUTS, learning_curves
from harness.predictors.bnn.sghmc import Sampling, State, sample
from harness.protocol import Array, Prediction, Queries, Runs

HIDDEN, LAYERS = 50, 3  # as published
CHAINS = 4
BATCH = 64  # runs in a step
CLIP = 4.0  # standard deviations; standardised features are clipped to it
WEIGHT_SCALE = 0.4  # prior standard deviation of a weight, times the root of its layer's inputs
BIAS_SCALE = 2.0  # prior standard deviation of a bias
LOG_VARIANCE = -4.0  # prior mean of the noise's log variance: a standard deviation of .14


class Bnn:
    """LC-Net: a Bayesian network from features of a network to its learning curve and noise.

    Three tanh layers of width 50 on `network_features` feed the curve layer. The noise depends on
    network and time. The posterior is sampled by SGHMC, in chains that run as one batch.

    The settings come from three-fold cross-validation on the 720 train and validation runs of
    `digits`. Tau, MSE and NLL of the final epoch, first for k = 0, then for k = 3:

    - SGHMC: .603, .0365, -.52; .699, .0250, -1.20.
    - Deep ensemble of 20 with the same prior and jittered inputs: .602, .0367, -.46; .685, .0241,
      -1.26. The difference is smaller than between folds, so the published method is kept.
    - Ensemble of ten without the prior: .601, .0393, .69; .674, .0253, -.67.
    - Prior scale of the weights .3 instead of .4, one run: .592, .0368, -.81; .670, .0280, -1.31.
    - Prior scale .5, one run: .602, .0395, .35; not run for k = 3.
    - The same noise for all networks, ensemble of ten: .559, .0426, -.18; .612, .0268, -.50.

    The published method fits the observed epochs of the queries together with the training runs.
    Here they are unknown when fitting, and a prediction must not depend on other queries. So the
    observed epochs are inputs, and only later epochs are fitted. Weighting an ensemble of 50 by the
    likelihood of the observed epochs instead: .611, .0376, -.23 for k = 3, where an ensemble of ten
    with them as inputs has a tau of .674.
    """

    def __init__(self, *, sampling: Sampling | None = None) -> None:
        """Set the sampling [default: `Sampling()`]."""
        self.sampling = sampling or Sampling()
        self._states: list[State] = []
        self._standardise: Standardiser | None = None
        self._observed: int | None = None
        self._epochs = 0

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Sample from the posterior; `validation` is not used."""
        check_runs(train, observed)
        self._epochs = train.recipe.epochs
        features = bnn_features(train.observe(observed))
        self._standardise = Standardiser.fit(features)
        inputs = _inputs(features, self._standardise)
        targets = torch.from_numpy(train.series.valid_accuracy[:, observed:].copy()).float()
        generator = torch.Generator().manual_seed(seed)
        time = _time(self._epochs, observed)

        def energy(state: State) -> Tensor:
            size = (len(state[0]), min(BATCH, len(inputs)))
            drawn = torch.randint(len(inputs), size, generator=generator)
            misfit = negative_log_likelihood(state, inputs[drawn], targets[drawn], time)
            return misfit + negative_log_prior(state) / targets.numel()

        start = initial_state(inputs.shape[1], generator)
        self._states = sample(start, energy, targets.numel(), self.sampling, generator)
        self._observed = observed

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, with standard deviations."""
        observed = check_observed(self._observed, queries)
        assert self._standardise is not None
        inputs = _inputs(bnn_features(queries), self._standardise)
        time = _time(self._epochs, observed)
        with torch.no_grad():
            curves = [learning_curves(outputs(state, inputs), time) for state in self._states]
        means = torch.cat([mean for mean, _ in curves]).double().numpy()
        noise = torch.cat([log_variance for _, log_variance in curves]).double().exp().numpy()
        mean, std = predictive(means, noise)
        return Prediction(mean, later_epochs(self._epochs, observed), std)


def bnn_features(queries: Queries) -> Array:
    """Return features of networks and of their observed epochs, (networks, features)."""
    return np.concatenate([network_features(queries), prefix_features(queries)], axis=1)


def initial_state(features: int, generator: torch.Generator) -> State:
    """Return random weights (chains, in, out) and biases (chains, 1, out), layer by layer."""
    state = []
    for entering, leaving in pairwise([features, *[HIDDEN] * LAYERS, OUTPUTS]):
        state.append(torch.randn(CHAINS, entering, leaving, generator=generator) / entering**0.5)
        state.append(torch.zeros(CHAINS, 1, leaving))
    state[-2][..., -2:] = 0.0
    state[-1][..., -2] = LOG_VARIANCE
    return tuple(state)


def outputs(state: State, inputs: Tensor) -> Tensor:
    """Return the outputs of each chain's network, (chains, runs, 15).

    Args:
        state: Weights and biases in the order of `initial_state`.
        inputs: (runs, features), or (chains, runs, features).
    """
    hidden = inputs.expand(len(state[0]), *inputs.shape[-2:])
    for weight, bias in zip(state[:-2:2], state[1:-2:2], strict=True):
        hidden = torch.tanh(torch.baddbmm(bias, hidden, weight))
    return torch.baddbmm(state[-1], hidden, state[-2])


def negative_log_likelihood(state: State, inputs: Tensor, targets: Tensor, time: Tensor) -> Tensor:
    """Return the negative log likelihood per run and time, (chains,), up to a constant."""
    mean, log_variance = learning_curves(outputs(state, inputs), time)
    misfit = log_variance + (targets - mean) ** 2 * torch.exp(-log_variance)
    return 0.5 * misfit.mean(dim=(-2, -1))


def negative_log_prior(state: State) -> Tensor:
    """Return the negative log prior of all parameters, (chains,), up to a constant."""
    total = torch.zeros(len(state[0]))
    centre = torch.zeros(OUTPUTS)
    centre[-2] = LOG_VARIANCE
    for weight, bias in zip(state[::2], state[1::2], strict=True):
        total = total + weight.square().sum((1, 2)) * weight.shape[1] / WEIGHT_SCALE**2 / 2
        deviation = bias - centre if bias is state[-1] else bias
        total = total + deviation.square().sum((1, 2)) / BIAS_SCALE**2 / 2
    return total


def predictive(means: Array, noise: Array) -> tuple[Array, Array]:
    """Return the mean, clipped to [0, 1], and standard deviation of an equally weighted mixture.

    Mean accuracies `means` and variances `noise` are (components, networks, epochs).
    """
    std = np.sqrt(means.var(axis=0) + noise.mean(axis=0))
    return np.clip(means.mean(axis=0), 0.0, 1.0), std


def _inputs(features: Array, standardise: Standardiser) -> Tensor:
    """Return standardised and clipped features."""
    clipped = np.clip(standardise(features), -CLIP, CLIP)
    return torch.from_numpy(clipped).float()


def _time(epochs: int, observed: int) -> Tensor:
    """Return the later epochs as shares of all epochs, (later epochs,)."""
    return torch.arange(observed + 1, epochs + 1) / epochs
