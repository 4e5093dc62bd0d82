"""Features of each layer of a network and of the signal at it, for encoders of layers."""

import math
from typing import get_args

import numpy as np

from benchmark.space.architectures import LAYER_KINDS
from benchmark.space.layer_walk import Foreign, LayerRow, RowKind
from harness.features.signal_propagation import gradients_of, propagate
from harness.protocol import Array

ALL_KINDS: tuple[RowKind, ...] = (*LAYER_KINDS, "add", "global_pool", "linear", *get_args(Foreign))
LAYER_NUMBERS = (
    *ALL_KINDS,  # one-hot kind of the layer
    "shortcut",  # 1 for a layer in a shortcut, else 0
    "log2_kernel_height",
    "log2_kernel_width",
    "log2_stride",
    "log2_in_channels",
    "log2_out_channels",
    "log2_ratio",  # output channels / input channels
    "log2_in_resolution",
    "log_macs",  # natural logarithm of 1 + MACs
    "log_parameters",  # natural logarithm of 1 + parameters
    "log2_receptive_field",  # area, in pixels of the image
)
LAYER_SIGNALS = (
    "log_square",  # mean square q of the layer's activations
    "log_signal",  # part s of q that varies between images
    "log_distinct",  # s / q
    "log_gradient",  # squared gradient at the layer's activations; 1 at the network's output
)


def layer_numbers(rows: tuple[LayerRow, ...]) -> Array:
    """Return features of each layer, (layers, 23), columns named by `LAYER_NUMBERS`.

    Layers are in the order of computation; the receptive field accumulates along that order.
    """
    numbers = np.zeros((len(rows), len(LAYER_NUMBERS)))
    height = width = step = 1
    for row, numbers_of_row in zip(rows, numbers, strict=True):
        if row.kind not in ("global_pool", "linear", "dense"):
            height += (row.kernel_height - 1) * step
            width += (row.kernel_width - 1) * step
            step *= row.stride
        numbers_of_row[ALL_KINDS.index(row.kind)] = 1.0
        numbers_of_row[len(ALL_KINDS) :] = (
            row.role == "shortcut",
            math.log2(row.kernel_height),
            math.log2(row.kernel_width),
            math.log2(row.stride),
            math.log2(row.in_channels),
            math.log2(row.out_channels),
            math.log2(row.out_channels / row.in_channels),
            math.log2(row.in_resolution),
            math.log1p(row.macs),
            math.log1p(row.parameters),
            math.log2(height * width),
        )
    return numbers


def layer_signals(rows: tuple[LayerRow, ...]) -> Array:
    """Return natural logarithms of signal and gradient at initialisation, (layers, 4).

    Columns are named by `LAYER_SIGNALS`; see `harness.features.signal_propagation`.
    """
    moments, gains = propagate(rows)
    gradients = gradients_of(rows, gains)
    return np.log(
        [(m.square, m.signal, m.distinct, g) for m, g in zip(moments, gradients, strict=True)]
    )
