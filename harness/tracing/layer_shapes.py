"""Shapes of what passes a traced network; which reshapes, means and sums rows can say."""

from dataclasses import dataclass

from torch import Tensor, fx

from benchmark.space.layer_walk import LayerRow
from harness.tracing.layer_calls import Call

BATCH = 2  # images run through; batch normalisation needs more than one


@dataclass(frozen=True, slots=True)
class TracedValue:
    """Where a value of the network comes from.

    Attributes:
        row: Index of the row that made it; -1 is the image.
        channels: Channels, before any flattening.
        resolution: Height and width in pixels, before any padding or flattening.
    """

    row: int
    channels: int
    resolution: int


def resolution_of(value: Tensor, where: str) -> int:
    """Return the height and width of a value; 1 for a vector."""
    if value.ndim == 2:
        return 1
    if value.ndim != 4 or value.shape[2] != value.shape[3]:
        shape = "x".join(map(str, value.shape[2:])) or "no"
        raise ValueError(f"{where} gives {shape} pixels, and layer rows are of square images")
    return int(value.shape[3])


def check_reshape(place: TracedValue, result: Tensor, where: str) -> TracedValue:
    """Return the same place, if what is reshaped still is one list of channels an image."""
    pixels = (place.channels, place.resolution, place.resolution)
    size = place.channels * place.resolution**2
    allowed = {pixels, (size,), (place.channels, place.resolution**2)}
    if place.resolution == 1:
        allowed |= {(place.channels, 1)}
    if result.shape[0] != BATCH or tuple(result.shape[1:]) not in allowed:
        shape = "x".join(map(str, result.shape[1:]))
        held = "x".join(map(str, pixels))
        raise ValueError(f"{where} makes {shape} of {held}; layer rows can only say flattening")
    return place


def pool_of_mean(what: Call, place: TracedValue, values: tuple[Tensor, Tensor], where: str) -> Call:
    """Return the pool that a mean or an adaptive pool is."""
    given, result = values
    side = place.resolution
    if what.kind == "mean":
        if result.numel() != BATCH * place.channels or given.shape[1] != place.channels:
            raise ValueError(f"{where} is a mean over other dimensions than height and width")
        return Call("global_pool", (side, side))
    wanted = what.kernel[0]
    if wanted == side and wanted > 1:
        return Call("identity")
    if side % wanted:
        raise ValueError(f"{where} pools {side} to {wanted} pixels, with windows of unequal size")
    step = side // wanted
    return Call(
        "global_pool" if wanted == 1 else "avg_pool", (step, step), step if wanted > 1 else 1
    )


def read_sum(
    node: fx.Node, sources: list[TracedValue], result: Tensor, where: str
) -> list[TracedValue]:
    """Return the two values that are added."""
    if len(node.all_input_nodes) != len(sources) or len(node.args) + len(node.kwargs) != 2:
        raise ValueError(f"{where} adds something that is no answer of a layer")
    both = sources * 2 if len(sources) == 1 else sources
    if not all(isinstance(value, fx.Node) for value in node.args):
        raise ValueError(f"{where} adds something that is no answer of a layer")
    sizes = {(p.channels, p.resolution) for p in both}
    if len(sizes) > 1 or result.numel() != BATCH * both[0].channels * both[0].resolution ** 2:
        raise ValueError(f"{where} adds values of different shapes")
    return both


def read_linear(given: Tensor, place: TracedValue, where: str) -> Call:
    """Return a fully connected layer on flattened pixels: a kernel as large as the image."""
    if given.ndim != 2:
        raise ValueError(f"{where} must read flattened values, not {given.ndim} dimensions")
    return Call("linear", (place.resolution,) * 2, place.resolution)


def check_declared(declared: LayerRow | None, row: LayerRow, where: str) -> None:
    """Check the shapes that a module says of itself."""
    if declared is None:
        return
    for field in ("in_channels", "out_channels", "in_resolution", "out_resolution"):
        said, found = getattr(declared, field), getattr(row, field)
        if said != found:
            raise ValueError(f"`layer_row` of {where} has {field} {said}, and it is {found}")
