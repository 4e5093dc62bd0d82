"""Features of layer rows for predictors: Unified Layer Code, row features and counts.

The Unified Layer Code (ULC) is that of Peephole (arXiv:1712.03351, section 3.1). It is lossy: it
cannot express linear layers, additions and shortcuts, which are left out, and it has neither
strides nor connections.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmark.space.chain import RATIOS
from benchmark.space.layer_walk import LayerRow, RowKind, macs, parameters
from harness.protocol import Array

ULC_TYPES: dict[RowKind, int] = {
    "conv": 1,
    "max_pool": 2,
    "avg_pool": 3,
    "global_pool": 3,
    "relu": 4,
    "sigmoid": 5,
    "tanh": 6,
    "bn": 7,
    "dropout": 8,  # 8 and 9 are not in the paper; external networks need them
    "dense": 9,
}
# Bin b = 1..8 holds the ratios nearest, by factor, to the b-th ratio of the chain. Bin 0 holds much
# smaller ratios (match layers), bin 9 much larger ones (the stem).
RATIO_EDGES: tuple[float, ...] = (
    RATIOS[0] / math.sqrt(2),
    *(math.sqrt(low * high) for low, high in pairwise(RATIOS)),
    RATIOS[-1] * math.sqrt(2),
)
RATIO_BINS = len(RATIO_EDGES) + 1
ROW_FEATURES = (  # the ULC has only relative widths
    "log2_out_channels",
    "log2_in_resolution",
    "log_macs",  # natural logarithm of 1 + MACs
    "log_parameters",  # natural logarithm of 1 + parameters
    "log2_receptive_field",  # area in pixels of the image, accumulated over all rows
)
COUNT_FEATURES = ("log_parameters", "log_macs", "depth")
KINDS: tuple[RowKind, ...] = tuple(kind for kind in ULC_TYPES if kind != "global_pool")
THIRDS = ("first", "middle", "last")
SATURATING: tuple[RowKind, ...] = ("sigmoid", "tanh")
PLACED: dict[str, tuple[RowKind, ...]] = {
    "conv": ("conv",),
    "bn": ("bn",),
    "sigmoid": ("sigmoid",),
    "pool": ("max_pool", "avg_pool"),
}
# Shortcuts and additions count only in parameters, MACs and the largest share of MACs. A "run
# without BN" is a sequence of layers that contains no batch normalisation; "after BN" means
# directly after.
ARCHITECTURE_FEATURES = (
    *COUNT_FEATURES,
    "block_layers",  # without the layers of the skeleton
    *(f"{kind}_layers" for kind in KINDS),
    *(f"{kind}_layers_in_{third}_third" for third in THIRDS for kind in PLACED),  # by position
    "first_log2_width",  # this and the next four: output channels of the blocks' convolutions
    "last_log2_width",
    "least_log2_width",
    "largest_log2_width",
    "mean_log2_width",
    "mean_log2_kernel_area",  # this and the next two: of the blocks' convolutions
    "largest_log2_kernel_area",
    "mean_log2_kernel_elongation",  # longer side / shorter side
    "log2_receptive_field",  # area in pixels of the image, before the global pool
    "mean_log2_conv_resolution",  # this and the next: input resolution of all convolutions
    "least_log2_conv_resolution",
    "longest_conv_run_without_bn",
    "longest_sigmoid_run_without_bn",
    "longest_tanh_run_without_bn",
    "sigmoid_layers_after_last_bn",  # anywhere after the last BN
    "tanh_layers_after_last_bn",
    "sigmoid_layers_not_after_bn",
    "tanh_layers_not_after_bn",
    "share_of_saturating_not_after_bn",  # share of the sigmoids and tanhs; 0 without any
    "largest_share_of_macs",  # of a single layer
    "max_pool_log2_kernel_areas",  # this and the next: sum over the blocks' pools
    "avg_pool_log2_kernel_areas",
)


def in_ulc(row: LayerRow) -> bool:
    """Return whether the ULC can express a layer."""
    return row.kind in ULC_TYPES and row.role != "shortcut"


def expressible(rows: tuple[LayerRow, ...]) -> tuple[LayerRow, ...]:
    """Return the rows that the ULC can express, in order of computation."""
    return tuple(row for row in rows if in_ulc(row))


def ratio_bin(ratio: float) -> int:
    """Return the bin, 0 to 9, of a ratio of output to input channels.

    Rounded channels give ratios that the chain never draws, so a bin is a range of ratios.

    >>> [ratio_bin(ratio) for ratio in (0.1, 0.25, 8 / 12, 1.0, 3.0, 16 / 3)]
    [0, 1, 3, 4, 8, 9]
    """
    return int(np.searchsorted(RATIO_EDGES, ratio, side="right"))


def ulc(rows: tuple[LayerRow, ...]) -> NDArray[np.int64]:
    """Return the Unified Layer Code.

    Returns:
        (layers, 4): type (1 to 9), kernel width, kernel height (in pixels, 1 for layers without a
        kernel) and ratio bin (0 to 9). A global pool is an average pool of the same kernel.
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
    """Return what the ULC does not have for its layers: absolute width, spatial size and cost.

    Returns:
        (layers, 5), columns named by `ROW_FEATURES`, for the same layers as `ulc`.
    """
    numbers = []
    height = width = step = 1
    for row in rows:
        if row.kind not in ("global_pool", "linear", "dense") and row.role != "shortcut":
            height += (row.kernel_height - 1) * step
            width += (row.kernel_width - 1) * step
            step *= row.stride
        sizes = math.log2(row.out_channels), math.log2(row.in_resolution)
        costs = math.log1p(row.macs), math.log1p(row.parameters)
        if in_ulc(row):
            numbers.append((*sizes, *costs, math.log2(height * width)))
    return np.array(numbers, dtype=np.float64).reshape(-1, len(ROW_FEATURES))


def depth(rows: tuple[LayerRow, ...]) -> int:
    """Return the number of layers, without shortcuts and additions."""
    return sum(row.role not in ("shortcut", "add") for row in rows)


def count_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return the features `COUNT_FEATURES`, (3,); logarithms are natural."""
    return np.array([math.log(parameters(rows)), math.log(macs(rows)), depth(rows)])


def log2_kernel_area(row: LayerRow) -> float:
    """Return log2 of the number of pixels that a kernel covers."""
    return math.log2(row.kernel_height * row.kernel_width)


def architecture_features(rows: tuple[LayerRow, ...]) -> Array:
    """Return the features `ARCHITECTURE_FEATURES` of a network, (47,)."""
    layers = expressible(rows)
    block_layers = [row for row in layers if row.role == "block"]
    counts = [sum(row.kind == kind for row in layers) for kind in KINDS]
    return np.concatenate(
        [
            count_features(rows),
            [len(block_layers)],
            counts,
            _counts_in_thirds(layers),
            _convolution_statistics([row for row in block_layers if row.kind == "conv"]),
            [_log2_receptive_field(layers)],
            _conv_resolutions(layers),
            _normalisation_statistics(layers),
            [max(row.macs for row in rows) / macs(rows)],
            [
                sum(log2_kernel_area(row) for row in block_layers if row.kind == kind)
                for kind in ("max_pool", "avg_pool")
            ],
        ]
    )


def _counts_in_thirds(layers: tuple[LayerRow, ...]) -> list[int]:
    """Return the number of layers of each kind of `PLACED` in each third of the layers, (12,)."""
    edges = [len(layers) * third // len(THIRDS) for third in range(len(THIRDS) + 1)]
    return [
        sum(row.kind in kinds for row in layers[start:end])
        for start, end in pairwise(edges)
        for kinds in PLACED.values()
    ]


def _convolution_statistics(convolutions: list[LayerRow]) -> Array:
    """Return five statistics of convolutions' widths, then three of their kernels, (8,)."""
    widths = np.log2([row.out_channels for row in convolutions])
    kernels = np.log2([(row.kernel_height, row.kernel_width) for row in convolutions])
    areas, elongations = kernels.sum(axis=1), np.ptp(kernels, axis=1)
    of_widths = [widths[0], widths[-1], widths.min(), widths.max(), widths.mean()]
    return np.array([*of_widths, areas.mean(), areas.max(), elongations.mean()])


def _log2_receptive_field(layers: tuple[LayerRow, ...]) -> float:
    """Return log2 of the receptive field, in pixels, of the input of the global pool."""
    height = width = step = 1
    for row in layers:
        if row.kind != "global_pool":
            height += (row.kernel_height - 1) * step
            width += (row.kernel_width - 1) * step
            step *= row.stride
    return math.log2(height * width)


def _conv_resolutions(layers: tuple[LayerRow, ...]) -> list[float]:
    """Return mean and minimum of log2 input resolution over convolutions, (2,)."""
    resolutions = np.log2([row.in_resolution for row in layers if row.kind == "conv"])
    return [resolutions.mean(), resolutions.min()]


def _normalisation_statistics(layers: tuple[LayerRow, ...]) -> list[float]:
    """Return statistics of layers without normalisation, (8,).

    Three longest runs (in convolutions, sigmoids, tanhs), two last runs (in sigmoids, tanhs), the
    numbers of sigmoids and tanhs not after BN, and their share.
    """
    longest, last = zip(*(_runs_without_bn(layers, k) for k in ("conv", *SATURATING)), strict=True)
    bare = [_layers_not_after_bn(layers, kind) for kind in SATURATING]
    saturating = sum(row.kind in SATURATING for row in layers)
    return [*longest, *last[1:], *bare, sum(bare) / max(saturating, 1)]


def _runs_without_bn(layers: tuple[LayerRow, ...], kind: RowKind) -> tuple[int, int]:
    """Return how many layers of a kind the longest and the last run without BN have."""
    longest = run = 0
    for layer in layers:
        run = 0 if layer.kind == "bn" else run + (layer.kind == kind)
        longest = max(longest, run)
    return longest, run


def _layers_not_after_bn(layers: tuple[LayerRow, ...], kind: RowKind) -> int:
    """Return the number of layers of a kind that are not directly after a BN."""
    return sum(b.kind == kind and a.kind != "bn" for a, b in pairwise(layers))
