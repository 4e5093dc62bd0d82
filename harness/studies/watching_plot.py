"""Draws what predictions are worth: tau against epochs of watching, and of held-out skeletons."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.util.colours import BLUE, GREY, VERMILION
from harness.scoring.scores import Score
from harness.studies.watching import Watching

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_watching(watching: Watching, path: Path) -> None:
    """Draw a panel of test networks and, if their ceilings are known, one of held-out skeletons.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If its extension is not an image format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 5), layout="constrained")
    wide = [2.2, 1] if watching.held_out else [1]
    panels = figure.subplots(1, len(wide), squeeze=False, width_ratios=wide)[0]
    _draw_epochs(panels[0], watching)
    if watching.held_out:
        _draw_skeletons(panels[1], watching)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _ends(score: Score) -> tuple[float, float, float]:
    """Return value, low and high, the value where an end is undefined."""
    value = 0.0 if score.value is None else score.value
    low, high = (value if end is None else end for end in (score.low, score.high))
    return value, low, high


def _draw_epochs(axes: "Axes", watching: Watching) -> None:
    """Draw tau of the last accuracy, and each best predictor with the epoch that it equals."""
    last = [_ends(score) for score in watching.last_value]
    epochs = range(1, len(last) + 1)
    axes.fill_between(
        epochs, *zip(*[ends[1:] for ends in last], strict=True), color=GREY, alpha=0.2
    )
    axes.plot(epochs, [ends[0] for ends in last], color="black", linewidth=1.2)
    axes.annotate(
        "watching: the last accuracy", (len(last) * 0.8, last[int(len(last) * 0.8) - 1][0]),
        xytext=(-8, 0), textcoords="offset points", ha="right", va="bottom",
    )  # fmt: skip
    if watching.another_run is not None:
        value, low, high = _ends(watching.another_run)
        axes.axhspan(low, high, color=VERMILION, alpha=0.1, linewidth=0)
        axes.axhline(value, color=VERMILION, linewidth=0.8)
        axes.text(len(last), value, "another whole training, another seed", ha="right", va="bottom",
                  color=VERMILION, fontsize="small")  # fmt: skip
    if watching.ceiling is not None and watching.ceiling.value is not None:
        axes.axhline(watching.ceiling.value, color=GREY, linestyle="--", linewidth=0.9)
        axes.text(len(last), watching.ceiling.value, "all that can be known before training",
                  ha="right", va="bottom", color=GREY, fontsize="small")  # fmt: skip
    for e in watching.equivalents:
        tau, low, high = _ends(e.tau)
        equals = _ends(e.equals)[0]
        axes.plot([e.observed] * 2, [low, high], color=BLUE, linewidth=1)
        axes.plot(e.observed, tau, "o", color=BLUE, markersize=5)
        if equals > e.observed:
            arrow = {
                "arrowstyle": "->",
                "color": BLUE,
                "linewidth": 0.9,
                "shrinkA": 3,
                "shrinkB": 0,
            }
            axes.annotate("", (equals, tau), (e.observed, tau), arrowprops=arrow)
    if watching.equivalents:
        first = watching.equivalents[0]
        axes.annotate(
            f"best prediction ({first.predictor})", (first.observed, _ends(first.tau)[0]),
            xytext=(4, -22), textcoords="offset points", color=BLUE,
        )  # fmt: skip
    axes.set_xlim(-0.5, len(last) + 0.5)
    axes.set_xticks(range(0, len(last) + 1, max(1, len(last) // 10)))
    axes.set_xlabel("epochs of training that are watched")
    axes.set_ylabel(f"Kendall\u2019s \u03c4 on {watching.networks} test networks")
    axes.set_title(f"{watching.images}: a prediction is worth as many epochs as its arrow is long",
                   fontsize="medium", loc="left")  # fmt: skip


def _draw_skeletons(axes: "Axes", watching: Watching) -> None:
    """Draw the share of the ceiling that is predicted before training, hollow without a ceiling."""
    for place, transfer in enumerate(watching.held_out):
        ceiling = _ends(transfer.ceiling)[0]
        tau, low, high = (value / ceiling if ceiling else 0.0 for value in _ends(transfer.tau))
        face = BLUE if transfer.is_rankable else "none"
        axes.barh(place, tau, color=face, edgecolor=BLUE, height=0.55)
        axes.plot([low, high], [place] * 2, color="black", linewidth=1)
    names = [t.skeleton + ("" if t.is_rankable else "\nnothing to know") for t in watching.held_out]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(1, color=GREY, linestyle="--", linewidth=0.9)
    axes.set_xlabel("share of the ceiling, before training")
    axes.set_title("skeletons that no predictor was fitted on", fontsize="medium", loc="left")
