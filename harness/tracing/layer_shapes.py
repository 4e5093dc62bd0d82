"""Shapes in a traced network, and the reshapes, means and sums that layer rows can express.

All functions raise a ValueError that names the layer if rows cannot express it.
"""

from dataclasses import dataclass

from torch import Tensor, fx

from benchmark.space.layer_walk import LayerRow
from harness.tracing.layer_calls import Call

BATCH = 2  # images in the traced batch; batch normalisation needs more than one


@dataclass(frozen=True, slots=True)
class TracedValue:
    """A value in the traced network.

    Attributes:
        row: Index of the layer row that computed it; -1 for the image.
        channels: Number of channels, before any flattening.
        resolution: Height and width in pixels, before any padding or flattening.
    """

    row: int
    channels: int
    resolution: int


def resolution_of(value: Tensor, where: str) -> int:
    """Return the height and width of a tensor, which must be equal, in pixels; 1 for vectors."""
    if value.ndim == 2:
        return 1
    if value.ndim != 4 or value.shape[2] != value.shape[3]:
        shape = "x".join(map(str, value.shape[2:])) or "no"
        raise ValueError(f"{where} gives {shape} pixels; only square images are supported")
    return int(value.shape[3])


def check_reshape(value: TracedValue, result: Tensor, where: str) -> TracedValue:
    """Return the value that is reshaped, after checking that the reshape is a flattening."""
    pixels = (value.channels, value.resolution, value.resolution)
    size = value.channels * value.resolution**2
    allowed = {pixels, (size,), (value.channels, value.resolution**2)}
    if result.shape[0] != BATCH or tuple(result.shape[1:]) not in allowed:
        shape = "x".join(map(str, result.shape[1:]))
        before = "x".join(map(str, pixels))
        raise ValueError(f"{where} reshapes {before} to {shape}; only flattening is supported")
    return value


def pool_of_mean(
    call: Call, value: TracedValue, tensors: tuple[Tensor, Tensor], where: str
) -> Call:
    """Return the pool that is equal to a mean or an adaptive pool."""
    source, result = tensors
    side = value.resolution
    if call.kind == "mean":
        if result.numel() != BATCH * value.channels or source.shape[1] != value.channels:
            raise ValueError(f"{where} is a mean over dimensions other than height and width")
        return Call("global_pool", (side, side))
    wanted = call.kernel[0]
    if wanted == side and wanted > 1:
        return Call("identity")
    if side % wanted:
        raise ValueError(f"{where} pools {side} to {wanted} pixels with windows of unequal size")
    step = side // wanted
    return Call(
        "global_pool" if wanted == 1 else "avg_pool", (step, step), step if wanted > 1 else 1
    )


def read_sum(
    node: fx.Node, sources: list[TracedValue], result: Tensor, where: str
) -> list[TracedValue]:
    """Return the two values that are added; they must be activations of the same shape."""
    two_arguments = len(node.args) + len(node.kwargs) == 2
    only_nodes = all(isinstance(value, fx.Node) for value in node.args)
    if len(node.all_input_nodes) != len(sources) or not two_arguments or not only_nodes:
        raise ValueError(f"{where} adds something other than the activations of a layer")
    both = sources * 2 if len(sources) == 1 else sources
    sizes = {(p.channels, p.resolution) for p in both}
    if len(sizes) > 1 or result.numel() != BATCH * both[0].channels * both[0].resolution ** 2:
        raise ValueError(f"{where} adds values of different shapes")
    return both


def read_linear(source: Tensor, value: TracedValue, where: str) -> Call:
    """Return a fully connected layer on a flattened input; its kernel covers all pixels."""
    if source.ndim != 2:
        raise ValueError(f"{where} must read flattened values, not {source.ndim} dimensions")
    return Call("linear", (value.resolution,) * 2, value.resolution)


def check_declared(declared: LayerRow | None, row: LayerRow, where: str) -> None:
    """Check that the layer row that a module declares has the traced shapes."""
    if declared is None:
        return
    for field in ("in_channels", "out_channels", "in_resolution", "out_resolution"):
        stated, traced = getattr(declared, field), getattr(row, field)
        if stated != traced:
            raise ValueError(f"`layer_row` of {where} has {field} {stated}, but it is {traced}")
