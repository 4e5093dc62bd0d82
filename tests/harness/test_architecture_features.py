import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmark.space.architectures import Architecture, Block, Layer
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, macs, parameters, walk
from benchmark.space.sampler import sequence
from harness.features.architecture import (
    ARCHITECTURE_FEATURES,
    COUNT_FEATURES,
    RATIO_BINS,
    ROW_FEATURES,
    architecture_features,
    count_features,
    depth,
    expressible,
    ratio_bin,
    row_features,
    ulc,
)
from harness.features.logits import from_logits, to_logits

DIGITS = get_images("digits")
# Three stages of 8, 16 and 32 channels, one block each; 8/12 is a rounded ratio no chain draws.
SMALL = Architecture(
    "shallow-3x1",
    (8, 16, 32),
    (
        Block((Layer("conv", 5, 2, 16), Layer("bn", 1, 1, 16), Layer("sigmoid", 1, 1, 16))),
        Block((Layer("conv", 1, 1, 16), Layer("max_pool", 2, 3, 16), Layer("tanh", 1, 1, 16))),
        Block((Layer("conv", 3, 3, 32), Layer("avg_pool", 4, 5, 32), Layer("relu", 1, 1, 32))),
    ),
)


def sampled(skeleton: str, networks: int = 5) -> list[tuple[LayerRow, ...]]:
    drawn = itertools.islice(sequence(skeleton, DIGITS), networks)
    return [walk(draw.architecture, DIGITS) for draw in drawn]


def test_ulc_of_a_small_network_by_hand() -> None:
    assert ulc(walk(SMALL, DIGITS)).tolist() == [
        [1, 3, 3, 9],  # stem, 1 to 8 channels
        [7, 1, 1, 4],
        [4, 1, 1, 4],
        [1, 2, 5, 6],  # width comes before height
        [7, 1, 1, 4],
        [5, 1, 1, 4],
        [1, 1, 1, 2],  # match, 16 to 8
        [2, 2, 2, 4],  # transition
        [1, 1, 1, 6],
        [2, 3, 2, 4],
        [6, 1, 1, 4],
        [2, 2, 2, 4],
        [1, 3, 3, 6],
        [3, 5, 4, 4],
        [4, 1, 1, 4],
        [3, 2, 2, 4],  # the global pool, 2x2 pixels; the linear layer is left out
    ]


def test_row_features_tell_width_size_and_cost_of_the_layers_of_the_ulc() -> None:
    rows = walk(SMALL, DIGITS)
    features = row_features(rows)
    assert features.shape == (len(ulc(rows)), len(ROW_FEATURES))
    stem, *_, pool = features.tolist()
    # 8 channels, 8 pixels; 9 x 8 weights and 8 biases at 64 places; sees 3 x 3 pixels
    assert stem == pytest.approx([3, 3, math.log(1 + 72 * 64), math.log(1 + 80), math.log2(9)])
    assert pool[:2] == [5, 1]  # 32 channels, 2 pixels
    assert pool[3] == 0  # no parameters


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(1 / 8, 0), (0.25, 1), (0.5, 2), (0.75, 3), (8 / 12, 3), (1.0, 4), (1.5, 5), (2.0, 6),
     (2.5, 7), (3.0, 8), (8.0, 9), (16.0, 9)],
)  # fmt: skip
def test_every_ratio_has_a_bin(ratio: float, expected: int) -> None:
    assert ratio_bin(ratio) == expected


@pytest.mark.parametrize("skeleton", ["deep-3x3", "stages-4x1", "strided-3x2", "residual-3x2"])
def test_held_out_skeletons_stay_within_the_code(skeleton: str) -> None:
    for rows in sampled(skeleton):
        codes = ulc(rows)
        assert codes.shape == (len(expressible(rows)), 4)
        assert codes.min(axis=0).tolist() >= [1, 1, 1, 0]
        assert set(codes[:, 0]) <= set(range(1, 8))
        assert codes[:, 3].max() < RATIO_BINS


def test_ulc_of_a_residual_network_is_that_of_the_lender() -> None:
    lenders = (draw for draw in sequence("peephole-3x2", DIGITS) if draw.split == "test")
    residual = next(sequence("residual-3x2", DIGITS))
    lender = next(d for d in lenders if d.architecture_id == residual.paired_architecture_id)
    rows, lender_rows = (walk(draw.architecture, DIGITS) for draw in (residual, lender))
    assert any(row.role == "shortcut" for row in rows)
    assert np.array_equal(ulc(rows), ulc(lender_rows))
    assert depth(rows) == depth(lender_rows)
    assert parameters(rows) > parameters(lender_rows)


def test_counts_are_logarithms_of_the_walks_counts() -> None:
    rows = walk(SMALL, DIGITS)
    features = dict(zip(COUNT_FEATURES, count_features(rows), strict=True))
    assert np.exp(features["log_parameters"]) == pytest.approx(parameters(rows))
    assert np.exp(features["log_macs"]) == pytest.approx(macs(rows))
    assert features["depth"] == 17  # sixteen of the ULC and the linear layer


def small_features() -> dict[str, float]:
    features = architecture_features(walk(SMALL, DIGITS)).tolist()
    return dict(zip(ARCHITECTURE_FEATURES, features, strict=True))


def test_architecture_features_begin_with_the_counts() -> None:
    rows = walk(SMALL, DIGITS)
    assert architecture_features(rows)[:3].tolist() == count_features(rows).tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block_layers", 9),
        ("conv_layers", 5),
        ("max_pool_layers", 3),
        ("avg_pool_layers", 1),
        ("relu_layers", 2),
        ("sigmoid_layers", 1),
        ("tanh_layers", 1),
        ("bn_layers", 2),
        ("first_log2_width", 4),  # the stem's 8 channels and the match layer's do not count
        ("last_log2_width", 5),
        ("least_log2_width", 4),
        ("largest_log2_width", 5),
        ("mean_log2_width", (4 + 4 + 5) / 3),
        ("mean_log2_kernel_area", np.log2([10, 1, 9]).mean()),
        ("largest_log2_kernel_area", np.log2(10)),
        ("mean_log2_kernel_elongation", np.log2(5 / 2) / 3),
        ("log2_receptive_field", np.log2(32 * 35)),
        ("mean_log2_conv_resolution", (3 + 3 + 3 + 2 + 1) / 5),
        ("least_log2_conv_resolution", 1),
        ("longest_conv_run_without_bn", 3),  # match, and the blocks of stages 1 and 2
        ("longest_sigmoid_run_without_bn", 1),
        ("longest_tanh_run_without_bn", 1),
        ("sigmoid_layers_after_last_bn", 1),
        ("tanh_layers_after_last_bn", 1),
        ("sigmoid_layers_not_after_bn", 0),
        ("tanh_layers_not_after_bn", 1),
        ("share_of_saturating_not_after_bn", 1 / 2),
        ("largest_share_of_macs", 81920 / 115520),  # 5x2 kernels, 8 to 16 channels, 8x8 pixels
        ("max_pool_log2_kernel_areas", np.log2(6)),  # transitions do not count
        ("avg_pool_log2_kernel_areas", np.log2(20)),
    ],
)
def test_architecture_features_of_a_small_network_by_hand(name: str, expected: float) -> None:
    assert small_features()[name] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "expected"),  # of the first 5, the next 5 and the last 6 of 16 layers
    [("conv", [2, 2, 1]), ("bn", [2, 0, 0]), ("sigmoid", [0, 1, 0]), ("pool", [0, 2, 2])],
)
def test_layers_are_counted_in_each_third_of_a_small_network(
    kind: str, expected: list[int]
) -> None:
    features = small_features()
    thirds = [features[f"{kind}_layers_in_{third}_third"] for third in ("first", "middle", "last")]
    assert thirds == expected


def test_runs_end_at_a_batch_normalisation() -> None:
    sigmoids = [(Layer("sigmoid", 1, 1, width),) * count for width, count in ((8, 1), (16, 2))]
    first = Block((Layer("conv", 1, 1, 8), *sigmoids[0], Layer("bn", 1, 1, 8)))
    middle = Block((Layer("conv", 1, 1, 16), *sigmoids[1], Layer("bn", 1, 1, 16)))
    last = Block((Layer("conv", 1, 1, 32), Layer("relu", 1, 1, 32)))
    rows = walk(replace(SMALL, blocks=(first, middle, last)), DIGITS)
    features = dict(zip(ARCHITECTURE_FEATURES, architecture_features(rows), strict=True))
    assert features["longest_sigmoid_run_without_bn"] == 2
    assert features["sigmoid_layers_after_last_bn"] == 0
    assert features["sigmoid_layers_not_after_bn"] == 3
    assert features["longest_conv_run_without_bn"] == 1


@pytest.mark.parametrize("skeleton", ["deep-3x3", "stages-4x1", "strided-3x2", "residual-3x2"])
def test_architecture_features_of_held_out_skeletons_are_finite(skeleton: str) -> None:
    features = [architecture_features(rows) for rows in sampled(skeleton)]
    assert np.all(np.isfinite(features))
    thirds = [n for n, name in enumerate(ARCHITECTURE_FEATURES) if name.startswith("conv_layers_")]
    convolutions = ARCHITECTURE_FEATURES.index("conv_layers")
    assert all(values[thirds].sum() == values[convolutions] for values in features)


def test_a_network_without_sigmoid_or_tanh_has_no_share_of_them() -> None:
    blocks = tuple(Block((Layer("conv", 1, 1, width),)) for width in SMALL.widths)
    rows = walk(replace(SMALL, blocks=blocks), DIGITS)
    share = ARCHITECTURE_FEATURES.index("share_of_saturating_not_after_bn")
    assert architecture_features(rows)[share] == 0


def test_logits_are_inverted_within_the_clip() -> None:
    accuracy = np.array([0.0, 0.02, 0.3, 0.995, 1.0])
    np.testing.assert_allclose(from_logits(to_logits(accuracy)), [0.02, 0.02, 0.3, 0.995, 0.995])
