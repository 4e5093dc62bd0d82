"""The sequences of architectures that every dataset of this benchmark walks."""

import hashlib
import re
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import numpy as np
import pytest

from benchmark.space import sampler as module
from benchmark.space.architectures import Architecture, Block, Layer, architecture_id
from benchmark.space.chain import Trace
from benchmark.space.imagesets import IMAGES, ImageSet, get_images
from benchmark.space.sampler import Drawn, cost, halve, sample_architecture, sequence, widths_of
from benchmark.space.skeletons import SKELETONS, Skeleton, get_skeleton
from benchmark.space.splits import split_of
from benchmark.util.rng import generator_for

CIFAR10, MNIST, DIGITS = map(get_images, ("cifar10", "mnist", "digits"))
FULL = get_images("cifar10-full")
SAMPLED = [name for name, skeleton in SKELETONS.items() if skeleton.paired_with is None]
PAIRED = [name for name in SKELETONS if name not in SAMPLED]
FRAMES = {  # widths, blocks in a stage, down-sampling, residual, novelty
    "peephole-3x2": ((16, 32, 64), 2, "max_pool", False, None),
    "shallow-3x1": ((16, 32, 64), 1, "max_pool", False, None),
    "wide-3x1": ((32, 64, 128), 1, "max_pool", False, None),
    "deep-3x3": ((16, 32, 64), 3, "max_pool", False, "extrapolates"),
    "stages-4x1": ((16, 32, 64, 128), 1, "max_pool", False, "extrapolates"),
    "strided-3x2": ((16, 32, 64), 2, "strided", False, "unseen feature"),
    "residual-3x2": ((16, 32, 64), 2, "max_pool", True, "unseen feature"),
}
PAIRS = 60  # held-out networks of each skeleton in the largest dataset

GOLDEN = {  # first architecture, start of the SHA-256 of the first 60
    ("32x32-v2", "peephole-3x2"): ("33e3d67d06cbe14d", "28c6e076ec6a84e6"),
    ("32x32-v2", "shallow-3x1"): ("d608b6a20d5264c5", "346818abeeb33968"),
    ("32x32-v2", "wide-3x1"): ("55cb376b38138efe", "807250a8111d4cf7"),
    ("32x32-v2", "deep-3x3"): ("e631a6d4761f17b9", "b3b5a36561239e47"),
    ("32x32-v2", "stages-4x1"): ("045dfbd96a5fcf1f", "3f24f7a7a549d1e0"),
    ("32x32-v2", "strided-3x2"): ("000ba1153fdb46bc", "bab0fd5f7e5d26a5"),
    ("32x32-v2", "residual-3x2"): ("8259c11010e663c7", "bb0de3be0a5cc3f1"),
    ("8x8", "peephole-3x2"): ("2cfd560fef142f70", "cb3245ba147ee424"),
    ("8x8", "shallow-3x1"): ("ec39ad30bb6e39ea", "328726fc4725b425"),
    ("8x8", "wide-3x1"): ("d2b0c66f68e07ca1", "77e3e34cf344e250"),
    ("8x8", "deep-3x3"): ("e2a8447f225fb6b6", "4ddf0ae1997ea3dc"),
    ("8x8", "stages-4x1"): ("d63080960043d8e3", "95ef5a5b6b7812be"),
    ("8x8", "strided-3x2"): ("68f76df22aa7debd", "375d15bc7eed1a5b"),
    ("8x8", "residual-3x2"): ("1d148fcde9ecd956", "c22d5214581ea89d"),
}


def first(skeleton: str, images: ImageSet, count: int) -> list[Drawn]:
    return list(islice(sequence(skeleton, images), count))


def ids(drawn: list[Drawn]) -> list[str]:
    return [one.architecture_id for one in drawn]


@pytest.mark.parametrize("skeleton", SKELETONS)
@pytest.mark.parametrize("images", [CIFAR10, DIGITS], ids=["32x32-v2", "8x8"])
def test_the_published_sequences_do_not_change(skeleton: str, images: ImageSet) -> None:
    """Golden: numpy's stream, the chain, the cap and the identity all show here."""
    drawn = ids(first(skeleton, images, 60))
    digest = hashlib.sha256("\n".join(drawn).encode()).hexdigest()[:16]
    assert (drawn[0], digest) == GOLDEN.get((images.sequence.name, skeleton))


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_cifar10_and_mnist_share_their_architectures(skeleton: str) -> None:
    assert first(skeleton, CIFAR10, 60) == first(skeleton, MNIST, 60)


@pytest.mark.parametrize("skeleton", SKELETONS)
@pytest.mark.parametrize("images", [CIFAR10, DIGITS], ids=["32x32-v2", "8x8"])
def test_every_network_fits_its_skeleton_and_its_cap(skeleton: str, images: ImageSet) -> None:
    frame = SKELETONS[skeleton]
    for one in first(skeleton, images, 60):
        assert one.architecture.skeleton == skeleton
        assert one.architecture.widths == tuple(width // 2 for width in frame.widths)
        assert len(one.architecture.blocks) == len(frame.widths) * frame.blocks_per_stage
        assert architecture_id(one.architecture) == one.architecture_id
        assert split_of(skeleton, one.drawn_architecture_id) == one.split


@pytest.mark.parametrize("skeleton", SKELETONS)
@pytest.mark.parametrize("images", [FULL, DIGITS], ids=["32x32-v2", "8x8"])
def test_every_network_costs_at_most_its_cap_as_drawn(skeleton: str, images: ImageSet) -> None:
    most = images.sequence.cap(SKELETONS[skeleton])
    costs = [cost(one.architecture, images) for one in first(skeleton, images, 60)]
    assert max(costs) <= most
    assert images is DIGITS or max(costs) > 0.2 * most


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_both_tiers_train_the_same_draws(skeleton: str) -> None:
    for half, full in zip(first(skeleton, CIFAR10, 60), first(skeleton, FULL, 60), strict=True):
        assert half.architecture == halve(full.architecture)
        assert half.architecture_id == architecture_id(half.architecture)
        assert half.drawn_architecture_id == full.drawn_architecture_id == full.architecture_id
        assert (half.split, half.draw_index) == (full.split, full.draw_index)


@pytest.mark.parametrize(("drawn", "half"), [(8, 8), (16, 8), (24, 16), (40, 24), (64, 32)])
def test_channels_are_halved_to_the_nearest_multiple_of_8_half_up(drawn: int, half: int) -> None:
    block = Block((Layer("conv", 3, 5, drawn, ratio=0.5), Layer("relu", 1, 1, drawn)))
    found = halve(Architecture("shallow-3x1", (16, 32, 64), (block,) * 3))
    assert found.widths == (8, 16, 32)
    assert found.blocks[0].layers == (
        Layer("conv", 3, 5, half, ratio=0.5),
        Layer("relu", 1, 1, half),
    )


@pytest.mark.parametrize("images", [CIFAR10, FULL], ids=["half", "full"])
def test_a_draw_whose_half_is_taken_is_skipped_in_both_tiers(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: half of 24 channels is 12, rounded up to 16, as half of 32 is."""
    monkeypatch.setattr(module, "sample_architecture", one_by_one(24, 32, 16))
    drawn = first("shallow-3x1", images, 2)
    given = [24, 16] if images is FULL else [16, 8]
    assert [one.architecture.blocks[0].layers[0].channels for one in drawn] == given
    assert [(one.draw_index, one.attempts) for one in drawn] == [(0, 1), (1, 2)]


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_draw_indices_count_the_accepted_architectures(skeleton: str) -> None:
    assert [one.draw_index for one in first(skeleton, CIFAR10, 60)] == list(range(60))


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_no_architecture_comes_twice(skeleton: str) -> None:
    assert len(set(ids(first(skeleton, CIFAR10, 60)))) == 60


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_a_longer_walk_starts_with_the_shorter_one(skeleton: str) -> None:
    assert first(skeleton, DIGITS, 30)[:7] == first(skeleton, DIGITS, 7)


def test_walks_that_take_turns_do_not_disturb_each_other() -> None:
    walks: dict[str, Iterator[Drawn]] = {name: sequence(name, CIFAR10) for name in SKELETONS}
    turns = [{name: next(walk) for name, walk in walks.items()} for _ in range(10)]
    for name in SKELETONS:
        assert [turn[name] for turn in turns] == first(name, CIFAR10, 10)


def test_every_skeleton_image_sequence_and_purpose_has_a_stream_of_its_own() -> None:
    draws: list[Trace] = []
    for images in (CIFAR10, DIGITS):
        for purpose in ("dataset", "pilot"):
            for name in SAMPLED:
                draws.append([])
                next(sequence(name, images, purpose=purpose, trace=draws[-1]))
    assert len({tuple(trace[:20]) for trace in draws}) == len(draws) >= 20


def test_the_pilot_draws_no_network_of_the_dataset() -> None:
    pilot = islice(sequence("peephole-3x2", CIFAR10, purpose="pilot"), 24)
    dataset = ids(first("peephole-3x2", CIFAR10, 1_000))
    assert not {one.architecture_id for one in pilot} & set(dataset)


@pytest.mark.parametrize("images", [CIFAR10, DIGITS], ids=["32x32-v2", "8x8"])
def test_paired_skeletons_take_the_blocks_of_the_first_test_networks(images: ImageSet) -> None:
    lenders = [one for one in first("peephole-3x2", images, 400) if one.split == "test"][:PAIRS]
    assert len(lenders) == PAIRS
    for name in PAIRED:
        borrowers = first(name, images, PAIRS)
        assert [one.paired_architecture_id for one in borrowers] == ids(lenders)
        assert [one.architecture.blocks for one in borrowers] == [
            one.architecture.blocks for one in lenders
        ]
        assert not set(ids(borrowers)) & set(ids(lenders))


def test_the_paired_skeletons_are_the_strided_and_the_residual_one() -> None:
    assert PAIRED == ["strided-3x2", "residual-3x2"]


@pytest.mark.parametrize("skeleton", SAMPLED)
def test_sampled_skeletons_are_paired_with_nothing(skeleton: str) -> None:
    assert {one.paired_architecture_id for one in first(skeleton, CIFAR10, 10)} == {None}


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_digits_halves_every_width(skeleton: str) -> None:
    wide, narrow = first(skeleton, FULL, 1)[0], first(skeleton, DIGITS, 1)[0]
    assert [2 * width for width in narrow.architecture.widths] == [*wide.architecture.widths]
    assert wide.architecture.widths == SKELETONS[skeleton].widths


def test_blocks_take_the_channels_of_the_stage_before(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    def note(rng: np.random.Generator, channels: int, trace: Trace | None) -> Block:
        given.append(channels)
        return Block((Layer("conv", 1, 1, channels),))

    monkeypatch.setattr(module, "sample_block", note)
    sample_architecture(get_skeleton("peephole-3x2"), CIFAR10, generator_for("tests"))
    assert given == [16, 16, 16, 32, 32, 64]  # as the paper's 16-16 16-16 16-32 32-32 32-64 64-64


def test_the_trace_holds_rejected_architectures_too() -> None:
    trace: Trace = []
    drawn = list(islice(sequence("wide-3x1", CIFAR10, trace=trace), 50))
    attempts = sum(one.attempts for one in drawn)
    assert attempts > 50
    assert sum(draw.kind == "length" for draw in trace) == 3 * attempts
    assert drawn == first("wide-3x1", CIFAR10, 50)


def one_by_one(*channels: int) -> Callable[..., Architecture]:
    """Return a sampler whose networks differ in the channels of their first 5x5 convolution."""
    queue = iter(channels)

    def sample(skeleton: Skeleton, images: ImageSet, *_: object) -> Architecture:
        conv = Layer("conv", 5, 5, next(queue))
        blocks = (Block((conv,)), *[Block((Layer("conv", 1, 1, 8),))] * 2)
        return Architecture(skeleton.name, widths_of(skeleton, images), blocks)

    return sample


def test_duplicates_are_dropped_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sample_architecture", one_by_one(8, 16, 8, 16, 24))
    drawn = first("shallow-3x1", DIGITS, 3)
    assert [one.architecture.blocks[0].layers[0].channels for one in drawn] == [8, 16, 24]
    assert [(one.draw_index, one.attempts) for one in drawn] == [(0, 1), (1, 1), (2, 3)]


def test_networks_above_the_cap_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: 25 x 16 x 32 x 32 = 409,600 a channel, and 16 x 32 x 32 for its match layer.

    The rest is 442,368 (stem) + 32,768 + 65,536 + 16,384 + 32,768 + 640 = 590,464, so 139 channels
    cost 59,802,240 and 140 cost 60,228,224.
    """
    monkeypatch.setattr(module, "sample_architecture", one_by_one(140, 1_000, 139))
    (one,) = first("shallow-3x1", FULL, 1)
    assert one.architecture.blocks[0].layers[0].channels == 139
    assert cost(one.architecture, FULL) == 59_802_240
    assert (one.draw_index, one.attempts) == (0, 3)


def test_cost_is_counted_at_32_pixels_and_3_channels_for_mnist_too() -> None:
    (one,) = first("peephole-3x2", MNIST, 1)
    assert cost(one.architecture, MNIST) == cost(one.architecture, CIFAR10)


def test_an_unknown_skeleton_is_refused_with_the_nearest_name() -> None:
    known = ", ".join(SKELETONS)
    message = f"unknown skeleton 'peephole'; did you mean 'peephole-3x2'? Known: {known}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        next(sequence("peephole", CIFAR10))


def test_unknown_images_are_refused_with_the_known_names() -> None:
    message = f"unknown images 'imagenet'. Known: {', '.join(IMAGES)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        get_images("imagenet")


@pytest.mark.parametrize(("share", "novelty"), [(0.5, "extrapolates"), (0.0, None)])
def test_a_skeleton_is_either_seen_or_held_out(share: float, novelty: None) -> None:
    message = "skeleton 'both' must have either a share or a novelty"
    with pytest.raises(ValueError, match=f"^{message}$"):
        Skeleton("both", (16,), 1, share=share, novelty=novelty)


@pytest.mark.parametrize(
    ("images", "most", "deep"),
    [(CIFAR10, 60_000_000, 100_000_000), (DIGITS, 100_000_000, 160_000_000)],
    ids=["32x32-v2", "8x8"],
)
def test_the_deep_skeleton_has_the_higher_cap(images: ImageSet, most: int, deep: int) -> None:
    caps = {name: images.sequence.cap(skeleton) for name, skeleton in SKELETONS.items()}
    assert caps.pop("deep-3x3") == deep
    assert set(caps.values()) == {most}


@pytest.mark.parametrize("skeleton", FRAMES)
def test_the_published_frames_do_not_change(skeleton: str) -> None:
    frame = SKELETONS[skeleton]
    found = (frame.widths, frame.blocks_per_stage, frame.downsampling, frame.residual)
    assert (*found, frame.novelty) == FRAMES[skeleton]


def test_the_seen_skeletons_share_every_split() -> None:
    shares = {name: one.share for name, one in SKELETONS.items() if not one.held_out}
    assert shares == {"peephole-3x2": 0.70, "shallow-3x1": 0.15, "wide-3x1": 0.15}


def test_acceptance_falls_only_through_the_cap_and_duplicates() -> None:
    drawn = first("peephole-3x2", DIGITS, 60)
    assert [one.attempts for one in drawn] == [1] * 60
    assert [after.draw_index - before.draw_index for before, after in pairwise(drawn)] == [1] * 59
