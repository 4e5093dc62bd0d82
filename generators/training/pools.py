"""Pools that keep the resolution, and those between stages, which halve it.

In arithmetic 2 a pool of stride 1 is one pass along the rows and one along the columns. On a CPU
with numba the passes are compiled (`generators.training.compiled`); elsewhere they are torch's
pools. Values and gradients are bit-identical.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.space.layer_walk import LayerRow
from generators.training.compiled import CompiledAverage, CompiledMaxPool, is_compiled_for


def is_symmetric(padding: tuple[int, int, int, int]) -> bool:
    """Return whether a padding can be passed as torch's padding argument."""
    return padding[0] == padding[1] and padding[2] == padding[3]


class MaxPool(nn.Module):
    """A max pool that pads with minus infinity; one between stages does not pad."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row."""
        super().__init__()
        self.kernel = (row.kernel_height, row.kernel_width)
        self.stride = row.stride
        padding = row.same_padding if row.role == "block" else (0, 0, 0, 0)
        self.inner = (padding[2], padding[0]) if is_symmetric(padding) else (0, 0)
        self.outer = () if is_symmetric(padding) else padding

    def forward(self, x: Tensor) -> Tensor:
        """Pool (n, c, r, r) to (n, c, r / stride, r / stride)."""
        if self.outer:
            x = functional.pad(x, self.outer, value=-math.inf)
        return functional.max_pool2d(x, self.kernel, self.stride, self.inner)


class AveragePool(nn.Module):
    """An average pool of stride 1 that does not count padding."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row."""
        super().__init__()
        self.layer_row = row
        self.kernel = (row.kernel_height, row.kernel_width)
        padding = row.same_padding
        self.inner = (padding[2], padding[0]) if is_symmetric(padding) else (0, 0)
        self.outer = () if is_symmetric(padding) else padding
        ones = functional.pad(torch.ones(1, 1, row.in_resolution, row.in_resolution), padding)
        share = functional.avg_pool2d(ones, self.kernel, 1)
        self.scale: Tensor
        self.register_buffer("scale", 1 / share, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Average (n, c, r, r) to the same shape."""
        if not self.outer:
            return functional.avg_pool2d(x, self.kernel, 1, self.inner, count_include_pad=False)
        pooled = functional.avg_pool2d(functional.pad(x, self.outer), self.kernel, 1)
        return pooled * self.scale.to(pooled.dtype)


class SeparableMaxPool(nn.Module):
    """A max pool of stride 1 that pads with minus infinity, in two passes."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row."""
        super().__init__()
        self.layer_row = row
        self.kernel = (row.kernel_height, row.kernel_width)
        self.padding = row.same_padding

    def forward(self, x: Tensor) -> Tensor:
        """Pool (n, c, r, r) to the same shape."""
        if is_compiled_for(x):
            y: Tensor = CompiledMaxPool.apply(x, self.kernel)
            return y
        left, right, top, bottom = self.padding
        x = functional.pad(x, (left, right, 0, 0), value=-torch.inf)
        x = functional.max_pool2d(x, (1, self.kernel[1]), 1)
        x = functional.pad(x, (0, 0, top, bottom), value=-torch.inf)
        return functional.max_pool2d(x, (self.kernel[0], 1), 1)


class SeparableAveragePool(nn.Module):
    """An average pool of stride 1 that does not count padding: scaled sums in two passes."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row."""
        super().__init__()
        self.layer_row = row
        self.kernel = (row.kernel_height, row.kernel_width)
        self.padding = row.same_padding
        ones = torch.ones(1, 1, row.in_resolution, row.in_resolution)
        scale = 1 / self._sums(ones)
        self.scale: Tensor
        self.register_buffer("scale", scale, persistent=False)
        self.lanes = np.repeat(scale[0, 0].numpy(), row.in_channels, axis=1)

    def forward(self, x: Tensor) -> Tensor:
        """Average (n, c, r, r) to the same shape."""
        if is_compiled_for(x):
            y: Tensor = CompiledAverage.apply(x, self.kernel, self.lanes)
            return y
        return self._sums(x) * self.scale.to(x.dtype)

    def _sums(self, x: Tensor) -> Tensor:
        left, right, top, bottom = self.padding
        x = functional.pad(x, (left, right, 0, 0))
        x = functional.avg_pool2d(x, (1, self.kernel[1]), 1, divisor_override=1)
        x = functional.pad(x, (0, 0, top, bottom))
        return functional.avg_pool2d(x, (self.kernel[0], 1), 1, divisor_override=1)
