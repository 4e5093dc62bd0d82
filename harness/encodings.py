"""Numbers from layer rows, for predictors: the Unified Layer Code, row features and counts.

The Unified Layer Code (ULC) is that of Peephole (arXiv:1712.03351, section 3.1). It is a lossy
view: it has no word for a linear layer, an addition or the convolution of a shortcut, which are
left out, and it sees neither stride nor wiring.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmark.chain import RATIOS
from benchmark.walk import LayerRow, RowKind, macs, parameters

Array = NDArray[np.float64]

ULC_TYPES: dict[RowKind, int] = {
    "conv": 1,
    "max_pool": 2,
    "avg_pool": 3,
    "global_pool": 3,
    "relu": 4,
    "sigmoid": 5,
    "tanh": 6,
    "bn": 7,
}
# Bin b = 1..8 holds the ratios nearest, by factor, to the b-th ratio of the chain. Bin 0 is far
# below the least of them (match layers), bin 9 far above the largest (the stem).
RATIO_EDGES: tuple[float, ...] = (
    RATIOS[0] / math.sqrt(2),
    *(math.sqrt(low * high) for low, high in pairwise(RATIOS)),
    RATIOS[-1] * math.sqrt(2),
)
RATIO_BINS = len(RATIO_EDGES) + 1
ROW_FEATURES = ("log2_out_channels", "log2_in_resolution")
COUNT_FEATURES = ("log_parameters", "log_macs", "depth")
KINDS: tuple[RowKind, ...] = ("conv", "max_pool", "avg_pool", "relu", "sigmoid", "tanh", "bn")
ARCHITECTURE_FEATURES = (
    *COUNT_FEATURES,
    *(f"{kind}_layers" for kind in KINDS),
    "mean_log2_kernel_area",
    "mean_log2_out_channels",
    "least_log2_out_channels",
    "longest_run_without_bn",
)


def expressible(rows: tuple[LayerRow, ...]) -> tuple[LayerRow, ...]:
    """Return the rows that the ULC can express, in order of computation."""
    return tuple(row for row in rows if row.kind in ULC_TYPES and row.role != "shortcut")


def ratio_bin(ratio: float) -> int:
    """Return the bin, 0 to 9, of a ratio of output to input channels.

    Rounded channels give ratios that the chain never draws, so bins stand for neighbourhoods.

    >>> [ratio_bin(ratio) for ratio in (0.1, 0.25, 8 / 12, 1.0, 3.0, 16 / 3)]
    [0, 1, 3, 4, 8, 9]
    """
    return int(np.searchsorted(RATIO_EDGES, ratio, side="right"))


def ulc(rows: tuple[LayerRow, ...]) -> NDArray[np.int64]:
    """Return the Unified Layer Code.

    Returns:
        (layers, 4): type (1 to 7), kernel width, kernel height (in pixels, 1 where a kernel means
        nothing) and ratio bin (0 to 9). A global pool is an average pool of its kernel.
    """
    codes = [
        (
            ULC_TYPES[row.kind],
            row.kernel_width,
            row.kernel_height,
            ratio_bin(row.out_channels / row.in_channels),
        )
        for row in expressible(rows)
    ]
    return np.array(codes, dtype=np.int64).reshape(-1, 4)


def row_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return what the ULC lacks about each of its layers: absolute width and spatial size.

    Returns:
        (layers, 2), columns named by `ROW_FEATURES`, for the same layers as `ulc`.
    """
    features = [(math.log2(r.out_channels), math.log2(r.in_resolution)) for r in expressible(rows)]
    return np.array(features, dtype=np.float64).reshape(-1, len(ROW_FEATURES))


def depth(rows: tuple[LayerRow, ...]) -> int:
    """Return the number of layers from image to answer, shortcuts and additions left out."""
    return sum(row.role not in ("shortcut", "add") for row in rows)


def count_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return natural logarithms of parameters and MACs, and the depth, (3,).

    Columns are named by `COUNT_FEATURES`.
    """
    return np.array([math.log(parameters(rows)), math.log(macs(rows)), depth(rows)])


def architecture_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return simple features of a whole network, (14,), named by `ARCHITECTURE_FEATURES`.

    Shortcuts and additions count towards parameters and MACs alone. Means are over convolutions.
    """
    layers = expressible(rows)
    convolutions = [row for row in layers if row.kind == "conv"]
    areas = np.log2([row.kernel_height * row.kernel_width for row in convolutions])
    widths = np.log2([row.out_channels for row in convolutions])
    counts = [sum(row.kind == kind for row in layers) for kind in KINDS]
    summary = [areas.mean(), widths.mean(), widths.min(), _longest_run_without_bn(layers)]
    return np.concatenate([count_features(rows), counts, summary])


def _longest_run_without_bn(layers: tuple[LayerRow, ...]) -> int:
    """Return the most convolutions between two batch normalisations, or an end and one."""
    longest = run = 0
    for layer in layers:
        run = 0 if layer.kind == "bn" else run + (layer.kind == "conv")
        longest = max(longest, run)
    return longest
