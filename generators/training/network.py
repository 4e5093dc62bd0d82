"""The torch module of a layer walk, and its initial weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.recipes import Recipe
from benchmark.space.layer_walk import LayerRow
from benchmark.util.rng import generator_for
from generators.training.pools import (
    AveragePool,
    MaxPool,
    SeparableAveragePool,
    SeparableMaxPool,
    same_padding,
)

PAD_FROM = 48  # taps that padding an input saves times output channels: measured on a CPU


class Convolution(nn.Module):
    """A convolution with a bias and same padding, computed in the cheapest equal way.

    A kernel is first fitted to a window that is odd, centred and no wider than the image: zeros are
    added to an even kernel in place of a pad copy of its input, and taps that only ever meet
    padding are dropped. A 1x1 window is a matrix product over channels, and so is any window on 2x2
    pixels, where each output reads each input once.

    In arithmetic 2 the input of an even kernel is padded instead where that is cheaper.
    """

    def __init__(self, row: LayerRow, arithmetic: int = 1) -> None:
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
        self.outer = (0, right - left, 0, bottom - top)
        window = (2 * self.reach[0] + 1) * (2 * self.reach[1] + 1)
        added = window - row.kernel_height * row.kernel_width
        self.pads_input = arithmetic > 1 and added * row.out_channels >= PAD_FROM
        self.near = top, left
        pixels = [(y, x) for y in range(2) for x in range(2)]
        index = [(iy - oy + 1) * 3 + ix - ox + 1 for iy, ix in pixels for oy, ox in pixels]
        self.taps: Tensor
        self.register_buffer("taps", torch.tensor(index), persistent=False)

    def forward(self, x: Tensor, norm: nn.BatchNorm2d | None = None) -> Tensor:
        """Convolve (n, in, r, r) to (n, out, r / stride, r / stride).

        Args:
            x: The input.
            norm: A batch normalisation in evaluation mode that follows, to be computed as well.
        """
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if norm is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            weight, bias = weight * scale[:, None, None, None], (bias - norm.running_mean) * scale
            bias = bias + norm.bias
        if self.pads_input:
            return functional.conv2d(functional.pad(x, self.outer), weight, bias, 1, self.near)
        weight = functional.pad(weight, self.window) if any(self.window) else weight
        if self.reach == (0, 0) and self.stride == 1:
            pixels = x.permute(0, 2, 3, 1)
            return functional.linear(pixels, weight.flatten(1), bias).permute(0, 3, 1, 2)
        if self.resolution == 2 and self.stride == 1:
            return self._dense(x, weight, bias)
        return functional.conv2d(x, weight, bias, self.stride, self.reach)

    def _dense(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolve 2x2 pixels as one matrix product of (n, 4 in) with (4 in, 4 out)."""
        out_channels, in_channels = weight.shape[:2]
        missing = (1 - self.reach[1],) * 2 + (1 - self.reach[0],) * 2
        window = functional.pad(weight, missing) if any(missing) else weight
        by_tap = window.permute(2, 3, 1, 0).reshape(9, -1).index_select(0, self.taps)
        blocks = by_tap.view(4, 4, in_channels, out_channels).transpose(1, 2)
        matrix = blocks.reshape(4 * in_channels, 4 * out_channels)
        pixels = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        y = torch.addmm(bias.repeat(4), pixels, matrix)
        return y.view(len(x), 2, 2, out_channels).permute(0, 3, 1, 2)


class GlobalPool(nn.Module):
    """The mean over all positions; adaptive pools have no deterministic backward on GPUs.

    In arithmetic 2 it is a mean over rows of channels, so that its gradient is in channels_last.
    """

    def __init__(self, row: LayerRow | None = None, arithmetic: int = 1) -> None:
        """Make the layer, of a row if there is one."""
        super().__init__()
        self.layer_row, self.by_channel = row, arithmetic > 1

    def forward(self, x: Tensor) -> Tensor:
        """Average (n, c, r, r) to (n, c)."""
        return x.permute(0, 2, 3, 1).flatten(1, 2).mean(1) if self.by_channel else x.mean((2, 3))


IN_PLACE = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}


class InPlace(nn.Module):
    """An activation that overwrites its input."""

    def __init__(self, kind: str) -> None:
        """Make an activation of a kind."""
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Overwrite (n, c, r, r)."""
        return IN_PLACE[self.kind](x)


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
    arithmetic = recipe.arithmetic or 1
    if row.kind == "conv":
        return Convolution(row, arithmetic)
    if row.kind == "bn":
        norm = nn.BatchNorm2d(row.out_channels, recipe.bn_epsilon, recipe.bn_momentum)
        norm.num_batches_tracked = None  # a counter that only a cumulative average would read
        return norm
    if row.kind == "max_pool":
        return SeparableMaxPool(row) if arithmetic > 1 and row.stride == 1 else MaxPool(row)
    if row.kind == "avg_pool":
        return SeparableAveragePool(row) if arithmetic > 1 else AveragePool(row)
    if row.kind == "linear":
        return Head(row)
    if row.kind == "global_pool":
        return GlobalPool(row, arithmetic)
    simple = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    return simple[row.kind]() if row.kind in simple else nn.Identity()


class Network(nn.Module):
    """A network computed row by row.

    Rows that only the next row reads are passed on; what a shortcut reads later is kept.
    """

    def __init__(
        self, rows: tuple[LayerRow, ...], recipe: Recipe, *, overwriting: bool = False
    ) -> None:
        """Build all layers; convolutions have no weights until `initialise`.

        Args:
            rows: The layer walk.
            recipe: How it is trained.
            overwriting: Whether an activation takes the place of its input where nothing else reads
                that, and evaluation computes a normalisation together with the convolution before
                it. Hooks then see other values than those between layers.
        """
        super().__init__()
        self.rows = rows
        self.layers = nn.ModuleList(layer(row, recipe) for row in rows)
        self.plan = [row.inputs for row in rows]
        reads = [(index, source) for index, row in enumerate(rows) for source in row.inputs]
        self.kept = {source for index, source in reads if source != index - 1}
        self.folded: set[int] = set()
        if overwriting:
            self._overwrite()

    def _overwrite(self) -> None:
        """Settle which activations overwrite their input, and which rows evaluation folds."""
        for index, (row, before) in enumerate(zip(self.rows[1:], self.rows, strict=False), start=1):
            alone = index - 1 not in self.kept
            if row.kind in IN_PLACE and before.kind not in IN_PLACE and alone:
                self.layers[index] = InPlace(row.kind)
            if row.kind == "bn" and before.kind == "conv" and alone:
                self.folded.add(index)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) in fp32 of images (n, channels, r, r), normalised."""
        x = images
        kept = {-1: images} if -1 in self.kept else {}
        folded: set[int] = set() if self.training else self.folded
        for index, module in enumerate(self.layers):
            inputs = self.plan[index]
            if index in folded:
                continue
            if len(inputs) == 2:
                x = self._read(inputs[0], index, x, kept) + self._read(inputs[1], index, x, kept)
            else:
                x = self._read(inputs[0], index, x, kept)
                x = module(x, self.layers[index + 1]) if index + 1 in folded else module(x)
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
        draws = generator_for(*key, "weights", index).standard_normal(
            module.weight.shape, "float32"
        )
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
