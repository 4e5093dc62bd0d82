"""Trains and evaluates one network, an epoch at a time.

A step reads and writes fixed buffers on the device, which also hold its number. So a GPU can
capture the step once as a CUDA graph and replay it without the host. A CPU runs the same functions.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.recipes import Recipe, learning_rates
from benchmark.space.architectures import Architecture, architecture_id
from benchmark.space.layer_walk import walk
from generators.training.batches import (
    DeviceImages,
    DevicePixels,
    Epoch,
    draw_epoch,
    training_batch,
)
from generators.training.cuda_graphs import GRAPH_LOCK, GraphedLogits, capture
from generators.training.network import Convolution, Network, initialise

EVALUATION_BATCH = 1000  # images, for a recipe that sets none
WARM_UP_STEPS = 2  # before a capture, for libraries to create handles and choose kernels


@dataclass(frozen=True, slots=True, eq=False)
class EpochSums:
    """Results of an epoch's steps, as tensors on the device.

    Attributes:
        losses: (steps,) mean loss of each step.
        hits: (steps,) number of correctly classified images in each step.
        gradient_norm: () norm of the gradient of all parameters at the last step.
        weight_norm: () norm of all parameters after the last step.
    """

    losses: Tensor
    hits: Tensor
    gradient_norm: Tensor
    weight_norm: Tensor


class Training:
    """The training of one network."""

    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        pixels: DevicePixels,
        *,
        seed: int,
        graphs: bool = False,
    ) -> None:
        """Build and initialise the network on the device of `pixels`.

        With `graphs`, steps and evaluated batches are captured as CUDA graphs, which needs a GPU.
        """
        self.recipe, self.pixels = recipe, pixels
        self.key = (recipe.images, architecture_id(architecture), seed)
        self.device = pixels.mean.device
        network = Network(
            walk(architecture, pixels.images), recipe, overwriting=recipe.arithmetic is not None
        )
        initialise(network, recipe, *self.key)
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.rates = learning_rates(recipe)
        self.evaluation_batch = recipe.evaluation_batch or EVALUATION_BATCH
        self._buffers = _Buffers(
            step=torch.zeros(1, dtype=torch.int64, device=self.device),
            within=torch.arange(recipe.batch, device=self.device),
            draws=self._draw_epoch(0),
            rates=torch.tensor(self.rates, device=self.device),
            rate=torch.zeros((), device=self.device),
            losses=torch.empty(recipe.steps_per_epoch, device=self.device),
            hits=torch.empty(recipe.steps_per_epoch, device=self.device),
        )
        self.optimizer = _optimizer(network, recipe, self._buffers.rate)
        # Neither refers back to this object: the device's memory must be freed with the last
        # reference to it, not at Python's next garbage collection.
        self._replay: Callable[[], None] | None = None
        self._graphed: GraphedLogits | None = None
        if graphs:
            self._capture_graphs()

    def _draw_epoch(self, epoch: int) -> Epoch:
        return draw_epoch(self.pixels, self.key, epoch, self.recipe.images_per_epoch)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) in fp32, computed in the recipe's precision."""
        half = self.recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            logits: Tensor = self.network(images)
        return logits

    def run_epoch(self, epoch: int) -> EpochSums:
        """Train for one epoch, numbered from 0, without waiting for the device."""
        buffers, steps = self._buffers, self.recipe.steps_per_epoch
        draws = self._draw_epoch(epoch)
        for field in fields(Epoch):
            target, drawn = getattr(buffers.draws, field.name), getattr(draws, field.name)
            if target is not None:
                target.copy_(drawn)
        buffers.step.fill_(epoch * steps)
        self.network.train()
        step = self._replay or self._take_step
        for _ in range(steps):
            step()
        parameters = list(self.network.parameters())
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = nn.utils.get_total_norm(gradients), nn.utils.get_total_norm(parameters)
        sums = buffers.losses.clone(), buffers.hits.clone()
        return EpochSums(*sums, norms[0].detach(), norms[1].detach())

    def _take_step(self) -> None:
        """Take the optimiser step whose number is in the buffers, and increment the number."""
        buffers, batch = self._buffers, self.recipe.batch
        step = buffers.step % self.recipe.steps_per_epoch  # (1,), within the epoch
        images, labels = training_batch(self.pixels, buffers.draws, step * batch + buffers.within)
        logits = self.forward(images)
        loss = functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        buffers.rate.copy_(buffers.rates.index_select(0, buffers.step)[0])
        self.optimizer.step()
        hits = (logits.detach().argmax(1) == labels).sum()
        buffers.losses.index_copy_(0, step, loss.detach().view(1))
        buffers.hits.index_copy_(0, step, hits.float().view(1))
        buffers.step.add_(1)

    def evaluate(self, subset: DeviceImages) -> tuple[Tensor, Tensor]:
        """Return the mean loss () and which images are correct (n,) bool, in evaluation mode."""
        self.network.eval()
        return self._evaluate(subset)

    @torch.no_grad()
    def _evaluate(self, subset: DeviceImages) -> tuple[Tensor, Tensor]:
        losses, correct = [], []
        for start in range(0, len(subset.labels), self.evaluation_batch):
            batch = slice(start, start + self.evaluation_batch)
            logits, labels = self._logits(subset.images[batch]), subset.labels[batch]
            losses.append(functional.cross_entropy(logits, labels, reduction="sum"))
            correct.append(logits.argmax(1) == labels)
        return torch.stack(losses).sum() / len(subset.labels), torch.cat(correct)

    def _logits(self, raw: Tensor) -> Tensor:
        """Return the logits of a batch, from a graph if there is one for its size and mode."""
        if self._graphed is not None and not self.network.training and self._graphed.fits(raw):
            return self._graphed(raw)
        return self._compute_logits(raw)

    def _compute_logits(self, raw: Tensor) -> Tensor:
        return self.forward(self.pixels.normalise(raw))

    @torch.no_grad()
    def evaluate_untrained(self) -> tuple[float, float]:
        """Return loss and accuracy on `curve_valid`, normalised with each batch's statistics."""
        saved = {name: value.clone() for name, value in self.network.named_buffers()}
        self.network.train()
        loss, correct = self._evaluate(self.pixels.curve_valid)
        for name, buffer in self.network.named_buffers():
            buffer.copy_(saved[name])
        return float(loss), float(correct.float().mean())

    def _capture_graphs(self) -> None:
        """Capture a step and the logits of a full batch; the network stays untrained."""
        with GRAPH_LOCK:
            self._warm_up()
            self.network.train()
            self._replay = capture(self._take_step)
            self.network.eval()
            with torch.no_grad():
                raw = self.pixels.valid.images[: self.evaluation_batch].clone()
                logits = self._compute_logits(raw)  # the warm-up
                replay = capture(lambda: logits.copy_(self._compute_logits(raw)))
            self._graphed = GraphedLogits(raw, logits, replay)

    def _warm_up(self) -> None:
        """Take steps, then restore in place everything that they changed."""
        state = [*self.network.parameters(), *self.network.buffers(), self._buffers.step]
        saved = [tensor.detach().clone() for tensor in state]
        self.network.train()
        for _ in range(WARM_UP_STEPS):
            self._take_step()
        with torch.no_grad():
            for tensor, value in zip(state, saved, strict=True):
                tensor.copy_(value)
            for entry in self.optimizer.state.values():
                entry["momentum_buffer"].zero_()  # a step from zero equals one without momentum
        self.optimizer.zero_grad(set_to_none=True)  # so that the graph allocates the gradients


@dataclass(frozen=True, slots=True, eq=False)
class _Buffers:
    """Tensors on the device that a step reads and writes.

    Attributes:
        step: (1,) number of the step since the start of training.
        within: (batch,) positions within a batch, 0 to batch - 1.
        draws: Random draws of the current epoch.
        rates: (steps of the training,) learning rates.
        rate: () learning rate of the step, which the optimiser reads.
        losses: (steps of an epoch,) mean loss of each step of the current epoch.
        hits: (steps of an epoch,) number of correctly classified images in each of these steps.
    """

    step: Tensor
    within: Tensor
    draws: Epoch
    rates: Tensor
    rate: Tensor
    losses: Tensor
    hits: Tensor


def _optimizer(network: Network, recipe: Recipe, rate: Tensor) -> torch.optim.SGD:
    """Return SGD with its rate in a tensor, and weight decay on convolutions and linear layers.

    Only the fused implementation can be captured with a rate that changes.
    """
    decayed = [m.weight for m in network.layers if isinstance(m, Convolution | nn.Linear)]
    known = {id(weight) for weight in decayed}
    rest = [p for p in network.parameters() if id(p) not in known]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, rate, recipe.momentum, nesterov=recipe.nesterov, fused=True)
