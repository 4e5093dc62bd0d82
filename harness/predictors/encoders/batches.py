"""Networks as padded tensors of layers, for models that read networks layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.space.layer_walk import LayerRow
from harness.features.architecture import count_features, row_features, ulc
from harness.predictors.base import Standardiser

Rows = tuple[tuple[LayerRow, ...], ...]
Number = TypeVar("Number", np.int64, np.float32, np.float64)
LENGTH_JITTER = 2.0  # layers; varies the batches from epoch to epoch, but adds some padding


@dataclass(frozen=True, slots=True)
class Scaling:
    """How the features of networks are standardised.

    Attributes:
        rows: Standardiser of row features, fitted to all layers of the training networks.
        counts: Standardiser of counts, fitted to the training networks.
    """

    rows: Standardiser
    counts: Standardiser


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of networks, padded to the longest.

    Attributes:
        codes: (networks, layers, 4), Unified Layer Code; 0 after a network's last layer.
        rows: (networks, layers, 5), standardised row features; 0 after a network's last layer.
        counts: (networks, 3), standardised counts.
        lengths: (networks,), number of layers of each network.
    """

    codes: Tensor
    rows: Tensor
    counts: Tensor
    lengths: Tensor


class Encoded:
    """The codes and features of some networks, computed once."""

    def __init__(self, layer_rows: Rows) -> None:
        """Compute codes and features of networks from their layer rows."""
        self.codes = [ulc(rows) for rows in layer_rows]
        self.rows = [row_features(rows) for rows in layer_rows]
        self.counts = np.stack([count_features(rows) for rows in layer_rows])
        self.lengths = np.array([len(codes) for codes in self.codes])

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.codes)

    def scaling(self) -> Scaling:
        """Return standardisers fitted to these networks."""
        rows = Standardiser.fit(np.concatenate(self.rows))
        return Scaling(rows, Standardiser.fit(self.counts))

    def batch(self, index: NDArray[np.intp], scaling: Scaling) -> Batch:
        """Return a batch of networks, in the order of `index`."""
        rows = [scaling.rows(self.rows[i]) for i in index]
        counts = scaling.counts(self.counts[index])
        return Batch(
            torch.from_numpy(pad([self.codes[i] for i in index])),
            torch.from_numpy(pad(rows)).float(),
            torch.from_numpy(counts).float(),
            torch.from_numpy(self.lengths[index]),
        )

    def batches(self, size: int, rng: np.random.Generator | None = None) -> list[NDArray[np.intp]]:
        """Return the indices of batches of networks of similar length; see `length_batches`."""
        return length_batches(self.lengths, size, rng)


def length_batches(
    lengths: NDArray[np.int64], size: int, rng: np.random.Generator | None = None
) -> list[NDArray[np.intp]]:
    """Return the indices of batches of networks of similar length.

    The sizes of batches differ by at most one, so no batch holds a single network unless there is
    only one network.

    Args:
        lengths: (networks,), number of layers of each network.
        size: Largest size of a batch, at least 2.
        rng: Shuffles the batches, and networks of similar length, if given.
    """
    keys = lengths.astype(np.float64)
    if rng is not None:
        keys += rng.uniform(-LENGTH_JITTER, LENGTH_JITTER, len(keys))
    batches = np.array_split(np.argsort(keys, kind="stable"), -(-len(keys) // size))
    if rng is not None:
        rng.shuffle(order := np.arange(len(batches)))
        return [batches[i] for i in order]
    return batches


def pad(sequences: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """Return sequences (layers, features) as one array (sequences, longest, features), 0-padded."""
    longest = max(len(sequence) for sequence in sequences)
    first = sequences[0]
    padded = np.zeros((len(sequences), longest, first.shape[1]), dtype=first.dtype)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded
