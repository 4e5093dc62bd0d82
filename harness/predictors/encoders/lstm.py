"""The Peephole LSTM (Deng, Yan and Lin 2017, arXiv:1712.03351)."""

import torch
from torch import Tensor, nn

from harness.predictors.encoders.batches import Batch
from harness.predictors.encoders.training import (
    LayerEmbedding,
    Reader,
    RecurrentPredictor,
    Training,
    seed_torch,
)

HIDDEN, LAYERS = 160, 2
TRAINING_EPOCHS, DROPOUT = 100, 0.2


class LstmReader(Reader):
    """An LSTM over the embedded layers, whose last hidden state is the structural feature."""

    def __init__(self, dropout: float) -> None:
        """Create the embeddings and the LSTM."""
        super().__init__()
        self.embedding = LayerEmbedding(dropout)
        self.lstm = nn.LSTM(LayerEmbedding.width, HIDDEN, LAYERS, batch_first=True)

    def forward(self, batch: Batch) -> Tensor:
        """Return the hidden state after the last layer of each network, (networks, 160)."""
        outputs: Tensor = self.lstm(self.embedding(batch.codes))[0]
        return outputs[torch.arange(len(outputs)), batch.lengths - 1]

    def states(self, batch: Batch) -> Tensor:
        """Return the hidden states of both levels, (networks, layers, 2, 160)."""
        embedded: Tensor = self.embedding(batch.codes)
        with seed_torch(0):  # its own weights are replaced
            lower = nn.LSTM(LayerEmbedding.width, HIDDEN, batch_first=True)
        weights = self.lstm.state_dict()
        lower.load_state_dict({name: weights[name] for name in weights if name.endswith("_l0")})
        return torch.stack([lower(embedded)[0], self.lstm(embedded)[0]], dim=2)


class Peephole(RecurrentPredictor):
    """Peephole as published: it reads layer codes only and is fitted to the final accuracy only.

    With `every_epoch` it is fitted to all epochs through its epoch embedding. It predicts the
    epochs that it was fitted to.
    """

    def __init__(
        self, *, every_epoch: bool = False, training_epochs: int = TRAINING_EPOCHS
    ) -> None:
        """Set whether to fit every epoch, and the number of passes over the training runs."""
        training = Training(training_epochs, DROPOUT)
        super().__init__(LstmReader, HIDDEN, training, every_epoch=every_epoch)
