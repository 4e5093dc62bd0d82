"""Plots the regret of early selection against the epochs spent."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.util.colours import CYCLE
from harness.studies.early_selection import KEPT, StrategyOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINEAR_BELOW = 1e-3  # the axis of regret is linear from 0 to here, then logarithmic
LEAST_RANKED = 1e-4  # smaller regrets count as this in the geometric mean
WITHOUT_PREDICTOR = ("stop after i", "successive halving")
CAPTION = (
    "Lines: mean regret over random sets of networks. Bands: 5 % to 95 % of the sets, for “stop "
    "after i” and the best predictor.\n“stop after i”: train all for i epochs and keep those that "
    "are best so far. Those that are kept are trained to the end, and the best of them is "
    "selected.\nBelow 0.001 the axis of regret is linear, so that 0 is on it."
)
COLOURS = CYCLE[:-1]  # without grey, which looks like the pale colour
MARKERS = ("o", "s", "^", "D", "v", "P")
PALE = "#c4c8cc"  # of all other predictors


def draw(outcomes: Sequence[StrategyOutcome], path: Path, title: str) -> None:
    """Draw regret against epochs spent, with a panel for each number of networks kept.

    Lines are means over the sets of candidates; bands are the middle 90 % of the sets, for stopping
    and the best predictor. Successive halving decides itself how many it keeps and is drawn in
    every panel. The predictors with the lowest regret have distinct colours; the others are pale.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If its extension is not an image format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.4), layout="constrained")
    panels = figure.subplots(1, len(KEPT), sharex=True, sharey=True)
    styles = _styles(outcomes)
    banded = [WITHOUT_PREDICTOR[0], *best_predictors(outcomes)[:1]]
    for axes, kept in zip(panels, KEPT, strict=True):
        for strategy, style in styles.items():
            own = [c for c in outcomes if c.strategy == strategy]
            _draw_strategy(axes, own, kept, style, strategy in banded)
        axes.set_title(f"keep {kept}, trained to the end", fontsize="medium")
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
        axes.set_ylim(bottom=-LINEAR_BELOW / 20)  # a point at 0 is drawn whole
        axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        axes.set_xlabel("epochs spent, % of training all")
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean regret of the final accuracy")
    legend = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False}
    panels[-1].legend(fontsize="small", **legend)
    figure.suptitle(title)
    figure.supxlabel(CAPTION, fontsize="small", x=0.01, ha="left")
    figure.savefig(path, dpi=150)


def _draw_strategy(
    axes: "Axes",
    outcomes: Sequence[StrategyOutcome],
    kept: int,
    style: Mapping[str, object],
    banded: bool,
) -> None:
    """Draw the regret of one strategy that keeps `kept` networks, or of successive halving."""
    shown = [c for c in outcomes if c.kept == kept or c.strategy == WITHOUT_PREDICTOR[1]]
    shown.sort(key=lambda c: c.epochs)
    x = [100 * c.epochs for c in shown]
    (line,) = axes.plot(x, [c.regret for c in shown])
    line.set(**style)
    if banded:
        ends = [c.low for c in shown], [c.high for c in shown]
        axes.fill_between(x, *ends, color=str(style["color"]), alpha=0.13, linewidth=0)


def best_predictors(outcomes: Sequence[StrategyOutcome]) -> list[str]:
    """Return the predictors with the lowest regret, best first, as many as there are colours.

    Predictors are ranked by the geometric mean of their regrets.
    """
    regrets: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.strategy not in WITHOUT_PREDICTOR:
            logarithm = float(np.log(max(outcome.regret, LEAST_RANKED)))
            regrets.setdefault(outcome.strategy, []).append(logarithm)
    return sorted(regrets, key=lambda name: float(np.mean(regrets[name])))[: len(COLOURS)]


def _styles(outcomes: Sequence[StrategyOutcome]) -> dict[str, dict[str, object]]:
    """Return the line style of each strategy, in drawing order, so that pale lines are below."""
    strategies = dict.fromkeys(outcome.strategy for outcome in outcomes)
    best = best_predictors(outcomes)
    pale = [s for s in strategies if s not in best and s not in WITHOUT_PREDICTOR]
    line = {"markersize": 3.5, "linewidth": 0.9}
    others = f"{len(pale)} other predictors" if len(pale) > 1 else "another predictor"
    styles: dict[str, dict[str, object]] = {}
    for name in pale:
        label = others if name == pale[0] else "_"
        styles[name] = {**line, "color": PALE, "marker": "o", "label": label}
    for name, colour, marker in zip(best, COLOURS, MARKERS, strict=False):
        styles[name] = {**line, "linewidth": 1.3, "color": colour, "marker": marker, "label": name}
    stop, halving = WITHOUT_PREDICTOR
    styles[stop] = {"color": "black", "linewidth": 1.4, "label": stop}
    styles[halving] = {"color": "black", "marker": "x", "linestyle": "none", "label": halving}
    return styles
