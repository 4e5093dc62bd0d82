"""The record of a planned run."""

from dataclasses import dataclass

from benchmark.space.architectures import Architecture
from benchmark.space.splits import Split


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to train: one architecture with one recipe and seed.

    Attributes:
        run_id: Id of the run.
        images: Name of the image set.
        architecture: Architecture to train.
        architecture_id: Id of the architecture.
        drawn_architecture_id: Id of the architecture as drawn, at full width.
        draw_index: Index of the architecture in the sequence of its skeleton, from 0.
        paired_architecture_id: Id of the architecture whose blocks it takes over, if any.
        split: Split that the run's row belongs to.
        recipe_id: Id of the recipe.
        seed: Seed of the run's random streams.
        parameters: Number of trainable parameters.
        macs: Multiply-accumulates of a forward pass of one image.
        cost: Predicted multiply-accumulates of the entire run.
    """

    run_id: str
    images: str
    architecture: Architecture
    architecture_id: str
    drawn_architecture_id: str
    draw_index: int
    paired_architecture_id: str | None
    split: Split
    recipe_id: str
    seed: int
    parameters: int
    macs: int
    cost: int
