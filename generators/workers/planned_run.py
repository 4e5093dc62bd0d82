"""The record of a planned run."""

from dataclasses import dataclass

from benchmark.space.architectures import Architecture
from benchmark.space.splits import Split


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to train: one architecture with one recipe and seed.

    `benchmark.schema.COLUMNS` defines all fields but two: `split` is that of the run's row, and
    `cost` is the predicted number of multiply-accumulates of the entire run.
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
