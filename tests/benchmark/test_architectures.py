"""Layers, blocks and architectures: their rules and their identity."""

import dataclasses
import hashlib
import json
import re
from itertools import islice

import pytest

from benchmark.space.architectures import (
    Architecture,
    Block,
    Layer,
    LayerKind,
    architecture_id,
    canonical_json,
    from_record,
    to_record,
)
from benchmark.space.imagesets import get_images
from benchmark.space.sampler import sequence

CONV = Layer("conv", 3, 5, 24, 1.5)
RELU = Layer("relu", 1, 1, 24)
TINY = Architecture("shallow-3x1", (16, 32), (Block((CONV, RELU)), Block((CONV,))))
TINY_JSON = (
    '{"skeleton":"shallow-3x1","widths":[16,32],'
    '"blocks":[[["conv",3,5,24],["relu",1,1,24]],[["conv",3,5,24]]]}'
)


def test_canonical_json_is_the_text_written_by_hand() -> None:
    assert canonical_json(TINY) == TINY_JSON


def test_the_identity_is_the_start_of_the_hash_of_that_text() -> None:
    assert architecture_id(TINY) == hashlib.sha256(TINY_JSON.encode()).hexdigest()[:16]


def test_the_drawn_ratio_is_no_part_of_the_identity() -> None:
    other = Layer("conv", 3, 5, 24, 1.25)
    assert other == CONV
    twin = Architecture("shallow-3x1", (16, 32), (Block((other, RELU)), Block((other,))))
    assert architecture_id(twin) == architecture_id(TINY)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(TINY, skeleton="wide-3x1"),
        dataclasses.replace(TINY, widths=(16, 64)),
        dataclasses.replace(TINY, blocks=TINY.blocks[::-1]),
        dataclasses.replace(TINY, blocks=(Block((CONV,)), Block((CONV,)))),
        dataclasses.replace(TINY, blocks=(Block((Layer("conv", 5, 3, 24), RELU)), TINY.blocks[1])),
        dataclasses.replace(TINY, blocks=(Block((Layer("conv", 3, 5, 32), RELU)), TINY.blocks[1])),
    ],
)
def test_everything_else_is_part_of_the_identity(other: Architecture) -> None:
    assert architecture_id(other) != architecture_id(TINY)


@pytest.mark.parametrize("skeleton", ["peephole-3x2", "stages-4x1"])
def test_records_survive_a_round_trip_through_json(skeleton: str) -> None:
    for drawn in islice(sequence(skeleton, get_images("cifar10")), 10):
        record = json.loads(json.dumps(to_record(drawn.architecture)))
        back = from_record(record)
        assert back == drawn.architecture
        assert to_record(back) == to_record(drawn.architecture)  # drawn ratios included
        assert architecture_id(back) == drawn.architecture_id


def test_architectures_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'kind'$"):
        CONV.kind = "relu"  # type: ignore[misc]


def raises(message: str) -> "pytest.RaisesExc[ValueError]":
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_an_unknown_kind_is_refused() -> None:
    message = "`kind` (='gelu') must be one of conv, max_pool, avg_pool, relu, sigmoid, tanh, bn"
    with raises(message):
        Layer("gelu", 1, 1, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "width", "channels"), [(0, 1, 8), (1, -1, 8), (1, 1, 0)])
def test_sizes_below_one_are_refused(height: int, width: int, channels: int) -> None:
    message = (
        f"kernel and channels of Layer(kind='conv', kernel_height={height}, kernel_width={width}, "
        f"channels={channels}, ratio=1.0) must be at least 1"
    )
    with raises(message):
        Layer("conv", height, width, channels)


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh", "bn"])
def test_a_kernel_on_a_layer_without_one_is_refused(kind: LayerKind) -> None:
    message = (
        f"a layer of kind {kind!r} must have a 1x1 kernel, not Layer(kind={kind!r}, "
        "kernel_height=3, kernel_width=1, channels=8, ratio=1.0)"
    )
    with raises(message):
        Layer(kind, 3, 1, 8)


@pytest.mark.parametrize("layers", [(), (RELU,), (RELU, CONV)])
def test_a_block_that_does_not_start_with_a_convolution_is_refused(
    layers: tuple[Layer, ...],
) -> None:
    first = layers[0].kind if layers else "nothing"
    with raises(f"a block must start with a convolution, not {first}"):
        Block(layers)


@pytest.mark.parametrize(
    ("widths", "blocks", "text"),
    [
        ((16, 32), 3, "3 blocks cannot be divided evenly into 2 stages"),
        ((), 1, "1 block cannot be divided evenly into 0 stages"),
        ((16,), 0, "0 blocks cannot be divided evenly into 1 stage"),
    ],
)
def test_blocks_that_do_not_divide_over_the_stages_are_refused(
    widths: tuple[int, ...], blocks: int, text: str
) -> None:
    with raises(text):
        Architecture("peephole-3x2", widths, (Block((CONV,)),) * blocks)


def test_a_record_that_breaks_a_rule_is_refused() -> None:
    record = json.loads(json.dumps(to_record(TINY)))
    record["blocks"][1] = []
    with raises("a block must start with a convolution, not nothing"):
        from_record(record)


def test_a_record_without_a_field_is_refused() -> None:
    record = to_record(TINY)
    del record["widths"]
    with pytest.raises(KeyError, match=r"^'widths'$"):
        from_record(record)
