"""The search space of the open track: what the Markov chain can draw in a seen skeleton.

Architectures are those that are drawn, before an image set halves their widths.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.space.architectures import Architecture, Layer, architecture_id
from benchmark.space.chain import RATIOS, round_channels
from benchmark.space.imagesets import ImageSet, get_images
from benchmark.space.layer_walk import layer_word
from benchmark.space.sampler import as_trained, cost, sample_architecture, widths_of
from benchmark.space.skeletons import SKELETONS, get_skeleton
from benchmark.util.strict_json import refuse
from benchmark.util.unknown_name import check_type
from harness.search.open.decisions import POOLS, STOP, Construction, Value


@dataclass(frozen=True, slots=True)
class Space:
    """The architectures that a search can train.

    Attributes:
        images: The image set.
        shares: Probability of each skeleton.
    """

    images: ImageSet
    shares: Mapping[str, float]

    def begin(self) -> Construction:
        """Return an architecture that decisions complete; see `fits` for its cost."""
        return Construction(self.images, self.shares)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Return a draw of the chain that is within the limit on cost."""
        names = list(self.shares)
        while True:
            name = names[int(rng.choice(len(names), p=list(self.shares.values())))]
            drawn = sample_architecture(get_skeleton(name), self.images, rng)
            if self.fits(drawn):
                return drawn

    def identify(self, architecture: Architecture) -> str:
        """Return the id of the network that is trained."""
        return architecture_id(as_trained(architecture, self.images))

    def fits(self, architecture: Architecture) -> bool:
        """Return whether an architecture is within the limit on multiply-accumulates."""
        limit = self.images.sequence.cap(get_skeleton(architecture.skeleton))
        return cost(architecture, self.images) <= limit

    def contains(self, architecture: Architecture) -> bool:
        """Return whether an architecture is in the space."""
        try:
            self.check(architecture)
        except ValueError:
            return False
        return True

    def check(self, architecture: Architecture) -> None:
        """Check that an architecture is in the space.

        Raises:
            TypeError: If it is no `Architecture`.
            ValueError: If it is outside; the message has the place and the rule.
        """
        check_type("architecture", architecture, Architecture, "an `Architecture`")
        name = architecture.skeleton
        if name not in self.shares:
            refuse("skeleton", name, f"one of {', '.join(self.shares)}")
        skeleton = get_skeleton(name)
        widths = widths_of(skeleton, self.images)
        if architecture.widths != widths:
            refuse("widths", architecture.widths, f"{widths}, those of {name!r} as drawn")
        blocks = skeleton.blocks_per_stage * len(widths)
        if len(architecture.blocks) != blocks:
            refuse("blocks", len(architecture.blocks), f"{blocks} blocks, those of {name!r}")
        replay = self.begin()
        replay.take(name)
        for where, value in _decisions(architecture, replay):
            options = replay.options()
            if value not in options:
                rule = f"one of {', '.join(map(str, options))}"
                before = f" after {layer_word(replay.layers[-1])}" if replay.layers else ""
                refuse(where, value, rule + before * (replay.quantity == "layer"))
            replay.take(value)
        if not self.fits(architecture):
            limit = self.images.sequence.cap(skeleton)
            rule = f"at most {limit:,} multiply-accumulates, the limit of {name!r}"
            refuse("cost", cost(architecture, self.images), rule)


def _decisions(architecture: Architecture, replay: Construction) -> Iterator[tuple[str, Value]]:
    """Yield where each decision of the blocks stands in an architecture, and its value."""
    for place, block in enumerate(architecture.blocks):
        for number, layer in enumerate(block.layers):
            where = f"blocks[{place}].layers[{number}]"
            yield f"{where}.kind", layer.kind
            if layer.kind == "conv" or layer.kind in POOLS:
                yield f"{where}.kernel_height", layer.kernel_height
                yield f"{where}.kernel_width", layer.kernel_width
            if layer.kind == "conv":
                yield f"{where}.channels", _ratio(layer, replay.channels, where)
            elif layer.channels != replay.channels:
                rule = f"{replay.channels}, as before the layer"
                refuse(f"{where}.channels", layer.channels, rule)
        yield f"blocks[{place}].layers[{len(block.layers)}]", STOP


def _ratio(layer: Layer, channels: int, where: str) -> float:
    """Return a ratio of the chain that gives the channels of a convolution."""
    widths = {round_channels(ratio * channels): ratio for ratio in RATIOS}
    if layer.channels not in widths:
        rule = f"one of {', '.join(map(str, widths))} after {channels} channels"
        refuse(f"{where}.channels", layer.channels, rule)
    return widths[layer.channels]


def seen_shares() -> dict[str, float]:
    """Return the probability of each seen skeleton."""
    return {name: s.share for name, s in SKELETONS.items() if not s.held_out}


def load_space(images: str, *, shortcuts: bool = False) -> Space:
    """Return the space of an image set.

    Args:
        images: Name of the image set.
        shortcuts: Whether a skeleton that differs from a seen one by shortcuts around its blocks
            alone is in the space, too; the two then share the probability.

    Raises:
        ValueError: If the image set is unknown.
    """
    shares = seen_shares()
    for name, skeleton in SKELETONS.items() if shortcuts else ():
        if skeleton.residual and skeleton.paired_with in shares:
            shares[name] = shares[skeleton.paired_with] = shares[skeleton.paired_with] / 2
    return Space(get_images(images), shares)
