"""Features of the resolution at which convolutions lie, and of the order of layers."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np

from benchmark.space.layer_walk import LayerRow
from harness.features.architecture import KINDS, expressible, log2_kernel_area
from harness.protocol import Array

# Smallest input resolution of each range, in pixels, and the name of the range.
OCTAVES = ((17, "above_16"), (9, "16"), (5, "8"), (3, "4"), (1, "2"))
PER_OCTAVE = ("convolutions", "mean_log2_width", "mean_log2_kernel_area")
STRUCTURE_FEATURES = (
    *(f"{name}_at_{octave}" for _, octave in OCTAVES for name in PER_OCTAVE),
    "first_log2_kernel_area",  # this and the next: of all convolutions
    "last_log2_kernel_area",
    "log_convolution_parameters",
    "last_log2_resolution",  # this and the next: input of the last layer that the ULC can express
    "last_log2_channels",
    "dense_layers",
    "dense_log2_units",  # sum over the dense layers
    "log_dense_parameters",
    *(f"{one}_before_{other}" for one in KINDS for other in KINDS),
)


def structure_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return the features `STRUCTURE_FEATURES` of a network, (104,)."""
    layers = expressible(rows)
    convolutions = [row for row in layers if row.kind == "conv"]
    dense = [row for row in layers if row.kind == "dense"]
    return np.concatenate(
        [
            *(_octave(convolutions, index) for index in range(len(OCTAVES))),
            [log2_kernel_area(convolutions[0]), log2_kernel_area(convolutions[-1])],
            [math.log(sum(row.parameters for row in convolutions))],
            [math.log2(layers[-1].in_resolution), math.log2(layers[-1].in_channels)],
            [len(dense), sum(math.log2(row.out_channels) for row in dense)],
            [math.log1p(sum(row.parameters for row in dense))],
            _bigrams(layers),
        ]
    )


def _octave(convolutions: list[LayerRow], index: int) -> list[float]:
    """Return number, mean log2 width and mean log2 kernel area of a range's convolutions, (3,)."""
    least = OCTAVES[index][0]
    most = OCTAVES[index - 1][0] - 1 if index else math.inf
    inside = [row for row in convolutions if least <= row.in_resolution <= most]
    if not inside:
        return [0.0, 0.0, 0.0]
    widths = [math.log2(row.out_channels) for row in inside]
    areas = [log2_kernel_area(row) for row in inside]
    return [len(inside), float(np.mean(widths)), float(np.mean(areas))]


def _bigrams(layers: tuple[LayerRow, ...]) -> list[int]:
    """Return how often each kind is directly before each kind, (81,)."""
    counts = Counter(pairwise(row.kind for row in layers))
    return [counts[one, other] for one in KINDS for other in KINDS]
