"""Predictors from counts of a network alone: parameters, multiply-accumulates and depth."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from benchmark.space.layer_walk import LayerRow, macs, parameters
from harness.features.architecture import count_features
from harness.predictors.regressions import ForestCurves, IsotonicCurves
from harness.protocol import Array, Queries, Runs

Count = Literal["parameters", "macs"]
COUNTS: dict[Count, Callable[[tuple[LayerRow, ...]], int]] = {
    "parameters": parameters,
    "macs": macs,
}


class IsotonicCount(IsotonicCurves):
    """A monotone step function from one count to the accuracy at each epoch."""

    def __init__(self, count: Count) -> None:
        """Set which count to use."""
        super().__init__()
        self._count = COUNTS[count]

    def inputs(self, networks: Runs | Queries) -> Array:
        """Return the count of each network, (networks, 1)."""
        return np.array([[self._count(rows)] for rows in networks.layer_rows], dtype=np.float64)


class ForestCounts(ForestCurves):
    """A random forest from log parameters, log MACs and depth to the logits of all epochs."""

    def inputs(self, networks: Runs | Queries) -> Array:
        """Return the counts of each network, (networks, 3)."""
        return np.stack([count_features(rows) for rows in networks.layer_rows])
