"""Runs without training: sampled architectures with artificial curves."""

import itertools

import numpy as np
from numpy.typing import NDArray

from benchmark.proxies import PROXIES
from benchmark.recipes import RECIPES
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import macs, walk
from benchmark.space.sampler import sequence
from harness.protocol import Array, Runs, Series

EPOCHS = RECIPES["digits"].epochs


def toy_runs(networks: int = 40, *, skeleton: str = "peephole-3x2", seed: int = 0) -> Runs:
    """Return runs whose accuracy rises with MACs and with the fraction of normalised layers.

    The first and every tenth network diverges in its second epoch: chance from then on, and NaN as
    losses and norms.
    """
    images = get_images("digits")
    drawn = itertools.islice(sequence(skeleton, images), networks)
    architectures = tuple(draw.architecture for draw in drawn)
    layer_rows = tuple(walk(architecture, images) for architecture in architectures)
    size = np.log([macs(rows) for rows in layer_rows])
    normalised = np.array([np.mean([row.kind == "bn" for row in rows]) for rows in layer_rows])
    quality = 0.6 + 0.1 * (size - size.mean()) / size.std() + 0.5 * (normalised - 0.1)
    rng = np.random.default_rng(seed)
    epochs = np.arange(1, EPOCHS + 1)
    accuracy = quality[:, None] - 0.45 * epochs**-0.8
    accuracy = np.clip(accuracy + rng.normal(0, 0.01, accuracy.shape), 0.05, 0.99)
    diverged = np.arange(networks) % 10 == 0
    accuracy[diverged, 1:] = images.chance
    return Runs(
        tuple(f"network-{i}" for i in range(networks)),
        images.name,
        images.classes,
        RECIPES["digits"],
        architectures,
        layer_rows,
        series_of(accuracy, diverged),
        np.abs(rng.normal(size=(networks, len(PROXIES)))),
    )


def series_of(accuracy: Array, diverged: NDArray[np.bool_]) -> Series:
    """Return series that match accuracies, (networks, epochs)."""
    loss = -np.log(accuracy)
    norm = np.ones_like(accuracy)
    loss[diverged, 1:] = norm[diverged, 1:] = np.nan
    return Series(
        learning_rate=np.broadcast_to(np.linspace(0.05, 0.0, EPOCHS), accuracy.shape).copy(),
        train_loss=loss,
        train_accuracy=accuracy,
        train_loss_tenths=np.repeat(loss[..., None], 10, axis=2),
        valid_loss=loss.copy(),
        valid_accuracy=accuracy.copy(),
        gradient_norm=norm,
        weight_norm=norm.copy(),
        initial_valid_loss=np.full(len(accuracy), np.log(10)),
        initial_valid_accuracy=np.full(len(accuracy), 0.1),
    )
