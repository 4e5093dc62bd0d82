"""Training one network, with every series of the record. One function serves CPU and CUDA."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmark.architectures import Architecture, architecture_id
from benchmark.recipes import Recipe, learning_rates
from benchmark.record import TENTHS
from benchmark.walk import walk
from generators.batches import DevicePart, DevicePixels, Epoch, draw_epoch, training_batch
from generators.networks import Convolution, Network, initialise

EVALUATION_BATCH = 1000


@dataclass(slots=True)
class Curves:
    """What one training measured; lists have one entry per planned epoch.

    After a divergence accuracies are chance and losses and norms None. Fields as in
    `benchmark.record.Run`.
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


@dataclass(frozen=True, slots=True, eq=False)
class EpochSums:
    """Sums over an epoch's steps, on the device until the epoch is over.

    Attributes:
        losses: (steps,) mean loss of each step.
        hits: (steps,) images the network got right in each step.
        gradient_norm: () of all parameters at the last step.
        weight_norm: () of all parameters after the last step.
    """

    losses: Tensor
    hits: Tensor
    gradient_norm: Tensor
    weight_norm: Tensor


class Training:
    """One network on its way through a recipe."""

    def __init__(
        self, architecture: Architecture, recipe: Recipe, pixels: DevicePixels, *, seed: int
    ) -> None:
        """Build and initialise the network on the device of `pixels`."""
        self.recipe, self.pixels = recipe, pixels
        self.key = (recipe.images, architecture_id(architecture), seed)
        self.device = pixels.mean.device
        network = Network(walk(architecture, pixels.images), recipe)
        initialise(network, recipe, *self.key)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = _optimizer(network, recipe)
        self.rates = learning_rates(recipe)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits in fp32, computed in the recipe's precision."""
        half = self.recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            logits: Tensor = self.network(images)
        return logits

    def run_epoch(self, epoch: int) -> EpochSums:
        """Train for one epoch, numbered from 0, without waiting for the device."""
        draws = draw_epoch(self.pixels, self.key, epoch)
        self.network.train()
        steps = self.recipe.steps_per_epoch
        losses = torch.empty(steps, device=self.device)
        hits = torch.empty(steps, device=self.device)
        for step in range(steps):
            self._step(draws, epoch * steps + step, losses[step], hits[step])
        parameters = list(self.network.parameters())
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = nn.utils.get_total_norm(gradients), nn.utils.get_total_norm(parameters)
        return EpochSums(losses, hits, norms[0].detach(), norms[1].detach())

    def _step(self, draws: Epoch, step: int, loss_out: Tensor, hits_out: Tensor) -> None:
        """Take one optimiser step, numbered over the whole training."""
        start = step % self.recipe.steps_per_epoch * self.recipe.batch
        images, labels = training_batch(self.pixels, draws, start, self.recipe.batch)
        logits = self.forward(images)
        loss = functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[step]
        self.optimizer.step()
        loss_out.copy_(loss.detach())
        hits_out.copy_((logits.detach().argmax(1) == labels).sum())

    @torch.no_grad()
    def evaluate(self, part: DevicePart) -> tuple[Tensor, Tensor]:
        """Return the mean loss () and which images are right (n,) in the network's present mode."""
        losses, right = [], []
        for start in range(0, len(part.labels), EVALUATION_BATCH):
            take = slice(start, start + EVALUATION_BATCH)
            logits = self.forward(self.pixels.normalise(part.images[take]))
            labels = part.labels[take]
            losses.append(functional.cross_entropy(logits, labels, reduction="sum"))
            right.append(logits.argmax(1) == labels)
        return torch.stack(losses).sum() / len(part.labels), torch.cat(right)

    @torch.no_grad()
    def evaluate_untrained(self) -> tuple[float, float]:
        """Return loss and accuracy on the valid images with each batch's own statistics."""
        saved = {name: value.clone() for name, value in self.network.named_buffers()}
        self.network.train()
        loss, right = self.evaluate(self.pixels.valid)
        for name, buffer in self.network.named_buffers():
            buffer.copy_(saved[name])
        return float(loss), float(right.float().mean())


def _optimizer(network: Network, recipe: Recipe) -> torch.optim.SGD:
    """Return SGD that decays convolution and linear weights only."""
    decayed = [m.weight for m in network.layers if isinstance(m, Convolution | nn.Linear)]
    known = {id(weight) for weight in decayed}
    rest = [p for p in network.parameters() if id(p) not in known]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups, recipe.peak_rate, recipe.momentum, nesterov=recipe.nesterov, fused=True
    )


def train(architecture: Architecture, recipe: Recipe, pixels: DevicePixels, *, seed: int) -> Curves:
    """Train a network from scratch and return its curves.

    Args:
        architecture: What to train.
        recipe: How; its image set must be that of `pixels`.
        pixels: Images on the device to train on.
        seed: Names the streams of weights, order and augmentation.

    Raises:
        ValueError: If the recipe is for other images.
    """
    if recipe.images != pixels.images.name:
        raise ValueError(f"the recipe is for {recipe.images!r}, not {pixels.images.name!r}")
    training = Training(architecture, recipe, pixels, seed=seed)
    curves = Curves()
    loss, accuracy = training.evaluate_untrained()
    curves.initial_valid_loss = loss if np.isfinite(loss) else None
    curves.initial_valid_accuracy = accuracy
    for epoch in range(recipe.epochs):
        if curves.status == "completed":
            _measure_epoch(training, curves, epoch)
        else:
            _fill_epoch(training, curves, epoch, 0.0)
    if curves.status == "completed":
        training.network.eval()
        curves.final_train_accuracy = float(training.evaluate(pixels.train)[1].float().mean())
    else:
        curves.final_train_accuracy = pixels.images.chance
        curves.correct = np.zeros(pixels.images.valid + pixels.images.test, bool)
    return curves


def _measure_epoch(training: Training, curves: Curves, epoch: int) -> None:
    """Train and evaluate one epoch; waits for the device once, at its end."""
    started = time.perf_counter()
    sums = training.run_epoch(epoch)
    training.network.eval()
    results = [training.evaluate(p) for p in (training.pixels.valid, training.pixels.test)]
    right = torch.cat([result[1] for result in results]).cpu().numpy()
    losses = sums.losses.double().cpu().numpy()
    valid_loss, test_loss = (float(result[0]) for result in results)
    norms = float(sums.gradient_norm), float(sums.weight_norm)
    seconds = time.perf_counter() - started
    if not np.isfinite([*losses, valid_loss, test_loss, *norms]).all():
        curves.status = "diverged"
        curves.status_reason = f"a loss or norm was not finite in epoch {epoch + 1}"
        _fill_epoch(training, curves, epoch, seconds)
        return
    recipe, count = training.recipe, training.pixels.images.valid
    curves.epochs_done = epoch + 1
    curves.learning_rate.append(training.rates[(epoch + 1) * len(losses) - 1])
    curves.train_loss.append(float(losses.mean()))
    curves.train_accuracy.append(float(sums.hits.sum()) / (len(losses) * recipe.batch))
    curves.train_loss_tenths += [float(t.mean()) for t in tenths(losses)]
    curves.valid_loss.append(valid_loss)
    curves.test_loss.append(test_loss)
    curves.valid_accuracy.append(float(right[:count].mean()))
    curves.test_accuracy.append(float(right[count:].mean()))
    curves.gradient_norm.append(norms[0])
    curves.weight_norm.append(norms[1])
    curves.epoch_seconds.append(seconds)
    curves.correct = right


def tenths(losses: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Split an epoch's steps into ten parts, step s of n in part floor(10 s / n).

    >>> [len(part) for part in tenths(np.zeros(21))]
    [3, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    part = np.arange(len(losses)) * TENTHS // len(losses)
    return [losses[part == k] for k in range(TENTHS)]


def _fill_epoch(training: Training, curves: Curves, epoch: int, seconds: float) -> None:
    """Append what an epoch after a divergence holds."""
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
