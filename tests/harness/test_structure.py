"""Structure features: a network counted by hand, and networks of every skeleton."""

from pathlib import Path

import numpy as np
import pytest

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from harness.features.architecture import KINDS, expressible
from harness.features.structure import OCTAVES, STRUCTURE_FEATURES, structure_features
from tests.toys.external import metaqnn_rows

NET = "[C(64,3,1), C(128,1,1), P(2,2), C(32,5,1), D(1,2), P(4,4), FC(256), D(2,2), SM(10)]"


def test_a_network_is_counted_by_hand(tmp_path: Path) -> None:
    """Two convolutions at 32x32 (3x3 to 64, 1x1 to 128), one at 16x16 (5x5 to 32), dense on 4x4."""
    found = dict(
        zip(STRUCTURE_FEATURES, structure_features(metaqnn_rows(NET, tmp_path)), strict=True)
    )
    assert found["convolutions_at_above_16"] == 2
    assert found["mean_log2_width_at_above_16"] == 6.5
    assert found["mean_log2_kernel_area_at_above_16"] == pytest.approx(np.log2(9) / 2)
    assert found["convolutions_at_16"] == 1
    assert found["mean_log2_width_at_16"] == 5
    assert found["convolutions_at_8"] == found["mean_log2_width_at_8"] == 0
    assert found["first_log2_kernel_area"] == pytest.approx(np.log2(9))
    assert found["last_log2_kernel_area"] == pytest.approx(np.log2(25))
    parameters = (27 + 1) * 64 + (64 + 1) * 128 + (25 * 128 + 1) * 32
    assert found["log_convolution_parameters"] == pytest.approx(np.log(parameters))
    assert (found["dense_layers"], found["dense_log2_units"]) == (1, 8)
    assert found["log_dense_parameters"] == pytest.approx(np.log1p((16 * 32 + 1) * 256))
    assert (found["last_log2_resolution"], found["last_log2_channels"]) == (0, 8)
    pairs = {name: n for name, n in found.items() if "_before_" in name and n}
    assert pairs == {
        "conv_before_conv": 1, "conv_before_max_pool": 1, "max_pool_before_conv": 1,
        "conv_before_dropout": 1, "dropout_before_max_pool": 1, "max_pool_before_dense": 1,
        "dense_before_dropout": 1,
    }  # fmt: skip


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_every_convolution_is_in_one_range_and_every_pair_is_counted(skeleton: str) -> None:
    images = get_images("cifar10")
    rows = walk(next(sequence(skeleton, images)).architecture, images)
    found = dict(zip(STRUCTURE_FEATURES, structure_features(rows), strict=True))
    layers = expressible(rows)
    counted = sum(found[f"convolutions_at_{name}"] for _, name in OCTAVES)
    assert counted == sum(row.kind == "conv" for row in layers)
    inner = [row for row in layers if row.kind in KINDS]
    assert sum(n for name, n in found.items() if "_before_" in name) == len(inner) - 1
