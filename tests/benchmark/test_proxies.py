"""Proxies: networks small enough to compute by hand, other ways to compute them, and the traps."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.proxies import PROXIES, SEED
from benchmark.recipes import RECIPES
from benchmark.space.architectures import Architecture, Block, Layer
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, RowKind
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from generators.proxies.measure import (
    BATCH,
    FLOOR,
    LEAST_SQUARE,
    ProxyBatch,
    draw_batch,
    hold_statistics,
    jacov,
    layer_inputs,
    log_synflow,
    loss_gradients,
    measure,
    naswot,
    network_proxies,
    signal_share,
    summed_logit_gradients,
)
from generators.training.batches import to_device
from generators.training.images import ImageArrays, Pixels
from generators.training.network import Convolution, Network, initialise
from tests.toys.campaign import tiny_architecture

Array = NDArray[np.float64]
RECIPE, DIGITS = RECIPES["digits"], get_images("digits")


@pytest.fixture(scope="module")
def batch() -> ProxyBatch:
    """Return a batch of made-up images in place of digits."""
    rng = np.random.default_rng(0)

    def part(count: int) -> ImageArrays:
        images = rng.integers(0, 17, (count, 1, 8, 8), dtype=np.uint8)
        return ImageArrays(images, rng.integers(0, 10, count))

    pixels = Pixels(DIGITS, part(80), part(4), part(4), (8.0,), (5.0,))
    return draw_batch(to_device(pixels, torch.device("cpu")))


def chain(*kinds: RowKind, width: int = 2, side: int = 2, classes: int = 2) -> Network:
    """Return a chain on one channel: 1x1 convolutions and what else is named, pool and head."""
    rows: list[LayerRow] = []
    channels = 1
    for kind in (*kinds, "global_pool", "linear"):
        last = kind in ("global_pool", "linear")
        out = {"conv": width, "linear": classes}.get(kind, channels)
        sides = 1 if kind == "linear" else side, 1 if last else side
        place = ("head" if last else "block", 0, 0, (len(rows) - 1,))
        rows.append(LayerRow(kind, 1, 1, 1, channels, out, *sides, *place))  # type: ignore[arg-type]
        channels = out
    network = Network(tuple(rows), RECIPE)
    initialise(network, RECIPE, "toy", *kinds)
    return network.double()


def pixels_of(count: int, side: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn((count, 1, side, side), generator=generator, dtype=torch.float64)


def weights_of(network: Network) -> list[Tensor]:
    return [m.weight for m in network.layers if isinstance(m, Convolution | nn.Linear)]


def test_gradients_loss_and_share_of_a_linear_network_by_hand() -> None:
    """h = w m, m the mean pixel, logits V h: dL/dV = d h^T, dL/dw = V^T d m, d = (p - y) / n."""
    network = chain("conv")
    images, labels = pixels_of(5), torch.tensor([0, 1, 1, 0, 1])
    with torch.no_grad():
        w, v = (weight.flatten(1).numpy() for weight in weights_of(network))
    m = images.numpy().mean((1, 2, 3))[:, None]  # (n, 1)
    h = m @ w.T  # (n, 2)
    p = np.exp(h @ v.T) / np.exp(h @ v.T).sum(1, keepdims=True)
    d = (p - np.eye(2)[labels.numpy()]) / 5
    by_v, by_w, by_biases = d.T @ h, (d @ v).T @ m, np.concatenate([d.sum(0), (d @ v).sum(0)])
    found = network_proxies(network, images, labels)
    squares = [float(np.square(g).sum()) for g in (by_w, by_v, by_biases)]
    assert found["gradient_norm"] == pytest.approx(math.sqrt(sum(squares)), rel=1e-12)
    snip = np.abs(by_v * v).sum() + np.abs(by_w * w).sum()
    assert found["snip"] == pytest.approx(snip, rel=1e-12)
    assert found["gradient_ratio"] == pytest.approx(math.log(squares[0] / squares[1]), rel=1e-9)
    loss = -np.log(p[np.arange(5), labels.numpy()]).mean()
    assert found["initial_loss"] == pytest.approx(loss, rel=1e-12)
    between = np.mean([np.square(c - c.mean()).mean() for c in h.T])
    share = between / np.square(h - h.mean()).mean()
    assert found["signal_share"] == pytest.approx(share, rel=1e-12)


def test_synflow_of_a_linear_network_by_hand() -> None:
    """An image of ones gives R = 7 |2| + 11 |-3| + 1 |2| + 5 |-3| = 64; two layers hold R each."""
    network = chain("conv")
    with torch.no_grad():
        weights_of(network)[0].copy_(torch.tensor([2.0, -3.0]).view(2, 1, 1, 1))
        weights_of(network)[1].copy_(torch.tensor([[7.0, -11.0], [-1.0, 5.0]]))
    found = log_synflow(network, torch.Size((1, 2, 2)))
    assert found == pytest.approx(math.log(2 * (7 * 2 + 11 * 3 + 1 * 2 + 5 * 3)), rel=1e-14)


def flows(network: Network) -> list[float]:
    """Return weight x gradient of each layer for an image of ones, as the network is: naive."""
    with torch.no_grad():
        for weight in weights_of(network):
            weight.abs_()
    flow = network.train()(torch.ones(1, 1, 2, 2, dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, weights_of(network))
    return [
        float((w.detach() * g).sum()) for w, g in zip(weights_of(network), gradients, strict=True)
    ]


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "bn"])
def test_synflow_is_conserved_whatever_lies_between(kind: RowKind) -> None:
    """The naive way: what flows into a layer does not flow out, or (bn, trained) nothing flows."""
    straight = chain("conv", "conv", "conv")
    bent = chain("conv", kind, "conv", kind, "conv")
    with torch.no_grad():
        for target, source in zip(weights_of(bent), weights_of(straight), strict=True):
            target.copy_(source)
    shape = torch.Size((1, 2, 2))
    equal = flows(straight)
    assert equal == pytest.approx([equal[0]] * 4, rel=1e-12)
    assert log_synflow(bent, shape) == pytest.approx(math.log(sum(equal)), rel=1e-12)
    naive = flows(bent)
    assert max(naive) > 1.01 * min(naive) or max(map(abs, naive)) < 1e-9


def test_synflow_stays_finite_where_single_precision_overflows() -> None:
    kinds: list[RowKind] = ["conv"] * 40
    network = chain(*kinds, width=64)
    with torch.no_grad():
        for weight in weights_of(network):
            weight.mul_(10)
    assert log_synflow(network, torch.Size((1, 2, 2))) > math.log(torch.finfo(torch.float32).max)


def mellor(gradients: Array) -> float:
    """Compute the score of Mellor et al. as published, from gradients (n, pixels)."""
    values = np.linalg.eigvalsh(np.corrcoef(gradients))
    return -float(np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)))


@pytest.mark.parametrize("kinds", [("conv", "bn", "tanh"), ("conv", "sigmoid", "conv", "bn")])
def test_jacov_is_that_of_finite_differences(kinds: tuple[RowKind, ...]) -> None:
    network = chain(*kinds, "max_pool", side=3, width=3)
    images, step = pixels_of(5, 3), 1e-6
    training = network.train()(images).detach()
    hold_statistics(network, images)
    assert torch.allclose(network(images), training, rtol=0, atol=1e-12)
    gradients = np.zeros((5, 9))
    with torch.no_grad():
        for pixel in range(9):
            nudge = torch.zeros(9, dtype=torch.float64)
            nudge[pixel] = step
            ahead, behind = (network(images + s * nudge.view(1, 3, 3)) for s in (1, -1))
            gradients[:, pixel] = ((ahead - behind).sum(1) / (2 * step)).numpy()
    found = summed_logit_gradients(network, images)
    np.testing.assert_allclose(found.numpy(), gradients, atol=1e-8)
    assert jacov(found) == pytest.approx(mellor(found.numpy()), rel=1e-6)


def test_statistics_of_the_batch_would_leave_no_gradient_by_the_pixels() -> None:
    """The naive way: after a normalisation the sum over a batch is constant in training mode."""
    network, images = chain("conv", "tanh", "conv", "bn"), pixels_of(5)
    naive = summed_logit_gradients(network.train(), images)
    hold_statistics(network, images)
    honest = summed_logit_gradients(network, images)
    assert float(naive.abs().max()) < 1e-12 < 1e-3 < float(honest.abs().max())


def test_gradients_that_are_the_same_at_every_pixel_correlate_with_each_other() -> None:
    """Correlations 1 0 0, 0 1 1, 0 1 1 have the eigenvalues 0, 1, 2."""
    gradients = torch.tensor([[1.0, -1.0], [0.0, 0.0], [5.0, 5.0]], dtype=torch.float64)
    expected = -sum(math.log(v + FLOOR) + 1 / (v + FLOOR) for v in (0, 1, 2))
    assert jacov(gradients) == pytest.approx(expected, rel=1e-9)
    with np.errstate(invalid="ignore", divide="ignore"):  # the naive way
        assert np.isnan(np.corrcoef(gradients.numpy())).any()


def agreements(codes: Array) -> Array:
    """Count, pair by pair, the units on which codes (n, units) agree."""
    count = len(codes)
    return np.array([[np.sum(codes[i] == codes[j]) for j in range(count)] for i in range(count)])


def test_naswot_is_the_determinant_of_counted_agreements() -> None:
    network, images = (
        chain("conv", "tanh", "conv", "sigmoid", "conv", "relu", width=4),
        pixels_of(6),
    )
    with torch.no_grad():
        w = [weight.flatten(1).numpy() for weight in weights_of(network)]
    x, codes = images.numpy().transpose(0, 2, 3, 1), []
    functions: list[Callable[[Array], Array]] = [np.tanh, lambda u: 1 / (1 + np.exp(-u)), np.abs]
    for weight, function in zip(w, functions, strict=False):
        x = x @ weight.T
        codes.append((x > 0).reshape(6, -1))
        x = function(x)
    kernel = agreements(np.concatenate(codes, axis=1))
    expected = np.linalg.slogdet(kernel + np.eye(6)).logabsdet
    found = network_proxies(network, images, torch.zeros(6, dtype=torch.int64))
    assert found["naswot"] == pytest.approx(expected, rel=1e-12)
    naive = np.linalg.slogdet(agreements(codes[2]) + np.eye(6)).logabsdet  # ReLU alone
    assert abs(naive - expected) > 1


def test_naswot_of_images_that_agree_in_all_units_is_finite() -> None:
    """K + I has 5 on its diagonal and 4 beside it: eigenvalues 13, 1, 1. K alone is singular."""
    same = torch.full((3, 4, 1, 1), 0.5, dtype=torch.float64)
    assert naswot([same], 3) == pytest.approx(math.log(13), rel=1e-12)
    assert np.linalg.slogdet(np.full((3, 3), 4.0)).logabsdet == -math.inf
    rounding = same * 0 + torch.tensor([1e-14, -1e-14, 0.0], dtype=torch.float64).view(3, 1, 1, 1)
    assert naswot([rounding], 3) == pytest.approx(math.log(13), rel=1e-12)


def test_the_share_between_images_is_that_of_a_table() -> None:
    """Channels 1 3 and 5 7: variance 1 in each; about the mean of 4, 9 1 1 9: 5."""
    assert signal_share(torch.tensor([[1.0, 5.0], [3.0, 7.0]])) == pytest.approx(1 / 5)
    assert signal_share(torch.tensor([[-1.0, 2.0], [1.0, -2.0]])) == 1.0
    assert signal_share(torch.tensor([[1.0, 5.0], [1.0, 5.0]])) == 0.0
    noise = torch.tensor([[1.0, 1.0], [1.0 + 2**-50, 1.0]], dtype=torch.float64)
    assert signal_share(noise) == 0.0


def test_the_inputs_of_layers_are_what_the_network_computes() -> None:
    network, images = chain("conv", "relu", "conv", "tanh"), pixels_of(4)
    inputs = layer_inputs(network, images)
    assert torch.equal(inputs[0], images)
    for module, before, after in zip(network.layers, inputs, inputs[1:], strict=False):
        assert torch.equal(module(before), after)


def dead(kind: RowKind) -> Network:
    """Return a network whose convolution passes nothing on but its bias."""
    network = chain("conv", kind)
    with torch.no_grad():
        weights_of(network)[0].mul_(1e-200)
    return network


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh", "bn"])
def test_a_dead_signal_gives_finite_values(kind: RowKind) -> None:
    found = network_proxies(dead(kind), pixels_of(5), torch.tensor([0, 1, 1, 0, 1]))
    assert np.isfinite(list(found.values())).all()
    assert found["signal_share"] == 0.0
    assert found["naswot"] == pytest.approx(math.log(1 + 5 * (0 if kind == "bn" else 8)))


def test_squared_gradients_have_a_floor() -> None:
    """What is dead behind the convolution leaves the head's weights no gradient, squared 1e-400."""
    images, labels = pixels_of(5), torch.tensor([0, 1, 1, 0, 1])
    _, gradients = loss_gradients(dead("relu"), images, labels)
    first = float(next(iter(gradients.values())).square().sum())
    found = network_proxies(dead("relu"), images, labels)["gradient_ratio"]
    assert found == pytest.approx(math.log(first) - math.log(LEAST_SQUARE), rel=1e-12)


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_proxies_are_finite_and_the_same_again_and_others_for_another_seed(
    skeleton: str, batch: ProxyBatch
) -> None:
    architecture = next(iter(sequence(skeleton, DIGITS))).architecture
    first, again = (measure(architecture, RECIPE, batch) for _ in range(2))
    assert first == again
    assert (first.seed, first.batch) == (SEED, BATCH)
    other = measure(architecture, RECIPE, batch, seed=0)
    for name in PROXIES:
        assert np.isfinite(getattr(first, name))
        if not (name == "signal_share" and first.signal_share == 1.0):
            assert getattr(first, name) != getattr(other, name), name


def test_weights_are_those_of_a_run_with_that_seed(batch: ProxyBatch) -> None:
    from generators.training.engine import Training

    network = Training(tiny_architecture(), RECIPE, batch.pixels, seed=3).network.double()
    found = network_proxies(network, batch.images, batch.labels)
    expected = asdict(measure(tiny_architecture(), RECIPE, batch, seed=3))
    for name in PROXIES:
        assert found[name] == pytest.approx(expected[name], rel=1e-9)


def test_the_batch_is_of_training_images_as_they_are_and_always_the_same(batch: ProxyBatch) -> None:
    again = draw_batch(batch.pixels)
    assert torch.equal(again.images, batch.images)
    assert batch.images.dtype == torch.float64
    assert len(batch.labels) == BATCH == len(batch.images)
    raw = {bytes(image.numpy()): int(label) for image, label in zip(
        batch.pixels.train.images, batch.pixels.train.labels, strict=True
    )}  # fmt: skip
    seen = [bytes((image * 5 + 8).round().to(torch.uint8).numpy()) for image in batch.images]
    assert [raw[key] for key in seen] == batch.labels.tolist()
    assert len(set(seen)) == BATCH
    augmented = replace(batch.pixels, images=replace(DIGITS, flipped=True))
    assert torch.equal(draw_batch(augmented).images, batch.images)


def test_sigmoids_lose_the_signal_and_the_gradient_that_normalisation_keeps(
    batch: ProxyBatch,
) -> None:
    def blocks(*kinds: str) -> Architecture:
        layers = tuple(
            Layer("conv", 3, 3, 8) if kind == "conv" else Layer(kind, 1, 1, 8)  # type: ignore[arg-type]
            for kind in kinds
        )
        return Architecture("shallow-3x1", (8, 8, 8), (Block(layers),) * 3)

    lost = measure(blocks(*["conv", "sigmoid"] * 3), RECIPE, batch)
    kept = measure(blocks(*["conv", "bn", "sigmoid"] * 3), RECIPE, batch)
    assert lost.signal_share < 1e-3 * kept.signal_share
    assert lost.gradient_ratio < kept.gradient_ratio - 10
    assert lost.naswot < kept.naswot


def test_names_of_proxies_are_those_of_the_schema() -> None:
    found = network_proxies(chain("conv"), pixels_of(3), torch.tensor([0, 1, 1]))
    assert tuple(found) == PROXIES
