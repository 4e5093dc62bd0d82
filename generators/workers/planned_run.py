"""The records of a planned run, of the job that trains it, and of its row."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.recipes import Recipe
from benchmark.space.architectures import Architecture
from benchmark.space.splits import Split

Row = dict[str, object]


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


@dataclass(frozen=True, slots=True)
class Job:
    """A planned run with everything that a worker needs to train it.

    Attributes:
        folder: Folder of the images.
        device: Torch device to train on.
        workers: Networks that train on the device at the same time.
        graphs: Whether to use CUDA graphs on a GPU; a run that failed is retried without them.
    """

    run: PlannedRun
    recipe: Recipe
    folder: Path
    device: str
    workers: int
    graphs: bool = True
