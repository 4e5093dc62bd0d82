"""A bidirectional GRU layer for padded sequences."""

import torch
from torch import Tensor, nn


class BidirectionalGru(nn.Module):
    """One bidirectional GRU layer for padded sequences.

    The backward half reads each sequence reversed within its own length, so it starts at the last
    layer and not at padding. (A packed sequence gives the same outputs, more slowly.)
    """

    def __init__(self, entering: int, hidden: int) -> None:
        """Create both halves, each with a given hidden width."""
        super().__init__()
        self.forwards = nn.GRU(entering, hidden, batch_first=True)
        self.backwards = nn.GRU(entering, hidden, batch_first=True)

    def forward(self, inputs: Tensor, reversal: Tensor) -> Tensor:
        """Return (networks, layers, 2 hidden); values after the last layer have no meaning."""
        ahead: Tensor = self.forwards(inputs)[0]
        back: Tensor = self.backwards(_reorder(inputs, reversal))[0]
        return torch.cat([ahead, _reorder(back, reversal)], dim=-1)


def reversal_of(lengths: Tensor, longest: int) -> Tensor:
    """Return the order (networks, layers) that reverses the layers of each network.

    >>> reversal_of(torch.tensor([2, 3]), 3).tolist()
    [[1, 0, 2], [2, 1, 0]]
    """
    steps = torch.arange(longest)[None]
    return torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)


def _reorder(inputs: Tensor, order: Tensor) -> Tensor:
    """Return inputs (networks, layers, features) with layers in an order (networks, layers)."""
    return inputs.gather(1, order[..., None].expand_as(inputs))
