"""Draws a predictor on a task: predicted against true accuracy, and tau of every stratum."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.space.skeletons import SKELETONS
from benchmark.util.colours import BLUE, CYCLE, GREY
from harness.scoring.score_rules import STRATA
from harness.scoring.targets import SCORED_SPLITS
from leaderboard.show.chart import new_figure, save
from leaderboard.show.predictor import ShownPredictor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"test": "test: skeletons of the training networks", "heldout": "held-out skeletons"}


def draw_predictor(shown: ShownPredictor, path: Path) -> None:
    """Draw the predictions and scores of a predictor.

    Raises:
        OSError: If the file cannot be written.
    """
    result = shown.result
    figure = new_figure(13, 4.9)
    figure.suptitle(
        f"{result.predictor} on {result.task}: final valid accuracy, {result.observed} of "
        f"{shown.targets.curves.shape[1]} epochs observed",
        fontsize=12,
    )
    *scatters, scores = figure.subplots(1, 3, width_ratios=[1, 1, 0.85])
    for axes, split in zip(scatters, SCORED_SPLITS, strict=True):
        _draw_points(axes, shown, split)
    scatters[0].set_ylabel("true accuracy (fraction)")
    _draw_scores(scores, shown)
    save(figure, path)


def _draw_points(axes: "Axes", shown: ShownPredictor, split: str) -> None:
    """Draw every network of a split, coloured by skeleton, and the diagonal."""
    splits = shown.targets.skeleton_splits
    skeletons = [name for name in SKELETONS if splits.get(name) == split]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    for index, skeleton in enumerate(skeletons):
        predicted, true = shown.of(skeleton)
        axes.scatter(
            predicted, true, s=11, alpha=0.6, linewidths=0, color=CYCLE[index], label=skeleton
        )
    axes.set_title(TITLES[split], fontsize=10)
    axes.set_xlabel("predicted accuracy (fraction)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False, fontsize=8, handletextpad=0.1)


def _draw_scores(axes: "Axes", shown: ShownPredictor) -> None:
    """Draw Kendall's tau of every stratum with its interval."""
    scores = shown.result.scores
    taus = [(s, scores[s]["tau"]) for s in STRATA if s in scores and "tau" in scores[s]]
    strata = [(name, tau, tau.value) for name, tau in taus if tau.value is not None]
    for row, (name, tau, value) in enumerate(strata):
        colour = BLUE if name.startswith("skeleton/") else "black"
        if tau.low is not None and tau.high is not None:
            axes.plot([tau.low, tau.high], [row, row], color=colour, linewidth=1.6)
        axes.plot(value, row, "o", color=colour, markersize=5)
        axes.text(1.02, row, f"{value:.3f}", transform=axes.get_yaxis_transform(),
                  va="center", fontsize=8)  # fmt: skip
    labels = [name.removeprefix("skeleton/") for name, *_ in strata]
    axes.set_yticks(range(len(strata)), labels, fontsize=8)
    axes.set_ylim(len(strata) - 0.4, -0.6)
    axes.set_title("Kendall's tau, 95 % interval", fontsize=10)
    axes.set_xlabel("tau")
    axes.axvline(0, color=GREY, linewidth=0.9)
    axes.grid(visible=True, axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
