"""Prints the prediction for a user's network, and the layers of the network, in a terminal."""

from collections.abc import Iterator
from textwrap import wrap

from benchmark.space.layer_walk import LayerRow
from benchmark.util.text import quantity
from harness.studies.out_of_range import FAR
from harness.studies.predict_module import NetworkPrediction
from harness.tracing.trace import Trace

WIDTH = 80  # columns of a terminal
SHOWN = 8  # listed features outside the range of the training networks
COLUMNS = 41  # width of the drawn curve, from accuracy 0 to 1


def prediction_lines(prediction: NetworkPrediction, name: str, trace: Trace) -> Iterator[str]:
    """Yield the lines of a prediction, at most 80 columns wide except for the network's name.

    Args:
        prediction: The prediction.
        name: Name of the network.
        trace: The traced network.
    """
    yield f"{name} on {prediction.images}, predicted by {prediction.predictor} before training"
    yield (
        f"{trace.parameters.network:,} parameters, {prediction.macs:,} multiply-accumulates, "
        f"{prediction.layers} layers"
    )
    yield from _counted(trace)
    yield ""
    yield f"epoch  accuracy  {'90 % interval':14}  0{'accuracy':^{COLUMNS - 2}}1"
    for index, epoch in enumerate(prediction.epochs):
        yield _epoch_line(prediction, index, epoch)
    yield from wrap(_interval_text(prediction), WIDTH)
    if prediction.same:
        yield f"({prediction.predictor} predicts the same for every network before training)"
    yield ""
    yield from _comparison_lines(prediction)
    yield ""
    yield from _extrapolation_lines(prediction)


def _counted(trace: Trace) -> Iterator[str]:
    """Yield why the predictor counts other parameters, and what the layers leave out."""
    count = trace.parameters
    if count.rows != count.network:
        text = f"the predictor counts {count.rows:,} parameters: {'; '.join(count.differences())}"
        yield from wrap(text, WIDTH, subsequent_indent="  ")
    for note in trace.notes:
        yield from wrap(f"note: {note}", WIDTH, subsequent_indent="  ")


def _interval_text(prediction: NetworkPrediction) -> str:
    """Return what the intervals cover, or why there are none."""
    if prediction.distance > FAR:
        return (
            f"(no intervals: the network is too far from the training networks, by "
            f"{prediction.distance:.1f}, where intervals do not hold; at most {FAR:g} is near)"
        )
    if prediction.low is None:
        return f"({prediction.predictor} gives no standard deviation, so there are no intervals)"
    return (
        f"(90 % intervals cover 90 % of the {prediction.scaled_on} released test and held-out "
        "networks)"
    )


def _epoch_line(prediction: NetworkPrediction, index: int, epoch: int) -> str:
    """Return the accuracy after an epoch with its interval, as numbers and drawn."""
    mean, ends = prediction.mean[index], _interval(prediction, index)
    cells = [" "] * COLUMNS
    if ends:
        for cell in range(_column(ends[0]), _column(ends[1]) + 1):
            cells[cell] = "─"
    cells[_column(mean)] = "●"
    return f"{epoch:5}  {mean:8.3f}  {_format_ends(ends):14}  {''.join(cells)}".rstrip()


def _interval(prediction: NetworkPrediction, index: int) -> tuple[float, float] | None:
    """Return the ends of the interval after an epoch; None if the predictor gives none."""
    if prediction.low is None or prediction.high is None:
        return None
    return prediction.low[index], prediction.high[index]


def _format_ends(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def _column(accuracy: float) -> int:
    return round(accuracy * (COLUMNS - 1))


def _comparison_lines(prediction: NetworkPrediction) -> Iterator[str]:
    """Yield the final accuracy and how it compares with the released test networks."""
    ends = _interval(prediction, -1)
    interval = f", 90 % interval {_format_ends(ends)}" if ends else ""
    last = f"predicted valid accuracy after {prediction.epochs[-1]} epochs"
    yield f"{last}: {prediction.mean[-1]:.3f}{interval}"
    yield (
        f"higher than the predictions for {prediction.above_predicted:.0%} of the "
        f"{prediction.compared} released test networks"
    )
    yield f"higher than the true accuracies of {prediction.above_true:.0%} of them"


def _extrapolation_lines(prediction: NetworkPrediction) -> Iterator[str]:
    """Yield the features and layers that no training network has."""
    networks = f"the {prediction.fitted} training networks"
    if not prediction.outside and not prediction.unseen:
        yield f"all features are within the range of {networks}"
        return
    yield f"extrapolation: the network is outside the range of {networks}"
    if prediction.unseen:
        text = f"layers that they do not have: {', '.join(prediction.unseen)}"
        yield from wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    for o in prediction.outside[:SHOWN]:
        yield f"  {o.feature:36} {o.value:9.4g}, range {o.low:.4g} to {o.high:.4g}"
    if len(prediction.outside) > SHOWN:
        more = quantity(len(prediction.outside) - SHOWN, "more feature")
        yield f"  and {more} (--json lists all)"


def layer_lines(rows: tuple[LayerRow, ...]) -> Iterator[str]:
    """Yield a header and a line for each layer row."""
    header = f"{'row':>3}  {'layer':12} {'kernel':>6} {'channels':>12} {'pixels':>10}"
    yield f"{header}  {'role':10} reads"
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
