"""Sequences of architectures: a stream for each skeleton, capped in cost, without duplicates."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmark.architectures import Architecture, Block, architecture_id
from benchmark.chain import Trace, sample_block
from benchmark.imagesets import ImageSet
from benchmark.skeletons import Skeleton, get_skeleton
from benchmark.splits import Split, split_of
from benchmark.streams import stream
from benchmark.walk import macs, walk


@dataclass(frozen=True, slots=True)
class Drawn:
    """An accepted architecture.

    Attributes:
        architecture: What was drawn.
        architecture_id: Its identity.
        draw_index: Its number among the accepted ones of its skeleton, from 0.
        split: Where it belongs.
        paired_architecture_id: The architecture that lent its blocks, if any.
        attempts: Architectures drawn since the last accepted one, itself included.
    """

    architecture: Architecture
    architecture_id: str
    draw_index: int
    split: Split
    paired_architecture_id: str | None
    attempts: int


def widths_of(skeleton: Skeleton, images: ImageSet) -> tuple[int, ...]:
    """Return the channels of each stage for an image set."""
    return tuple(width // images.width_divisor for width in skeleton.widths)


def sample_architecture(
    skeleton: Skeleton, images: ImageSet, rng: np.random.Generator, trace: Trace | None = None
) -> Architecture:
    """Draw the blocks of one network, without regard to its cost."""
    widths = widths_of(skeleton, images)
    blocks: list[Block] = []
    channels = widths[0]
    for width in widths:
        for _ in range(skeleton.blocks_per_stage):
            blocks.append(sample_block(rng, channels, trace))
            channels = width
    return Architecture(skeleton.name, widths, tuple(blocks))


def sequence(
    skeleton_name: str, images: ImageSet, *, purpose: str = "dataset", trace: Trace | None = None
) -> Iterator[Drawn]:
    """Yield a skeleton's accepted architectures in draw order, without end.

    Args:
        skeleton_name: A key of `benchmark.skeletons.SKELETONS`.
        images: Sets that share a `sequence` yield the same architectures.
        purpose: Names the stream; every other purpose has a stream of its own.
        trace: If given, every draw is appended to it, those of rejected architectures included.

    Raises:
        ValueError: If the skeleton is not known.
    """
    skeleton = get_skeleton(skeleton_name)
    if skeleton.paired_with is not None:
        yield from _paired(skeleton, images, purpose)
        return
    rng = stream("architectures-v1", purpose, images.sequence, skeleton.name)
    seen: set[str] = set()
    attempts = 0
    while True:
        attempts += 1
        architecture = sample_architecture(skeleton, images, rng, trace)
        identity = architecture_id(architecture)
        if identity in seen or cost(architecture, images) > skeleton.macs_cap:
            continue
        split = split_of(skeleton.name, identity)
        yield Drawn(architecture, identity, len(seen), split, None, attempts)
        seen.add(identity)
        attempts = 0


def _paired(skeleton: Skeleton, images: ImageSet, purpose: str) -> Iterator[Drawn]:
    """Yield the blocks of another skeleton's test networks in this skeleton's frame.

    The lender's cap is the only one, so that all skeletons that borrow have the same blocks.
    """
    lenders = sequence(str(skeleton.paired_with), images, purpose=purpose)
    tests = (lender for lender in lenders if lender.split == "test")
    for index, lender in enumerate(tests):
        architecture = replace(lender.architecture, skeleton=skeleton.name)
        identity = architecture_id(architecture)
        yield Drawn(architecture, identity, index, "heldout", lender.architecture_id, 1)


def cost(architecture: Architecture, images: ImageSet) -> int:
    """Return the multiply-accumulates that count against the cap (at `cost_resolution`)."""
    reference = replace(images, resolution=images.cost_resolution, channels=images.cost_channels)
    return macs(walk(architecture, reference))
