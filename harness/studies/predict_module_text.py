"""An outlook in a terminal: the curve with its interval, its place, and what is extrapolated."""

from collections.abc import Iterator
from textwrap import wrap

from benchmark.space.layer_walk import LayerRow
from harness.studies.predict_module import NetworkPrediction

WIDTH = 80  # columns of a terminal
SHOWN = 8  # features outside the training networks that are listed
COLUMNS = 41  # of the drawn curve, from accuracy 0 to 1


def prediction_lines(outlook: NetworkPrediction, name: str, own_parameters: int) -> Iterator[str]:
    """Yield the lines of an outlook, at most 80 columns wide but for the network's name.

    Args:
        outlook: What is predicted.
        name: Of the network.
        own_parameters: That the torch module has.
    """
    yield f"{name} on {outlook.images}, before any training, by {outlook.predictor}"
    yield (
        f"{own_parameters:,} parameters, {outlook.macs:,} multiply-accumulates, "
        f"{outlook.layers} layers"
    )
    if own_parameters != outlook.parameters:
        yield (
            f"(the predictor counts {outlook.parameters:,} parameters: rows have a bias in every "
            "layer)"
        )
    yield ""
    yield f"epoch  accuracy  {'90 % interval':14}  0{'accuracy':^{COLUMNS - 2}}1"
    for index, epoch in enumerate(outlook.epochs):
        yield _epoch_line(outlook, index, epoch)
    if outlook.low is None:
        yield f"({outlook.predictor} gives no spread, so there is no interval)"
    yield ""
    yield from _place(outlook)
    yield from _extrapolation(outlook)


def _epoch_line(outlook: NetworkPrediction, index: int, epoch: int) -> str:
    mean = outlook.mean[index]
    cells = [" "] * COLUMNS
    interval = ""
    if outlook.low is not None and outlook.high is not None:
        low, high = outlook.low[index], outlook.high[index]
        interval = f"{low:.3f} to {high:.3f}"
        for cell in range(_column(low), _column(high) + 1):
            cells[cell] = "─"
    cells[_column(mean)] = "●"
    return f"{epoch:5}  {mean:8.3f}  {interval:14}  {''.join(cells)}".rstrip()


def _column(accuracy: float) -> int:
    return round(accuracy * (COLUMNS - 1))


def _place(outlook: NetworkPrediction) -> Iterator[str]:
    last = f"after {outlook.epochs[-1]} epochs"
    interval = ""
    if outlook.low is not None and outlook.high is not None:
        interval = f", 90 % interval {outlook.low[-1]:.3f} to {outlook.high[-1]:.3f}"
    yield f"predicted valid accuracy {last}: {outlook.mean[-1]:.3f}{interval}"
    yield (
        f"higher than {outlook.above_predicted:.0%} of what is predicted for the release's "
        f"{outlook.compared} test networks,"
    )
    yield f"and than {outlook.above_true:.0%} of what they truly reached"


def _extrapolation(outlook: NetworkPrediction) -> Iterator[str]:
    """Yield a warning of what lies outside the training networks, or that nothing does."""
    yield ""
    if not outlook.outside and not outlook.unseen:
        yield f"no feature lies outside those of the {outlook.fitted} training networks"
        return
    yield f"extrapolation: not like any of the {outlook.fitted} training networks"
    if outlook.unseen:
        text = f"layers they never have: {', '.join(outlook.unseen)}"
        yield from wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    for o in outlook.outside[:SHOWN]:
        yield f"  {o.feature:36} {o.value:9.4g}, theirs {o.low:.4g} to {o.high:.4g}"
    if len(outlook.outside) > SHOWN:
        yield f"  and {len(outlook.outside) - SHOWN} more features (--json lists all)"


def layer_lines(rows: tuple[LayerRow, ...]) -> Iterator[str]:
    """Yield a head and a line for each layer row."""
    head = f"{'row':>3}  {'layer':12} {'kernel':>6} {'channels':>12} {'pixels':>10}"
    yield f"{head}  {'role':10} reads"
    for index, row in enumerate(rows):
        kernel = f"{row.kernel_height}x{row.kernel_width}"
        stride = f"/{row.stride}" if row.stride > 1 else ""
        channels = f"{row.in_channels} -> {row.out_channels}"
        pixels = f"{row.in_resolution} -> {row.out_resolution}"
        reads = ", ".join("image" if source < 0 else str(source) for source in row.inputs)
        size = kernel + stride if kernel != "1x1" or row.kind == "conv" else ""
        yield (
            f"{index:3}  {row.kind:12} {size:>6} {channels:>12} {pixels:>10}  {row.role:10} {reads}"
        )
