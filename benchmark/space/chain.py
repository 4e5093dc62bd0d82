"""The Markov chain of the Peephole paper (arXiv:1712.03351, section 3) that samples blocks.

The paper leaves some details open. Here, a block's length is uniform on 2..10, including batch
normalisation. A block also ends when a fourth convolution is drawn. After a convolution, batch
normalisation is drawn if the block has room for it; the chain's state stays at the convolution.
Kernel height and width are drawn independently. Output channels are rounded half up to a multiple
of 8, at least 8.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar, cast

import numpy as np

from benchmark.space.architectures import Block, Layer, LayerKind

State = Literal["conv", "max_pool", "avg_pool", "relu", "sigmoid", "tanh"]
STATES: tuple[State, ...] = ("conv", "max_pool", "avg_pool", "relu", "sigmoid", "tanh")
TRANSITIONS: dict[State, tuple[float, ...]] = {  # rows: current, columns: next, as in STATES
    "conv": (0.03, 0.03, 0.03, 0.31, 0.30, 0.30),
    "max_pool": (0.60, 0.05, 0.05, 0.10, 0.10, 0.10),
    "avg_pool": (0.60, 0.05, 0.05, 0.10, 0.10, 0.10),
    "relu": (0.30, 0.30, 0.30, 0.00, 0.05, 0.05),
    "sigmoid": (0.30, 0.30, 0.30, 0.05, 0.00, 0.05),
    "tanh": (0.30, 0.30, 0.30, 0.05, 0.05, 0.00),
}
BN_PROBABILITY = 0.6
CONV_KERNELS = (1, 2, 3, 4, 5)
POOL_KERNELS = (2, 3, 4, 5)
RATIOS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
LENGTHS = (2, 3, 4, 5, 6, 7, 8, 9, 10)
MAX_CONVOLUTIONS = 3
CHANNEL_MULTIPLE = 8

DrawKind = Literal["length", "next", "bn", "conv_kernel", "pool_kernel", "ratio"]


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of the sampler.

    Attributes:
        kind: The quantity that was drawn.
        given: The current state of the chain if `kind` is `next`, otherwise empty.
        value: The outcome: a number, a state, or 1 if batch normalisation follows and 0 if not.
    """

    kind: DrawKind
    given: str
    value: float | str


Trace = list[Draw]
Number = TypeVar("Number", int, float)


def round_channels(channels: float) -> int:
    """Round half up to a multiple of 8, at least 8.

    >>> [round_channels(c) for c in (4, 11.9, 12, 20, 24)]
    [8, 8, 16, 24, 24]
    """
    multiples = int((channels + CHANNEL_MULTIPLE / 2) // CHANNEL_MULTIPLE)
    return CHANNEL_MULTIPLE * max(1, multiples)


@lru_cache(maxsize=64)
def _edges(row: tuple[float, ...]) -> list[float]:
    edges: list[float] = np.cumsum(row).tolist()
    return edges


class _Sampler:
    """Draws from one random stream and records every draw."""

    def __init__(self, rng: np.random.Generator, trace: Trace | None) -> None:
        self.rng = rng
        self.trace = trace

    def record(self, kind: DrawKind, given: str, value: float | str) -> None:
        if self.trace is not None:
            self.trace.append(Draw(kind, given, value))

    def uniform(self, kind: DrawKind, values: Sequence[Number]) -> Number:
        value = values[int(self.rng.random() * len(values))]
        self.record(kind, "", value)
        return value

    def next(self, state: State) -> State:
        edges = _edges(TRANSITIONS[state])
        index = bisect_right(edges, self.rng.random() * edges[-1])
        self.record("next", state, STATES[index])
        return STATES[index]

    def bn(self) -> bool:
        follows = bool(self.rng.random() < BN_PROBABILITY)
        self.record("bn", "", int(follows))
        return follows

    def layer(self, state: State, channels: int) -> Layer:
        """Draw a layer of this state: its kernel and, for a convolution, its channel ratio."""
        kind = cast("LayerKind", state)
        if state == "conv":
            height = self.uniform("conv_kernel", CONV_KERNELS)
            width = self.uniform("conv_kernel", CONV_KERNELS)
            ratio = self.uniform("ratio", RATIOS)
            return Layer(kind, height, width, round_channels(ratio * channels), ratio)
        if state in ("max_pool", "avg_pool"):
            height = self.uniform("pool_kernel", POOL_KERNELS)
            width = self.uniform("pool_kernel", POOL_KERNELS)
            return Layer(kind, height, width, channels)
        return Layer(kind, 1, 1, channels)


def sample_block(rng: np.random.Generator, channels: int, trace: Trace | None = None) -> Block:
    """Sample one block with the given number of input channels.

    Every draw, including that of a fourth convolution, is appended to `trace` if it is given.
    """
    sampler = _Sampler(rng, trace)
    length = sampler.uniform("length", LENGTHS)
    state: State = "conv"
    layers: list[Layer] = []
    convolutions = 0
    while True:
        layers.append(sampler.layer(state, channels))
        channels = layers[-1].channels
        if state == "conv":
            convolutions += 1
            if len(layers) < length and sampler.bn():
                layers.append(Layer("bn", 1, 1, channels))
        if len(layers) >= length:
            break
        state = sampler.next(state)
        if state == "conv" and convolutions == MAX_CONVOLUTIONS:
            break
    return Block(tuple(layers))
