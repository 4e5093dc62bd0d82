"""Pools in two passes against torch's in one, and compiled pools against plain ones."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import generators.training.pools
from benchmark.recipes import RECIPES
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, RowKind, walk
from benchmark.space.sampler import sequence
from generators.training import compiled
from generators.training.network import Network, initialise
from generators.training.pools import AveragePool, MaxPool, SeparableAveragePool, SeparableMaxPool

KERNELS = list(itertools.product(range(2, 6), range(2, 6)))
RESOLUTIONS = (1, 2, 3, 7, 8)
PAIRS: dict[RowKind, tuple[type[nn.Module], type[nn.Module]]] = {
    "max_pool": (SeparableMaxPool, MaxPool),
    "avg_pool": (SeparableAveragePool, AveragePool),
}
needs_numba = pytest.mark.skipif(not compiled.COMPILED, reason="numba is not installed")


def row_of(kind: RowKind, kernel: tuple[int, int], resolution: int) -> LayerRow:
    return LayerRow(kind, *kernel, 1, 8, 8, resolution, resolution, "block", 0, 0, (-1,))


def pixels(resolution: int, *, ties: bool = False) -> Tensor:
    """Return a tensor (4, 8, r, r) in channels_last, with many equal values (`ties`) or none."""
    generator = torch.Generator().manual_seed(resolution)
    shape = 4, 8, resolution, resolution
    x = torch.randint(-2, 2, shape, generator=generator).float() if ties else None
    drawn = torch.randn(shape, generator=generator) if x is None else x
    return drawn.contiguous(memory_format=torch.channels_last)


def value_and_gradient(module: nn.Module, x: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone().requires_grad_()
    y = module(x)
    y.backward(upstream)
    assert x.grad is not None
    return y.detach(), x.grad


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("kind", PAIRS)
def test_two_passes_equal_one_pass_and_so_do_gradients(kind: RowKind, resolution: int) -> None:
    """No two values are equal here, since the two ways pass gradients to different equal ones."""
    x, upstream = pixels(resolution), pixels(resolution + 10)[..., :resolution, :resolution]
    for kernel in KERNELS:
        two, one = (pool(row_of(kind, kernel, resolution)) for pool in PAIRS[kind])
        found, expected = (value_and_gradient(pool, x, upstream) for pool in (two, one))
        assert torch.allclose(found[0], expected[0], rtol=0, atol=1e-6), kernel
        assert torch.allclose(found[1], expected[1], rtol=0, atol=1e-5), kernel
        if kind == "max_pool":
            assert torch.equal(found[0], expected[0])


@needs_numba
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("kind", PAIRS)
def test_compiled_pools_are_bit_identical_to_plain_ones(
    kind: RowKind, resolution: int, ties: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = pixels(resolution, ties=ties)
    upstream = pixels(resolution + 10)[..., :resolution, :resolution]
    for kernel in KERNELS:
        pool = PAIRS[kind][0](row_of(kind, kernel, resolution))
        found = value_and_gradient(pool, x, upstream)
        with torch.no_grad():  # evaluation uses another kernel
            assert torch.equal(pool(x), found[0])
        with monkeypatch.context() as patch:
            patch.setattr(generators.training.pools, "is_compiled_for", lambda _: False)
            plain = value_and_gradient(pool, x, upstream)
        assert torch.equal(found[0], plain[0]), kernel
        assert torch.equal(found[1], plain[1]), kernel


@pytest.mark.parametrize("kind", PAIRS)
def test_gradients_are_those_of_finite_differences(kind: RowKind) -> None:
    for kernel in [(2, 3), (5, 4)]:
        pool = PAIRS[kind][0](row_of(kind, kernel, 4)).double()
        x = pixels(4)[:2].double().requires_grad_()
        assert torch.autograd.gradcheck(pool, (x,))


@pytest.mark.parametrize("kind", PAIRS)
def test_nan_is_propagated(kind: RowKind) -> None:
    x = pixels(7)
    x[1, 2, 3, 4] = torch.nan
    found = PAIRS[kind][0](row_of(kind, (3, 3), 7))(x)
    expected = torch.zeros(4, 8, 7, 7, dtype=torch.bool)
    expected[1, 2, 2:5, 3:6] = True
    assert torch.equal(found.isnan(), expected)


@needs_numba
def test_the_memory_order_of_a_tensor_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, upstream = pixels(8), pixels(18)[..., :8, :8]
    for kind, (separable, _) in PAIRS.items():
        pool = separable(row_of(kind, (4, 5), 8))
        last = value_and_gradient(pool, x, upstream)
        first = value_and_gradient(pool, x.contiguous(), upstream.contiguous())
        assert all(torch.equal(a, b) for a, b in zip(last, first, strict=True))


@needs_numba
def test_a_compiled_network_is_identical_to_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images, recipe = get_images("digits"), RECIPES["cifar10"]
    for drawn in itertools.islice(sequence("deep-3x3", images), 2):
        found = []
        for is_compiled in (True, False):
            with monkeypatch.context() as patch:
                patch.setattr(compiled, "COMPILED", is_compiled)
                network = Network(walk(drawn.architecture, images), recipe, overwriting=True)
                network.to(memory_format=torch.channels_last)
                initialise(network, recipe, "test")
                x = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 1, 8, 8), "f4"))
                network(x).logsumexp(1).sum().backward()
                found.append([p.grad for p in network.parameters()])
        for one, other in zip(*found, strict=True):
            assert one is not None
            assert other is not None
            assert torch.equal(one, other)


def test_only_single_precision_on_a_cpu_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILED", True)
    assert compiled.is_compiled_for(torch.zeros(1))
    assert not compiled.is_compiled_for(torch.zeros(1, dtype=torch.float64))
    assert not compiled.is_compiled_for(torch.zeros(1, device="meta"))
    monkeypatch.setattr(compiled, "COMPILED", False)
    assert not compiled.is_compiled_for(torch.zeros(1))
