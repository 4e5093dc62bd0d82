"""A GRU in the LSTM's place, told the absolute widths, sizes and costs that the ULC leaves out."""

import torch
from torch import Tensor, nn

from harness.features.architecture import COUNT_FEATURES, ROW_FEATURES
from harness.predictors.recurrent.batches import Batch
from harness.predictors.recurrent.training import LayerEmbedding, RecurrentPredictor, Training
from harness.protocol import Prediction, Queries, Runs

HIDDEN, LAYERS = 128, 2
TRAINING_EPOCHS, DROPOUT = 60, 0.3


class BidirectionalGru(nn.Module):
    """One bidirectional layer for padded sequences.

    The backward half reads each sequence reversed within its own length, so that it starts at the
    last layer and never at padding. (A packed sequence would say the same, more slowly.)
    """

    def __init__(self, entering: int, hidden: int = HIDDEN) -> None:
        """Make the two halves, each of a hidden width."""
        super().__init__()
        self.forwards = nn.GRU(entering, hidden, batch_first=True)
        self.backwards = nn.GRU(entering, hidden, batch_first=True)

    def forward(self, inputs: Tensor, reversal: Tensor) -> Tensor:
        """Return (networks, layers, 2 hidden); what stands after a network's end means nothing."""
        ahead: Tensor = self.forwards(inputs)[0]
        back: Tensor = self.backwards(_reorder(inputs, reversal))[0]
        return torch.cat([ahead, _reorder(back, reversal)], dim=-1)


def reversal_of(lengths: Tensor, longest: int) -> Tensor:
    """Return the order (networks, layers) that reverses each network's own layers.

    >>> reversal_of(torch.tensor([2, 3]), 3).tolist()
    [[1, 0, 2], [2, 1, 0]]
    """
    steps = torch.arange(longest)[None]
    return torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)


def _reorder(inputs: Tensor, order: Tensor) -> Tensor:
    """Return inputs (networks, layers, features) with the layers in an order (networks, layers)."""
    return inputs.gather(1, order[..., None].expand_as(inputs))


class GruReader(nn.Module):
    """Two bidirectional layers, pooled by attention, with the counts beside them."""

    width = 2 * HIDDEN + len(COUNT_FEATURES)

    def __init__(self, dropout: float) -> None:
        """Make embeddings, layers and attention."""
        super().__init__()
        self.embedding = LayerEmbedding(dropout)
        entering = LayerEmbedding.width + len(ROW_FEATURES)
        layers = [BidirectionalGru(entering if k == 0 else 2 * HIDDEN) for k in range(LAYERS)]
        self.layers = nn.ModuleList(layers)
        self.attention = nn.Linear(2 * HIDDEN, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Return (networks, 259)."""
        longest = batch.codes.shape[1]
        reversal = reversal_of(batch.lengths, longest)
        past = torch.arange(longest)[None] >= batch.lengths[:, None]
        states = torch.cat([self.embedding(batch.codes), batch.rows], dim=-1)
        for layer in self.layers:
            states = layer(states, reversal)
        scores: Tensor = self.attention(states)[..., 0]
        weights = scores.masked_fill(past, -torch.inf).softmax(dim=1)
        return torch.cat([torch.einsum("nl,nlf->nf", weights, states), batch.counts], dim=1)


class Gru:
    """Bidirectional GRU with attention pooling, trained on all epochs.

    Its answer is the same however many epochs are observed.
    """

    def __init__(self, *, training_epochs: int = TRAINING_EPOCHS) -> None:
        """Set the passes over the training runs."""
        training = Training(training_epochs, DROPOUT)
        self._gru = RecurrentPredictor(GruReader, GruReader.width, training, every_epoch=True)

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Train the network; `validation` is not used.

        Raises:
            ValueError: If `train` or `observed` is out of range.
        """
        self._gru.fit(train, observed, seed)

    def predict(self, queries: Queries) -> Prediction:
        """Answer all epochs after the observed ones.

        Raises:
            ValueError: If the predictor was not fitted.
        """
        return self._gru.predict(queries)
