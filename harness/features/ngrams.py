"""Counts of sequences of layers: the Weisfeiler-Lehman features of a chain.

Relabelling each layer h times with its neighbours, as a Weisfeiler-Lehman kernel does (Ru et al.
2021, arXiv:2006.07556), gives the sequences of 2 h + 1 layers around it.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np

from benchmark.space.layer_walk import LayerRow, layer_word
from harness.features.architecture import expressible
from harness.protocol import Array, Queries

LENGTHS = (1, 3, 5)  # of the sequences, in layers
LEAST_NETWORKS = 2  # that have a sequence, else it is left out


def fit_ngrams(train: Queries) -> Callable[[Queries], tuple[Array, ...]]:
    """Return a function that counts the sequences that training networks have.

    It returns the square roots of the counts, (networks, sequences), for each length.
    """
    vocabularies = []
    for length in LENGTHS:
        having = Counter(s for rows in train.layer_rows for s in _count(rows, length))
        vocabularies.append(sorted(s for s, number in having.items() if number >= LEAST_NETWORKS))

    def groups(queries: Queries) -> tuple[Array, ...]:
        found = []
        for length, vocabulary in zip(LENGTHS, vocabularies, strict=True):
            counts = [_count(rows, length) for rows in queries.layer_rows]
            numbers = [[count[sequence] for sequence in vocabulary] for count in counts]
            found.append(np.sqrt(np.array(numbers, dtype=np.float64).reshape(len(counts), -1)))
        return tuple(found)

    return groups


def _count(rows: tuple[LayerRow, ...], length: int) -> Counter[tuple[str, ...]]:
    """Return how often each sequence of layer words occurs, without widths of convolutions."""
    words = [layer_word(row).partition(":")[0] for row in expressible(rows)]
    return Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1))
