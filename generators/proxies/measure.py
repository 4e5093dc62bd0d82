"""Measures the zero-cost proxies of a network at initialisation, as `benchmark.proxies` defines.

All are computed in double precision: vanishing signals and exploding synflows span hundreds of
orders of magnitude, and differences between images are small differences of large numbers.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.proxies import SEED, Proxies
from benchmark.recipes import Recipe
from benchmark.space.architectures import Architecture, architecture_id
from benchmark.space.layer_walk import walk
from benchmark.util.rng import generator_for
from generators.environment import GENERATOR_VERSION, device_name, environment, environment_id
from generators.training.batches import DevicePixels
from generators.training.network import Convolution, Network, initialise

BATCH = 50  # images; with more than the 64 pixels of digits, correlations would be singular
ACTIVATIONS = ("relu", "sigmoid", "tanh")
FLOOR = 1e-5  # added to eigenvalues in jacov: k of Mellor et al. 2020
FLAT = 1e-12  # a gradient that varies over pixels by less, relative to its norm, is constant
ROUNDING = 1e-12  # above the rounding errors of normalised values: larger ones are positive
LEAST_VARIANCE = ROUNDING**2  # inputs of the head with a smaller variance are constant
LEAST_SQUARE = 1e-100  # lower limit of a squared gradient, before its logarithm is taken


@dataclass(frozen=True, slots=True, eq=False)
class ProxyBatch:
    """The images that all networks of an image set are measured on.

    Attributes:
        pixels: The image set on a device.
        images: (n, channels, r, r) fp64, normalised, not augmented.
        labels: (n,) int64.
    """

    pixels: DevicePixels
    images: Tensor
    labels: Tensor


def draw_batch(pixels: DevicePixels) -> ProxyBatch:
    """Return the training images that networks are measured on, the same on every machine."""
    order = generator_for("proxies-v1", pixels.images.name, "batch").permutation(
        len(pixels.train.labels)
    )
    chosen = torch.from_numpy(order[:BATCH]).to(pixels.mean.device)
    images = pixels.normalise(pixels.train.images[chosen]).double()
    return ProxyBatch(pixels, images, pixels.train.labels[chosen])


def measure(
    architecture: Architecture, recipe: Recipe, batch: ProxyBatch, *, seed: int = SEED
) -> Proxies:
    """Return the proxies of an architecture, initialised as a run with this seed would be."""
    name = architecture_id(architecture)
    network = Network(walk(architecture, batch.pixels.images), recipe)
    initialise(network, recipe, recipe.images, name, seed)
    network = network.double().to(batch.images.device)
    values = network_proxies(network, batch.images, batch.labels)
    return Proxies(
        architecture_id=name,
        seed=seed,
        batch=len(batch.labels),
        **values,
        device=device_name(batch.images.device),
        environment_id=environment_id(environment()),
        generator_version=GENERATOR_VERSION,
    )


def network_proxies(network: Network, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the proxies of a network by name; this changes the statistics of its normalisations.

    The network must be initialised and in fp64. Images and labels are those of a `ProxyBatch`.
    """
    synflow = log_synflow(network, images.shape[1:])  # before the network is changed
    loss, gradients = loss_gradients(network, images, labels)
    weights = [m.weight for m in network.layers if isinstance(m, Convolution | nn.Linear)]
    squares = [float(gradients[w].square().sum()) for w in (weights[0], weights[-1])]
    first, head = (math.log(max(square, LEAST_SQUARE)) for square in squares)
    hold_statistics(network, images)
    inputs = layer_inputs(network, images)
    activated = [x for row, x in zip(network.rows, inputs, strict=True) if row.kind in ACTIVATIONS]
    return {
        "gradient_norm": float(nn.utils.get_total_norm(list(gradients.values()))),
        "snip": sum(float((w.detach() * gradients[w]).abs().sum()) for w in weights),
        "synflow": synflow,
        "jacov": jacov(summed_logit_gradients(network, images)),
        "naswot": naswot(activated, len(images)),
        "signal_share": signal_share(inputs[-1]),
        "gradient_ratio": first - head,
        "initial_loss": loss,
    }


def loss_gradients(
    network: Network, images: Tensor, labels: Tensor
) -> tuple[float, dict[Tensor, Tensor]]:
    """Return the mean cross-entropy in training mode, and its gradient for each parameter."""
    network.train()
    loss = functional.cross_entropy(network(images), labels)
    parameters: list[Tensor] = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    return float(loss.detach()), dict(zip(parameters, gradients, strict=True))


def log_synflow(network: Network, shape: torch.Size) -> float:
    """Return the logarithm of synflow for images of a shape (channels, r, r).

    Activation functions and normalisations are left out, so that the flow is conserved: each layer
    of a chain has the same sum of weight x gradient.
    """
    linear = copy.deepcopy(network)
    for index, row in enumerate(linear.rows):
        if row.kind in (*ACTIVATIONS, "bn"):
            linear.layers[index] = nn.Identity()
    weights = [m.weight for m in linear.layers if isinstance(m, Convolution | nn.Linear)]
    with torch.no_grad():
        for weight in weights:
            weight.abs_()
    flow = linear(weights[0].new_ones(1, *shape)).sum()
    gradients = torch.autograd.grad(flow, weights)
    pairs = zip(weights, gradients, strict=True)
    return math.log(sum(float((w.detach() * g).sum()) for w, g in pairs))


@torch.no_grad()
def hold_statistics(network: Network, images: Tensor) -> None:
    """Set the statistics of all normalisations to those of these images, and use evaluation mode.

    The outputs for these images stay those of training mode, but gradients change. In training
    mode, the sum of normalised values over the batch is constant, so the gradient of a network that
    ends in a normalisation, with respect to its pixels, would be rounding errors only.
    """
    network.train()
    inputs = layer_inputs(network, images)
    for module, x in zip(network.layers, inputs, strict=True):
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(x.mean((0, 2, 3)))
            module.running_var.copy_(x.var((0, 2, 3), correction=0))
    network.eval()


@torch.no_grad()
def layer_inputs(network: Network, images: Tensor) -> list[Tensor]:
    """Return the input of the module of each row, in order; an empty tensor for an addition."""
    inputs: dict[int, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, i=index: inputs.update({i: args[0]}))
        for index, module in enumerate(network.layers)
    ]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [inputs.get(index, images.new_empty(0)) for index in range(len(network.layers))]


def summed_logit_gradients(network: Network, images: Tensor) -> Tensor:
    """Return the gradient of each image's summed logits with respect to its pixels, (n, pixels)."""
    pixels = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(pixels).sum(), pixels)
    return gradient.flatten(1)


def jacov(gradients: Tensor) -> float:
    """Return the jacov score: of the correlations between images of their gradients (n, pixels)."""
    centred = gradients - gradients.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    flat = length <= FLAT * gradients.norm(dim=1, keepdim=True)
    # All constant gradients get one common direction, orthogonal to those of the other images
    directions = torch.cat([torch.where(flat, 0, centred / length), flat.to(centred)], dim=1)
    values = torch.linalg.eigvalsh(directions @ directions.T).clamp(min=0) + FLOOR
    return -float((values.log() + 1 / values).sum())


def naswot(inputs: list[Tensor], count: int) -> float:
    """Return the log-determinant of I + K; K counts the units on which two images agree.

    Args:
        inputs: Pre-activations (n, channels, r, r) of each activation function.
        count: Number of images, n.
    """
    kernel = torch.eye(count, dtype=torch.float64)
    for x in inputs:
        code = (x > ROUNDING).flatten(1).double()
        kernel += (code @ code.T + (1 - code) @ (1 - code).T).cpu()
    return float(torch.linalg.slogdet(kernel).logabsdet)


def signal_share(inputs: Tensor) -> float:
    """Return the share of the variance of the head's inputs (n, channels) that is between images.

    It is 0 if the variance is that of rounding errors.
    """
    total = inputs.var(correction=0)
    between = inputs.var(0, correction=0).mean()
    return min(float(between / total), 1.0) if total > LEAST_VARIANCE else 0.0
