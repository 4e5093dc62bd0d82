"""Features and layers of a network that no training network has, and how far it is from them.

On `digits`, 60 networks of many families were trained (`tests/odd_networks.py`); 26 of them stay
below 35 %. The 90 % intervals of `nearest-neighbours` covered 27 of the 57 that are farther than
`FAR` from the training networks. Nearer, they covered 83 % to 88 % of the released networks at any
distance. `tests/harness/test_intervals.py` has the numbers.
"""

from dataclasses import dataclass, replace

import numpy as np

from benchmark.space.layer_walk import LayerRow
from harness.features.architecture import ARCHITECTURE_FEATURES
from harness.features.observed import network_features
from harness.features.signal_propagation import SIGNAL_FEATURES
from harness.features.structure import STRUCTURE_FEATURES
from harness.protocol import Array, Runs

FEATURES = (*ARCHITECTURE_FEATURES, *SIGNAL_FEATURES, *STRUCTURE_FEATURES)
FAR = 5.0  # distance above which there is no interval; see `NetworkPrediction.distance`
STRIDED = ("conv", "max_pool", "avg_pool")  # kinds whose stride is part of the layer type
MOST_OF_A_FEATURE = 10.0
SLACK = 1e-9  # tolerance of a feature's range; sums differ by less between orders


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A feature of the network outside the range of the training networks.

    Attributes:
        feature: Name of the feature.
        value: Value of the network.
        low: Smallest value of the training networks.
        high: Largest value of the training networks.
    """

    feature: str
    value: float
    low: float
    high: float

    @property
    def distance(self) -> float:
        """Distance to the range as a multiple of its width, which is taken as 1 if it is 0."""
        return max(self.low - self.value, self.value - self.high) / ((self.high - self.low) or 1.0)


def find_extrapolation(
    rows: tuple[LayerRow, ...], train: Runs, known: Array | None = None
) -> tuple[tuple[OutOfRange, ...], tuple[str, ...]]:
    """Return the features outside the range of the training networks, and unseen layer types.

    Args:
        rows: Layer rows of the network.
        train: The training networks.
        known: Their features, (networks, features); by default they are computed.
    """
    known = network_features(train) if known is None else known
    own = network_features(replace(train.take(np.array([0])), layer_rows=(rows,)))[0]
    low, high = known.min(axis=0), known.max(axis=0)
    slack = SLACK * (1 + np.abs(low) + np.abs(high))
    outside = {
        FEATURES[i]: OutOfRange(FEATURES[i], float(own[i]), float(low[i]), float(high[i]))
        for i in np.flatnonzero((own < low - slack) | (own > high + slack))
    }  # two groups of features have some in common
    seen = {_layer_type(row) for walk in train.layer_rows for row in walk}
    unseen = dict.fromkeys(_layer_type(row) for row in rows if _layer_type(row) not in seen)
    return tuple(sorted(outside.values(), key=lambda o: -o.distance)), tuple(unseen)


def distance_to_training(outside: tuple[OutOfRange, ...], unseen: tuple[str, ...]) -> float:
    """Return the sum of the distances of features, and 1 for each layer type that is not seen.

    A feature counts at most `MOST_OF_A_FEATURE`.
    """
    return len(unseen) + sum(min(o.distance, MOST_OF_A_FEATURE) for o in outside)


def _layer_type(row: LayerRow) -> str:
    """Return the layer type of a row: its kind, its stride, and whether it is in a shortcut."""
    stride = f" of stride {row.stride}" if row.stride > 1 and row.kind in STRIDED else ""
    shortcut = " of a shortcut" if row.role == "shortcut" else ""
    return f"{row.kind}{stride}{shortcut}"
