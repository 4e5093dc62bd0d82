"""A GRU variant of Peephole, with the absolute widths, sizes and costs that the ULC lacks."""

import torch
from torch import Tensor, nn

from harness.features.architecture import COUNT_FEATURES, ROW_FEATURES
from harness.predictors.encoders.batches import Batch
from harness.predictors.encoders.bidirectional import BidirectionalGru, reversal_of
from harness.predictors.encoders.training import (
    LayerEmbedding,
    Reader,
    RecurrentPredictor,
    Training,
)

HIDDEN, LAYERS = 128, 2
TRAINING_EPOCHS, DROPOUT = 60, 0.3


class GruReader(Reader):
    """Two bidirectional layers, pooled by attention and joined with the counts of the network."""

    width = 2 * HIDDEN + len(COUNT_FEATURES)

    def __init__(self, dropout: float) -> None:
        """Create embeddings, GRU layers and attention."""
        super().__init__()
        self.embedding = LayerEmbedding(dropout)
        entering = LayerEmbedding.width + len(ROW_FEATURES)
        widths = [entering] + [2 * HIDDEN] * (LAYERS - 1)
        self.layers = nn.ModuleList([BidirectionalGru(width, HIDDEN) for width in widths])
        self.attention = nn.Linear(2 * HIDDEN, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Return the structural feature of each network, (networks, 259)."""
        states = self._levels(batch)[-1]
        padding = torch.arange(states.shape[1])[None] >= batch.lengths[:, None]
        scores: Tensor = self.attention(states)[..., 0]
        weights = scores.masked_fill(padding, -torch.inf).softmax(dim=1)
        return torch.cat([torch.einsum("nl,nlf->nf", weights, states), batch.counts], dim=1)

    def states(self, batch: Batch) -> Tensor:
        """Return the states of both directions, (networks, layers, 2, 256)."""
        return torch.stack(self._levels(batch), dim=2)

    def _levels(self, batch: Batch) -> list[Tensor]:
        reversal = reversal_of(batch.lengths, batch.codes.shape[1])
        states = torch.cat([self.embedding(batch.codes), batch.rows], dim=-1)
        levels = []
        for layer in self.layers:
            states = layer(states, reversal)
            levels.append(states)
        return levels


class Gru(RecurrentPredictor):
    """Bidirectional GRU with attention pooling, trained on all epochs."""

    def __init__(self, *, training_epochs: int = TRAINING_EPOCHS) -> None:
        """Set the number of passes over the training runs."""
        training = Training(training_epochs, DROPOUT)
        super().__init__(GruReader, GruReader.width, training, every_epoch=True)
