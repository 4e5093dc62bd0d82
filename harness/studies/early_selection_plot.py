"""The picture of what choosing early costs and gives up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.util.colours import CYCLE
from harness.studies.early_selection import KEPT, StrategyOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_SHOWN = 1e-4  # of a regret, on the logarithmic axis
WITHOUT_PREDICTOR = ("stop after i", "successive halving")
COLOURS = CYCLE[:-1]  # grey is nearly that of the others
MARKERS = ("o", "s", "^", "D", "v", "P")
PALE = "#c4c8cc"


def draw(found: Sequence[StrategyOutcome], path: Path, title: str) -> None:
    """Draw mean regret against epochs spent, a panel for each number of networks kept.

    Successive halving keeps as many as it does and stands in every panel. The predictors with the
    least regret have colours of their own; any others are pale.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If its ending is no image format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    panels = figure.subplots(1, len(KEPT), sharex=True, sharey=True)
    styles = _styles(found)
    for axes, kept in zip(panels, KEPT, strict=True):
        for strategy, style in styles.items():
            _draw_strategy(axes, [c for c in found if c.strategy == strategy], kept, style)
        axes.set_title(f"{kept} trained to the end", fontsize="medium")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        axes.set_xlabel("epochs spent, % of training all")
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean regret of the final accuracy")
    place = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False}
    panels[-1].legend(fontsize="small", **place)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def _draw_strategy(
    axes: "Axes", choices: Sequence[StrategyOutcome], kept: int, style: Mapping[str, object]
) -> None:
    """Draw what one strategy gives up where it keeps some number, or its own."""
    shown = [c for c in choices if c.kept == kept or c.strategy == WITHOUT_PREDICTOR[1]]
    shown.sort(key=lambda choice: choice.epochs)
    x = [100 * choice.epochs for choice in shown]
    y = [max(choice.regret, LEAST_SHOWN) for choice in shown]
    (line,) = axes.plot(x, y)
    line.set(**style)


def best_predictors(found: Sequence[StrategyOutcome]) -> list[str]:
    """Return the predictors with the least regret, as many as there are colours, best first.

    It is the geometric mean over all that a predictor was asked for.
    """
    regrets: dict[str, list[float]] = {}
    for choice in found:
        if choice.strategy not in WITHOUT_PREDICTOR:
            logarithm = float(np.log(max(choice.regret, LEAST_SHOWN)))
            regrets.setdefault(choice.strategy, []).append(logarithm)
    return sorted(regrets, key=lambda name: float(np.mean(regrets[name])))[: len(COLOURS)]


def _styles(found: Sequence[StrategyOutcome]) -> dict[str, dict[str, object]]:
    """Return how each strategy is drawn, in the order of drawing: pale ones lie below."""
    strategies = dict.fromkeys(choice.strategy for choice in found)
    best = best_predictors(found)
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
