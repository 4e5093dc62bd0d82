"""Search algorithms of the open track that draw architectures, or list them."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from benchmark.space.architectures import Architecture, Block, Layer, LayerKind
from benchmark.space.chain import round_channels
from benchmark.space.sampler import widths_of
from benchmark.space.skeletons import get_skeleton
from harness.search.open.session import OpenSession
from harness.search.open.space import Space


class RandomDraws:
    """Trains draws of the Markov chain."""

    def search(self, session: OpenSession, *, seed: int) -> None:
        """Search until the budget is spent."""
        rng = np.random.default_rng(seed)
        while True:
            drawn = session.sample(rng)
            if session.known(drawn) is None:
                session.train(drawn)


KERNELS, RATIOS, DEPTHS = (1, 3, 5), (0.5, 1.0, 2.0), (1, 2, 3)
ACTIVATIONS: tuple[LayerKind, ...] = ("relu", "sigmoid", "tanh")
POOLS: tuple[LayerKind | None, ...] = (None, "max_pool", "avg_pool")


def with_channels(layers: list[Layer], channels: int) -> Block:
    """Return a block of layers, whose channels follow from its input channels and their ratios."""
    found = []
    for layer in layers:
        channels = round_channels(layer.ratio * channels) if layer.kind == "conv" else channels
        found.append(replace(layer, channels=channels))
    return Block(tuple(found))


def assemble(skeleton_name: str, space: Space, blocks: list[list[Layer]]) -> Architecture:
    """Return an architecture of blocks, whose channels follow from the widths of the skeleton."""
    skeleton = get_skeleton(skeleton_name)
    widths = widths_of(skeleton, space.images)
    ends = [width for width in widths for _ in range(skeleton.blocks_per_stage)]
    inputs = [widths[0], *ends[:-1]]
    made = tuple(with_channels(*pair) for pair in zip(blocks, inputs, strict=True))
    return Architecture(skeleton_name, widths, made)


@dataclass(frozen=True, slots=True)
class GridPoint:
    """An architecture of equal blocks.

    A block has a convolution with a square kernel, batch normalisation or none, and an activation,
    all of it `depth` times with the ratio in the first; then one pooling of 2x2, or none.
    """

    skeleton: str
    kernel: int
    ratio: float
    has_bn: bool
    activation: LayerKind
    depth: int
    pool: LayerKind | None

    def architecture(self, space: Space) -> Architecture:
        """Return the architecture, whose cost may be outside the space."""
        layers = []
        for number in range(self.depth):
            ratio = 1.0 if number else self.ratio
            layers.append(Layer("conv", self.kernel, self.kernel, 1, ratio))
            layers += [Layer("bn", 1, 1, 1)] * self.has_bn
            layers.append(Layer(self.activation, 1, 1, 1))
        if self.pool is not None:
            layers.append(Layer(self.pool, 2, 2, 1))
        skeleton = get_skeleton(self.skeleton)
        blocks = len(skeleton.widths) * skeleton.blocks_per_stage
        return assemble(self.skeleton, space, [layers] * blocks)


def grid(space: Space) -> list[GridPoint]:
    """Return the points of the coarse grid: every skeleton with every value of the lists above."""
    lists = (space.shares, KERNELS, RATIOS, (False, True), ACTIVATIONS, DEPTHS, POOLS)
    return [GridPoint(*values) for values in product(*lists)]


class Grid:
    """Trains the architectures of a coarse grid in random order."""

    def search(self, session: OpenSession, *, seed: int) -> None:
        """Search until the budget is spent, or the grid is."""
        points = grid(session.space)
        for place in np.random.default_rng(seed).permutation(len(points)).tolist():
            made = points[place].architecture(session.space)
            if session.space.fits(made) and session.known(made) is None:
                session.train(made)
