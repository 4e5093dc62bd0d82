"""The sampler of blocks against the specification, which is written out here a second time."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, pairwise

import numpy as np
import pytest
from scipy import stats

from benchmark.space import chain
from benchmark.space.architectures import Block
from benchmark.space.chain import Draw, Trace, round_channels, sample_block
from benchmark.space.imagesets import get_images
from benchmark.space.sampler import sequence
from benchmark.util.rng import generator_for

BLOCKS = 30_000
DEALS = 12_000
REJECT = 1e-3  # no check of a fixed stream may have a p-value below; perturbed tables must
KINDS = ("conv", "max_pool", "avg_pool", "relu", "sigmoid", "tanh")
PER_CENT = {  # the published table
    "conv": (3, 3, 3, 31, 30, 30),
    "max_pool": (60, 5, 5, 10, 10, 10),
    "avg_pool": (60, 5, 5, 10, 10, 10),
    "relu": (30, 30, 30, 0, 5, 5),
    "sigmoid": (30, 30, 30, 5, 0, 5),
    "tanh": (30, 30, 30, 5, 5, 0),
}
UNIFORM: dict[str, tuple[float, ...]] = {
    "length": (2, 3, 4, 5, 6, 7, 8, 9, 10),
    "conv_kernel": (1, 2, 3, 4, 5),
    "pool_kernel": (2, 3, 4, 5),
    "ratio": (0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3),
}


@pytest.fixture(scope="module")
def trace() -> Trace:
    """Return the draws of the dataset's own stream, rejected architectures included."""
    draws: Trace = []
    for _ in islice(sequence("peephole-3x2", get_images("cifar10"), trace=draws), 1_500):
        pass
    return draws


@pytest.fixture(scope="module")
def dealt() -> list[list[str]]:
    rng = np.random.default_rng(1712_03351)
    return [deal(rng) for _ in range(DEALS)]


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return sample_blocks()


def sample_blocks(draws: Trace | None = None, count: int = BLOCKS) -> list[Block]:
    rng = generator_for("tests", "chain")
    return [sample_block(rng, 16, draws) for _ in range(count)]


def fit(values: Iterable[object], shares: dict[object, float]) -> float:
    """Return the p-value of counts under given shares; 0 where the impossible happened."""
    counts = Counter(values)
    if any(shares.get(value, 0) == 0 for value in counts):
        return 0.0
    possible = [value for value, share in shares.items() if share > 0]
    total = sum(counts.values())
    expected = [total * shares[value] for value in possible]
    return float(stats.chisquare([counts[value] for value in possible], expected).pvalue)


def table_row(now: str) -> dict[object, float]:
    return {kind: per_cent / 100 for kind, per_cent in zip(KINDS, PER_CENT[now], strict=True)}


def successors(draws: Trace, now: str) -> list[object]:
    return [draw.value for draw in draws if draw.kind == "next" and draw.given == now]


def test_the_trace_has_the_draws_of_ten_thousand_blocks(trace: Trace) -> None:
    assert sum(draw.kind == "length" for draw in trace) >= 10_000


@pytest.mark.parametrize("now", KINDS)
def test_drawn_transitions_follow_the_table(trace: Trace, now: str) -> None:
    assert len(successors(trace, now)) > 4_000
    assert fit(successors(trace, now), table_row(now)) > REJECT


@pytest.mark.parametrize("now", ["relu", "sigmoid", "tanh"])
def test_an_activation_is_never_drawn_after_itself(trace: Trace, now: str) -> None:
    assert now not in successors(trace, now)


def test_batch_normalisation_is_drawn_at_its_rate(trace: Trace) -> None:
    values = [draw.value for draw in trace if draw.kind == "bn"]
    assert fit(values, {1: 0.6, 0: 0.4}) > REJECT


@pytest.mark.parametrize("kind", UNIFORM)
def test_lengths_kernels_and_ratios_are_uniform(trace: Trace, kind: str) -> None:
    values = [draw.value for draw in trace if draw.kind == kind]
    assert fit(values, {value: 1 / len(UNIFORM[kind]) for value in UNIFORM[kind]}) > REJECT


@pytest.mark.parametrize("now", KINDS)
def test_a_table_with_five_points_moved_is_rejected(
    monkeypatch: pytest.MonkeyPatch, now: str
) -> None:
    row = list(PER_CENT[now])
    row[row.index(max(row))] -= 5
    row[row.index(min(row))] += 5
    moved = tuple(per_cent / 100 for per_cent in row)
    monkeypatch.setitem(chain.TRANSITIONS, now, moved)  # type: ignore[misc]
    draws: Trace = []
    sample_blocks(draws, count=4_000)
    assert fit(successors(draws, now), table_row(now)) < REJECT


def test_another_rate_of_batch_normalisation_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "BN_PROBABILITY", 0.55)
    draws: Trace = []
    sample_blocks(draws, count=4_000)
    assert fit([d.value for d in draws if d.kind == "bn"], {1: 0.6, 0: 0.4}) < REJECT


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("LENGTHS", "length", (2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
        ("LENGTHS", "length", (2, 3, 4, 5, 6, 7, 8, 9)),
        ("POOL_KERNELS", "pool_kernel", (1, 2, 3, 4, 5)),
        ("CONV_KERNELS", "conv_kernel", (1, 3, 5)),
        ("RATIOS", "ratio", (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0)),
    ],
)
def test_other_lengths_kernels_and_ratios_are_rejected(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: str, values: tuple[float, ...]
) -> None:
    monkeypatch.setattr(chain, name, values)
    draws: Trace = []
    sample_blocks(draws, count=2_000)
    drawn = [draw.value for draw in draws if draw.kind == kind]
    assert fit(drawn, {value: 1 / len(UNIFORM[kind]) for value in UNIFORM[kind]}) < REJECT


def test_kernel_heights_widths_and_ratios_are_independent(blocks: list[Block]) -> None:
    first = [block.layers[0] for block in blocks]
    heights: list[float] = [layer.kernel_height for layer in first]
    widths: list[float] = [layer.kernel_width for layer in first]
    ratios = [layer.ratio for layer in first]
    for one, other in [(heights, widths), (heights, ratios), (widths, ratios)]:
        cells = Counter(zip(one, other, strict=True))
        table = [[cells[x, y] for y in sorted(set(other))] for x in sorted(set(one))]
        assert stats.chi2_contingency(table).pvalue > REJECT


# An independent simulation: decks of a hundred cards instead of sums of probabilities.

DECKS = {
    now: [kind for kind, cards in zip(KINDS, row, strict=True) for _ in range(cards)]
    for now, row in PER_CENT.items()
}


def deal(rng: np.random.Generator, *, bn_cards: int = 60, ends_at_fourth: bool = True) -> list[str]:
    """Deal the kinds of one block; a fourth convolution ends it, or is dealt again."""
    room = int(rng.integers(2, 11))
    words: list[str] = []
    now = card = "conv"
    while room:
        if card == "conv" and words.count("conv") == 3:
            if ends_at_fourth:
                return words
        else:
            words.append(card)
            now, room = card, room - 1
            if card == "conv" and room and rng.integers(100) < bn_cards:
                words.append("bn")
                room -= 1
        card = DECKS[now][rng.integers(100)]
    return words


def kinds(block: Block) -> list[str]:
    return [layer.kind for layer in block.layers]


SUMMARIES: dict[str, Callable[[list[str]], object]] = {
    "length": len,
    "opening": lambda words: tuple(words[:3]),
    "ending": lambda words: tuple(words[-2:]),
    "conv": lambda words: words.count("conv"),
    "bn": lambda words: words.count("bn"),
    "max_pool": lambda words: words.count("max_pool"),
    "avg_pool": lambda words: words.count("avg_pool"),
    "relu": lambda words: words.count("relu"),
    "sigmoid": lambda words: words.count("sigmoid"),
    "tanh": lambda words: words.count("tanh"),
}


def same(one: Sequence[object], other: Sequence[object]) -> float:
    """Return the p-value that two samples have one distribution; rare values are pooled."""
    counts, others = Counter(one), Counter(other)
    common = [value for value in counts | others if counts[value] + others[value] >= 40]
    table = [[sample[value] for value in common] for sample in (counts, others)]
    rest = [len(one) - sum(table[0]), len(other) - sum(table[1])]
    if sum(rest) >= 40:
        table = [[*row, extra] for row, extra in zip(table, rest, strict=True)]
    return float(stats.chi2_contingency(table).pvalue)


@pytest.mark.parametrize("summary", SUMMARIES)
def test_finished_blocks_agree_with_an_independent_simulation(
    blocks: list[Block], dealt: list[list[str]], summary: str
) -> None:
    summarise = SUMMARIES[summary]
    sampled = [summarise(kinds(block)) for block in blocks]
    assert same(sampled, [summarise(words) for words in dealt]) > REJECT


def test_a_simulation_with_less_batch_normalisation_disagrees(blocks: list[Block]) -> None:
    rng = np.random.default_rng(1712_03351)
    fewer = [deal(rng, bn_cards=55).count("bn") for _ in range(DEALS)]
    assert same([kinds(block).count("bn") for block in blocks], fewer) < REJECT


def test_a_simulation_that_deals_again_after_a_fourth_convolution_disagrees(
    blocks: list[Block],
) -> None:
    rng = np.random.default_rng(1712_03351)
    longer = [len(deal(rng, ends_at_fourth=False)) for _ in range(DEALS)]
    assert same([len(block.layers) for block in blocks], longer) < REJECT


def test_finished_blocks_alone_do_not_show_the_published_transitions(
    blocks: list[Block], trace: Trace
) -> None:
    """Counter-example: counting transitions on finished blocks, as a reader of the data would.

    A fourth convolution ends a block without being in it, so convolutions look rarer than .30
    after an activation and .60 after a pool; the draws themselves show both.
    """
    finished = [
        pair
        for block in blocks
        for pair in pairwise([word for word in kinds(block) if word != "bn"])
    ]
    drawn = [(draw.given, str(draw.value)) for draw in trace if draw.kind == "next"]
    assert too_few_convolutions(finished) > 4
    assert abs(too_few_convolutions(drawn)) < 3


def too_few_convolutions(pairs: Sequence[tuple[str, str]]) -> float:
    """Return by how many standard deviations convolutions miss their published share."""
    surplus = variance = 0.0
    for now, after in pairs:
        share = PER_CENT[now][0] / 100
        surplus += (after == "conv") - share
        variance += share * (1 - share)
    return float(-surplus / np.sqrt(variance))


def test_finished_blocks_alone_do_not_show_the_rate_of_batch_normalisation(
    blocks: list[Block],
) -> None:
    """Counter-example: a convolution that fills its block has no room for one."""
    words = [word for block in blocks for word in kinds(block)]
    assert words.count("bn") / words.count("conv") < 0.58


def test_every_block_keeps_the_published_limits(blocks: list[Block]) -> None:
    for block in blocks:
        words = kinds(block)
        assert 2 <= len(words) <= 10
        assert words[0] == "conv"
        assert words.count("conv") <= 3
        assert all(before == "conv" for before, after in pairwise(words) if after == "bn")


def test_kernels_and_channels_are_in_range(blocks: list[Block]) -> None:
    limits = {"conv": (1, 5), "max_pool": (2, 5), "avg_pool": (2, 5)}
    for layer in (layer for block in blocks for layer in block.layers):
        low, high = limits.get(layer.kind, (1, 1))
        assert low <= layer.kernel_height <= high
        assert low <= layer.kernel_width <= high
        assert layer.channels % 8 == 0
        assert layer.channels >= 8


def test_only_convolutions_change_channels_by_the_drawn_ratio(blocks: list[Block]) -> None:
    for block in blocks:
        channels = 16
        for layer in block.layers:
            exact = layer.ratio * channels
            if layer.kind == "conv":
                assert layer.channels == max(8, int(np.floor(exact / 8 + 0.5)) * 8)
            else:
                assert (layer.ratio, layer.channels) == (1, channels)
            channels = layer.channels


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(2, 8), (8, 8), (11.9, 8), (12, 16), (16, 16), (20, 24), (27.9, 24), (28, 32), (192, 192)],
)
def test_channels_round_half_up_to_a_multiple_of_eight(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded


def replay(draws: Sequence[Draw]) -> tuple[list[str], int, bool]:
    """Return the kinds that a block's draws tell, its drawn length and whether it was cut."""
    words, length = ["conv"], int(draws[0].value)
    for draw in draws[1:]:
        if draw.kind == "bn" and draw.value == 1:
            words.append("bn")
        if draw.kind == "next" and draw.value == "conv" and words.count("conv") == 3:
            return words, length, True
        if draw.kind == "next":
            words.append(str(draw.value))
    return words, length, False


def test_the_trace_tells_every_block_and_where_it_was_cut() -> None:
    cuts = 0
    for seed in range(500):
        draws: Trace = []
        block = sample_block(generator_for("tests", seed), 16, draws)
        words, length, cut = replay(draws)
        assert words == kinds(block)
        assert len(words) < length if cut else len(words) == length
        cuts += cut
    assert cuts > 10


def test_keeping_a_trace_changes_no_draw() -> None:
    assert sample_blocks([], count=200) == sample_blocks(None, count=200)
