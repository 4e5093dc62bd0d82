"""A network of the release as text: a line for each layer, or the code of a torch module."""

from collections.abc import Iterator

from benchmark.recipes import Recipe
from benchmark.space.layer_walk import LayerRow, layer_word

_HEAD = '''\
"""{title}"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Pool(nn.Module):
    """A pool of stride 1 that keeps the resolution; padding counts neither as maximum nor in means.

    An even kernel pads once more at the bottom and on the right.
    """

    def __init__(self, height: int, width: int, *, average: bool) -> None:
        super().__init__()
        self.kernel, self.average = (height, width), average
        self.sides = (width - 1) // 2, width // 2, (height - 1) // 2, height // 2

    def forward(self, x: Tensor) -> Tensor:
        if not self.average:
            padded = functional.pad(x, self.sides, value=-math.inf)
            return functional.max_pool2d(padded, self.kernel, 1)
        ones = functional.pad(torch.ones_like(x[:1, :1]), self.sides)
        shares = functional.avg_pool2d(ones, self.kernel, 1)
        return functional.avg_pool2d(functional.pad(x, self.sides), self.kernel, 1) / shares


class Network(nn.Module):
    """Returns logits ({classes} classes) of normalised images ({channels}, {side}, {side})."""

    def __init__(self) -> None:
        super().__init__()
'''
_INITIALISE = """\
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.{convolutions}
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.layer{last}.weight, std={channels} ** -0.5)
        nn.init.zeros_(self.layer{last}.bias)

    def forward(self, x: Tensor) -> Tensor:
"""
_CONVOLUTIONS = {
    "he_normal": 'kaiming_normal_(module.weight, nonlinearity="relu")',
    "xavier_normal": "xavier_normal_(module.weight)",
}


def layer_text(rows: tuple[LayerRow, ...]) -> str:
    """Return a line for each layer: its number, word, shapes, and the layers that it reads.

    The image is -1.
    """
    return "\n".join(
        f"{index} {layer_word(row)} {row.in_channels}x{row.in_resolution}x{row.in_resolution} -> "
        f"{row.out_channels}x{row.out_resolution}x{row.out_resolution} reads "
        f"{' '.join(map(str, row.inputs))}"
        for index, row in enumerate(rows)
    )


def torch_text(rows: tuple[LayerRow, ...], recipe: Recipe, title: str) -> str:
    """Return Python code with a class `Network`, which has the layers and initial weights of rows.

    Args:
        rows: The layer rows of a network of the release.
        recipe: Its recipe, which sets the batch normalisation and the initial weights.
        title: First line of the code's docstring.
    """
    first, last = rows[0], rows[-1]
    head = _HEAD.format(
        title=title, classes=last.out_channels, channels=first.in_channels,
        side=first.in_resolution,
    )  # fmt: skip
    made = [
        f"        self.layer{index} = {module}\n"
        for index, row in enumerate(rows)
        if (module := _module(row, recipe))
    ]
    start = _INITIALISE.format(
        convolutions=_CONVOLUTIONS[recipe.initialisation], last=len(rows) - 1,
        channels=last.in_channels,
    )  # fmt: skip
    steps = [f"        {step}\n" for step in _steps(rows)]
    return "".join([head, *made, start, *steps]) + f"        return x{len(rows) - 1}\n"


def _is_uneven(row: LayerRow) -> bool:
    """Return whether two opposite sides of a layer's input are padded differently."""
    left, right, top, bottom = row.same_padding
    return (left, top) != (right, bottom)


def _module(row: LayerRow, recipe: Recipe) -> str:
    """Return the code that makes the module of a row; empty if it needs none."""
    height, width = row.kernel_height, row.kernel_width
    if row.kind == "conv":
        left, _, top, _ = row.same_padding
        sides = "" if _is_uneven(row) else f", padding={(top, left)}"
        sizes = f"{row.in_channels}, {row.out_channels}, {(height, width)}"
        return f"nn.Conv2d({sizes}, stride={row.stride}{sides})"
    if row.kind == "bn":
        return f"nn.BatchNorm2d({row.out_channels}, {recipe.bn_epsilon}, {recipe.bn_momentum})"
    if row.kind in ("max_pool", "avg_pool") and row.stride == 1:
        return f"Pool({height}, {width}, average={row.kind == 'avg_pool'})"
    if row.kind == "linear":
        return f"nn.Linear({row.in_channels}, {row.out_channels})"
    return ""


def _steps(rows: tuple[LayerRow, ...]) -> Iterator[str]:
    """Yield a line of `forward` for each row."""
    names = {-1: "x", **{index: f"x{index}" for index in range(len(rows))}}
    for index, row in enumerate(rows):
        read = [names[source] for source in row.inputs]
        value = f"self.layer{index}({read[0]})"
        if row.kind == "conv" and _is_uneven(row):
            value = f"self.layer{index}(functional.pad({read[0]}, {row.same_padding}))"
        elif row.kind in ("relu", "sigmoid", "tanh"):
            value = f"torch.{row.kind}({read[0]})"
        elif row.kind == "max_pool" and row.stride > 1:
            kernel = f"({row.kernel_height}, {row.kernel_width})"
            value = f"functional.max_pool2d({read[0]}, {kernel}, {row.stride})"
        elif row.kind == "global_pool":
            value = f"{read[0]}.mean((2, 3))"
        elif row.kind == "add":
            value = " + ".join(read)
        yield f"{names[index]} = {value}"
