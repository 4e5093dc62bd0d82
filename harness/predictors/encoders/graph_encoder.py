"""A graph encoder of layers, trained to order pairs of networks.

Layers are nodes and what they read are edges, as for the graph convolutions of BRP-NAS (Dudziak et
al. 2020, arXiv:2007.08668). The loss is that of RankNet (Burges et al. 2005, ICML): the mean
logistic loss of all pairs of a batch. A round gathers the layers one and two steps before and after
each layer: with one step alone, tau in five folds of `digits` was .54 instead of .58.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.space.layer_walk import ROW_KINDS, LayerRow
from harness.predictors.base import Standardiser, check_fitted, check_runs
from harness.predictors.encoders.batches import pad
from harness.predictors.encoders.training import one_cycle, seed_torch
from harness.predictors.mixture.normal_scores import ScoreScale, normal_scores
from harness.protocol import Array, LearnedFeatures, Prediction, Queries, Runs

TRAINING_EPOCHS, BATCH = 30, 64
PEAK_RATE, WEIGHT_DECAY, DROPOUT = 2e-3, 0.1, 0.2
WIDTH, HEAD_WIDTH, ROUNDS = 64, 128, 3
STEPS = 2  # from a layer to the farthest that a round gathers
PREDICT_BATCH = 128
SUM_SCALE = 16  # layers; divides sums over layers, so that they are of the size of means


def node_features(rows: Sequence[LayerRow]) -> Array:
    """Return the kind of each layer, one-hot, and logarithms of its sizes: (layers, features)."""
    kinds = [[float(row.kind == kind) for kind in ROW_KINDS] for row in rows]
    sizes = [
        (
            row.kernel_height, row.kernel_width, row.stride, row.in_channels, row.out_channels,
            row.in_resolution, 1 + row.macs, 1 + row.parameters,
        )
        for row in rows
    ]  # fmt: skip
    return np.concatenate([kinds, np.log2(sizes)], axis=1)


def neighbours(rows: Sequence[LayerRow]) -> Array:
    """Return (2 STEPS, layers, layers): for each distance, who is before a layer, and who after.

    Rows sum to 1, or to 0 for a layer without such neighbours.
    """
    reads = np.zeros((len(rows), len(rows)))
    for index, row in enumerate(rows):
        reads[index, [source for source in row.inputs if source >= 0]] = 1.0
    matrices, reached = [], np.eye(len(rows))
    for _ in range(STEPS):
        reached = np.minimum(reached @ reads, 1.0)
        matrices += [reached, reached.T]
    stacked = np.stack(matrices)
    return np.asarray(stacked / np.maximum(stacked.sum(axis=-1, keepdims=True), 1.0))


@dataclass(frozen=True, slots=True)
class Graphs:
    """Networks as graphs of layers.

    Attributes:
        nodes: Standardised features of the layers of each network.
        neighbours: What `neighbours` returns for each network.
    """

    nodes: list[Array]
    neighbours: list[Array]

    def batch(self, index: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return padded features and neighbours of some networks, and where there is a layer."""
        nodes = torch.from_numpy(pad([self.nodes[i] for i in index])).float()
        longest = nodes.shape[1]
        around = torch.zeros(len(index), 2 * STEPS, longest, longest)
        for place, i in enumerate(index):
            layers = len(self.nodes[i])
            around[place, :, :layers, :layers] = torch.from_numpy(self.neighbours[i])
        lengths = torch.tensor([len(self.nodes[i]) for i in index])
        return nodes, around, torch.arange(longest)[None] < lengths[:, None]

    def batches(self) -> list[range]:
        """Return the indices of consecutive networks, at most `PREDICT_BATCH` at a time."""
        indices = range(len(self.nodes))
        return [indices[start : start + PREDICT_BATCH] for start in indices[::PREDICT_BATCH]]


class Encoder(nn.Module):
    """Rounds of messages between layers, pooled by attention and by a sum, then a perceptron."""

    def __init__(self, features: int) -> None:
        """Create the encoder for a number of features of a layer."""
        super().__init__()
        self.enter = nn.Sequential(
            nn.Linear(features, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.Dropout(DROPOUT)
        )
        self.rounds = nn.ModuleList(
            nn.Sequential(
                nn.Linear((1 + 2 * STEPS) * WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU(),
                nn.Dropout(DROPOUT),
            )
            for _ in range(ROUNDS)
        )  # fmt: skip
        self.attention = nn.Linear(WIDTH, 1)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT), nn.Linear(2 * WIDTH, HEAD_WIDTH), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(HEAD_WIDTH, 1),
        )  # fmt: skip

    def encode(self, nodes: Tensor, around: Tensor, layers: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the states after each round, (networks, layers, 64), and both pools of the last.

        Pools are (networks, 128).
        """
        rounds = []
        states: Tensor = self.enter(nodes)
        for messages in self.rounds:
            gathered = (around @ states[:, None]).transpose(1, 2).flatten(2)
            states = states + messages(torch.cat([states, gathered], dim=-1))
            rounds.append(states)
        scores: Tensor = self.attention(states)[..., 0]
        weights = scores.masked_fill(~layers, -torch.inf).softmax(dim=1)
        attended = torch.einsum("nl,nlf->nf", weights, states)
        summed = torch.einsum("nl,nlf->nf", layers.to(states.dtype), states) / SUM_SCALE
        return rounds, torch.cat([attended, summed], dim=1)

    def forward(self, nodes: Tensor, around: Tensor, layers: Tensor) -> Tensor:
        """Return a score for each network, (networks,)."""
        found: Tensor = self.head(self.encode(nodes, around, layers)[1])
        return found[:, 0]


def pairwise_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean logistic loss of the pairs whose targets differ; 0 without any.

    >>> round(float(pairwise_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))), 3)
    0.313
    """
    order = torch.sign(targets[:, None] - targets[None])
    losses = nn.functional.softplus(-order * (scores[:, None] - scores[None]))
    pairs = order != 0
    return (losses * pairs).sum() / pairs.sum().clamp(min=1)


class GraphEncoder:
    """Orders networks by their layers; the validation runs give scores their accuracies."""

    def __init__(self, *, training_epochs: int = TRAINING_EPOCHS) -> None:
        """Set the number of passes over the training runs."""
        self.training_epochs = training_epochs
        self._total = 0
        self._state: tuple[Encoder, Standardiser, ScoreScale] | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Train the encoder on `train`, and scale its scores on `validation`."""
        check_runs(train, observed)
        self._total = train.recipe.epochs
        standardise = Standardiser.fit(np.concatenate([*map(node_features, train.layer_rows)]))
        graphs = graphs_of(train, standardise)
        targets = torch.from_numpy(normal_scores(train.final_accuracy[:, None])[:, 0]).float()
        rng = np.random.default_rng(seed)
        batches = -(-len(train) // BATCH)
        with seed_torch(seed):
            model = Encoder(graphs.nodes[0].shape[1])
            step = one_cycle(model, PEAK_RATE, WEIGHT_DECAY, self.training_epochs * batches)
            for _ in range(self.training_epochs):
                for index in np.array_split(rng.permutation(len(train)), batches):
                    scores = model(*graphs.batch(index.tolist()))
                    step(pairwise_loss(scores, targets[torch.from_numpy(index)]))
        model.eval()
        known = _scores(model, graphs_of(validation, standardise))
        scale = ScoreScale.fit(validation.final_accuracy[:, None], known)
        self._state = model, standardise, scale

    def predict(self, queries: Queries) -> Prediction:
        """Predict the last epoch, with standard deviations."""
        check_fitted(self._state is not None)
        assert self._state is not None
        model, standardise, scale = self._state
        mean, std = scale.moments(_scores(model, graphs_of(queries, standardise)))
        return Prediction(mean, (self._total,), std)

    def learned_features(self, queries: Queries) -> LearnedFeatures:
        """Return both pools of each network, and the states of all layers after each round."""
        check_fitted(self._state is not None, "learned_features")
        assert self._state is not None
        model, standardise, _ = self._state
        graphs = graphs_of(queries, standardise)
        networks, layers = [], []
        with torch.no_grad():
            for index in graphs.batches():
                rounds, pooled = model.encode(*graphs.batch(index))
                networks.append(pooled.double().numpy())
                states = torch.stack(rounds, dim=2).double().numpy()
                lengths = [len(graphs.nodes[i]) for i in index]
                layers += [found[:n] for found, n in zip(states, lengths, strict=True)]
        return LearnedFeatures(np.concatenate(networks), tuple(layers))


def graphs_of(networks: Runs | Queries, standardise: Standardiser) -> Graphs:
    """Return networks as graphs."""
    nodes = [standardise(node_features(rows)) for rows in networks.layer_rows]
    return Graphs(nodes, [*map(neighbours, networks.layer_rows)])


def _scores(model: Encoder, graphs: Graphs) -> Array:
    """Return the scores of networks, (networks, 1)."""
    with torch.no_grad():
        found = torch.cat([model(*graphs.batch(index)) for index in graphs.batches()])
    return found.double().numpy()[:, None]
