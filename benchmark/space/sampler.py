"""Sequences of architectures: one per skeleton, limited in cost, without duplicates."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import numpy as np

from benchmark.space.architectures import Architecture, Block, architecture_id
from benchmark.space.chain import Trace, round_channels, sample_block
from benchmark.space.imagesets import IMAGES, ImageSet
from benchmark.space.layer_walk import macs, walk
from benchmark.space.skeletons import SKELETONS, Skeleton, get_skeleton
from benchmark.space.splits import Split, split_of
from benchmark.util.rng import generator_for

DRAWS = 500  # draws of each skeleton from which the accepted share is estimated


@dataclass(frozen=True, slots=True)
class Drawn:
    """An accepted architecture.

    Attributes:
        architecture: The architecture to train: as drawn, or its half-width form.
        architecture_id: Id of the architecture to train.
        drawn_architecture_id: Id of the architecture as drawn, which determines the split.
        draw_index: Index among the accepted architectures of the skeleton, from 0.
        split: Split of the architecture.
        paired_architecture_id: Id of the trained architecture that has the same blocks in another
            skeleton; None if the blocks were sampled.
        attempts: Number of draws since the last accepted architecture, including this one.
    """

    architecture: Architecture
    architecture_id: str
    drawn_architecture_id: str
    draw_index: int
    split: Split
    paired_architecture_id: str | None
    attempts: int


def widths_of(skeleton: Skeleton, images: ImageSet) -> tuple[int, ...]:
    """Return the channels of each stage with which architectures of an image set are drawn."""
    return tuple(width // images.sequence.width_divisor for width in skeleton.widths)


def halve(architecture: Architecture) -> Architecture:
    """Return an architecture with every channel count halved, to multiples of 8, at least 8.

    Convolutions keep their drawn ratios.
    """
    blocks = tuple(
        Block(
            tuple(replace(layer, channels=round_channels(layer.channels / 2)) for layer in b.layers)
        )
        for b in architecture.blocks
    )
    widths = tuple(round_channels(width / 2) for width in architecture.widths)
    return replace(architecture, widths=widths, blocks=blocks)


def as_trained(architecture: Architecture, images: ImageSet) -> Architecture:
    """Return the form of a drawn architecture that is trained on an image set."""
    return halve(architecture) if images.halved else architecture


def sample_architecture(
    skeleton: Skeleton, images: ImageSet, rng: np.random.Generator, trace: Trace | None = None
) -> Architecture:
    """Sample an architecture at full width, without a limit on its cost."""
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
    """Yield the accepted architectures of a skeleton in the order drawn, without end.

    Args:
        skeleton_name: A key of `benchmark.space.skeletons.SKELETONS`.
        images: The image set; sets with the same `sequence` have the same drawn architectures.
        purpose: Part of the key of the random stream; purposes have independent streams.
        trace: If given, every draw is appended to it, including those of rejected architectures.

    Raises:
        ValueError: If the skeleton is unknown.
    """
    skeleton = get_skeleton(skeleton_name)
    if skeleton.paired_with is not None:
        yield from _paired_sequence(skeleton, images, purpose)
        return
    rng = generator_for("architectures-v1", purpose, images.sequence.name, skeleton.name)
    seen: set[str] = set()
    index = attempts = 0
    while True:
        attempts += 1
        drawn = sample_architecture(skeleton, images, rng, trace)
        names = {architecture_id(drawn)}
        if images.sequence.distinct_halves:
            names.add(architecture_id(halve(drawn)))
        if names & seen or cost(drawn, images) > images.sequence.cap(skeleton):
            continue
        yield _accept(drawn, images, index, None, attempts)
        seen |= names
        index, attempts = index + 1, 0


def _paired_sequence(skeleton: Skeleton, images: ImageSet, purpose: str) -> Iterator[Drawn]:
    """Yield the blocks of another skeleton's test networks in this skeleton.

    Only the other skeleton's cap applies, so all skeletons paired with it have the same blocks.
    """
    as_drawn = replace(images, halved=False)
    sources = sequence(str(skeleton.paired_with), as_drawn, purpose=purpose)
    tests = (source.architecture for source in sources if source.split == "test")
    for index, source in enumerate(tests):
        drawn = replace(source, skeleton=skeleton.name)
        yield _accept(drawn, images, index, architecture_id(as_trained(source, images)), 1)


def _accept(
    drawn: Architecture, images: ImageSet, index: int, paired: str | None, attempts: int
) -> Drawn:
    trained, identity = as_trained(drawn, images), architecture_id(drawn)
    split = split_of(drawn.skeleton, identity)
    return Drawn(trained, architecture_id(trained), identity, index, split, paired, attempts)


def cost(drawn: Architecture, images: ImageSet) -> int:
    """Return the multiply-accumulates that count against the cap, at the sequence's resolution."""
    source = images.sequence
    reference = replace(images, resolution=source.resolution, channels=source.channels)
    return macs(walk(drawn, reference))


@lru_cache(maxsize=4)
def acceptance_rates(sequence_name: str) -> dict[str, float]:
    """Return the accepted share of the first draws of each skeleton that samples its blocks."""
    images = next(i for i in IMAGES.values() if i.sequence.name == sequence_name)
    rates = {}
    for name, skeleton in SKELETONS.items():
        if skeleton.paired_with is None:
            accepted = drawn = 0
            for entry in islice(sequence(name, images), DRAWS):
                if drawn + entry.attempts > DRAWS:
                    break
                accepted, drawn = accepted + 1, drawn + entry.attempts
            rates[name] = accepted / drawn
    return rates
