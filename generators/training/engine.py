"""A network on its way through a recipe: an epoch of steps, an evaluation.

What a step reads and writes stays where it is on the device, its number included, so that a GPU can
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
from generators.training.batches import DevicePart, DevicePixels, Epoch, draw_epoch, training_batch
from generators.training.cuda_graphs import GRAPH_LOCK, GraphedLogits, capture
from generators.training.network import Convolution, Network, initialise

EVALUATION_BATCH = 1000  # of a recipe that does not say
WARM_UP_STEPS = 2  # before a capture: libraries make their handles and choose their kernels


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
        self,
        architecture: Architecture,
        recipe: Recipe,
        pixels: DevicePixels,
        *,
        seed: int,
        graphs: bool = False,
    ) -> None:
        """Build and initialise the network on the device of `pixels`.

        Args:
            architecture: What to train.
            recipe: How.
            pixels: Images on the device.
            seed: Names the streams of weights, order and augmentation.
            graphs: Whether steps and evaluated batches are captured; needs a GPU.
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
        self._buffers = _buffers(recipe, self.rates, self._draw_epoch(0))
        self.optimizer = _optimizer(network, recipe, self._buffers.rate)
        # Neither refers back to this object: a device's memory must be free with the last reference
        # to it, and not whenever Python next looks for cycles.
        self._replay: Callable[[], None] | None = None
        self._graphed: GraphedLogits | None = None
        if graphs:
            self._capture_graphs()

    def _draw_epoch(self, epoch: int) -> Epoch:
        return draw_epoch(self.pixels, self.key, epoch, self.recipe.images_per_epoch)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits in fp32, computed in the recipe's precision."""
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
        """Take the optimiser step whose number the buffers hold, and count it."""
        buffers, batch = self._buffers, self.recipe.batch
        place = buffers.step % self.recipe.steps_per_epoch  # (1,), within the epoch
        images, labels = training_batch(self.pixels, buffers.draws, place * batch + buffers.within)
        logits = self.forward(images)
        loss = functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        buffers.rate.copy_(buffers.rates.index_select(0, buffers.step)[0])
        self.optimizer.step()
        hits = (logits.detach().argmax(1) == labels).sum()
        buffers.losses.index_copy_(0, place, loss.detach().view(1))
        buffers.hits.index_copy_(0, place, hits.float().view(1))
        buffers.step.add_(1)

    def evaluate(self, part: DevicePart) -> tuple[Tensor, Tensor]:
        """Return the mean loss () and which images are right (n,), in evaluation mode."""
        self.network.eval()
        return self._evaluate(part, self._logits)

    @torch.no_grad()
    def _evaluate(
        self, part: DevicePart, logits_of: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        losses, right = [], []
        for start in range(0, len(part.labels), self.evaluation_batch):
            take = slice(start, start + self.evaluation_batch)
            logits, labels = logits_of(part.images[take]), part.labels[take]
            losses.append(functional.cross_entropy(logits, labels, reduction="sum"))
            right.append(logits.argmax(1) == labels)
        return torch.stack(losses).sum() / len(part.labels), torch.cat(right)

    def _logits(self, raw: Tensor) -> Tensor:
        """Return logits of a batch from a graph, if there is one for batches of its size."""
        if self._graphed is not None and self._graphed.fits(raw):
            return self._graphed(raw)
        return self._computed_logits(raw)

    def _computed_logits(self, raw: Tensor) -> Tensor:
        return self.forward(self.pixels.normalise(raw))

    @torch.no_grad()
    def evaluate_untrained(self) -> tuple[float, float]:
        """Return loss and accuracy on the curves' valid images, with each batch's statistics."""
        saved = {name: value.clone() for name, value in self.network.named_buffers()}
        self.network.train()
        loss, right = self._evaluate(self.pixels.curve_valid, self._computed_logits)
        for name, buffer in self.network.named_buffers():
            buffer.copy_(saved[name])
        return float(loss), float(right.float().mean())

    def _capture_graphs(self) -> None:
        """Capture a step and an evaluated batch; the network stays as it was, untrained."""
        with GRAPH_LOCK:
            self._warm_up()
            self.network.train()
            self._replay = capture(self._take_step)
            self.network.eval()
            self._graphed = self._captured_logits()

    def _warm_up(self) -> None:
        """Take steps, then put back in place whatever they changed."""
        state = [*self.network.parameters(), *self.network.buffers(), self._buffers.step]
        saved = [tensor.detach().clone() for tensor in state]
        self.network.train()
        for _ in range(WARM_UP_STEPS):
            self._take_step()
        with torch.no_grad():
            for tensor, value in zip(state, saved, strict=True):
                tensor.copy_(value)
            for entry in self.optimizer.state.values():
                entry["momentum_buffer"].zero_()  # a first step on zero is one without momentum
        self.optimizer.zero_grad(set_to_none=True)  # so that the graph's own gradients are made

    @torch.no_grad()
    def _captured_logits(self) -> GraphedLogits:
        """Capture the logits of a whole batch."""
        raw = self.pixels.valid.images[: self.evaluation_batch].clone()
        logits = self._computed_logits(raw)  # warms up
        replay = capture(lambda: logits.copy_(self._computed_logits(raw)))
        return GraphedLogits(raw, logits, replay)


@dataclass(frozen=True, slots=True, eq=False)
class _Buffers:
    """What a step reads and writes, on the device.

    Attributes:
        step: (1,) its number over the whole training.
        within: (batch,) places of a batch's images, counted from its first.
        draws: Of the present epoch.
        rates: (steps of the training,) learning rates.
        rate: () that of the step, which the optimiser reads.
        losses: (steps of an epoch,) of the present epoch.
        hits: Likewise.
    """

    step: Tensor
    within: Tensor
    draws: Epoch
    rates: Tensor
    rate: Tensor
    losses: Tensor
    hits: Tensor


def _buffers(recipe: Recipe, rates: list[float], draws: Epoch) -> _Buffers:
    device, steps = draws.order.device, recipe.steps_per_epoch
    return _Buffers(
        torch.zeros(1, dtype=torch.int64, device=device),
        torch.arange(recipe.batch, device=device),
        draws,
        torch.tensor(rates, device=device),
        torch.zeros((), device=device),
        torch.empty(steps, device=device),
        torch.empty(steps, device=device),
    )


def _optimizer(network: Network, recipe: Recipe, rate: Tensor) -> torch.optim.SGD:
    """Return SGD that reads its rate from a tensor and decays convolution and linear weights only.

    Only the fused one may be captured with a rate that changes.
    """
    decayed = [m.weight for m in network.layers if isinstance(m, Convolution | nn.Linear)]
    known = {id(weight) for weight in decayed}
    rest = [p for p in network.parameters() if id(p) not in known]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, rate, recipe.momentum, nesterov=recipe.nesterov, fused=True)
