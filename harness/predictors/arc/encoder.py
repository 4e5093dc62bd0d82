"""An encoder of layers that is pretrained on sampled, untrained networks.

A bidirectional GRU reads every layer of a network (`harness.features.layers`) and learns to predict
quantities that can be computed exactly: signals and gradients at each layer, and all hand-made
features of the network. Its pooled states then describe the network for other models. The networks
are sampled from the seen skeletons, in their shares.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.space.layer_walk import LayerRow
from harness.features.layers import LAYER_NUMBERS, LAYER_SIGNALS, layer_numbers
from harness.predictors.base import Standardiser
from harness.predictors.recurrent.batches import length_batches, pad
from harness.predictors.recurrent.bidirectional import BidirectionalGru, reversal_of
from harness.protocol import Array

ENTRY, FEATURE_HIDDEN = 64, 256
ENCODE_BATCH = 128


class LayerEncoder(nn.Module):
    """Two bidirectional GRU layers over the layers of a network, with heads for pretraining."""

    def __init__(self, hidden: int, features: int) -> None:
        """Create the GRU layers, and heads for layer signals and a number of network features."""
        super().__init__()
        self.width = 6 * hidden  # of the pooled states
        self.entry = nn.Sequential(nn.Linear(len(LAYER_NUMBERS), ENTRY), nn.GELU())
        widths = (ENTRY, 2 * hidden)
        self.layers = nn.ModuleList([BidirectionalGru(width, hidden) for width in widths])
        self.attention = nn.Linear(2 * hidden, 1)
        self.signals = nn.Linear(2 * hidden, len(LAYER_SIGNALS))
        self.features = nn.Sequential(
            nn.Linear(self.width, FEATURE_HIDDEN), nn.GELU(), nn.Linear(FEATURE_HIDDEN, features)
        )

    def states(self, numbers: Tensor, lengths: Tensor) -> Tensor:
        """Return (networks, layers, 2 hidden) for standardised numbers (networks, layers, 23)."""
        reversal = reversal_of(lengths, numbers.shape[1])
        states: Tensor = self.entry(numbers)
        for layer in self.layers:
            states = layer(states, reversal)
        return states

    def pooled(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Return mean, attention-weighted mean and both final states, (networks, 6 hidden)."""
        mask = torch.arange(states.shape[1])[None] < lengths[:, None]
        mean = (states * mask[..., None]).sum(dim=1) / lengths[:, None]
        scores: Tensor = self.attention(states)[..., 0]
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
        attended = torch.einsum("nl,nlf->nf", weights, states)
        half = states.shape[2] // 2
        last = states[torch.arange(len(states)), lengths - 1, :half]
        return torch.cat([mean, attended, last, states[:, 0, half:]], dim=1)


@dataclass(frozen=True, slots=True)
class Encoder:
    """A pretrained encoder.

    Attributes:
        model: Pretrained network.
        standardise: Standardiser of layer numbers.
        seconds: Duration of the pretraining, on the machine where it was done.
    """

    model: LayerEncoder
    standardise: Standardiser
    seconds: int

    def encode(self, layer_rows: tuple[tuple[LayerRow, ...], ...]) -> Array:
        """Return the pooled states of each network, (networks, 6 hidden)."""
        numbers = [self.standardise(layer_numbers(rows)).astype(np.float32) for rows in layer_rows]
        lengths = np.array([len(layers) for layers in numbers])
        encoded = np.empty((len(numbers), self.model.width))
        with torch.no_grad():
            for index in length_batches(lengths, ENCODE_BATCH):
                batch_lengths = torch.from_numpy(lengths[index])
                batch = torch.from_numpy(pad([numbers[i] for i in index]))
                states = self.model.states(batch, batch_lengths)
                encoded[index] = self.model.pooled(states, batch_lengths).double().numpy()
        return encoded
