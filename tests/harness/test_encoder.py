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
    load_or_pretrain,
    pretrain,
    sample_layer_rows,
    sample_networks,
)
from tests.toys.runs import toy_runs

TINY = Pretraining(networks=60, passes=1, hidden=8, batch=20)
ROWS = toy_runs(12).layer_rows
Rows = tuple[LayerRow, ...]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return pretrain("digits", TINY)


def test_layer_numbers_by_hand() -> None:
    conv = LayerRow("conv", 3, 5, 2, 16, 32, 8, 4, "block", 0, 0, (-1,))
    pool = LayerRow("max_pool", 2, 2, 2, 32, 32, 4, 2, "transition", 0, -1, (0,))
    head = LayerRow("linear", 1, 1, 1, 32, 10, 1, 1, "head", 1, -1, (1,))
    numbers = layer_numbers((conv, pool, head))
    assert numbers.shape == (3, len(LAYER_NUMBERS))
    assert numbers[:, : len(ALL_KINDS)].sum(axis=1).tolist() == [1, 1, 1]
    layer = dict(zip(LAYER_NUMBERS, numbers[0], strict=True))
    assert layer["conv"] == 1
    assert layer["log2_kernel_width"] == pytest.approx(math.log2(5))
    assert (layer["log2_stride"], layer["log2_in_channels"], layer["log2_ratio"]) == (1, 4, 1)
    assert layer["log_macs"] == pytest.approx(math.log1p(3 * 5 * 16 * 32 * 16))
    assert layer["log_parameters"] == pytest.approx(math.log1p(3 * 5 * 16 * 32 + 32))
    assert layer["log2_receptive_field"] == pytest.approx(math.log2(15))
    assert numbers[1, -1] == pytest.approx(math.log2((3 + 2) * (5 + 2)))  # a stride of 2 before
    assert numbers[2, -1] == numbers[1, -1]  # the head has the same receptive field


def test_the_receptive_field_of_the_last_layer_is_that_of_the_network() -> None:
    column = ARCHITECTURE_FEATURES.index("log2_receptive_field")
    for rows in ROWS:
        assert layer_numbers(rows)[-1, -1] == pytest.approx(architecture_features(rows)[column])


def test_layer_signals_agree_with_propagate() -> None:
    signals = layer_signals(ROWS[0])
    moments, _ = propagate(ROWS[0])
    assert signals.shape == (len(ROWS[0]), len(LAYER_SIGNALS))
    assert np.exp(signals[:, 0]) == pytest.approx([m.square for m in moments])
    assert signals[:, 1] - signals[:, 0] == pytest.approx(signals[:, 2])
    assert signals[-1, 3] == 0  # the gradient at the output is 1


def test_networks_are_sampled_from_seen_skeletons_by_seed() -> None:
    depths = Counter(sum(row.role == "transition" for row in r) for r in
                     sample_layer_rows("digits", 200, 0))  # fmt: skip
    assert set(depths) == {2}
    assert not any(r.role in ("shortcut", "add") or (r.kind == "conv" and r.stride > 1)
                   for rows in sample_layer_rows("digits", 50, 0) for r in rows)  # fmt: skip
    widths = Counter(rows[0].out_channels for rows in sample_layer_rows("digits", 400, 0))
    assert widths[16] / 400 == pytest.approx(0.15, abs=0.06)  # wide-3x1, halved
    first, again, other = (
        [parameters(rows) for rows in sample_layer_rows("digits", 5, seed)] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_numbers_of_sampled_networks_agree_with_their_rows() -> None:
    networks = sample_networks("digits", 3, 0)
    for rows, numbers in zip(sample_layer_rows("digits", 3, 0), networks.numbers, strict=True):
        np.testing.assert_allclose(numbers, layer_numbers(rows), rtol=1e-3)


def test_kinds_not_seen_in_pretraining_are_encoded_alike(encoder: Encoder) -> None:
    column = next(i for i, row in enumerate(ROWS[0]) if row.kind == "relu")
    changed = [
        (*ROWS[0][:column], replace(ROWS[0][column], kind=kind), *ROWS[0][column + 1 :])
        for kind in ("dropout", "add")
    ]
    first, second = encoder.encode((changed[0],)), encoder.encode((changed[1],))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, encoder.encode((ROWS[0],)))


def test_padding_does_not_change_an_encoding(encoder: Encoder) -> None:
    together = encoder.encode(ROWS)
    assert together.shape == (len(ROWS), 6 * TINY.hidden)
    for i, rows in enumerate(ROWS):
        assert encoder.encode((rows,))[0] == pytest.approx(together[i], abs=1e-5)


def test_pretraining_learns_to_predict_features() -> None:
    features = [
        _feature_error(pretrain("digits", replace(TINY, networks=n, passes=p, hidden=24)))
        for n, p in ((20, 1), (400, 12))
    ]
    assert features[1] < 0.6 * features[0]


def _feature_error(encoder: Encoder) -> float:
    """Return 1 minus the correlation of predicted and true depth of new networks."""
    rows = tuple(sample_layer_rows("digits", 100, 7))
    with torch.no_grad():
        predicted = encoder.model.features(torch.from_numpy(encoder.encode(rows)).float()).numpy()
    depth = np.array([architecture_features(r)[2] for r in rows])
    return float(1 - np.corrcoef(predicted[:, 2], depth)[0, 1])


def test_an_encoder_is_pretrained_once_and_reproducible(tmp_path: Path) -> None:
    state = torch.get_rng_state().clone()
    first = load_or_pretrain("digits", TINY, tmp_path)
    (file,) = tmp_path.glob("encoder-digits-*.pt")
    written = file.stat().st_mtime_ns
    again = load_or_pretrain("digits", TINY, tmp_path)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first.encode(ROWS), again.encode(ROWS))
    assert np.array_equal(pretrain("digits", TINY).encode(ROWS), first.encode(ROWS))
    other = load_or_pretrain("digits", replace(TINY, seed=1), tmp_path)
    assert not np.array_equal(other.encode(ROWS), first.encode(ROWS))
    assert len(list(tmp_path.glob("encoder-digits-*.pt"))) == 2


def test_networks_of_other_image_sets_can_be_encoded(encoder: Encoder) -> None:
    images = get_images("cifar10")
    drawn = next(sequence("peephole-3x2", images))
    rows = walk(drawn.architecture, images)
    assert np.isfinite(encoder.encode((rows,))).all()
