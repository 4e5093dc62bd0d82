"""The search space of the open track: what is in it, and what is said of the rest."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.space.architectures import Architecture, Block, Layer, LayerKind, architecture_id
from benchmark.space.chain import TRANSITIONS, sample_block
from benchmark.space.sampler import halve, sample_architecture
from benchmark.space.skeletons import get_skeleton
from harness.search.open.decisions import Construction, layer_options
from harness.search.open.space import Space, load_space

QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32 - 1)
IMAGES = st.sampled_from(["digits", "cifar10"])
SEEN = "peephole-3x2, shallow-3x1, wide-3x1"


def layer(kind: LayerKind, size: int = 1, channels: int = 8) -> Layer:
    return Layer(kind, size, size, channels)


def construct(space: Space, rng: np.random.Generator) -> Construction:
    """Return decisions that are made at random, with the probabilities of the chain."""
    made = space.begin()
    while made.quantity:
        options = made.options()
        assert sum(options.values()) == pytest.approx(1.0)
        made.take(list(options)[int(rng.choice(len(options), p=list(options.values())))])
    return made


def test_options_have_the_probabilities_of_the_chain() -> None:
    conv, bn, relu = layer("conv", 3), layer("bn"), layer("relu")
    first = layer_options([conv])  # one layer is too short, so the block goes on
    after_conv = dict(zip(TRANSITIONS, TRANSITIONS["conv"], strict=True))
    assert first == pytest.approx({"bn": 0.6} | {k: 0.4 * p for k, p in after_conv.items()})
    second = layer_options([conv, bn])  # lengths 2 to 10 are alike; the state is still conv
    by_hand = {"stop": 1 / 9} | {k: 8 / 9 * p for k, p in after_conv.items()}
    assert second == pytest.approx(by_hand)
    last = dict(zip(TRANSITIONS, TRANSITIONS["relu"], strict=True))
    fourth = layer_options([conv, conv, conv, relu])  # a fourth convolution ends the block
    by_hand = {"stop": 1 / 7 + 6 / 7 * last["conv"]}
    by_hand |= {k: 6 / 7 * p for k, p in last.items() if k not in ("conv", "relu")}
    assert fourth == pytest.approx(by_hand)
    assert layer_options([conv, relu] * 5) == {"stop": 1.0}


def test_decisions_at_random_are_draws_of_the_chain() -> None:
    space, rng = load_space("digits"), np.random.default_rng(0)
    blocks = [block for _ in range(700) for block in construct(space, rng).blocks]
    drawn = [sample_block(rng, 8) for _ in range(len(blocks))]
    for of in (lambda b: len(b.layers), lambda b: [la.kind for la in b.layers][1:4]):
        made, expected = Counter(str(of(b)) for b in blocks), Counter(str(of(b)) for b in drawn)
        common = [key for key, count in expected.items() if count > 30]
        for key in common:
            assert abs(made[key] - expected[key]) < 5 * np.sqrt(2 * expected[key]), key
        assert len(common) > 8


@QUICK
@given(seed=SEEDS, images=IMAGES, shortcuts=st.booleans())
def test_draws_and_decisions_are_in_the_space(seed: int, images: str, shortcuts: bool) -> None:
    space, rng = load_space(images, shortcuts=shortcuts), np.random.default_rng(seed)
    space.check(space.sample(rng))
    made = construct(space, rng).architecture()
    assert space.contains(made) == space.fits(made)


@QUICK
@given(seed=SEEDS)
def test_decisions_make_every_draw_of_the_chain_again(seed: int) -> None:
    space = load_space("digits")
    drawn = space.sample(np.random.default_rng(seed))
    made = space.begin()
    made.take(drawn.skeleton)
    for block in drawn.blocks:
        for part in block.layers:
            made.take(part.kind)
            if part.kind in ("conv", "max_pool", "avg_pool"):
                made.take(part.kernel_height)
                made.take(part.kernel_width)
            if part.kind == "conv":
                made.take(part.ratio)
        made.take("stop")
    assert (made.quantity, made.architecture()) == (None, drawn)


def test_shortcuts_share_the_probability_of_the_skeleton_without_them() -> None:
    assert load_space("digits").shares == {
        "peephole-3x2": 0.7,
        "shallow-3x1": 0.15,
        "wide-3x1": 0.15,
    }
    with_shortcuts = load_space("digits", shortcuts=True).shares
    assert with_shortcuts["residual-3x2"] == with_shortcuts["peephole-3x2"] == 0.35
    assert sum(with_shortcuts.values()) == pytest.approx(1.0)


def test_an_architecture_has_the_id_of_the_network_that_is_trained() -> None:
    space = load_space("cifar10")
    drawn = space.sample(np.random.default_rng(0))
    assert space.identify(drawn) == architecture_id(halve(drawn)) != architecture_id(drawn)


CONV, RELU = layer("conv", 3), layer("relu")


def shallow(*layers: Layer, skeleton: str = "shallow-3x1") -> Architecture:
    """Return an architecture of digits whose first block has the given layers."""
    blocks = [Block(layers), *(Block((CONV, replace(RELU, channels=8))) for _ in range(2))]
    return Architecture(skeleton, (8, 16, 32), tuple(blocks))


OUTSIDE = [
    (shallow(CONV, RELU, skeleton="deep-3x3"), f"`skeleton` (='deep-3x3') must be one of {SEEN}"),
    (shallow(CONV, RELU, skeleton="residual-3x2"),
     f"`skeleton` (='residual-3x2') must be one of {SEEN}"),
    (shallow(CONV, RELU, skeleton="peephole-3x2"),
     "`blocks` (=3) must be 6 blocks, those of 'peephole-3x2'"),
    (shallow(CONV, RELU, skeleton="wide-3x1"),
     "`widths` (=(8, 16, 32)) must be (16, 32, 64), those of 'wide-3x1' as drawn"),
    (shallow(CONV),
     "`blocks[0].layers[1]` (='stop') must be one of conv, max_pool, avg_pool, relu, sigmoid, "
     "tanh, bn after conv3x3:8"),
    (shallow(CONV, RELU, RELU),
     "`blocks[0].layers[2].kind` (='relu') must be one of conv, max_pool, avg_pool, sigmoid, tanh, "
     "stop after relu"),
    (shallow(CONV, RELU, layer("bn")),
     "`blocks[0].layers[2].kind` (='bn') must be one of conv, max_pool, avg_pool, sigmoid, tanh, "
     "stop after relu"),
    (shallow(*[CONV] * 4),
     "`blocks[0].layers[3].kind` (='conv') must be one of max_pool, avg_pool, relu, sigmoid, tanh, "
     "bn, stop after conv3x3:8"),
    (shallow(CONV, *[layer("max_pool", 2)] * 10),
     "`blocks[0].layers[10].kind` (='max_pool') must be one of stop after max2x2"),
    (shallow(layer("conv", 6), RELU),
     "`blocks[0].layers[0].kernel_height` (=6) must be one of 1, 2, 3, 4, 5"),
    (shallow(CONV, Layer("avg_pool", 2, 1, 8)),
     "`blocks[0].layers[1].kernel_width` (=1) must be one of 2, 3, 4, 5"),
    (shallow(layer("conv", 3, 40), layer("relu", 1, 40)),
     "`blocks[0].layers[0].channels` (=40) must be one of 8, 16, 24 after 8 channels"),
    (shallow(CONV, layer("relu", 1, 16)),
     "`blocks[0].layers[1].channels` (=16) must be 8, as before the layer"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), OUTSIDE)
def test_what_is_outside_is_told(wrong: Architecture, message: str) -> None:
    space = load_space("digits")
    assert not space.contains(wrong)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        space.check(wrong)


def test_an_architecture_that_costs_too_much_is_outside() -> None:
    space, rng = load_space("cifar10"), np.random.default_rng(0)
    skeleton = get_skeleton("peephole-3x2")
    drawn = (sample_architecture(skeleton, space.images, rng) for _ in range(100))
    wrong = next(architecture for architecture in drawn if not space.fits(architecture))
    rule = "must be at most 60,000,000 multiply-accumulates, the limit of 'peephole-3x2'"
    with pytest.raises(ValueError, match=rf"^`cost` \(=\d+\) {rule}$"):
        space.check(wrong)


def test_only_architectures_are_checked() -> None:
    message = "`architecture` (='conv') must be an `Architecture`"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        load_space("digits").check("conv")  # type: ignore[arg-type]
