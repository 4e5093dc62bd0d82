"""How to train the runs of a campaign."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from benchmark.extras import check_extra
from benchmark.util.unknown_name import check_known

Engine = Literal["local", "ray"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to train the runs of a campaign.

    Attributes:
        images_folder: Folder of the images.
        device: Torch device of the workers.
        workers: Networks to train at the same time: in one process each on a CPU, in threads of one
            process on a GPU. With Ray, for each GPU, or for each actor on CPUs.
        shard: (i, n): take every n-th run, beginning with the i-th, from 1.
        minutes: Time budget; a run that finished ones say would exceed it is not started.
        limit: Maximum number of runs to train. None: all.
        engine: Whether workers run on this machine or on a Ray cluster.
        address: Address of the cluster; "auto" finds the one on this machine, "local" starts one.
    """

    images_folder: Path
    device: str = "cpu"
    workers: int = 2
    shard: tuple[int, int] = (1, 1)
    minutes: float | None = None
    limit: int | None = None
    engine: Engine = "local"
    address: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges, and that the engine is installed."""
        index, count = self.shard
        if not 1 <= index <= count:
            raise ValueError(f"`shard` (={index}/{count}) must be i/n with 1 <= i <= n")
        if self.workers < 1:
            raise ValueError(f"`workers` (={self.workers}) must be at least 1")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise ValueError(f"`minutes` (={self.minutes}) must be above 0 and finite")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"`limit` (={self.limit}) must be at least 1")
        check_known("engine", self.engine, ENGINES)
        if self.engine == "ray":
            check_extra("the engine 'ray'", "ray")
