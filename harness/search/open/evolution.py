"""Regularised evolution of architectures (Real et al. 2019, AAAI, arXiv:1802.01548)."""

from collections import deque
from dataclasses import replace

import numpy as np

from benchmark.space.architectures import LAYER_KINDS, Architecture, Layer, LayerKind
from benchmark.space.chain import CONV_KERNELS, POOL_KERNELS, RATIOS, sample_block
from harness.search.open.algorithms import assemble
from harness.search.open.decisions import POOLS
from harness.search.open.session import OpenSession
from harness.search.open.space import Space

MUTATIONS = ("kind", "kernel", "ratio", "insert", "remove", "resample")


class Evolution:
    """Trains mutants of the best of a few members of a population, whose oldest member dies.

    The population starts with draws of the Markov chain.
    """

    def __init__(self, *, population: int = 25, sample: int = 8) -> None:
        """Set the size of the population, and of the sample whose best member is mutated."""
        self.population, self.sample = population, sample

    def search(self, session: OpenSession, *, seed: int) -> None:
        """Search until the budget is spent."""
        rng = np.random.default_rng(seed)
        members: deque[tuple[float, Architecture]] = deque(maxlen=self.population)
        while True:
            if len(members) < self.population:
                child = session.sample(rng)
            else:
                drawn = rng.choice(len(members), size=min(self.sample, len(members)), replace=False)
                best = max((members[int(i)] for i in drawn), key=lambda member: member[0])
                child = mutate(best[1], session.space, rng)
            if session.known(child) is None:
                members.append((session.train(child), child))


def mutate(parent: Architecture, space: Space, rng: np.random.Generator) -> Architecture:
    """Return an architecture of the space that differs from its parent in one block.

    A random layer of a random block gets another kind, kernel or ratio, is removed, or gets another
    layer after it; or the block is drawn again. What is outside the space is tried again.
    """
    while True:
        blocks = [list(block.layers) for block in parent.blocks]
        place = int(rng.integers(len(blocks)))
        blocks[place] = _mutate_block(blocks[place], rng)
        if blocks[place] and blocks[place][0].kind == "conv":
            child = assemble(parent.skeleton, space, blocks)
            if child != parent and space.contains(child):
                return child


def _mutate_block(layers: list[Layer], rng: np.random.Generator) -> list[Layer]:
    """Return the layers of a mutated block, which may be outside the space."""
    mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    if mutation == "resample":
        return list(sample_block(rng, 1).layers)  # `assemble` gives it its channels
    place = int(rng.integers(len(layers)))
    before, old, after = layers[:place], layers[place], layers[place + 1 :]
    if mutation == "remove":
        return [*before, *after]
    if mutation in ("kind", "insert"):
        new = _random_layer(LAYER_KINDS[int(rng.integers(len(LAYER_KINDS)))], rng)
        return [*before, *([old] if mutation == "insert" else []), new, *after]
    new = _random_layer(old.kind, rng)
    changed = (
        replace(old, ratio=new.ratio) if mutation == "ratio" else replace(new, ratio=old.ratio)
    )
    return [*before, changed, *after]


def _random_layer(kind: LayerKind, rng: np.random.Generator) -> Layer:
    """Return a layer of a kind with a random kernel and ratio, if it has one."""
    if kind == "conv":
        height, width = rng.choice(CONV_KERNELS, size=2).tolist()
        return Layer(kind, height, width, 1, RATIOS[int(rng.integers(len(RATIOS)))])
    height, width = rng.choice(POOL_KERNELS, size=2).tolist() if kind in POOLS else (1, 1)
    return Layer(kind, height, width, 1)
