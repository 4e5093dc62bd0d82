"""An architecture as a sequence of decisions, each with the probabilities of the Markov chain.

What the chain gives no probability is no option, so decisions lead to every architecture of the
search space and to no other. The limit on cost is not part of it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, cast

from benchmark.space.architectures import Architecture, Block, Layer, LayerKind
from benchmark.space.chain import (
    BN_PROBABILITY,
    CONV_KERNELS,
    LENGTHS,
    MAX_CONVOLUTIONS,
    POOL_KERNELS,
    RATIOS,
    STATES,
    TRANSITIONS,
    round_channels,
)
from benchmark.space.imagesets import ImageSet
from benchmark.space.sampler import widths_of
from benchmark.space.skeletons import get_skeleton

Quantity = Literal[
    "skeleton", "layer", "conv_height", "conv_width", "ratio", "pool_height", "pool_width"
]
Value = str | int | float
Options = Mapping[Value, float]
STOP = "stop"  # ends a block, in place of a layer
POOLS = ("max_pool", "avg_pool")
VALUES: dict[Quantity, tuple[Value, ...]] = {  # of the decisions with one list of options
    "layer": (*STATES, "bn", STOP),
    "conv_height": CONV_KERNELS,
    "conv_width": CONV_KERNELS,
    "ratio": RATIOS,
    "pool_height": POOL_KERNELS,
    "pool_width": POOL_KERNELS,
}
_NEXT: dict[Quantity | None, Quantity] = {
    "conv_height": "conv_width",
    "conv_width": "ratio",
    "pool_height": "pool_width",
}
_KERNELS: dict[Quantity, Options] = {
    quantity: dict.fromkeys(values, 1 / len(values))
    for quantity, values in VALUES.items()
    if quantity != "layer"
}


def layer_options(layers: Sequence[Layer]) -> Options:
    """Return the chain's probabilities of the next layer of a block, and of its end.

    >>> layer_options([])
    {'conv': 1.0}
    """
    if not layers:
        return {"conv": 1.0}
    return _layer_options(len(layers), layers[-1].kind, sum(la.kind == "conv" for la in layers))


@lru_cache(maxsize=1024)  # more than there are
def _layer_options(length: int, last: LayerKind, convolutions: int) -> Options:
    # The drawn length is uniform: of those not reached yet, each is as likely as the others
    ends = 1 / (LENGTHS[-1] + 1 - length) if length >= LENGTHS[0] else 0.0
    bn = (1 - ends) * BN_PROBABILITY if last == "conv" else 0.0
    state = "conv" if last == "bn" else last
    options: dict[Value, float] = {"bn": bn, STOP: ends}
    for kind, probability in zip(STATES, TRANSITIONS[state], strict=True):
        fourth = kind == "conv" and convolutions == MAX_CONVOLUTIONS
        ended = options[STOP] if fourth else 0.0
        options[STOP if fourth else kind] = ended + (1 - ends - bn) * probability
    return {value: options[value] for value in VALUES["layer"] if options.get(value, 0.0) > 0}


class Construction:
    """An architecture of the search space that decisions complete, one by one.

    Attributes:
        quantity: What is decided next; None once the architecture is complete.
        blocks: The blocks so far.
        layers: The layers of the next block so far.
        channels: Channels of the last layer, once there is a skeleton.
    """

    def __init__(self, images: ImageSet, shares: Mapping[str, float]) -> None:
        """Begin with the choice of a skeleton.

        Args:
            images: The image set.
            shares: Probability of each skeleton.
        """
        self._images, self._shares = images, shares
        self.quantity: Quantity | None = "skeleton"
        self.blocks: list[Block] = []
        self.layers: list[Layer] = []
        self._kernel: list[int] = []

    def options(self) -> Options:
        """Return what can be decided next, with its probability under the chain."""
        assert self.quantity is not None
        if self.quantity == "skeleton":
            return {name: share for name, share in self._shares.items()}
        return layer_options(self.layers) if self.quantity == "layer" else _KERNELS[self.quantity]

    def take(self, value: Value) -> None:
        """Decide; `value` is one of the options."""
        if self.quantity == "skeleton":
            self._skeleton = get_skeleton(str(value))
            self._widths = widths_of(self._skeleton, self._images)
            self.channels, self.quantity = self._widths[0], "layer"
        elif self.quantity == "layer":
            self._take_layer(str(value))
        elif self.quantity == "ratio":
            self._add("conv", round_channels(float(value) * self.channels), float(value))
        else:
            self._kernel.append(int(value))
            if self.quantity == "pool_width":
                self._add(self._kind, self.channels)
            else:
                self.quantity = _NEXT[self.quantity]

    def architecture(self) -> Architecture:
        """Return the complete architecture, at the widths with which it is drawn."""
        return Architecture(self._skeleton.name, self._widths, tuple(self.blocks))

    def _take_layer(self, value: str) -> None:
        if value == STOP:
            per_stage = self._skeleton.blocks_per_stage
            self.blocks.append(Block(tuple(self.layers)))
            self.channels = self._widths[(len(self.blocks) - 1) // per_stage]
            self.layers = []
            complete = len(self.blocks) == per_stage * len(self._widths)
            self.quantity = None if complete else "layer"
            return
        self._kind = cast("LayerKind", value)
        if value == "conv" or value in POOLS:
            self.quantity = "conv_height" if value == "conv" else "pool_height"
        else:
            self._add(self._kind, self.channels)

    def _add(self, kind: LayerKind, channels: int, ratio: float = 1.0) -> None:
        height, width = self._kernel or (1, 1)
        self.layers.append(Layer(kind, height, width, channels, ratio))
        self.channels, self._kernel, self.quantity = channels, [], "layer"
