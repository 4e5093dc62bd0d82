"""Builds the torch network of an architecture's layers, and draws its initial weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.recipes import Recipe
from benchmark.space.layer_walk import LayerRow
from benchmark.util.rng import generator_for
from generators.training.pools import AveragePool, MaxPool, SeparableAveragePool, SeparableMaxPool

PAD_FROM = 48  # saved taps times output channels from which padding is faster, measured on a CPU


class Convolution(nn.Module):
    """A convolution with a bias and same padding, computed in the fastest equivalent way.

    The kernel is first fitted to a window that is odd, centred and no wider than the image. An even
    kernel gets zeros, so that its input need not be padded, and taps that only see padding are
    dropped. A 1x1 window is computed as a matrix product over channels. So is any window on 2x2
    pixels, where each output reads each input once.

    In arithmetic 2, the input of an even kernel is padded instead where that is faster.
    """

    def __init__(self, row: LayerRow, arithmetic: int = 1) -> None:
        """Make the layer of a row; its weights are set by `initialise`."""
        super().__init__()
        shape = (row.out_channels, row.in_channels, row.kernel_height, row.kernel_width)
        self.weight = nn.Parameter(torch.full(shape, math.nan))
        self.bias = nn.Parameter(torch.zeros(row.out_channels))
        self.layer_row = row
        self.stride, self.resolution = row.stride, row.in_resolution
        left, right, top, bottom = row.same_padding
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

        A batch normalisation that follows, `norm`, is computed as well, in evaluation mode.
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
    """The mean over all positions; torch's adaptive pools are not deterministic on GPUs.

    In arithmetic 2 the mean is taken in channels_last order, so that its gradient has this order.
    """

    def __init__(self, row: LayerRow | None = None, arithmetic: int = 1) -> None:
        """Make the layer of a row; the textbook loop has no row."""
        super().__init__()
        self.layer_row, self.by_channel = row, arithmetic > 1

    def forward(self, x: Tensor) -> Tensor:
        """Average (n, c, r, r) to (n, c)."""
        return x.permute(0, 2, 3, 1).flatten(1, 2).mean(1) if self.by_channel else x.mean((2, 3))


IN_PLACE = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}


class InPlace(nn.Module):
    """An activation function that overwrites its input."""

    def __init__(self, kind: str) -> None:
        """Make an activation function: relu, sigmoid or tanh."""
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to (n, c, r, r) in place."""
        return IN_PLACE[self.kind](x)


class Head(nn.Linear):
    """The last layer, computed in the precision of its weights, fp32, whatever its input has."""

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
        norm.num_batches_tracked = None  # only needed for cumulative averages
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
    """A network that computes its layers, the rows, in order.

    Only activations that a shortcut reads later are kept.
    """

    def __init__(
        self, rows: tuple[LayerRow, ...], recipe: Recipe, *, overwriting: bool = False
    ) -> None:
        """Build all layers; convolutions have no weights until `initialise`.

        With `overwriting`, an activation function overwrites its input where nothing else reads it,
        and evaluation folds a batch normalisation into the convolution before it. Hooks then do not
        see the values between these layers.
        """
        super().__init__()
        self.rows = rows
        self.layers = nn.ModuleList(layer(row, recipe) for row in rows)
        reads = [(index, source) for index, row in enumerate(rows) for source in row.inputs]
        self.kept = {source for index, source in reads if source != index - 1}
        self.folded: set[int] = set()
        if overwriting:
            self._overwrite()

    def _overwrite(self) -> None:
        """Choose the activation functions that overwrite their input, and the rows to fold."""
        for index, (row, before) in enumerate(zip(self.rows[1:], self.rows, strict=False), start=1):
            alone = index - 1 not in self.kept
            if row.kind in IN_PLACE and before.kind not in IN_PLACE and alone:
                self.layers[index] = InPlace(row.kind)
            if row.kind == "bn" and before.kind == "conv" and alone:
                self.folded.add(index)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) in fp32 of normalised images (n, channels, r, r)."""
        x = images
        kept = {-1: images} if -1 in self.kept else {}
        folded: set[int] = set() if self.training else self.folded
        for index, (row, module) in enumerate(zip(self.rows, self.layers, strict=True)):
            if index not in folded:
                inputs = [x if source == index - 1 else kept[source] for source in row.inputs]
                if row.kind == "add":
                    x = inputs[0] + inputs[1]
                elif index + 1 in folded:
                    x = module(inputs[0], self.layers[index + 1])
                else:
                    x = module(inputs[0])
            if index in self.kept:
                kept[index] = x
        return x


@torch.no_grad()
def initialise(network: Network, recipe: Recipe, *key: str | int) -> None:
    """Draw every weight from a stream keyed by `key` and the row, identical on every machine."""
    for index, (row, module) in enumerate(zip(network.rows, network.layers, strict=True)):
        if not isinstance(module, Convolution | nn.Linear):
            continue
        rng = generator_for(*key, "weights", index)
        draws = rng.standard_normal(module.weight.shape, "float32")
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
