"""Where in a network its convolutions lie, and which layers follow which, as numbers."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmark.space.layer_walk import LayerRow
from harness.features.architecture import KINDS, expressible

Array = NDArray[np.float64]

# Least input resolution of each range, in pixels, and its name; the last holds what is smaller.
OCTAVES = ((17, "above_16"), (9, "16"), (5, "8"), (3, "4"), (1, "2"))
PER_OCTAVE = ("convolutions", "mean_log2_width", "mean_log2_kernel_area")
STRUCTURE_FEATURES = (
    *(f"{name}_at_{octave}" for _, octave in OCTAVES for name in PER_OCTAVE),
    "first_log2_kernel_area",  # of all convolutions, as the next
    "last_log2_kernel_area",
    "log_convolution_parameters",
    "last_log2_resolution",  # input of the last layer that the ULC can express
    "last_log2_channels",
    "dense_layers",
    "dense_log2_units",  # sum
    "log_dense_parameters",
    *(f"{one}_before_{other}" for one in KINDS for other in KINDS),
)


def structure_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return where and in what order layers lie, (104,), named by `STRUCTURE_FEATURES`."""
    layers = expressible(rows)
    convolutions = [row for row in layers if row.kind == "conv"]
    dense = [row for row in layers if row.kind == "dense"]
    return np.concatenate(
        [
            *(_octave(convolutions, place) for place in range(len(OCTAVES))),
            [_log2_area(convolutions[0]), _log2_area(convolutions[-1])],
            [math.log(sum(row.parameters for row in convolutions))],
            [math.log2(layers[-1].in_resolution), math.log2(layers[-1].in_channels)],
            [len(dense), sum(math.log2(row.out_channels) for row in dense)],
            [math.log1p(sum(row.parameters for row in dense))],
            _bigrams(layers),
        ]
    )


def _octave(convolutions: list[LayerRow], place: int) -> list[float]:
    """Return the number, mean width and mean kernel area of convolutions in a range of sizes."""
    least = OCTAVES[place][0]
    most = OCTAVES[place - 1][0] - 1 if place else math.inf
    inside = [row for row in convolutions if least <= row.in_resolution <= most]
    if not inside:
        return [0.0, 0.0, 0.0]
    widths = [math.log2(row.out_channels) for row in inside]
    return [len(inside), float(np.mean(widths)), float(np.mean([_log2_area(r) for r in inside]))]


def _log2_area(row: LayerRow) -> float:
    return math.log2(row.kernel_height * row.kernel_width)


def _bigrams(layers: tuple[LayerRow, ...]) -> Array:
    """Return how often each kind comes straight before each other, (81,)."""
    counts = np.zeros((len(KINDS), len(KINDS)))
    for one, other in pairwise(layers):
        if one.kind in KINDS and other.kind in KINDS:
            counts[KINDS.index(one.kind), KINDS.index(other.kind)] += 1
    return counts.ravel()
