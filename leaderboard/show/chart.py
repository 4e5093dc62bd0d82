"""Shared parts of terminal views and pictures: charts made of characters, and figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.util.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

DOTS_PER_INCH = 150
EIGHTHS = " ▁▂▃▄▅▆▇█"
SHADES = " ·░▒▓█"
CHART_ROWS = 11  # rows of a chart, from accuracy 1 to 0 in steps of 0.1
STEP = 3  # columns of a chart per epoch


def histogram(values: Array, bins: int) -> str:
    """Return a histogram of accuracies in [0, 1], with a bar for each bin.

    >>> histogram(np.array([0.1, 0.9, 0.95]), 4)
    '▄  █'
    """
    counts, _ = np.histogram(values, bins, (0.0, 1.0))
    heights = np.ceil(counts / max(counts.max(), 1) * (len(EIGHTHS) - 1)).astype(int)
    return "".join(EIGHTHS[height] for height in heights)


def chart(curves: Array, marks: Sequence[str]) -> Iterator[str]:
    """Yield a chart of accuracies against epochs.

    Args:
        curves: Accuracies (curves, epochs).
        marks: A character for each curve; overlapping curves are marked with `*`.
    """
    epochs = curves.shape[1]
    cells = [[" "] * (STEP * epochs) for _ in range(CHART_ROWS)]
    for curve, mark in zip(curves, marks, strict=True):
        for epoch, accuracy in enumerate(curve):
            line = CHART_ROWS - 1 - round(float(accuracy) * (CHART_ROWS - 1))
            column = STEP * epoch + 1
            cells[line][column] = mark if cells[line][column] == " " else "*"
    for index, line_cells in enumerate(cells):
        label = f"{1 - index / (CHART_ROWS - 1):.1f}"
        yield f"{label:>5} ┤{''.join(line_cells)}".rstrip()
    yield f"{'':5} └{'─' * (STEP * epochs)}"
    shown = [e if e == 1 or e % 5 == 0 else "" for e in range(1, epochs + 1)]
    ticks = "".join(f"{e:^{STEP}}" for e in shown)
    yield f"{'':7}{ticks}".rstrip() + "  epoch"


def density(x: Array, y: Array, columns: int, rows: int) -> Iterator[str]:
    """Yield the density of points in [0, 1] x [0, 1] as shades; the y-axis points upwards."""
    counts, _, _ = np.histogram2d(y, x, (rows, columns), ((0, 1), (0, 1)))
    shade = np.ceil(np.sqrt(counts / max(counts.max(), 1)) * (len(SHADES) - 1)).astype(int)
    for index in range(rows - 1, -1, -1):
        label = {rows - 1: "1", 0: "0"}.get(index, "")
        yield f"{label:>3} │{''.join(SHADES[s] for s in shade[index])}│"
    yield f"    └{'─' * columns}┘"
    yield f"     0{'predicted':^{columns - 2}}1"


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure with a white background; width and height are in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure atomically, in the format of the file's ending."""
    with replacing(path) as draft:
        figure.savefig(draft, dpi=DOTS_PER_INCH, format=path.suffix[1:].lower())
