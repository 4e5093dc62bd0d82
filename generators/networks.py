"""The torch module of a layer walk, and its initial weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.recipes import Recipe
from benchmark.streams import stream
from benchmark.walk import LayerRow


def same_padding(row: LayerRow) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom padding that keeps the resolution (or halves it).

    The extra row and column of an even kernel lie at the bottom and on the right.
    """
    height, width = row.kernel_height, row.kernel_width
    return (width - 1) // 2, width // 2, (height - 1) // 2, height // 2


def is_symmetric(padding: tuple[int, int, int, int]) -> bool:
    """Return whether torch's own padding argument can express a padding."""
    return padding[0] == padding[1] and padding[2] == padding[3]


class Convolution(nn.Module):
    """A convolution with a bias and same padding, computed in the cheapest equal way.

    A kernel is first fitted to a window that is odd, centred and no wider than the image: zeros are
    added to an even kernel in place of a pad copy of its input, and taps that only ever meet
    padding are dropped. A 1x1 window is a matrix product over channels, and so is any window on 2x2
    pixels, where each output reads each input once.
    """

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row; its weights are set by `initialise`."""
        super().__init__()
        shape = (row.out_channels, row.in_channels, row.kernel_height, row.kernel_width)
        self.weight = nn.Parameter(torch.full(shape, math.nan))
        self.bias = nn.Parameter(torch.zeros(row.out_channels))
        self.layer_row = row
        self.stride, self.resolution = row.stride, row.in_resolution
        left, right, top, bottom = same_padding(row)
        reach = row.in_resolution - 1
        self.reach = min(max(top, bottom), reach), min(max(left, right), reach)
        vertical, horizontal = self.reach
        self.window = horizontal - left, horizontal - right, vertical - top, vertical - bottom
        pixels = [(y, x) for y in range(2) for x in range(2)]
        index = [(iy - oy + 1) * 3 + ix - ox + 1 for iy, ix in pixels for oy, ox in pixels]
        self.taps: Tensor
        self.register_buffer("taps", torch.tensor(index), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (n, in, r, r) to (n, out, r / stride, r / stride)."""
        weight = functional.pad(self.weight, self.window) if any(self.window) else self.weight
        if self.reach == (0, 0) and self.stride == 1:
            pixels = x.permute(0, 2, 3, 1)
            return functional.linear(pixels, weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        if self.resolution == 2 and self.stride == 1:
            return self._dense(x, weight)
        return functional.conv2d(x, weight, self.bias, self.stride, self.reach)

    def _dense(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve 2x2 pixels as one matrix product of (n, 4 in) with (4 in, 4 out)."""
        out_channels, in_channels = weight.shape[:2]
        missing = (1 - self.reach[1],) * 2 + (1 - self.reach[0],) * 2
        window = functional.pad(weight, missing) if any(missing) else weight
        by_tap = window.permute(2, 3, 1, 0).reshape(9, -1).index_select(0, self.taps)
        blocks = by_tap.view(4, 4, in_channels, out_channels).transpose(1, 2)
        matrix = blocks.reshape(4 * in_channels, 4 * out_channels)
        pixels = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        y = torch.addmm(self.bias.repeat(4), pixels, matrix)
        return y.view(len(x), 2, 2, out_channels).permute(0, 3, 1, 2)


class MaxPool(nn.Module):
    """A max pool that pads with minus infinity; a transition's does not pad."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row."""
        super().__init__()
        self.kernel = (row.kernel_height, row.kernel_width)
        self.stride = row.stride
        padding = same_padding(row) if row.role == "block" else (0, 0, 0, 0)
        self.inner = (padding[2], padding[0]) if is_symmetric(padding) else (0, 0)
        self.outer = () if is_symmetric(padding) else padding

    def forward(self, x: Tensor) -> Tensor:
        """Pool (n, c, r, r) to (n, c, r / stride, r / stride)."""
        if self.outer:
            x = functional.pad(x, self.outer, value=-math.inf)
        return functional.max_pool2d(x, self.kernel, self.stride, self.inner)


class AveragePool(nn.Module):
    """An average pool of stride 1 that does not count its padding."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row."""
        super().__init__()
        self.layer_row = row
        self.kernel = (row.kernel_height, row.kernel_width)
        padding = same_padding(row)
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


class GlobalPool(nn.Module):
    """The mean over all positions; adaptive pools have no deterministic backward on GPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Average (n, c, r, r) to (n, c)."""
        return x.mean((2, 3))


class Head(nn.Linear):
    """The last layer, computed in its weights' precision, fp32, whatever the layers before had."""

    def __init__(self, row: LayerRow) -> None:
        """Make the layer of a row."""
        super().__init__(row.in_channels, row.out_channels)
        self.layer_row = row

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in) to (n, out)."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


def layer(row: LayerRow, recipe: Recipe) -> nn.Module:
    """Return the module of one row; `add` has none and is computed by the network."""
    if row.kind == "conv":
        return Convolution(row)
    if row.kind == "bn":
        norm = nn.BatchNorm2d(row.out_channels, recipe.bn_epsilon, recipe.bn_momentum)
        norm.num_batches_tracked = None  # a counter that only a cumulative average would read
        return norm
    if row.kind == "max_pool":
        return MaxPool(row)
    if row.kind == "avg_pool":
        return AveragePool(row)
    if row.kind == "linear":
        return Head(row)
    simple = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "global_pool": GlobalPool}
    return simple[row.kind]() if row.kind in simple else nn.Identity()


class Network(nn.Module):
    """A network computed row by row.

    Rows that only the next row reads are passed on; what a shortcut reads later is kept.
    """

    def __init__(self, rows: tuple[LayerRow, ...], recipe: Recipe) -> None:
        """Build all layers; convolutions have no weights until `initialise`."""
        super().__init__()
        self.rows = rows
        self.layers = nn.ModuleList(layer(row, recipe) for row in rows)
        self.plan = [row.inputs for row in rows]
        reads = [(index, source) for index, row in enumerate(rows) for source in row.inputs]
        self.kept = {source for index, source in reads if source != index - 1}

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) in fp32 of images (n, channels, r, r), normalised."""
        x = images
        kept = {-1: images} if -1 in self.kept else {}
        for index, module in enumerate(self.layers):
            inputs = self.plan[index]
            if len(inputs) == 2:
                x = self._read(inputs[0], index, x, kept) + self._read(inputs[1], index, x, kept)
            else:
                x = self._read(inputs[0], index, x, kept)
                x = module(x)
            if index in self.kept:
                kept[index] = x
        return x

    @staticmethod
    def _read(source: int, index: int, last: Tensor, kept: dict[int, Tensor]) -> Tensor:
        return last if source == index - 1 else kept[source]


@torch.no_grad()
def initialise(network: Network, recipe: Recipe, *key: str | int) -> None:
    """Set every weight from streams keyed by `key` and the row, the same on every machine."""
    for index, (row, module) in enumerate(zip(network.rows, network.layers, strict=True)):
        if not isinstance(module, Convolution | nn.Linear):
            continue
        draws = stream(*key, "weights", index).standard_normal(module.weight.shape, "float32")
        module.weight.copy_(torch.from_numpy(draws) * _scale(row, recipe))
        module.bias.zero_()


def _scale(row: LayerRow, recipe: Recipe) -> float:
    """Return the standard deviation of a layer's initial weights."""
    fan_in = row.in_channels * row.kernel_height * row.kernel_width
    if row.kind == "linear":
        return 1 / math.sqrt(fan_in)
    if recipe.initialisation == "he_normal":
        return math.sqrt(2 / fan_in)
    fan_out = row.out_channels * row.kernel_height * row.kernel_width
    return math.sqrt(2 / (fan_in + fan_out))
