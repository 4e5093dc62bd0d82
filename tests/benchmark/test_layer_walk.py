"""The layer walk: its graph, and its counts against torch's."""

import math
import re
from functools import cache
from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmark.recipes import RECIPES
from benchmark.space.architectures import Architecture, Block, Layer
from benchmark.space.imagesets import IMAGES, ImageSet, get_images
from benchmark.space.layer_walk import LayerRow, macs, parameters, walk
from benchmark.space.sampler import Drawn, sequence
from benchmark.space.skeletons import SKELETONS
from generators.training.network import Network, initialise

NETWORKS = 5
EVERYWHERE = [(skeleton, images) for skeleton in SKELETONS for images in IMAGES]
everywhere = pytest.mark.parametrize(("skeleton", "images"), EVERYWHERE)

TINY_BLOCKS = (
    Block((Layer("conv", 3, 3, 8), Layer("relu", 1, 1, 8))),
    Block((Layer("conv", 1, 2, 8), Layer("bn", 1, 1, 8))),
    Block((Layer("conv", 2, 2, 32), Layer("max_pool", 3, 2, 32))),
)
TINY = Architecture("shallow-3x1", (8, 16, 32), TINY_BLOCKS)
TINY_ROWS = (
    LayerRow("conv", 3, 3, 1, 1, 8, 8, 8, "stem", -1, -1, (-1,)),
    LayerRow("bn", 1, 1, 1, 8, 8, 8, 8, "stem", -1, -1, (0,)),
    LayerRow("relu", 1, 1, 1, 8, 8, 8, 8, "stem", -1, -1, (1,)),
    LayerRow("conv", 3, 3, 1, 8, 8, 8, 8, "block", 0, 0, (2,)),
    LayerRow("relu", 1, 1, 1, 8, 8, 8, 8, "block", 0, 0, (3,)),
    LayerRow("max_pool", 2, 2, 2, 8, 8, 8, 4, "transition", 1, -1, (4,)),
    LayerRow("conv", 1, 2, 1, 8, 8, 4, 4, "block", 1, 1, (5,)),
    LayerRow("bn", 1, 1, 1, 8, 8, 4, 4, "block", 1, 1, (6,)),
    LayerRow("conv", 1, 1, 1, 8, 16, 4, 4, "match", 1, 1, (7,)),
    LayerRow("max_pool", 2, 2, 2, 16, 16, 4, 2, "transition", 2, -1, (8,)),
    LayerRow("conv", 2, 2, 1, 16, 32, 2, 2, "block", 2, 2, (9,)),
    LayerRow("max_pool", 3, 2, 1, 32, 32, 2, 2, "block", 2, 2, (10,)),
    LayerRow("global_pool", 2, 2, 1, 32, 32, 2, 1, "head", 3, -1, (11,)),
    LayerRow("linear", 1, 1, 1, 32, 10, 1, 1, "head", 3, -1, (12,)),
)


@cache
def drawn(skeleton: str, images: str) -> list[tuple[Drawn, tuple[LayerRow, ...]]]:
    image_set = get_images(images)
    return [
        (one, walk(one.architecture, image_set))
        for one in islice(sequence(skeleton, image_set), NETWORKS)
    ]


def test_the_rows_of_a_tiny_network_are_those_written_by_hand() -> None:
    assert walk(TINY, get_images("digits")) == TINY_ROWS


def test_the_counts_of_a_tiny_network_are_those_computed_by_hand() -> None:
    """Row by row, the layers without either left out.

    Parameters: stem 80 + 16; 584; 136 + 16 + match 144; 2,080; linear 330.
    MACs: stem 72 x 64; 576 x 64; 128 x 16 and 128 x 16; 2,048 x 4; 320.
    """
    assert parameters(TINY_ROWS) == 80 + 16 + 584 + 136 + 16 + 144 + 2_080 + 330 == 3_386
    assert macs(TINY_ROWS) == 4_608 + 36_864 + 2_048 + 2_048 + 8_192 + 320 == 54_080


@everywhere
def test_parameters_equal_those_of_the_torch_module(skeleton: str, images: str) -> None:
    for _, rows in drawn(skeleton, images):
        network = Network(rows, RECIPES[images])
        assert parameters(rows) == sum(p.numel() for p in network.parameters())


@everywhere
def test_macs_are_half_of_the_operations_that_torch_counts(skeleton: str, images: str) -> None:
    image_set, recipe = get_images(images), RECIPES[images]
    generator = torch.Generator().manual_seed(0)
    shape = (2, image_set.channels, image_set.resolution, image_set.resolution)
    for _, rows in drawn(skeleton, images):
        network = Network(rows, recipe).eval()
        initialise(network, recipe, "tests")
        pixels = torch.randn(shape, generator=generator)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            logits = plain(network, pixels)
        assert counter.get_total_flops() == 2 * 2 * macs(rows)  # two images
        assert logits.shape == (2, image_set.classes)
        with torch.no_grad():
            torch.testing.assert_close(network(pixels), logits, rtol=1e-4, atol=1e-4)


def plain(network: Network, pixels: Tensor) -> Tensor:
    """Compute a network's rows the plainest way, without what `Network` does to be fast."""
    outputs = {-1: pixels}
    for index, (row, module) in enumerate(zip(network.rows, network.layers, strict=True)):
        x, *others = (outputs[source] for source in row.inputs)
        outputs[index] = x + others[0] if row.kind == "add" else compute(row, module, x)
    return outputs[len(network.rows) - 1]


def compute(row: LayerRow, module: nn.Module, x: Tensor) -> Tensor:
    """Compute one row; the extra row and column of even kernels lie at the bottom and right."""
    kernel = (row.kernel_height, row.kernel_width)
    left, top = (row.kernel_width - 1) // 2, (row.kernel_height - 1) // 2
    around = (left, row.kernel_width - 1 - left, top, row.kernel_height - 1 - top)
    if row.kind == "conv":
        weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
        return functional.conv2d(functional.pad(x, around), weight, bias, row.stride)
    if row.kind == "max_pool" and row.stride == 2:
        return functional.max_pool2d(x, kernel, 2)
    if row.kind == "max_pool":
        return functional.max_pool2d(functional.pad(x, around, value=-math.inf), kernel, 1)
    if row.kind == "avg_pool":
        sums = functional.avg_pool2d(functional.pad(x, around), kernel, 1)
        return sums / functional.avg_pool2d(functional.pad(torch.ones_like(x), around), kernel, 1)
    y: Tensor = x.mean((2, 3)) if row.kind == "global_pool" else module(x)
    return y


@everywhere
def test_every_layer_of_the_torch_module_gives_the_shape_of_its_row(
    skeleton: str, images: str
) -> None:
    image_set = get_images(images)
    _, rows = drawn(skeleton, images)[0]
    network = Network(rows, RECIPES[images]).eval()
    shapes: list[torch.Size] = []
    for module, row in zip(network.layers, rows, strict=True):
        if row.kind != "add":
            module.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    network(torch.zeros(3, image_set.channels, image_set.resolution, image_set.resolution))
    expected = [
        (3, row.out_channels)
        if row.role == "head"
        else (3, row.out_channels, row.out_resolution, row.out_resolution)
        for row in rows
        if row.kind != "add"
    ]
    assert [tuple(shape) for shape in shapes] == expected


@everywhere
def test_channels_and_resolutions_chain_along_the_inputs(skeleton: str, images: str) -> None:
    image_set = get_images(images)
    for _, rows in drawn(skeleton, images):
        for index, row in enumerate(rows):
            assert all(-1 <= source < index for source in row.inputs)
            for source in row.inputs:
                if source == -1:
                    given = (image_set.channels, image_set.resolution)
                else:
                    given = (rows[source].out_channels, rows[source].out_resolution)
                assert (row.in_channels, row.in_resolution) == given


@everywhere
def test_every_row_but_the_last_is_read(skeleton: str, images: str) -> None:
    for _, rows in drawn(skeleton, images):
        read = {source for row in rows for source in row.inputs}
        assert read == set(range(-1, len(rows) - 1))
        assert (rows[-1].kind, rows[-1].out_channels) == ("linear", get_images(images).classes)


@everywhere
def test_only_convolutions_and_the_head_change_channels(skeleton: str, images: str) -> None:
    for _, rows in drawn(skeleton, images):
        for row in rows:
            if row.kind not in ("conv", "linear"):
                assert row.in_channels == row.out_channels
            if row.role not in ("transition", "head"):
                assert (row.stride, row.in_resolution) == (1, row.out_resolution)


@everywhere
def test_block_rows_are_the_sampled_layers(skeleton: str, images: str) -> None:
    per_stage = SKELETONS[skeleton].blocks_per_stage
    for one, rows in drawn(skeleton, images):
        for number, block in enumerate(one.architecture.blocks):
            found = [row for row in rows if (row.role, row.block) == ("block", number)]
            assert {row.stage for row in found} == {number // per_stage}
            assert [
                Layer(row.kind, row.kernel_height, row.kernel_width, row.out_channels)  # type: ignore[arg-type]
                for row in found
            ] == list(block.layers)


@everywhere
def test_a_match_layer_closes_exactly_the_blocks_of_other_width(skeleton: str, images: str) -> None:
    for one, rows in drawn(skeleton, images):
        widths, blocks = one.architecture.widths, one.architecture.blocks
        per_stage = len(blocks) // len(widths)
        wanted = {
            number: widths[number // per_stage]
            for number, block in enumerate(blocks)
            if block.layers[-1].channels != widths[number // per_stage]
        }
        matches = [row for row in rows if row.role == "match"]
        assert {row.block: row.out_channels for row in matches} == wanted
        assert all(
            (row.kind, row.kernel_height, row.kernel_width) == ("conv", 1, 1) for row in matches
        )


def transitions(rows: tuple[LayerRow, ...]) -> list[tuple[str, int, int, int]]:
    """Return kind, kernel, stride and output resolution of the rows between stages."""
    return [
        (row.kind, row.kernel_height, row.stride, row.out_resolution)
        for row in rows
        if row.role == "transition"
    ]


@pytest.mark.parametrize(
    ("skeleton", "images", "resolutions"),
    [
        ("peephole-3x2", "cifar10", [16, 8]),
        ("peephole-3x2", "mnist", [14, 7]),
        ("peephole-3x2", "digits", [4, 2]),
        ("stages-4x1", "cifar10", [16, 8, 4]),
        ("stages-4x1", "mnist", [14, 7, 3]),
        ("stages-4x1", "digits", [4, 2]),  # a third would leave 1x1
    ],
)
def test_max_pools_halve_while_both_sides_stay_at_least_two(
    skeleton: str, images: str, resolutions: list[int]
) -> None:
    for _, rows in drawn(skeleton, images):
        assert transitions(rows) == [("max_pool", 2, 2, side) for side in resolutions]


@pytest.mark.parametrize(
    ("images", "resolutions"), [("cifar10", [16, 8]), ("mnist", [14, 7]), ("digits", [4, 2])]
)
def test_strided_convolutions_halve_in_the_strided_skeleton(
    images: str, resolutions: list[int]
) -> None:
    for _, rows in drawn("strided-3x2", images):
        assert transitions(rows) == [
            step
            for side in resolutions
            for step in [("conv", 3, 2, side), ("bn", 1, 1, side), ("relu", 1, 1, side)]
        ]


@pytest.mark.parametrize("images", IMAGES)
def test_every_shortcut_joins_a_blocks_entry_to_its_end(images: str) -> None:
    for one, rows in drawn("residual-3x2", images):
        adds = [(index, row) for index, row in enumerate(rows) if row.kind == "add"]
        assert [row.block for _, row in adds] == list(range(len(one.architecture.blocks)))
        for index, row in adds:
            body, shortcut = (rows[source] for source in row.inputs)
            first = next(r for r in rows if r.block == row.block)
            entry = rows[first.inputs[0]]
            assert row.role == "add"
            assert (body.role in ("block", "match"), body.block) == (True, row.block)
            if entry.out_channels == row.out_channels:
                assert shortcut == entry
            else:
                assert (shortcut.kind, shortcut.role, shortcut.block) == (
                    "conv", "shortcut", row.block,
                )  # fmt: skip
                assert (shortcut.kernel_height, shortcut.kernel_width) == (1, 1)
                assert rows[shortcut.inputs[0]] == entry
            assert rows[index + 1].role in ("block", "transition", "head")


@pytest.mark.parametrize("skeleton", [name for name in SKELETONS if name != "residual-3x2"])
def test_blocks_of_the_other_skeletons_stand_in_a_row(skeleton: str) -> None:
    for _, rows in drawn(skeleton, "cifar10"):
        assert [row.inputs for row in rows] == [(index - 1,) for index in range(len(rows))]


def test_a_shortcut_changes_no_sampled_layer() -> None:
    for skeleton in ("strided-3x2", "residual-3x2"):
        for one, rows in drawn(skeleton, "cifar10"):
            plain = Architecture("peephole-3x2", one.architecture.widths, one.architecture.blocks)
            sampled = [shape(row) for row in rows if row.role in ("block", "match")]
            lender = walk(plain, get_images("cifar10"))
            assert sampled == [shape(row) for row in lender if row.role in ("block", "match")]


def shape(row: LayerRow) -> tuple[object, ...]:
    """Return everything of a row but its inputs."""
    return (
        row.kind, row.kernel_height, row.kernel_width, row.stride, row.in_channels,
        row.out_channels, row.in_resolution, row.out_resolution, row.role, row.stage, row.block,
    )  # fmt: skip


def refused(architecture: Architecture, images: ImageSet, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        walk(architecture, images)


def test_an_unknown_skeleton_is_refused_with_the_nearest_name() -> None:
    known = ", ".join(SKELETONS)
    message = f"unknown skeleton 'shalow-3x1'; did you mean 'shallow-3x1'? Known: {known}"
    refused(Architecture("shalow-3x1", (8,), TINY_BLOCKS), get_images("digits"), message)


@pytest.mark.parametrize(
    ("widths", "blocks"), [((8, 16, 32), 6), ((8,), 3), ((8, 16, 32, 64), 4), ((8, 16), 2)]
)
def test_blocks_that_do_not_fit_the_skeleton_are_refused(
    widths: tuple[int, ...], blocks: int
) -> None:
    message = f"skeleton 'shallow-3x1' has 3 stages and 3 blocks, not {len(widths)} and {blocks}"
    architecture = Architecture("shallow-3x1", widths, TINY_BLOCKS[:1] * blocks)
    refused(architecture, get_images("digits"), message)


def test_a_layer_that_is_no_convolution_may_not_change_channels() -> None:
    broken = Block((Layer("conv", 3, 3, 8), Layer("relu", 1, 1, 16)))
    message = (
        "Layer(kind='relu', kernel_height=1, kernel_width=1, channels=16, ratio=1.0) must keep its "
        "8 input channels"
    )
    architecture = Architecture("shallow-3x1", (8, 16, 32), (broken, *TINY_BLOCKS[1:]))
    refused(architecture, get_images("digits"), message)
