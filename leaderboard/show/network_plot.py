"""Draws a network: its layers as boxes, and below them the curves of its runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, macs, parameters
from benchmark.util.colours import BLUE, CYCLE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from leaderboard.show.chart import new_figure, save
from leaderboard.show.network import Line, Network, drawn_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, LINE, CURVES = 10.0, 0.46, 3.4  # inches: figure width, height of a line and of the curves
BOX, GAP, HEIGHT = 1.0, 0.12, 0.72  # of a layer: width and gap in columns, height in lines
LABEL = 2.3  # width of the labels left of the layers, in columns
LEAST_COLUMNS = 9
FILLS = {
    "conv": BLUE, "bn": GREY, "relu": GREEN, "sigmoid": GREEN, "tanh": GREEN,
    "max_pool": ORANGE, "avg_pool": ORANGE, "global_pool": PURPLE, "linear": PURPLE,
}  # fmt: skip
PALE = 0.22  # opacity of fills, low enough for black text to be legible
NAMES = {"max_pool": "max", "avg_pool": "avg", "global_pool": "mean", "bn": "BN"}


def draw_network(network: Network, path: Path) -> None:
    """Draw a network and its runs.

    Raises:
        OSError: If the file cannot be written.
    """
    lines = drawn_lines(network.rows)
    height = LINE * (len(lines) + 1)
    figure = new_figure(WIDTH, height + CURVES + 0.6)
    layers, curves = figure.subplots(2, 1, height_ratios=[height, CURVES])
    figure.suptitle(
        f"{network.architecture_id}   {network.skeleton}, {network.images} ({network.split})\n"
        f"{parameters(network.rows):,} parameters, {macs(network.rows):,} multiply-accumulates",
        fontsize=11,
    )
    _draw_lines(layers, lines)
    _draw_curves(curves, network)
    save(figure, path)


def _draw_lines(axes: "Axes", lines: list[Line]) -> None:
    columns = max(LEAST_COLUMNS, *(len(line.rows) for line in lines))
    axes.set_xlim(-LABEL, columns + 0.6)
    axes.set_ylim(len(lines) - 0.4, -0.7)
    axes.axis("off")
    for index, line in enumerate(lines):
        side = line.rows[0].in_resolution
        axes.text(-LABEL, index, line.name.capitalize(), va="center", fontsize=9, weight="bold")
        size = f"{side}×{side}"  # noqa: RUF001
        axes.text(-0.35, index, size, va="center", ha="right", fontsize=8, color="#555555")
        for column, row in enumerate(line.rows):
            _draw_layer(axes, row, column, index)
        if line.shortcut is not None:
            _draw_shortcut(axes, line.shortcut, len(line.rows), index)


def _draw_layer(axes: "Axes", row: LayerRow, column: int, line: int) -> None:
    """Draw a layer as a box with its label."""
    from matplotlib.patches import FancyBboxPatch

    fill = SKY if row.role == "match" else FILLS.get(row.kind, GREY)
    axes.add_patch(
        FancyBboxPatch(
            (column + GAP / 2, line - HEIGHT / 2), BOX - GAP, HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.08", linewidth=0.9, edgecolor=fill,
            facecolor=(fill, PALE),
        )
    )  # fmt: skip
    axes.text(column + BOX / 2, line, _label(row), ha="center", va="center", fontsize=7)


def _label(row: LayerRow) -> str:
    """Return the name and kernel of a layer and, on a second line, its channels and stride."""
    name = "match" if row.role == "match" else NAMES.get(row.kind, row.kind)
    below = [str(row.out_channels)] if row.kind in ("conv", "linear") else []
    if row.stride > 1:
        below.append(f"stride {row.stride}" if not below else f"/{row.stride}")
    if name in ("conv", "max", "avg"):
        name += f" {row.kernel_height}×{row.kernel_width}"  # noqa: RUF001
    return "\n".join([name, " ".join(below)]) if below else name


def _draw_shortcut(axes: "Axes", shortcut: str, layers: int, line: int) -> None:
    """Draw a shortcut as a bracket above its layers."""
    top = line - HEIGHT / 2 - 0.1
    x = [-0.12, -0.12, layers + 0.2, layers + 0.2]
    axes.plot(x, [line, top, top, line - 0.16], color=VERMILION, linewidth=1.1)
    axes.text(layers + 0.2, line, "+", ha="center", va="center", fontsize=12, color=VERMILION)
    if shortcut != "identity":
        axes.text(layers + 0.45, line, shortcut, va="center", fontsize=7, color=VERMILION)


def _draw_curves(axes: "Axes", network: Network) -> None:
    epochs = np.arange(1, network.valid.shape[1] + 1)
    for index, seed in enumerate(network.seeds):
        colour = CYCLE[index % len(CYCLE)]
        label = f"seed {seed}: {network.valid[index, -1]:.3f}"
        if network.statuses[index] != "completed":
            label += f" ({network.statuses[index]})"
        axes.plot(
            epochs, network.valid[index], color=colour, marker="o", markersize=3, label=label,
            clip_on=False,
        )  # fmt: skip
    chance = get_images(network.images).chance
    axes.axhline(chance, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label="chance")
    axes.set_ylim(0, 1)
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.set_xticks([1, *range(5, len(epochs) + 1, 5)])
    axes.set_xlabel("epoch")
    axes.set_ylabel("valid accuracy (fraction)")
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=4, frameon=False, fontsize=9)
