"""Predicts the memory and time of a run, to decide whether it may start."""

import math

import torch

from benchmark.recipes import Recipe
from benchmark.space.imagesets import ImageSet
from benchmark.space.layer_walk import LayerRow
from generators.training.engine import EVALUATION_BATCH

TIME_MARGIN = 1.3  # factor over the time of runs with similar costs
NEIGHBOURS = 5  # runs with similar costs that a time bound is based on
MEMORY_MARGIN = 1.5  # factor over the memory that must be kept; a guess, not measured on a GPU yet
STEPS_KEPT = 2  # the graph's step, and the warm-up step, whose memory the stream keeps
FIXED_BYTES = 300e6  # library workspaces of a stream; also a guess
ROOM = 0.85  # share of a device's memory; the rest is context, image sets and fragmentation
PRECISION_BYTES = {"fp32": 4, "bf16": 2}
INDEX_BYTES = 8  # for each output of a max pool, the index of the maximum


class Pace:
    """Predicts the time of runs from the times of finished ones.

    The time of a run is a constant plus a part proportional to its cost, so a run of cost c takes
    at most max(1, c / d) times as long as a run of cost d. The prediction is the largest of these
    bounds over the runs nearest in cost, times a margin.
    """

    def __init__(self) -> None:
        """Start without finished runs."""
        self._finished: list[tuple[int, float]] = []  # cost, seconds

    def add(self, cost: int, seconds: float) -> None:
        """Add a finished run: its cost, above 0, and its time in seconds."""
        self._finished.append((cost, seconds))

    def bound(self, cost: int) -> float:
        """Return an upper bound on the seconds of a run, from its cost; 0 if none has finished.

        >>> pace = Pace()
        >>> pace.add(100, 10.0)
        >>> pace.bound(200), pace.bound(50)
        (26.0, 13.0)
        """
        by_distance = sorted(self._finished, key=lambda run: abs(math.log(run[0] / cost)))
        bounds = [seconds * max(1.0, cost / other) for other, seconds in by_distance[:NEIGHBOURS]]
        return TIME_MARGIN * max(bounds, default=0.0)


def device_room(device: str) -> float | None:
    """Return the bytes of GPU memory that networks may use; None for a CPU, which has no limit."""
    if not device.startswith("cuda"):
        return None
    return ROOM * torch.cuda.get_device_properties(device).total_memory


def predicted_memory(rows: tuple[LayerRow, ...], images: ImageSet, recipe: Recipe) -> float:
    """Return the bytes of device memory that training a network is predicted to use.

    Besides what steps keep, evaluation holds the input and output of one layer at a time, for a
    larger batch. Weights are negligible.
    """
    size = PRECISION_BYTES[recipe.precision]
    batch = recipe.evaluation_batch or EVALUATION_BATCH
    evaluation = 2 * max(activation_sizes(rows)) * size * min(batch, images.valid)
    kept = STEPS_KEPT * (kept_by_step(rows, recipe) + evaluation)
    return MEMORY_MARGIN * kept + FIXED_BYTES


def activation_sizes(rows: tuple[LayerRow, ...]) -> list[int]:
    """Return how many activations each layer outputs for one image, (rows,)."""
    return [row.out_channels * row.out_resolution**2 for row in rows]


def kept_by_step(rows: tuple[LayerRow, ...], recipe: Recipe) -> float:
    """Return the bytes that a step keeps from its forward pass for its backward pass.

    They are the activations of all layers, and the indices of the maxima of max pools.
    """
    size = PRECISION_BYTES[recipe.precision]
    activations = activation_sizes(rows)
    maxima = sum(n for n, row in zip(activations, rows, strict=True) if row.kind == "max_pool")
    return recipe.batch * (sum(activations) * size + maxima * INDEX_BYTES)
