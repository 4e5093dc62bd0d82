"""The layer walk: all layers of a network as rows, including the layers of its skeleton.

Parameter counts, multiply-accumulates, the torch module, the Unified Layer Code and all encodings
that predictors use are derived from these rows.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from benchmark.space.architectures import LAYER_KINDS, Architecture, Layer, LayerKind, from_record
from benchmark.space.imagesets import ImageSet, get_images
from benchmark.space.skeletons import Skeleton, get_skeleton
from benchmark.util.text import describe
from benchmark.util.unknown_name import check_type

Foreign = Literal["dropout", "dense"]  # only in networks from elsewhere; dense is fully connected
RowKind = LayerKind | Literal["add", "global_pool", "linear"] | Foreign
Role = Literal["stem", "block", "match", "transition", "shortcut", "add", "head"]
ROW_KINDS: tuple[RowKind, ...] = (
    *LAYER_KINDS, "add", "global_pool", "linear", *get_args(Foreign),
)  # fmt: skip
WEIGHTED: tuple[RowKind, ...] = ("conv", "linear", "dense")
_SHORT_KINDS = {"max_pool": "max", "avg_pool": "avg", "global_pool": "mean"}
_KERNEL_KINDS = ("conv", "max_pool", "avg_pool")
MIN_RESOLUTION = 2  # a transition that would leave fewer pixels per side is omitted


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of a network; kind and kernel are as in `Layer`.

    Attributes:
        stride: Stride in both directions.
        in_resolution: Height and width of the input in pixels.
        out_resolution: Height and width of the output in pixels.
        role: Function of the layer in the skeleton.
        stage: Index of the stage, from 0; -1 for the stem and the number of stages for the head.
        block: Index of the block in the network, from 0; -1 outside blocks.
        inputs: Indices of the rows that the layer reads; -1 is the image.
    """

    kind: RowKind
    kernel_height: int
    kernel_width: int
    stride: int
    in_channels: int
    out_channels: int
    in_resolution: int
    out_resolution: int
    role: Role
    stage: int
    block: int
    inputs: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """Number of trainable parameters: weights, biases, and scale and shift of a batch norm."""
        if self.kind in WEIGHTED:
            weights = self.kernel_height * self.kernel_width * self.in_channels * self.out_channels
            return weights + self.out_channels
        return 2 * self.out_channels if self.kind == "bn" else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, biases excluded; 0 for layers without weights."""
        if self.kind not in WEIGHTED:
            return 0
        weights = self.kernel_height * self.kernel_width * self.in_channels * self.out_channels
        return weights * self.out_resolution**2

    @property
    def same_padding(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom padding that keeps the resolution (or halves it).

        An even kernel has its extra row at the bottom and its extra column on the right.
        """
        height, width = self.kernel_height, self.kernel_width
        return (width - 1) // 2, width // 2, (height - 1) // 2, height // 2


class _Walker:
    """Appends rows and keeps the index, channels and resolution of the last output."""

    def __init__(self, images: ImageSet) -> None:
        self.rows: list[LayerRow] = []
        self.last = -1
        self.channels = images.channels
        self.resolution = images.resolution

    def add(
        self,
        kind: RowKind,
        position: tuple[Role, int, int],
        *,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        channels: int | None = None,
    ) -> None:
        """Append a row that reads the last one; `position` is role, stage and block."""
        role, stage, block = position
        out_channels = self.channels if channels is None else channels
        out_resolution = (
            -(-self.resolution // stride) if kind == "conv" else self.resolution // stride
        )
        if kind in ("global_pool", "linear"):
            out_resolution = 1
        self.rows.append(
            LayerRow(
                kind, kernel[0], kernel[1], stride, self.channels, out_channels, self.resolution,
                out_resolution, role, stage, block, (self.last,),
            )
        )  # fmt: skip
        self.last, self.channels = len(self.rows) - 1, out_channels
        self.resolution = out_resolution

    def join(self, entry: tuple[int, int], position: tuple[int, int]) -> None:
        """Add a shortcut from `entry` (row, channels) to the last row."""
        row, channels = entry
        stage, block = position
        body, width = self.last, self.channels
        if channels != width:
            self.last, self.channels = row, channels
            self.add("conv", ("shortcut", stage, block), channels=width)
            row = self.last
        self.rows.append(
            LayerRow(
                "add", 1, 1, 1, width, width, self.resolution, self.resolution, "add", stage, block,
                (body, row),
            )
        )  # fmt: skip
        self.last, self.channels = len(self.rows) - 1, width


def walk(architecture: Architecture, images: ImageSet) -> tuple[LayerRow, ...]:
    """Return the rows of an architecture's network for an image set, in order of computation.

    Raises:
        ValueError: If the skeleton is unknown or the blocks do not fit it.
    """
    skeleton = get_skeleton(architecture.skeleton)
    expected = (len(skeleton.widths), len(skeleton.widths) * skeleton.blocks_per_stage)
    if (len(architecture.widths), len(architecture.blocks)) != expected:
        raise ValueError(
            f"skeleton {skeleton.name!r} has {expected[0]} stages and {expected[1]} blocks, not "
            f"{len(architecture.widths)} and {len(architecture.blocks)}"
        )
    walker = _Walker(images)
    walker.add("conv", ("stem", -1, -1), kernel=(3, 3), channels=architecture.widths[0])
    walker.add("bn", ("stem", -1, -1))
    walker.add("relu", ("stem", -1, -1))
    for stage in range(len(architecture.widths)):
        if stage > 0:
            _transition(walker, skeleton, stage)
        for k in range(skeleton.blocks_per_stage):
            _block(walker, skeleton, architecture, (stage, stage * skeleton.blocks_per_stage + k))
    head: tuple[Role, int, int] = ("head", len(architecture.widths), -1)
    walker.add("global_pool", head, kernel=(walker.resolution, walker.resolution))
    walker.add("linear", head, channels=images.classes)
    return tuple(walker.rows)


def _transition(walker: _Walker, skeleton: Skeleton, stage: int) -> None:
    """Halve the resolution, unless it would fall below `MIN_RESOLUTION`."""
    if walker.resolution // 2 < MIN_RESOLUTION:
        return
    position: tuple[Role, int, int] = ("transition", stage, -1)
    if skeleton.downsampling == "max_pool":
        walker.add("max_pool", position, kernel=(2, 2), stride=2)
        return
    walker.add("conv", position, kernel=(3, 3), stride=2)
    walker.add("bn", position)
    walker.add("relu", position)


def _block(
    walker: _Walker, skeleton: Skeleton, architecture: Architecture, position: tuple[int, int]
) -> None:
    """Append a block, a match layer if its channels differ from the stage's, and a shortcut."""
    stage, block = position
    entry = (walker.last, walker.channels)
    for layer in architecture.blocks[block].layers:
        if layer.kind != "conv" and layer.channels != walker.channels:
            raise ValueError(f"{layer!r} must keep its {walker.channels} input channels")
        kernel = (layer.kernel_height, layer.kernel_width)
        walker.add(layer.kind, ("block", stage, block), kernel=kernel, channels=layer.channels)
    if walker.channels != architecture.widths[stage]:
        walker.add("conv", ("match", stage, block), channels=architecture.widths[stage])
    if skeleton.residual:
        walker.join(entry, position)


def layer_rows(architecture: dict[str, Any], images: str) -> tuple[LayerRow, ...]:
    """Return all layers of a network in order, including those of its skeleton.

    Args:
        architecture: The column `architecture` of a run.
        images: Name of the image set.

    Raises:
        TypeError: If the architecture is not a dict, or the name is not text.
        ValueError: If the images are unknown, or the record is not a valid architecture.
    """
    rule = "a dict, as in the column `architecture` of a run (of an Arrow value, `.as_py()`)"
    image_set = get_images(images)
    check_type("architecture", architecture, dict, rule)
    try:
        return walk(from_record(architecture), image_set)
    except (KeyError, TypeError) as error:
        raise ValueError(f"`architecture` must be {rule}: {describe(error)}") from error


def layer_word(layer: Layer | LayerRow) -> str:
    """Return a layer as one word.

    `conv3x5:24` is a convolution with kernel height 3, kernel width 5 and 24 output channels. A
    stride above 1 is appended, such as `/2`.
    """
    channels, stride = (
        (layer.channels, 1) if isinstance(layer, Layer) else (layer.out_channels, layer.stride)
    )
    word = _SHORT_KINDS.get(layer.kind, layer.kind)
    if layer.kind in _KERNEL_KINDS:
        word += f"{layer.kernel_height}x{layer.kernel_width}"
    if layer.kind in ("conv", "linear"):
        word += f":{channels}"
    return word + (f"/{stride}" if stride > 1 else "")


def parameters(rows: tuple[LayerRow, ...]) -> int:
    """Return the number of trainable parameters."""
    return sum(row.parameters for row in rows)


def macs(rows: tuple[LayerRow, ...]) -> int:
    """Return the multiply-accumulates of a forward pass of one image."""
    return sum(row.macs for row in rows)
