"""Layers as numbers, and the encoder pretrained on them."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, parameters, walk
from benchmark.space.sampler import sequence
from harness.features.architecture import ARCHITECTURE_FEATURES, architecture_features
from harness.features.layers import (
    ALL_KINDS,
    LAYER_NUMBERS,
    LAYER_SIGNALS,
    layer_numbers,
    layer_signals,
)
from harness.features.signal_propagation import propagate
from harness.predictors.arc.encoder import Encoder
from harness.predictors.arc.pretraining import (
    Pretraining,
    pretrain,
    pretrained,
    sample_networks,
    unlabelled,
)
from tests.toys.runs import toy_runs

TINY = Pretraining(networks=60, passes=1, hidden=8, batch=20)
ROWS = toy_runs(12).layer_rows
Rows = tuple[LayerRow, ...]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return pretrain("digits", TINY)


def test_a_layer_is_told_by_its_kind_shape_and_cost() -> None:
    conv = LayerRow("conv", 3, 5, 2, 16, 32, 8, 4, "block", 0, 0, (-1,))
    pool = LayerRow("max_pool", 2, 2, 2, 32, 32, 4, 2, "transition", 0, -1, (0,))
    head = LayerRow("linear", 1, 1, 1, 32, 10, 1, 1, "head", 1, -1, (1,))
    numbers = layer_numbers((conv, pool, head))
    assert numbers.shape == (3, len(LAYER_NUMBERS))
    assert numbers[:, : len(ALL_KINDS)].sum(axis=1).tolist() == [1, 1, 1]
    told = dict(zip(LAYER_NUMBERS, numbers[0], strict=True))
    assert told["conv"] == 1
    assert told["log2_kernel_width"] == pytest.approx(math.log2(5))
    assert (told["log2_stride"], told["log2_in_channels"], told["log2_ratio"]) == (1, 4, 1)
    assert told["log_macs"] == pytest.approx(math.log1p(3 * 5 * 16 * 32 * 16))
    assert told["log_parameters"] == pytest.approx(math.log1p(3 * 5 * 16 * 32 + 32))
    assert told["log2_receptive_field"] == pytest.approx(math.log2(15))
    assert numbers[1, -1] == pytest.approx(math.log2((3 + 2) * (5 + 2)))  # a stride of 2 before
    assert numbers[2, -1] == numbers[1, -1]  # the head sees no more of the image


def test_the_receptive_field_of_a_whole_network_is_the_one_among_its_features() -> None:
    place = ARCHITECTURE_FEATURES.index("log2_receptive_field")
    for rows in ROWS:
        assert layer_numbers(rows)[-1, -1] == pytest.approx(architecture_features(rows)[place])


def test_signals_are_those_that_are_propagated() -> None:
    signals = layer_signals(ROWS[0])
    moments, _ = propagate(ROWS[0])
    assert signals.shape == (len(ROWS[0]), len(LAYER_SIGNALS))
    assert np.exp(signals[:, 0]) == pytest.approx([m.square for m in moments])
    assert signals[:, 1] - signals[:, 0] == pytest.approx(signals[:, 2])
    assert signals[-1, 3] == 0  # the gradient at the answer is 1


def test_sampled_networks_are_of_seen_skeletons_and_other_ones_for_another_seed() -> None:
    depths = Counter(sum(row.role == "transition" for row in r) for r in
                     sample_networks("digits", 200, 0))  # fmt: skip
    assert set(depths) == {2}
    assert not any(r.role in ("shortcut", "add") or (r.kind == "conv" and r.stride > 1)
                   for rows in sample_networks("digits", 50, 0) for r in rows)  # fmt: skip
    widths = Counter(rows[0].out_channels for rows in sample_networks("digits", 400, 0))
    assert widths[16] / 400 == pytest.approx(0.15, abs=0.06)  # wide-3x1, halved
    first, again, other = (
        [parameters(rows) for rows in sample_networks("digits", 5, seed)] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_numbers_of_sampled_networks_are_those_of_their_rows() -> None:
    networks = unlabelled("digits", 3, 0)
    for rows, numbers in zip(sample_networks("digits", 3, 0), networks.numbers, strict=True):
        np.testing.assert_allclose(numbers, layer_numbers(rows), rtol=1e-3)


def test_an_unseen_kind_of_layer_is_read_as_one_without_a_kind(encoder: Encoder) -> None:
    place = next(i for i, row in enumerate(ROWS[0]) if row.kind == "relu")
    changed = [
        (*ROWS[0][:place], replace(ROWS[0][place], kind=kind), *ROWS[0][place + 1 :])
        for kind in ("dropout", "add")
    ]
    first, second = encoder.encode((changed[0],)), encoder.encode((changed[1],))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, encoder.encode((ROWS[0],)))


def test_a_network_is_encoded_alike_alone_and_with_longer_ones(encoder: Encoder) -> None:
    together = encoder.encode(ROWS)
    assert together.shape == (len(ROWS), 6 * TINY.hidden)
    for i, rows in enumerate(ROWS):
        assert encoder.encode((rows,))[0] == pytest.approx(together[i], abs=1e-5)


def test_pretraining_learns_what_can_be_computed() -> None:
    features = [
        _feature_error(pretrain("digits", replace(TINY, networks=n, passes=p, hidden=24)))
        for n, p in ((20, 1), (400, 12))
    ]
    assert features[1] < 0.6 * features[0]


def _feature_error(encoder: Encoder) -> float:
    """Return how far the depth said of new networks is from theirs, in ranks."""
    rows = tuple(sample_networks("digits", 100, 7))
    with torch.no_grad():
        said = encoder.model.features(torch.from_numpy(encoder.encode(rows)).float()).numpy()
    depth = np.array([architecture_features(r)[2] for r in rows])
    return float(1 - np.corrcoef(said[:, 2], depth)[0, 1])


def test_an_encoder_is_made_once_and_the_same_again(tmp_path: Path) -> None:
    state = torch.get_rng_state().clone()
    first = pretrained("digits", TINY, tmp_path)
    (file,) = tmp_path.glob("encoder-digits-*.pt")
    written = file.stat().st_mtime_ns
    again = pretrained("digits", TINY, tmp_path)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first.encode(ROWS), again.encode(ROWS))
    assert np.array_equal(pretrain("digits", TINY).encode(ROWS), first.encode(ROWS))
    other = pretrained("digits", replace(TINY, seed=1), tmp_path)
    assert not np.array_equal(other.encode(ROWS), first.encode(ROWS))
    assert len(list(tmp_path.glob("encoder-digits-*.pt"))) == 2


def test_networks_of_other_image_sets_can_be_read(encoder: Encoder) -> None:
    images = get_images("cifar10")
    drawn = next(sequence("peephole-3x2", images))
    rows = walk(drawn.architecture, images)
    assert np.isfinite(encoder.encode((rows,))).all()
