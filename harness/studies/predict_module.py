"""What becomes of a network of somebody's own: its curve, predicted before it is trained.

A predictor is fitted on the released training networks of an image set and asked about the traced
network and, for comparison, the release's test networks. A predictor knows networks like those it
was fitted on: what of the network lies outside them is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.runs import split_path
from benchmark.space.imagesets import IMAGES
from benchmark.space.layer_walk import LayerRow, macs, parameters
from benchmark.util.unknown_name import unknown_name
from harness.features.architecture import ARCHITECTURE_FEATURES
from harness.features.observed import network_features
from harness.features.signal_propagation import SIGNAL_FEATURES
from harness.features.structure import STRUCTURE_FEATURES
from harness.protocol import Array, Queries
from harness.running.find_predictor import Candidate, import_module_of
from harness.running.fit_predict import fit_predict
from harness.task_data import TaskData, load_task_data

if TYPE_CHECKING:
    from torch import nn

FEATURES = (*ARCHITECTURE_FEATURES, *SIGNAL_FEATURES, *STRUCTURE_FEATURES)
INTERVAL = 0.9  # central, of a normal distribution
STRIDED = ("conv", "max_pool", "avg_pool")  # kinds whose stride tells networks apart
SLACK = 1e-9  # of a feature's range, for sums in another order


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A feature that no training network has such a value of.

    Attributes:
        feature: Its name.
        value: Of the network.
        low: Least of the training networks.
        high: Largest of them.
    """

    feature: str
    value: float
    low: float
    high: float

    @property
    def distance(self) -> float:
        """How far outside, in widths of the range (of 1 where all are equal)."""
        return max(self.low - self.value, self.value - self.high) / ((self.high - self.low) or 1.0)


@dataclass(frozen=True, slots=True)
class NetworkPrediction:
    """What is predicted of a network.

    Attributes:
        images: The image set it would be trained on.
        predictor: Name of the predictor.
        epochs: Which epochs, from 1.
        mean: Valid accuracy after each, a fraction.
        low: Lower ends of 90 % intervals; None if the predictor has no spread.
        high: Upper ends.
        fitted: Training networks.
        compared: Test networks of the release.
        above_predicted: Share of them with a lower predicted final accuracy.
        above_true: Share of them with a lower true final accuracy than the one predicted here.
        parameters: Of the layer rows.
        macs: Multiply-accumulates of one image.
        layers: Number of layer rows.
        outside: Features outside those of the training networks, farthest first.
        unseen: Layers of a sort that no training network has.
    """

    images: str
    predictor: str
    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    fitted: int
    compared: int
    above_predicted: float
    above_true: float
    parameters: int
    macs: int
    layers: int
    outside: tuple[OutOfRange, ...]
    unseen: tuple[str, ...]


def find_network(network: str) -> "nn.Module":
    """Return the torch module that a text names.

    Args:
        network: `path/to/file.py:Name` or `package.module:Name`, where Name is a module, or a class
            or function that makes one when it is called without arguments.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such name, or it makes no module.
    """
    from torch import nn

    place, _, name = network.rpartition(":")
    if not place:
        raise ValueError(
            f"network {network!r} must be path/to/file.py:Class or package.module:Class"
        )
    module = import_module_of(place, network, "network")
    if not hasattr(module, name):
        known = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        raise ValueError(f"network {network!r}: {unknown_name('class', name, known)}")
    found: object = getattr(module, name)
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise ValueError(f"network {network!r} must be a torch module, not {found!r}")
        try:
            found = found()
        except Exception as error:  # of the user's code: whatever it is, it is about this network
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"network {network!r} cannot be made without arguments ({reason})"
            ) from error
    if not isinstance(found, nn.Module):
        raise ValueError(f"network {network!r} must make a torch module, not {found!r}")
    return found


def check_released(images: str, release: Release = INSTALLED) -> None:
    """Check that there are networks of an image set to fit a predictor on.

    Raises:
        ValueError: If the images are not known; the message has the nearest name.
        FileNotFoundError: If the release has none; the message says what it has.
    """
    if not split_path(images, "train", release.folder).exists():
        there = [name for name in IMAGES if split_path(name, "train", release.folder).exists()]
        raise FileNotFoundError(
            f"data of {images!r} is not in this release, so no predictor can be fitted for it; "
            f"there is data of {', '.join(there) or 'no image set'}"
        )


def predict_network(
    rows: tuple[LayerRow, ...],
    images: str,
    candidate: Candidate,
    *,
    seed: int = 0,
    release: Release = INSTALLED,
) -> NetworkPrediction:
    """Return what a predictor says of a network before it is trained.

    Args:
        rows: The network.
        images: Name of an image set that the release has.
        candidate: The predictor.
        seed: It is fitted with.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If the release has no data of the images.
        ValueError: If the images are not known, or the answer breaks the protocol.
        Exception: Whatever the predictor raises.
    """
    check_released(images, release)
    task = release.latest_task(images, 0)
    data = _without_proxies(load_task_data(task, release))
    test = [i for i, part in enumerate(data.targets.valid_accuracy.splits) if part == "test"]
    true = data.targets.valid_accuracy.curves[test, -1]
    asked = replace(data, queries=_with_network(data.queries, test, rows))
    prediction = fit_predict(candidate.make, asked, seed).prediction
    mean = prediction.mean
    low = high = None
    if prediction.std is not None:
        reach = NormalDist().inv_cdf((1 + INTERVAL) / 2) * prediction.std[-1]
        low = _floats(np.clip(mean[-1] - reach, 0, 1))
        high = _floats(np.clip(mean[-1] + reach, 0, 1))
    outside, unseen = _find_extrapolation(rows, data)
    return NetworkPrediction(
        images, candidate.name, prediction.epochs, _floats(mean[-1]), low, high,
        len(data.train), len(test), _share_below(mean[:-1, -1], mean[-1, -1]),
        _share_below(true, mean[-1, -1]), parameters(rows), macs(rows), len(rows), outside, unseen,
    )  # fmt: skip


def _without_proxies(data: TaskData) -> TaskData:
    """Return parts without the proxies, which nobody measured on a network of one's own."""
    train, validation = (replace(runs, proxies=None) for runs in (data.train, data.validation))
    queries = replace(data.queries, proxies=None)
    return replace(data, train=train, validation=validation, queries=queries)


def _with_network(queries: Queries, index: Sequence[int], rows: tuple[LayerRow, ...]) -> Queries:
    """Return some queries and, last, a network of which nothing is observed."""
    assert queries.observed == 0
    found = queries.take([*index, index[0]])  # no epoch is observed, so no series is lent
    return replace(
        found,
        ids=(*found.ids[:-1], "own"),
        architectures=(*found.architectures[:-1], None),
        layer_rows=(*found.layer_rows[:-1], rows),
    )


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _share_below(values: Array, value: float) -> float:
    """Return the share of values that are lower, ties counted half."""
    return float(np.mean(values < value) + np.mean(values == value) / 2)


def _find_extrapolation(
    rows: tuple[LayerRow, ...], data: TaskData
) -> tuple[tuple[OutOfRange, ...], tuple[str, ...]]:
    """Return features and layers that lie outside those of the training networks."""
    known = network_features(data.train)
    own = network_features(replace(data.train.take(np.array([0])), layer_rows=(rows,)))[0]
    low, high = known.min(axis=0), known.max(axis=0)
    slack = SLACK * (1 + np.abs(low) + np.abs(high))
    outside = [
        OutOfRange(FEATURES[i], float(own[i]), float(low[i]), float(high[i]))
        for i in np.flatnonzero((own < low - slack) | (own > high + slack))
    ]
    seen = {_layer_type(row) for walk in data.train.layer_rows for row in walk}
    unseen = dict.fromkeys(_layer_type(row) for row in rows if _layer_type(row) not in seen)
    return tuple(sorted(outside, key=lambda o: -o.distance)), tuple(unseen)


def _layer_type(row: LayerRow) -> str:
    """Return what sort of layer a row is, as far as training networks differ in it."""
    place = " of a shortcut" if row.role == "shortcut" else ""
    stride = f" of stride {row.stride}" if row.stride > 1 and row.kind in STRIDED else ""
    return f"{row.kind}{stride}{place}"
