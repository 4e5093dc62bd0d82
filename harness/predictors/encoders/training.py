"""Shared code of the Peephole LSTM and its GRU variant: curve head, training and prediction.

Their prediction is the same for any number of observed epochs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from harness.features.architecture import RATIO_BINS, ULC_TYPES, in_ulc
from harness.features.logits import from_logits, to_logits
from harness.predictors.base import check_fitted, check_runs, later_epochs
from harness.predictors.encoders.batches import Batch, Encoded, Scaling
from harness.protocol import Array, LearnedFeatures, Prediction, Queries, Runs

EMBEDDING = 10  # width of each of the four embeddings of a layer (arXiv:1712.03351, section 3.2)
EPOCH_EMBEDDING = 40
HEAD_WIDTH, HEAD_LAYERS = 200, 3
LONGEST_KERNEL = 8  # longer kernels (global pools) share the embedding of this length
PREDICT_BATCH = 128
LARGEST_GRADIENT = 1.0  # norm; larger gradients are scaled down to it


@dataclass(frozen=True, slots=True)
class Training:
    """Training settings of a curve model: AdamW, one-cycle learning rate, smooth L1 loss.

    Without strong weight decay and dropout, the models overfit a few hundred runs. The settings
    come from three-fold cross-validation on the 720 train and validation runs of `digits`. Tau of
    the LSTM (fitted to the final epoch) with decay .3: .52, .53 (100 epochs) and .46 (60 epochs)
    for dropout .1, .2 and .3. With decay .1 and dropout .1: .49. With decay .05 and dropout .3: .39
    (120 epochs). Tau of the GRU with dropout and decay .3 (60 epochs): .55; with less of either:
    .53. Standard errors are .01 to .10, so this selects a region, not a value.

    Attributes:
        epochs: Number of passes over the training runs.
        dropout: Dropout rate of embedded layers and of the structural feature.
        batch: Largest number of runs in a step.
        peak_rate: Largest learning rate of the cycle.
        weight_decay: Weight decay of AdamW.
    """

    epochs: int
    dropout: float
    batch: int = 32
    peak_rate: float = 1.5e-3
    weight_decay: float = 0.3


class LayerEmbedding(nn.Module):
    """Embeds a layer code as 40 numbers by three tables; kernel width and height share one."""

    width = 4 * EMBEDDING

    def __init__(self, dropout: float) -> None:
        """Create the tables; kind 0 is padding."""
        super().__init__()
        self.kind = nn.Embedding(max(ULC_TYPES.values()) + 1, EMBEDDING, padding_idx=0)
        self.kernel = nn.Embedding(LONGEST_KERNEL + 1, EMBEDDING)
        self.ratio = nn.Embedding(RATIO_BINS, EMBEDDING)
        self.dropout = nn.Dropout(dropout)

    def forward(self, codes: Tensor) -> Tensor:
        """Return (..., 40) for codes (..., 4)."""
        kernels: Tensor = self.kernel(codes[..., 1:3].clamp(max=LONGEST_KERNEL))
        embeddings = [self.kind(codes[..., 0]), kernels.flatten(-2), self.ratio(codes[..., 3])]
        embedded: Tensor = self.dropout(torch.cat(embeddings, dim=-1))
        return embedded


class Reader(nn.Module, ABC):
    """Reads networks layer by layer."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Return the structural feature of each network, (networks, width)."""

    @abstractmethod
    def states(self, batch: Batch) -> Tensor:
        """Return the values of the units at each layer, (networks, layers, levels, units).

        Values after a network's last layer have no meaning.
        """


class CurveModel(nn.Module):
    """A reader, an epoch embedding and a perceptron that predicts a logit for each epoch."""

    def __init__(self, reader: Reader, width: int, epochs: int, dropout: float) -> None:
        """Create the head for a reader whose structural feature has `width` numbers."""
        super().__init__()
        self.reader = reader
        self.dropout = nn.Dropout(dropout)
        self.epoch = nn.Embedding(epochs, EPOCH_EMBEDDING)
        layers: list[nn.Module] = []
        entering = width + EPOCH_EMBEDDING
        for _ in range(HEAD_LAYERS):
            layers += [nn.Linear(entering, HEAD_WIDTH), nn.BatchNorm1d(HEAD_WIDTH), nn.ReLU()]
            entering = HEAD_WIDTH
        self.head = nn.Sequential(*layers, nn.Linear(entering, 1))

    def forward(self, batch: Batch, epochs: Tensor) -> Tensor:
        """Return standardised logits (networks, epochs) for epochs counted from 0."""
        structure: Tensor = self.dropout(self.reader(batch))
        pairs = (len(structure), len(epochs), -1)
        joined = torch.cat(
            [structure[:, None].expand(pairs), self.epoch(epochs)[None].expand(pairs)], dim=-1
        )
        logits: Tensor = self.head(joined.flatten(0, 1))
        return logits.view(len(structure), len(epochs))


@contextmanager
def seed_torch(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def one_cycle(
    model: nn.Module, peak_rate: float, weight_decay: float, steps: int
) -> Callable[[Tensor], None]:
    """Return a function that takes a step of AdamW down a loss, in one cycle of learning rates."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak_rate, total_steps=steps)

    def step(loss: Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()

    return step


class RecurrentPredictor:
    """A predictor with a given reader, fitted to the final epoch or to every epoch."""

    def __init__(
        self,
        reader: Callable[[float], Reader],
        width: int,
        training: Training,
        *,
        every_epoch: bool,
    ) -> None:
        """Set the model and its training.

        `reader` creates the module that reads layers, given a dropout rate. `width` is that of its
        output, the structural feature.
        """
        self.reader = reader
        self.width = width
        self.training = training
        self.every_epoch = every_epoch
        self.total = 0
        self._state: tuple[CurveModel, Scaling, Array, Array] | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Train on standardised logits of `train`; `validation` is not used."""
        check_runs(train, observed)
        self.total = train.recipe.epochs
        encoded = Encoded(train.layer_rows)
        logits = to_logits(train.series.valid_accuracy)
        if not self.every_epoch:
            logits = logits[:, -1:]
        mean, std = logits.mean(axis=0), logits.std(axis=0)
        std[std == 0] = 1.0
        with seed_torch(seed):
            dropout = self.training.dropout
            model = CurveModel(self.reader(dropout), self.width, self.total, dropout)
            scaling = encoded.scaling()
            rng = np.random.default_rng(seed)
            targets = torch.from_numpy((logits - mean) / std).float()
            _train(model, encoded, scaling, targets, self.training, rng)
        self._state = (model, scaling, mean, std)

    def predict(self, queries: Queries) -> Prediction:
        """Predict the epochs after the observed ones that were trained on."""
        check_fitted(self._state is not None)
        assert self._state is not None
        model, scaling, mean, std = self._state
        encoded = Encoded(queries.layer_rows)
        logits = np.empty((len(queries), len(mean)))
        epochs = torch.arange(self.total)[-len(mean) :]
        model.eval()
        with torch.no_grad():
            for index in encoded.batches(PREDICT_BATCH):
                logits[index] = model(encoded.batch(index, scaling), epochs).double().numpy()
        accuracies = from_logits(logits * std + mean)
        later = later_epochs(self.total, queries.observed)
        predicted = later if self.every_epoch else later[-1:]
        return Prediction(accuracies[:, -len(predicted) :].copy(), predicted)

    def learned_features(self, queries: Queries) -> LearnedFeatures:
        """Return structural features, and the states at the layers that the ULC can express."""
        check_fitted(self._state is not None, "learned_features")
        assert self._state is not None
        model, scaling, *_ = self._state
        encoded = Encoded(queries.layer_rows)
        networks = np.empty((len(queries), self.width))
        layers = [np.empty(0)] * len(queries)
        model.eval()
        with torch.no_grad():
            for index in encoded.batches(PREDICT_BATCH):
                batch = encoded.batch(index, scaling)
                networks[index] = model.reader(batch).double().numpy()
                for i, values in zip(
                    index, model.reader.states(batch).double().numpy(), strict=True
                ):
                    read = [*map(in_ulc, queries.layer_rows[i])]
                    layers[i] = np.full((len(read), *values.shape[1:]), np.nan)
                    layers[i][read] = values[: encoded.lengths[i]]
        return LearnedFeatures(networks, tuple(layers))


def _train(
    model: CurveModel,
    encoded: Encoded,
    scaling: Scaling,
    targets: Tensor,
    training: Training,
    rng: np.random.Generator,
) -> None:
    """Train on standardised logits (runs, epochs), of all epochs or of the last one."""
    steps = training.epochs * len(encoded.batches(training.batch))
    step = one_cycle(model, training.peak_rate, training.weight_decay, steps)
    epochs = torch.arange(model.epoch.num_embeddings)[-targets.shape[1] :]
    model.train()
    for _ in range(training.epochs):
        for index in encoded.batches(training.batch, rng):
            logits = model(encoded.batch(index, scaling), epochs)
            step(nn.functional.smooth_l1_loss(logits, targets[torch.from_numpy(index)]))
