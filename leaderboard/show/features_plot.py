"""Draws what a predictor makes of networks, as a t-SNE, and of the layers of one network."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.space.layer_walk import layer_word
from benchmark.util.colours import BLUE, CYCLE, GREY
from benchmark.util.text import quantity
from harness.features.units import Unit
from harness.scoring.scores import score_text
from harness.studies.learned_features import FeatureStudy, map_to_plane
from leaderboard.show.chart import Array, new_figure, save
from leaderboard.show.features import unit_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, MAPS, UNIT = 12.0, 5.0, 1.15  # inches: width, and heights of the maps and of a unit
COLOURS = 10  # of accuracies


def draw_features(study: FeatureStudy, path: Path) -> None:
    """Draw a study.

    Raises:
        OSError: If the file cannot be written.
    """
    best = study.units.best
    courses = UNIT * len(best) + 1.0
    figure = new_figure(WIDTH, MAPS + courses + 0.4)
    figure.suptitle(
        f"{study.predictor} on {study.task}: features of "
        f"{quantity(len(study.accuracy), 'test network')}, which it was not fitted on",
        fontsize=12,
    )
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[MAPS, courses])[:, 0]
    places = map_to_plane(study.features)
    by_accuracy, by_skeleton = above.subplots(1, 2)
    _draw_accuracies(by_accuracy, study, places)
    _draw_skeletons(by_skeleton, study, places)
    panels = below.subplots(len(best), 1, sharex=True, squeeze=False)[:, 0]
    for axes, unit in zip(panels, best, strict=True):
        _draw_unit(axes, study, unit)
    panels[0].set_title(
        f"units that tell convolutions (shaded) best from other layers, at the layers of network "
        f"{study.architecture_ids[study.shown]}",
        fontsize=10,
    )
    words = [layer_word(row) for row in study.units.rows]
    panels[-1].set_xticks(range(len(words)), words, rotation=90, fontsize=7)
    panels[-1].set_xlabel("layers in order")
    save(figure, path)


def _draw_accuracies(axes: "Axes", study: FeatureStudy, places: Array) -> None:
    """Draw the map of networks, coloured by accuracy; each colour has as many networks."""
    from matplotlib.colors import BoundaryNorm

    edges = np.unique(np.quantile(study.accuracy, np.linspace(0, 1, COLOURS + 1)))
    norm, (x, y) = BoundaryNorm(edges, 256), places.T
    drawn = axes.scatter(x, y, s=14, c=study.accuracy, cmap="viridis", norm=norm, linewidths=0)
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(drawn, ax=axes, label="true final accuracy (fraction)", format="%.2f")
    found = score_text(study.agreements[0].tau, 3)
    axes.set_title(f"t-SNE; {study.neighbours} nearest by all features: tau {found}", fontsize=10)
    _frame(axes)


def _draw_skeletons(axes: "Axes", study: FeatureStudy, places: Array) -> None:
    """Draw the map of networks, coloured by skeleton."""
    skeletons = np.array(study.skeletons)
    for index, name in enumerate(dict.fromkeys(sorted(study.skeletons))):
        x, y = places[skeletons == name].T
        colour = CYCLE[index % len(CYCLE)]
        axes.scatter(x, y, s=14, linewidths=0, alpha=0.75, color=colour, label=name)
    axes.set_title("the same, by skeleton", fontsize=10)
    axes.legend(frameon=False, fontsize=8, handletextpad=0.1)
    _frame(axes)


def _frame(axes: "Axes") -> None:
    """Take away the ticks: the axes of a t-SNE have no meaning."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right", "left", "bottom"]].set_color(GREY)


def _draw_unit(axes: "Axes", study: FeatureStudy, unit: Unit) -> None:
    """Draw the values of a unit along the layers of a network, with convolutions shaded."""
    values = study.units.values[:, unit.level, unit.index]
    for place, row in enumerate(study.units.rows):
        if row.kind == "conv":
            axes.axvspan(place - 0.5, place + 0.5, color=GREY, alpha=0.3, linewidth=0)
    axes.plot(values, color=BLUE, marker="o", markersize=3, linewidth=1.0)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylabel(f"{unit_name(unit)}\nAUC {unit.auc:.3f}", fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
