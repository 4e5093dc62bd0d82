"""What the Peephole LSTM and its GRU variant share: the curve head, the training, the answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from harness.features.architecture import RATIO_BINS, ULC_TYPES
from harness.features.logits import from_logits, to_logits
from harness.predictors.base import check_fitted, check_runs, later_epochs
from harness.predictors.recurrent.batches import Batch, Encoded, Scaling
from harness.protocol import Array, Prediction, Queries, Runs

EMBEDDING = 10  # width of each of the four embeddings of a layer (arXiv:1712.03351, section 3.2)
EPOCH_EMBEDDING = 40
HEAD_WIDTH, HEAD_LAYERS = 200, 3
LONGEST_KERNEL = 8  # of the ULC's embedding; longer kernels (global pools) count as this one
ANSWER_BATCH = 128


@dataclass(frozen=True, slots=True)
class Training:
    """How a network that reads layers is trained: AdamW, one cycle, smooth L1.

    A few hundred runs are learned by heart without strong decay and dropout. The settings of the
    LSTM and the GRU come from three folds of the 720 train and validation runs of `digits`. Tau of
    the LSTM (fitted on the final epoch) with dropout .1, .2 and .3 and decay .3: .52, .53 (100
    epochs) and .46 (60); with decay .1 and dropout .1 .49, with decay .05 and dropout .3 .39 (120).
    Of the GRU with dropout and decay .3 (60 epochs): .55, with less of either .53. Standard errors
    are .01 to .10, so these choose a region, not a value.

    Attributes:
        epochs: Passes over the training runs.
        dropout: On embedded layers and on the structural feature.
        batch: Most runs in a step, of similar length.
        peak_rate: Largest learning rate of the cycle.
        weight_decay: Of AdamW.
        clip: Largest norm of the gradient.
    """

    epochs: int
    dropout: float
    batch: int = 32
    peak_rate: float = 1.5e-3
    weight_decay: float = 0.3
    clip: float = 1.0


class LayerEmbedding(nn.Module):
    """Three tables that make a layer's code a vector of 40; kernel width and height share one."""

    width = 4 * EMBEDDING

    def __init__(self, dropout: float) -> None:
        """Make the tables; kind 0 is padding."""
        super().__init__()
        self.kind = nn.Embedding(max(ULC_TYPES.values()) + 1, EMBEDDING, padding_idx=0)
        self.kernel = nn.Embedding(LONGEST_KERNEL + 1, EMBEDDING)
        self.ratio = nn.Embedding(RATIO_BINS, EMBEDDING)
        self.dropout = nn.Dropout(dropout)

    def forward(self, codes: Tensor) -> Tensor:
        """Return (..., 40) for codes (..., 4)."""
        kernels: Tensor = self.kernel(codes[..., 1:3].clamp(max=LONGEST_KERNEL))
        parts = [self.kind(codes[..., 0]), kernels.flatten(-2), self.ratio(codes[..., 3])]
        embedded: Tensor = self.dropout(torch.cat(parts, dim=-1))
        return embedded


class CurveModel(nn.Module):
    """A reader, an epoch embedding and a perceptron that answers a logit for each epoch."""

    def __init__(self, reader: nn.Module, width: int, epochs: int, dropout: float) -> None:
        """Put a head on a reader whose structural feature is `width` wide."""
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
def seeded(seed: int) -> Iterator[None]:
    """Run torch's CPU generator from a seed, and put it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class RecurrentPredictor:
    """A predictor around a reader: fits the final epoch alone, or every epoch.

    It does not look at curves, so its answer is the same however many epochs are observed.
    """

    def __init__(
        self,
        reader: Callable[[float], nn.Module],
        width: int,
        training: Training,
        *,
        every_epoch: bool,
    ) -> None:
        """Set what reads the layers, the width of its feature and how it is trained."""
        self.reader = reader
        self.width = width
        self.training = training
        self.every_epoch = every_epoch
        self.total = 0
        self._state: tuple[CurveModel, Scaling, Array, Array] | None = None

    def fit(self, train: Runs, observed: int, seed: int) -> None:
        """Train on standardised logits of the runs."""
        check_runs(train, observed)
        self.total = train.recipe.epochs
        encoded = Encoded(train.layer_rows)
        logits = to_logits(train.series.valid_accuracy)
        if not self.every_epoch:
            logits = logits[:, -1:]
        centre, spread = logits.mean(axis=0), logits.std(axis=0)
        spread[spread == 0] = 1.0
        with seeded(seed):
            dropout = self.training.dropout
            model = CurveModel(self.reader(dropout), self.width, self.total, dropout)
            scaling = encoded.scaling()
            rng = np.random.default_rng(seed)
            targets = torch.from_numpy((logits - centre) / spread).float()
            _train(model, encoded, scaling, targets, self.training, rng)
        self._state = (model, scaling, centre, spread)

    def predict(self, queries: Queries) -> Prediction:
        """Answer the epochs trained on that come after the observed ones."""
        check_fitted(self._state is not None)
        assert self._state is not None
        model, scaling, centre, spread = self._state
        encoded = Encoded(queries.layer_rows)
        logits = np.empty((len(queries), len(centre)))
        epochs = torch.arange(self.total)[-len(centre) :]
        model.eval()
        with torch.no_grad():
            for index in encoded.batches(ANSWER_BATCH):
                logits[index] = model(encoded.batch(index, scaling), epochs).double().numpy()
        accuracies = from_logits(logits * spread + centre)
        later = later_epochs(self.total, queries.observed)
        wanted = later if self.every_epoch else later[-1:]
        return Prediction(accuracies[:, -len(wanted) :].copy(), wanted)


def _train(
    model: CurveModel,
    encoded: Encoded,
    scaling: Scaling,
    targets: Tensor,
    training: Training,
    rng: np.random.Generator,
) -> None:
    """Train on targets (runs, epochs), the last of which is the last epoch's."""
    steps = training.epochs * len(encoded.batches(training.batch))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.peak_rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=training.peak_rate, total_steps=steps
    )
    epochs = torch.arange(model.epoch.num_embeddings)[-targets.shape[1] :]
    model.train()
    for _ in range(training.epochs):
        for index in encoded.batches(training.batch, rng):
            logits = model(encoded.batch(index, scaling), epochs)
            loss = nn.functional.smooth_l1_loss(logits, targets[torch.from_numpy(index)])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), training.clip)
            optimizer.step()
            schedule.step()
