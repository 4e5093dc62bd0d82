"""Trains one network, on a CPU or a GPU, and measures every series of its row."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.recipes import Recipe
from benchmark.schema import TENTHS
from benchmark.space.architectures import Architecture
from generators.training.batches import DevicePixels
from generators.training.cuda_graphs import own_stream
from generators.training.engine import Training


@dataclass(slots=True)
class Curves:
    """Results of one training; `benchmark.schema.Run` describes the fields.

    Lists have one entry per planned epoch (`train_loss_tenths` ten). After a divergence, accuracies
    are those of chance, and losses and norms are None.
    """

    status: str = "completed"
    status_reason: str | None = None
    epochs_done: int = 0
    initial_valid_loss: float | None = None
    initial_valid_accuracy: float = 0.0
    learning_rate: list[float] = field(default_factory=list)
    train_loss: list[float | None] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float | None] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float | None] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    gradient_norm: list[float | None] = field(default_factory=list)
    weight_norm: list[float | None] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    train_loss_tenths: list[float | None] = field(default_factory=list)
    final_train_accuracy: float = 0.0
    correct: NDArray[np.bool_] | None = None


def train(
    architecture: Architecture,
    recipe: Recipe,
    pixels: DevicePixels,
    *,
    seed: int,
    graphs: bool = False,
) -> Curves:
    """Train a network from scratch and return its curves.

    Args:
        architecture: Architecture to train.
        recipe: Recipe to train it with, for the image set of `pixels`.
        pixels: Images on the device to train on.
        seed: Seed of the random streams of weights, order and augmentation.
        graphs: Whether to use CUDA graphs; needs a GPU.

    Raises:
        ValueError: If the recipe is for another image set.
    """
    if recipe.images != pixels.images.name:
        raise ValueError(f"the recipe is for {recipe.images!r}, not {pixels.images.name!r}")
    with own_stream(pixels.mean.device):
        return _train(Training(architecture, recipe, pixels, seed=seed, graphs=graphs))


def _train(training: Training) -> Curves:
    recipe, pixels, curves = training.recipe, training.pixels, Curves()
    loss, accuracy = training.evaluate_untrained()
    curves.initial_valid_loss = loss if np.isfinite(loss) else None
    curves.initial_valid_accuracy = accuracy
    for epoch in range(recipe.epochs):
        if curves.status == "completed":
            _measure_epoch(training, curves, epoch)
        else:
            _fill_epoch(training, curves, epoch, 0.0)
    if curves.status == "completed":
        curves.final_train_accuracy = float(training.evaluate(pixels.final_train)[1].float().mean())
    else:
        curves.final_train_accuracy = pixels.images.chance
        curves.correct = np.zeros(pixels.images.valid + pixels.images.test, bool)
    return curves


def _measure_epoch(training: Training, curves: Curves, epoch: int) -> None:
    """Train and evaluate for one epoch; waits for the device only at the end."""
    started = time.perf_counter()
    sums = training.run_epoch(epoch)
    pixels, last = training.pixels, epoch == training.recipe.epochs - 1
    subsets = (pixels.valid, pixels.test) if last else (pixels.curve_valid, pixels.curve_test)
    results = [training.evaluate(subset) for subset in subsets]
    correct = torch.cat([result[1] for result in results]).cpu().numpy()
    losses = sums.losses.double().cpu().numpy()
    valid_loss, test_loss = (float(result[0]) for result in results)
    norms = float(sums.gradient_norm), float(sums.weight_norm)
    seconds = time.perf_counter() - started
    if not np.isfinite([*losses, valid_loss, test_loss, *norms]).all():
        curves.status = "diverged"
        curves.status_reason = f"a loss or norm was not finite in epoch {epoch + 1}"
        _fill_epoch(training, curves, epoch, seconds)
        return
    recipe, count = training.recipe, len(subsets[0].labels)
    curves.epochs_done = epoch + 1
    curves.learning_rate.append(training.rates[(epoch + 1) * len(losses) - 1])
    curves.train_loss.append(float(losses.mean()))
    curves.train_accuracy.append(float(sums.hits.sum()) / (len(losses) * recipe.batch))
    curves.train_loss_tenths += [float(t.mean()) for t in tenths(losses)]
    curves.valid_loss.append(valid_loss)
    curves.test_loss.append(test_loss)
    curves.valid_accuracy.append(float(correct[:count].mean()))
    curves.test_accuracy.append(float(correct[count:].mean()))
    curves.gradient_norm.append(norms[0])
    curves.weight_norm.append(norms[1])
    curves.epoch_seconds.append(seconds)
    curves.correct = correct


def tenths(losses: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Divide an epoch's steps into tenths; step s of n is in tenth floor(10 s / n).

    With fewer than ten steps, a tenth in which none begins has the one that began before.

    >>> [len(tenth) for tenth in tenths(np.zeros(21))]
    [3, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    tenth = np.arange(len(losses)) * TENTHS // len(losses)
    last = np.searchsorted(tenth, np.arange(TENTHS), side="right") - 1
    return [losses[tenth == tenth[step]] for step in last]


def _fill_epoch(training: Training, curves: Curves, epoch: int, seconds: float) -> None:
    """Append the values of a diverged epoch."""
    steps = training.recipe.steps_per_epoch
    chance = training.pixels.images.chance
    curves.learning_rate.append(training.rates[(epoch + 1) * steps - 1])
    for accuracy in (curves.train_accuracy, curves.valid_accuracy, curves.test_accuracy):
        accuracy.append(chance)
    for values in (curves.train_loss, curves.valid_loss, curves.test_loss):
        values.append(None)
    curves.gradient_norm.append(None)
    curves.weight_norm.append(None)
    curves.train_loss_tenths += [None] * TENTHS
    curves.epoch_seconds.append(seconds)
