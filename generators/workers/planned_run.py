"""A run that is to be made."""

from dataclasses import dataclass

from benchmark.space.architectures import Architecture
from benchmark.space.splits import Split


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to make.

    Attributes:
        run_id: Its name.
        images: The image set.
        architecture: What to train.
        architecture_id: Its identity.
        drawn_architecture_id: Identity of the architecture as drawn, at full width.
        draw_index: Its number in its skeleton's sequence.
        paired_architecture_id: The architecture that lent its blocks, if any.
        split: Where its row goes.
        recipe_id: How to train it.
        seed: Names its streams.
        parameters: Trainable parameters.
        macs: Multiply-accumulates of a forward pass of one image.
        cost: Predicted multiply-accumulates of the whole run.
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
