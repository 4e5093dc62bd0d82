"""Draws the runs of an image set: final accuracies by split and skeleton, and curves."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.space.imagesets import get_images
from benchmark.util.colours import BLUE, CYCLE, GREY
from benchmark.util.text import quantity
from leaderboard.show.chart import Array, new_figure, save
from leaderboard.show.split import QUANTILES, Group, pooled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPREAD = 0.32  # largest vertical offset of a point from its row, in rows


def draw_groups(images: str, groups: list[Group], path: Path) -> None:
    """Draw the groups of an image set.

    Raises:
        OSError: If the file cannot be written.
    """
    shown = [group for group in groups if len(group.curves)]
    figure = new_figure(11, 6.2)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 1.05])[0]
    left.set_facecolor("white")
    right.set_facecolor("white")
    networks = sum(group.networks for group in groups)
    runs = sum(group.runs for group in groups)
    figure.suptitle(
        f"{images}: {quantity(runs, 'run')} of {quantity(networks, 'network')}", fontsize=12
    )
    chance = get_images(images).chance
    _draw_finals(left.subplots(), shown, chance)
    panels = right.subplots(2, 2, sharex=True, sharey=True)
    curves = pooled(groups)
    for index, axes in enumerate(panels.flat):
        if index >= len(curves):
            axes.axis("off")
            continue
        split = list(curves)[index]
        _draw_curves(axes, split, curves[split], chance)
        axes.set_xlabel("epoch" if index >= 2 else "")
        axes.set_ylabel("valid accuracy (fraction)" if index % 2 == 0 else "")
    save(figure, path)


def _draw_finals(axes: "Axes", groups: list[Group], chance: float) -> None:
    """Draw every network's final accuracy, with median and interquartile range of each group."""
    splits = list(dict.fromkeys(group.split for group in groups))
    for row, group in enumerate(groups):
        final = np.sort(group.curves[:, -1])
        colour = CYCLE[splits.index(group.split) % len(CYCLE)]
        # Golden-ratio offsets, so that points of equal accuracy do not overlap
        offset = (np.arange(len(final)) * 0.6180339887 % 1 - 0.5) * 2 * SPREAD
        axes.scatter(final, row + offset, s=5, color=colour, alpha=0.35, linewidths=0)
        low, middle, high = np.quantile(final, (0.25, 0.5, 0.75))
        axes.plot([low, high], [row, row], color="black", linewidth=2.2, solid_capstyle="butt")
        axes.plot(middle, row, "o", color="white", markeredgecolor="black", markersize=5.5)
    axes.axvline(chance, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    labels = [f"{g.split}   {g.skeleton}  ({g.networks})" for g in groups]
    axes.set_yticks(range(len(groups)), labels, fontsize=8)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("final valid accuracy (fraction), seed 0")
    axes.set_title("each network, median and interquartile range; dashed: chance", fontsize=9)
    axes.grid(visible=True, axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curves(axes: "Axes", split: str, curves: Array, chance: float) -> None:
    """Draw the median curve, and the bands of the middle 50 % and 90 % of the networks."""
    epochs = np.arange(1, curves.shape[1] + 1)
    outer_low, low, middle, high, outer_high = np.quantile(curves, QUANTILES, axis=0)
    axes.fill_between(epochs, outer_low, outer_high, color=BLUE, alpha=0.15, linewidth=0,
                      label="5 to 95 %")  # fmt: skip
    axes.fill_between(epochs, low, high, color=BLUE, alpha=0.35, linewidth=0, label="25 to 75 %")
    axes.plot(epochs, middle, color=BLUE, linewidth=1.8, label="median")
    axes.axhline(chance, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label="chance")
    axes.set_title(f"{split}, {quantity(len(curves), 'network')}", fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_xlim(1, len(epochs))
    axes.set_xticks([1, *range(5, len(epochs) + 1, 5)])
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if split == "train":
        axes.legend(loc="lower right", frameon=False, fontsize=7)
