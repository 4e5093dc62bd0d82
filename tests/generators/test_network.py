"""Layers against slow references, networks against a simple interpreter, and initial weights."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.recipes import RECIPES, Recipe
from benchmark.space.architectures import Architecture, Block, Layer
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, RowKind, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from generators.training.network import IN_PLACE, Convolution, InPlace, Network, initialise, layer
from generators.training.pools import MaxPool, SeparableAveragePool, SeparableMaxPool, is_symmetric
from tests.toys.campaign import tiny_architecture

Array = NDArray[np.float64]

RECIPE, REDUCED = RECIPES["digits"], RECIPES["cifar10"]
RESOLUTIONS = (8, 7, 4, 3, 2)
KERNELS = list(itertools.product(range(1, 6), range(1, 6)))
POOL_KERNELS = list(itertools.product(range(2, 6), range(2, 6)))
TOLERANCE = 1e-11  # for sums of a hundred float64 products


def row_of(
    kind: RowKind, kernel: tuple[int, int], resolution: int, *, stride: int = 1, channels: int = 3
) -> LayerRow:
    out = 4 if kind == "conv" else channels
    return LayerRow(
        kind, *kernel, stride, channels, out, resolution, -(-resolution // stride), "block", 0, 0,
        (-1,),
    )  # fmt: skip


def pixels_of(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def convolved(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Convolve by the definition: pad, take every window, multiply, add."""
    height, width = weight.shape[2:]
    top, left = (height - 1) // 2, (width - 1) // 2
    resolution = x.shape[-1]
    padded = x.new_zeros(*x.shape[:2], resolution + height - 1, resolution + width - 1)
    padded[:, :, top : top + resolution, left : left + resolution] = x
    windows = padded.unfold(2, height, stride).unfold(3, width, stride)
    return torch.einsum("ncyxhw,ochw->noyx", windows, weight) + bias[:, None, None]


def same_gradients(row: LayerRow, arithmetic: int) -> None:
    """Assert that a convolution has the outputs and all gradients of the reference."""
    module = Convolution(row, arithmetic).double()
    weight = pixels_of(*module.weight.shape).requires_grad_()
    bias = pixels_of(row.out_channels).requires_grad_()
    module.weight.data.copy_(weight.data)
    module.bias.data.copy_(bias.data)
    x = pixels_of(2, row.in_channels, row.in_resolution, row.in_resolution).requires_grad_()
    y = x.detach().clone().requires_grad_()
    expected, found = convolved(x, weight, bias, row.stride), module(y)
    assert found.shape == (2, row.out_channels, row.out_resolution, row.out_resolution)
    assert torch.allclose(found, expected, rtol=0, atol=TOLERANCE), row
    upstream = pixels_of(*expected.shape)
    torch.autograd.backward([expected, found], [upstream, upstream])
    pairs = ((x, y), (weight, module.weight), (bias, module.bias))
    for reference, gradient in ((a.grad, b.grad) for a, b in pairs):
        assert reference is not None
        assert gradient is not None
        assert torch.allclose(gradient, reference, rtol=0, atol=TOLERANCE), row


@pytest.mark.parametrize("arithmetic", [1, 2])
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_kernel_matches_the_definition_with_all_gradients(
    resolution: int, arithmetic: int
) -> None:
    for kernel in KERNELS:
        same_gradients(row_of("conv", kernel, resolution), arithmetic)


def test_arithmetic_2_pads_inputs_of_even_kernels_with_many_taps_to_save() -> None:
    def padded(kernel: tuple[int, int], channels: int, arithmetic: int = 2) -> bool:
        row = replace(row_of("conv", kernel, 8), out_channels=channels)
        return Convolution(row, arithmetic).pads_input

    assert not padded((5, 5), 128)
    assert padded((4, 4), 8)  # 25 taps for 16: 9 x 8 = 72 saved
    assert not padded((2, 2), 8)  # 9 for 4: 40
    assert padded((2, 2), 16)
    assert not padded((4, 4), 8, arithmetic=1)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_strided_convolution_matches_the_definition_with_all_gradients(resolution: int) -> None:
    same_gradients(row_of("conv", (3, 3), resolution, stride=2), 2)


def test_channels_last_does_not_change_a_convolution() -> None:
    for kernel, resolution in itertools.product([(1, 1), (2, 3), (5, 5)], (4, 2)):
        module = Convolution(row_of("conv", kernel, resolution)).double()
        nn.init.ones_(module.weight)
        x = pixels_of(2, 3, resolution, resolution)
        plain = module(x)
        last = module.to(memory_format=torch.channels_last)(
            x.contiguous(memory_format=torch.channels_last)
        )
        assert torch.allclose(last, plain, rtol=0, atol=TOLERANCE)


def test_even_kernels_reach_one_further_down_and_right() -> None:
    module = Convolution(row_of("conv", (2, 2), 3, channels=1))
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 10.0], [100.0, 1000.0]]).expand(4, 1, 2, 2))
        x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
        found = module(x)[0, 0].tolist()
    # x[i, j] + 10 x[i, j+1] + 100 x[i+1, j] + 1000 x[i+1, j+1], zero past the right and the bottom
    assert found == [[5421, 6532, 603], [8754, 9865, 906], [87, 98, 9]]
    assert row_of("conv", (4, 2), 8).same_padding == (0, 1, 1, 2)  # left, right, top, bottom


@pytest.mark.parametrize(
    ("kernel", "symmetric"), [((3, 5), True), ((2, 3), False), ((3, 2), False), ((4, 4), False)]
)
def test_torch_can_pad_for_odd_kernels_only(kernel: tuple[int, int], symmetric: bool) -> None:
    assert is_symmetric(row_of("conv", kernel, 8).same_padding) is symmetric


def pooled(x: Array, kernel: tuple[int, int], how: str) -> Array:
    """Pool by the definition: only over the pixels of a window inside the image."""
    height, width = kernel
    resolution = x.shape[-1]
    y = np.empty_like(x)
    for i, j in itertools.product(range(resolution), range(resolution)):
        top, left = i - (height - 1) // 2, j - (width - 1) // 2
        window = x[..., max(0, top) : top + height, max(0, left) : left + width]
        y[..., i, j] = window.max((-2, -1)) if how == "max_pool" else window.mean((-2, -1))
    return y


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("kind", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("recipe", [RECIPE, REDUCED], ids=["arithmetic 1", "arithmetic 2"])
def test_pools_see_only_pixels_inside_the_image(
    kind: RowKind, resolution: int, recipe: Recipe
) -> None:
    x = pixels_of(2, 3, resolution, resolution) - 5  # all negative: a zero would win every maximum
    for kernel in POOL_KERNELS:
        module = layer(row_of(kind, kernel, resolution), recipe).double()
        separable = isinstance(module, SeparableMaxPool | SeparableAveragePool)
        assert separable is (recipe is REDUCED)
        tolerance = TOLERANCE if kind == "max_pool" else 1e-6  # an average's scale is fp32
        expected = pooled(x.numpy(), kernel, kind)
        assert np.allclose(module(x).numpy(), expected, rtol=0, atol=tolerance), kernel


@pytest.mark.parametrize(("resolution", "out"), [(8, 4), (7, 3), (2, 1)])
def test_a_transition_pools_without_padding(resolution: int, out: int) -> None:
    row = replace(row_of("max_pool", (2, 2), resolution, stride=2), role="transition")
    x = pixels_of(1, 3, resolution, resolution) - 5
    windows = x[..., : 2 * out, : 2 * out].unfold(2, 2, 2).unfold(3, 2, 2)
    assert torch.equal(MaxPool(row)(x), windows.amax((-2, -1)))


def interpreted(network: Network, images: Tensor) -> Tensor:
    """Compute a network from its rows, keeping all activations, in evaluation mode."""
    outputs = {-1: images}
    for index, (row, module) in enumerate(zip(network.rows, network.layers, strict=True)):
        x = outputs[row.inputs[0]]
        if row.kind == "add":
            y = x + outputs[row.inputs[1]]
        elif row.kind == "conv":
            assert isinstance(module, Convolution)
            y = convolved(x, module.weight, module.bias, row.stride)
        elif row.kind == "bn":
            assert isinstance(module, nn.BatchNorm2d)
            mean, variance = module.running_mean, module.running_var
            assert mean is not None
            assert variance is not None
            scale = module.weight / torch.sqrt(variance + 1e-5)
            y = x * scale[:, None, None] + (module.bias - mean * scale)[:, None, None]
        elif row.role == "transition" and row.kind == "max_pool":
            side = 2 * (row.in_resolution // 2)
            y = x[..., :side, :side].unfold(2, 2, 2).unfold(3, 2, 2).amax((-2, -1))
        elif row.kind in ("max_pool", "avg_pool"):
            kernel = row.kernel_height, row.kernel_width
            y = torch.from_numpy(pooled(x.numpy(), kernel, row.kind))
        elif row.kind == "linear":
            y = x.float() @ module.weight.T + module.bias  # type: ignore[operator]
        else:
            simple = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
            y = x.mean((2, 3)) if row.kind == "global_pool" else simple[row.kind](x)
        outputs[index] = y
    return outputs[len(network.rows) - 1]


@pytest.mark.parametrize("name", SKELETONS)
@pytest.mark.parametrize("images", ["digits", "mnist"])
@pytest.mark.parametrize("recipe", [RECIPE, REDUCED], ids=["arithmetic 1", "arithmetic 2"])
@torch.no_grad()
def test_a_network_computes_its_rows(name: str, images: str, recipe: Recipe) -> None:
    """Networks of arithmetic 2 overwrite and fold, so that both ways are tested."""
    spec = replace(get_images(images), resolution=7 if images == "mnist" else 8)  # odd, even sides
    drawn = next(sequence(name, get_images("digits")))
    network = Network(walk(drawn.architecture, spec), recipe, overwriting=recipe is REDUCED)
    initialise(network, recipe, "test", name)
    for index, module in enumerate(network.layers):
        if isinstance(module, nn.BatchNorm2d):
            rng = np.random.default_rng(index)  # so that no statistic or weight is 0 or 1
            for vector in (module.weight, module.bias, module.running_mean, module.running_var):
                assert vector is not None
                vector.copy_(torch.tensor(rng.uniform(0.5, 2, vector.shape)))
        elif isinstance(module, Convolution):
            module.bias.fill_(0.25)
    network.double().eval().layers[-1].float()
    x = pixels_of(2, 1, spec.resolution, spec.resolution)
    logits = network(x)
    assert logits.shape == (2, 10)
    assert torch.allclose(logits, interpreted(network, x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_folded_normalisation_is_kept_for_an_addition() -> None:
    """A block that ends in one is added to a shortcut convolution, which is a row in between."""
    widths = (8, 16, 24)
    blocks = tuple(
        Block((Layer("conv", 3, 3, width), Layer("bn", 1, 1, width)))
        for width in widths
        for _ in range(2)
    )
    rows = walk(Architecture("residual-3x2", widths, blocks), get_images("digits"))
    network = Network(rows, REDUCED, overwriting=True)
    assert network.folded & network.kept
    initialise(network, REDUCED, "test")
    network.double().eval().layers[-1].float()
    x = pixels_of(2, 1, 8, 8)
    assert torch.allclose(network(x), interpreted(network, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["peephole-3x2", "residual-3x2"])
def test_overwriting_changes_no_gradient(name: str) -> None:
    rows = walk(next(sequence(name, get_images("digits"))).architecture, get_images("digits"))
    found = []
    for overwriting in (False, True):
        network = Network(rows, REDUCED, overwriting=overwriting)
        initialise(network, REDUCED, "test", name)
        network(pixels_of(8, 1, 8, 8).float()).square().mean().backward()
        found.append([p.grad for p in network.parameters()])
    for plain, overwritten in zip(*found, strict=True):
        assert plain is not None
        assert overwritten is not None
        assert torch.equal(plain, overwritten)


def test_activations_that_are_read_twice_are_not_overwritten_or_folded() -> None:
    images = get_images("digits")
    for name in SKELETONS:
        rows = walk(next(sequence(name, images)).architecture, images)
        network = Network(rows, REDUCED, overwriting=True)
        pairs = list(itertools.pairwise(rows))
        alone = [index for index in range(1, len(rows)) if index - 1 not in network.kept]
        assert network.folded == {
            i for i in alone if (pairs[i - 1][0].kind, rows[i].kind) == ("conv", "bn")
        }
        overwritten = {i for i, one in enumerate(network.layers) if isinstance(one, InPlace)}
        assert overwritten == {
            i for i in alone if rows[i].kind in IN_PLACE and rows[i - 1].kind not in IN_PLACE
        }
        assert len(overwritten) > 2
        assert not Network(rows, REDUCED).folded


def test_only_activations_that_a_shortcut_reads_are_kept() -> None:
    images = get_images("digits")
    kept = {}
    for name in SKELETONS:
        rows = walk(next(sequence(name, images)).architecture, images)
        kept[name] = Network(rows, RECIPE).kept
        later = {source for i, row in enumerate(rows) for source in row.inputs if source < i - 1}
        assert kept[name] == later
    assert [name for name, sources in kept.items() if sources] == ["residual-3x2"]


def weights(*key: str | int) -> list[Tensor]:
    network = Network(walk(tiny_architecture(channels=16), get_images("digits")), RECIPE)
    initialise(network, RECIPE, *key)
    return [p.detach() for p in network.parameters() if p.ndim > 1]


def test_the_same_key_gives_the_same_weights_bit_for_bit() -> None:
    torch.manual_seed(0)
    first = weights("digits", "0123456789abcdef", 0)
    torch.manual_seed(1)
    second = weights("digits", "0123456789abcdef", 0)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "key",
    [
        ("mnist", "0123456789abcdef", 0),
        ("digits", "0123456789abcdee", 0),
        ("digits", "0123456789abcdef", 1),
    ],
)
def test_another_key_gives_independent_weights(key: tuple[str | int, ...]) -> None:
    own, other = weights("digits", "0123456789abcdef", 0), weights(*key)
    large = max(range(len(own)), key=lambda i: own[i].numel())
    sample = np.corrcoef(own[large].flatten(), other[large].flatten())[0, 1]
    assert abs(sample) < 4 / math.sqrt(own[large].numel())


def test_layers_of_one_network_have_independent_weights() -> None:
    network = Network(walk(tiny_architecture(), get_images("digits")), RECIPE)
    initialise(network, RECIPE, "test")
    second, third = (
        module.weight.flatten()
        for row, module in zip(network.rows, network.layers, strict=True)
        if isinstance(module, Convolution) and row.stage in (1, 2)
    )
    assert not torch.allclose(second, third, atol=1e-3)


def deviations(initialisation: str) -> dict[str, tuple[float, float]]:
    """Return the mean and standard deviation of the weights of two large layers, by kind."""
    recipe = replace(RECIPE, initialisation=initialisation)  # type: ignore[arg-type]
    conv = replace(row_of("conv", (3, 5), 8, channels=32), out_channels=96)
    linear = replace(row_of("linear", (1, 1), 1, channels=64), out_channels=500, role="head")
    network = Network((conv, linear), recipe)
    initialise(network, recipe, "test")
    found = {}
    for row, module in zip(network.rows, network.layers, strict=True):
        assert isinstance(module, Convolution | nn.Linear)
        assert torch.equal(module.bias, torch.zeros_like(module.bias))
        weight = module.weight.detach().double()
        found[row.kind] = float(weight.mean()), float(weight.std())
    return {str(kind): values for kind, values in found.items()}


@pytest.mark.parametrize(
    ("initialisation", "conv_std"),
    [
        ("he_normal", math.sqrt(2 / (15 * 32))),
        ("xavier_normal", math.sqrt(2 / (15 * 32 + 15 * 96))),
    ],
)
def test_weights_have_the_deviation_of_their_fan_in(initialisation: str, conv_std: float) -> None:
    found = deviations(initialisation)
    for kind, std, count in (("conv", conv_std, 15 * 32 * 96), ("linear", 1 / 8, 64 * 500)):
        mean, deviation = found[kind]
        assert abs(mean) < 4 * std / math.sqrt(count)
        assert deviation == pytest.approx(std, rel=4 / math.sqrt(2 * count))


def test_normalisation_follows_the_recipe_and_counts_no_batches() -> None:
    recipe = replace(RECIPE, bn_momentum=0.25, bn_epsilon=0.5)
    module = layer(row_of("bn", (1, 1), 4), recipe)
    assert isinstance(module, nn.BatchNorm2d)
    assert (module.momentum, module.eps, module.num_batches_tracked) == (0.25, 0.5, None)
    release = layer(row_of("bn", (1, 1), 4), RECIPE)
    assert isinstance(release, nn.BatchNorm2d)
    assert (release.momentum, release.eps) == (0.1, 1e-5)
    x = pixels_of(6, 3, 4, 4).float()
    module(x)
    assert module.running_mean is not None
    assert torch.allclose(module.running_mean, 0.25 * x.mean((0, 2, 3)), atol=1e-6)


def test_the_head_is_computed_in_fp32_whatever_the_precision() -> None:
    network = Network(walk(tiny_architecture(), get_images("digits")), RECIPE).eval()
    initialise(network, RECIPE, "test")
    seen: list[Tensor] = []
    head = network.layers[-1]
    assert isinstance(head, nn.Linear)
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        logits = network(pixels_of(2, 1, 8, 8).float())
    assert logits.dtype == torch.float32
    assert torch.equal(logits, seen[0].float() @ head.weight.T + head.bias)
