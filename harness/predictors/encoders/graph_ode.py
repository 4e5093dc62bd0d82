"""LC-GODE: a differential equation of curves that depends on the graph of layers (AAAI 2025).

After Ding et al. (arXiv:2412.15554). A GRU reads the observed epochs and gives the distribution of
a state; a graph encoder gives features of the network; the state moves by an equation of both, and
a linear layer reads an accuracy from it at each epoch. Trained as a variational autoencoder.

The graph encoder is that of `graph-encoder`, because the published one knows no sizes of layers.
The GRU reads losses and training accuracy, too: in three folds of the train and validation networks
of `cifar10` (k = 3), tau was .53 without them and .66 with them.
"""

import numpy as np
import torch
from torch import Tensor, nn

from harness.features.logits import from_logits, to_logits
from harness.features.observed import log_clipped
from harness.predictors.base import Standardiser, check_observed, check_runs, later_epochs
from harness.predictors.encoders.graph_encoder import WIDTH, Encoder, graphs_of, node_features
from harness.predictors.encoders.training import one_cycle, seed_torch
from harness.protocol import Array, Prediction, Queries, Runs

# In the same folds, tau before training and after three epochs was .51 and .69 with 150 epochs of
# training, .48 and .69 with 80 in batches of 16.
TRAINING_EPOCHS, BATCH, PEAK_RATE, WEIGHT_DECAY = 100, 32, 4e-3, 0.1
STATE, HIDDEN = 16, 64  # widths of a state and of its equation, as published
DIVERGENCE_WEIGHT = 1e-3  # of the divergence of a start from a standard normal one
DRAWS, LEAST_STD = 32, 0.05  # curves of which a prediction is the mean; noise of a scaled logit
READ = ("train_accuracy", "valid_accuracy", "train_loss", "valid_loss", "learning_rate")


def series_of(queries: Queries) -> Array:
    """Return the series that the GRU reads, (networks, observed, 5): logits and logarithms."""
    values = [getattr(queries.series, name) for name in READ]
    scales = [to_logits if name.endswith("accuracy") else log_clipped for name in READ]
    return np.stack([scale(v) for scale, v in zip(scales, values, strict=True)], axis=-1)


class GraphOde(nn.Module):
    """The equation, what gives its start, and what reads accuracies from its states."""

    def __init__(self, features: int, epochs: int) -> None:
        """Create it for a number of features of a layer, and a number of epochs."""
        super().__init__()
        self.epochs = epochs
        self.encoder = Encoder(features)
        self.embed = nn.Linear(2 * WIDTH, STATE)
        self.reader = nn.GRU(len(READ), HIDDEN, batch_first=True)
        self.start = nn.Linear(HIDDEN, 2 * STATE)
        last = nn.Linear(HIDDEN, STATE)
        nn.init.zeros_(last.weight)  # curves are flat at first, as published
        nn.init.zeros_(last.bias)
        self.slope = nn.Sequential(nn.Linear(2 * STATE, HIDDEN), nn.GELU(), last)
        self.decode = nn.Linear(STATE, 1)
        self.log_std = nn.Parameter(torch.zeros(epochs))

    def noise_std(self) -> Tensor:
        """Return the standard deviation of the noise at each epoch, (epochs,)."""
        return LEAST_STD + nn.functional.softplus(self.log_std)

    def forward(
        self, graph: tuple[Tensor, Tensor, Tensor], observed: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return standardised logits (draws, networks, epochs) and the divergence of states.

        Args:
            graph: A batch of networks, as `Graphs.batch` returns it.
            observed: Standardised series of the observed epochs, (networks, observed, 5).
            noise: Standard normal numbers, (draws, networks, 16).
        """
        network = self.embed(self.encoder.encode(*graph)[1]).expand(*noise.shape[:2], STATE)
        read = observed.new_zeros(len(observed), HIDDEN)
        if observed.shape[1]:
            read = self.reader(observed)[1][0]
        mean, log_std = self.start(read).chunk(2, dim=-1)
        state = mean + log_std.exp() * noise
        divergence = 0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std

        def slope(state: Tensor) -> Tensor:
            found: Tensor = self.slope(torch.cat([state, network], dim=-1))
            return found

        states = []
        for _ in range(self.epochs):  # a step of Runge and Kutta's method for each
            first = slope(state)
            second = slope(state + first / 2)
            third = slope(state + second / 2)
            state = state + (first + 2 * second + 2 * third + slope(state + third)) / 6
            states.append(state)
        return self.decode(torch.stack(states, dim=2))[..., 0], divergence.sum(dim=-1).mean()


class LcGode:
    """Draws curves from the equation; after no epoch, its start is the same for all networks."""

    def __init__(self, *, training_epochs: int = TRAINING_EPOCHS) -> None:
        """Set the number of passes over the training runs."""
        self.training_epochs = training_epochs
        self._observed: int | None = None
        self._state: tuple[GraphOde, Standardiser, Standardiser, tuple[float, float]] | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Train on all epochs of `train`; `validation` is not used."""
        check_runs(train, observed)
        standardise = Standardiser.fit(np.concatenate([*map(node_features, train.layer_rows)]))
        graphs = graphs_of(train, standardise)
        logits = to_logits(train.series.valid_accuracy)
        scale = float(logits.mean()), float(logits.std()) or 1.0
        curves = torch.from_numpy((logits - scale[0]) / scale[1]).float()
        read = series_of(train.observe(max(observed, 1)))
        read_scale = Standardiser.fit(read.reshape(-1, len(READ)))
        known = torch.from_numpy(read_scale(read[:, :observed])).float()
        rng = np.random.default_rng(seed)
        batches = -(-len(train) // BATCH)
        with seed_torch(seed):
            model = GraphOde(graphs.nodes[0].shape[1], curves.shape[1])
            step = one_cycle(model, PEAK_RATE, WEIGHT_DECAY, self.training_epochs * batches)
            for _ in range(self.training_epochs):
                for index in np.array_split(rng.permutation(len(train)), batches):
                    true = curves[index]
                    noise = torch.randn(1, len(index), STATE)
                    graph, observations = graphs.batch(index.tolist()), known[index]
                    found, divergence = model(graph, observations, noise)
                    std = model.noise_std()
                    misfit = (0.5 * ((true - found) / std) ** 2 + std.log()).mean()
                    step(misfit + DIVERGENCE_WEIGHT * divergence)
        model.eval()
        self._observed, self._state = observed, (model, standardise, read_scale, scale)

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones, with standard deviations."""
        observed = check_observed(self._observed, queries)
        assert self._state is not None
        model, standardise, read_scale, (centre, spread) = self._state
        graphs = graphs_of(queries, standardise)
        known = torch.from_numpy(read_scale(series_of(queries))).float()
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(DRAWS, 1, STATE, generator=generator)
        noise = torch.randn(DRAWS, 1, model.epochs, generator=generator)
        curves = []
        with torch.no_grad():
            for index in graphs.batches():
                starts = start.expand(-1, len(index), -1)
                found, _ = model(graphs.batch(index), known[index], starts)
                curves.append(found + noise * model.noise_std())
        logits = torch.cat(curves, dim=1)[..., observed:].double().numpy()
        drawn = from_logits(logits * spread + centre)
        epochs = later_epochs(model.epochs, observed)
        return Prediction(drawn.mean(axis=0), epochs, drawn.std(axis=0))
