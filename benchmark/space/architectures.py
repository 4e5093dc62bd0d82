"""Layers, blocks and architectures, which the Markov chain samples, and their ids.

An architecture is a skeleton's name, its stage widths and its blocks. Its `architecture_id` is the
first 16 hexadecimal digits of the SHA-256 of its canonical JSON, so it is the same on every
machine.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from benchmark.util.text import quantity

LayerKind = Literal["conv", "max_pool", "avg_pool", "relu", "sigmoid", "tanh", "bn"]
MOST_RATIO = 1000  # far above every drawn ratio, far below the single-precision maximum
LAYER_KINDS: tuple[LayerKind, ...] = get_args(LayerKind)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a block.

    Attributes:
        kind: Operation of the layer.
        kernel_height: Rows of the kernel; 1 for layers without a kernel.
        kernel_width: Columns of the kernel; 1 for layers without a kernel.
        channels: Output channels; only convolutions change the number of channels.
        ratio: Drawn ratio of output to input channels, before rounding to a multiple of 8; 1 unless
            the layer is a convolution. It is ignored in comparisons and in the architecture's id.
    """

    kind: LayerKind
    kernel_height: int
    kernel_width: int
    channels: int
    ratio: float = field(default=1.0, compare=False)

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.kind not in LAYER_KINDS:
            raise ValueError(f"`kind` (={self.kind!r}) must be one of {', '.join(LAYER_KINDS)}")
        if min(self.kernel_height, self.kernel_width, self.channels) < 1:
            raise ValueError(f"kernel and channels of {self!r} must be at least 1")
        if not (isinstance(self.ratio, float | int) and 0 < self.ratio <= MOST_RATIO):
            raise ValueError(f"`ratio` (={self.ratio!r}) must be a number in (0, {MOST_RATIO}]")
        has_kernel = self.kind in ("conv", "max_pool", "avg_pool")
        if not has_kernel and (self.kernel_height, self.kernel_width) != (1, 1):
            raise ValueError(f"a layer of kind {self.kind!r} must have a 1x1 kernel, not {self!r}")


@dataclass(frozen=True, slots=True)
class Block:
    """The sampled layers that fill one block of a skeleton, in order."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        """Check that the block starts with a convolution, as every sampled block does."""
        if not self.layers or self.layers[0].kind != "conv":
            first = self.layers[0].kind if self.layers else "nothing"
            raise ValueError(f"a block must start with a convolution, not {first}")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A skeleton and its sampled blocks.

    Attributes:
        skeleton: Name of the skeleton, a key of `benchmark.space.skeletons.SKELETONS`.
        widths: Channels of each stage.
        blocks: All blocks, in order from the input.
    """

    skeleton: str
    widths: tuple[int, ...]
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        """Check that every stage has the same number of blocks."""
        if not self.widths or not self.blocks or len(self.blocks) % len(self.widths):
            raise ValueError(
                f"{quantity(len(self.blocks), 'block')} cannot be divided evenly into "
                f"{quantity(len(self.widths), 'stage')}"
            )


def canonical_json(architecture: Architecture) -> str:
    """Return the JSON text that identifies an architecture, without spaces and drawn ratios.

    >>> block = Block((Layer("conv", 3, 3, 16, 0.75), Layer("relu", 1, 1, 16)))
    >>> canonical_json(Architecture("tiny", (16,), (block,)))
    '{"skeleton":"tiny","widths":[16],"blocks":[[["conv",3,3,16],["relu",1,1,16]]]}'
    """
    blocks = [
        [
            [layer.kind, layer.kernel_height, layer.kernel_width, layer.channels]
            for layer in b.layers
        ]
        for b in architecture.blocks
    ]
    record = {"skeleton": architecture.skeleton, "widths": architecture.widths, "blocks": blocks}
    return json.dumps(record, separators=(",", ":"))


def architecture_id(architecture: Architecture) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(architecture).encode()).hexdigest()[:16]


def to_record(architecture: Architecture) -> dict[str, object]:
    """Return the nested dict that run files hold, drawn ratios included."""
    blocks = [[asdict(layer) for layer in block.layers] for block in architecture.blocks]
    widths = list(architecture.widths)
    return {"skeleton": architecture.skeleton, "widths": widths, "blocks": blocks}


def from_record(record: dict[str, object]) -> Architecture:
    """Return the architecture of a nested dict.

    Raises:
        ValueError: If a layer, a block or the architecture is invalid.
        KeyError: If a field is missing.
        TypeError: If a layer has an unknown field.
    """
    blocks = tuple(
        Block(tuple(Layer(**layer) for layer in block))
        for block in record["blocks"]  # type: ignore[attr-defined]
    )
    return Architecture(str(record["skeleton"]), tuple(record["widths"]), blocks)  # type: ignore[arg-type]
