"""Which run may start: what it will take of a device's memory and of a budget's time."""

import math

import torch

from benchmark.recipes import Recipe
from benchmark.space.imagesets import ImageSet
from benchmark.space.layer_walk import LayerRow
from generators.training.engine import EVALUATION_BATCH

TIME_MARGIN = 1.3  # over what runs of a like cost took
NEIGHBOURS = 5  # runs of a like cost that are looked at
MEMORY_MARGIN = 1.5  # over what must be kept: a guess, until a GPU has been asked
STEPS_KEPT = 2  # a graph's own, and that of the warm-up before it, whose memory the stream keeps
FIXED_BYTES = 300e6  # libraries' workspaces of a stream: likewise
ROOM = 0.85  # of a device's memory: the rest is context, image sets and fragments
PRECISION_BYTES = {"fp32": 4, "bf16": 2}
INDEX_BYTES = 8  # of a max pool, for each of its outputs


class Pace:
    """What runs took, and so what others may take.

    Time is a part that every run has and a part that grows with its cost, so a run of cost c takes
    at most max(1, c / d) times as long as one of cost d. The largest of these bounds over the runs
    nearest in cost is used, with a margin.
    """

    def __init__(self) -> None:
        """Begin without any run."""
        self._seen: list[tuple[int, float]] = []  # cost, seconds

    def add(self, cost: int, seconds: float) -> None:
        """Note that a run of some cost, above 0, took some time."""
        self._seen.append((cost, seconds))

    def bound(self, cost: int) -> float:
        """Return seconds that a run of some cost will hardly exceed; 0 if no run has ended yet.

        >>> pace = Pace()
        >>> pace.add(100, 10.0)
        >>> pace.bound(200), pace.bound(50)
        (26.0, 13.0)
        """
        unknown_name = sorted(self._seen, key=lambda run: abs(math.log(run[0] / cost)))[:NEIGHBOURS]
        bounds = [seconds * max(1.0, cost / other) for other, seconds in unknown_name]
        return TIME_MARGIN * max(bounds, default=0.0)


def device_room(device: str) -> float | None:
    """Return the bytes of a GPU that networks may take; None for a CPU, which is not watched."""
    if not device.startswith("cuda"):
        return None
    return ROOM * torch.cuda.get_device_properties(device).total_memory


def predicted_memory(rows: tuple[LayerRow, ...], images: ImageSet, recipe: Recipe) -> float:
    """Return the bytes of a device that training a network will take.

    Beside what its steps keep, evaluation keeps an answer and a question at a time, of a larger
    batch. Weights are nothing beside them.
    """
    size = PRECISION_BYTES[recipe.precision]
    batch = recipe.evaluation_batch or EVALUATION_BATCH
    evaluation = 2 * max(activation_sizes(rows)) * size * min(batch, images.valid)
    kept = STEPS_KEPT * (kept_by_step(rows, recipe) + evaluation)
    return MEMORY_MARGIN * kept + FIXED_BYTES


def activation_sizes(rows: tuple[LayerRow, ...]) -> list[int]:
    """Return how many numbers each layer answers for an image, (rows,)."""
    return [row.out_channels * row.out_resolution**2 for row in rows]


def kept_by_step(rows: tuple[LayerRow, ...], recipe: Recipe) -> float:
    """Return the bytes that a step keeps from its way forward to its way back.

    They are what every layer answered, and the places of what its max pools chose.
    """
    size = PRECISION_BYTES[recipe.precision]
    activations = activation_sizes(rows)
    chosen = sum(n for n, row in zip(activations, rows, strict=True) if row.kind == "max_pool")
    return recipe.batch * (sum(activations) * size + chosen * INDEX_BYTES)
