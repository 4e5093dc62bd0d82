"""Predicts the learning curve of a user's own network before it is trained.

A predictor is fitted on the released training networks of an image set. It predicts the user's
network and, for comparison, the released test networks. Features and layers of the network that no
training network has are listed, since predictions for them are extrapolations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.space.imagesets import IMAGES
from benchmark.space.layer_walk import LayerRow, macs, parameters
from harness.features.architecture import ARCHITECTURE_FEATURES
from harness.features.observed import network_features
from harness.features.signal_propagation import SIGNAL_FEATURES
from harness.features.structure import STRUCTURE_FEATURES
from harness.predictors.registry import PREDICTORS
from harness.protocol import Array, Queries
from harness.running.find_predictor import Candidate
from harness.running.fit_predict import fit_predict
from harness.task_data import TaskData, load_task_data
from harness.user_code import user_code

FEATURES = (*ARCHITECTURE_FEATURES, *SIGNAL_FEATURES, *STRUCTURE_FEATURES)
INTERVAL = 0.9  # probability of the central interval of a normal distribution
STRIDED = ("conv", "max_pool", "avg_pool")  # kinds whose stride is part of the layer type
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


@dataclass(frozen=True, slots=True)
class NetworkPrediction:
    """The prediction for a network, compared with released networks.

    Attributes:
        images: Name of the image set that the network would be trained on.
        predictor: Name of the predictor.
        epochs: The predicted epochs, from 1.
        mean: Predicted valid accuracy after each epoch, a fraction.
        low: Lower ends of the 90 % intervals; None if there are none.
        high: Upper ends of the 90 % intervals; None if there are none.
        fitted: Number of training networks.
        compared: Number of released test networks.
        above_predicted: Fraction of the test networks with a lower predicted final accuracy.
        above_true: Fraction of the test networks whose true final accuracy is lower than predicted
            for this network.
        parameters: Parameters of the layer rows.
        macs: Multiply-accumulates of the layer rows for one image.
        layers: Number of layer rows.
        outside: Features outside the range of the training networks, farthest first.
        unseen: Layer types that no training network has.
        same: Whether the predictor predicts the same for every network.
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
    same: bool


def check_released(images: str, release: Release = INSTALLED) -> None:
    """Check that the release has a task of an image set without observed epochs.

    Raises:
        FileNotFoundError: If it has none; the message names the image sets that have one.
    """
    names = release.task_names()
    if not any(name.startswith(f"{images}-k0-v") for name in names):
        known = [name for name in IMAGES if any(t.startswith(f"{name}-k0-v") for t in names)]
        raise FileNotFoundError(
            f"the data in {str(release.folder)!r} has no task of {images!r} yet, so no predictor "
            f"can be fitted; it has tasks of {', '.join(known) or 'no image set'}; --layers needs "
            "no data"
        )


def check_reads_networks(candidate: Candidate) -> None:
    """Check that a reference predictor needs nothing that only released networks have.

    Raises:
        ValueError: If it needs zero-cost proxies; the message names predictors that do not.
    """
    entry = PREDICTORS.get(candidate.name)
    if entry is not None and entry.needs_proxies:
        raise ValueError(
            f"predictor {candidate.name!r} reads zero-cost proxies, which are known for released "
            "networks alone; take one that reads layers, such as arc, gru or nearest-neighbours"
        )


def predict_network(
    rows: tuple[LayerRow, ...],
    images: str,
    candidate: Candidate,
    *,
    seed: int = 0,
    release: Release = INSTALLED,
) -> NetworkPrediction:
    """Return a predictor's prediction for a network before it is trained.

    Args:
        rows: Layer rows of the network.
        images: Name of an image set that the release has.
        candidate: The predictor.
        seed: The seed that the predictor is fitted with.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If the release has no data of the image set.
        ValueError: If the image set is unknown, or the predictor raises anything or breaks the
            protocol.
    """
    check_released(images, release)
    task = release.latest_task(images, 0)
    data = _without_proxies(load_task_data(task, release))
    test = [i for i, split in enumerate(data.targets.valid_accuracy.splits) if split == "test"]
    true = data.targets.valid_accuracy.curves[test, -1]
    inputs = replace(data, queries=_with_network(data.queries, test, rows))
    with user_code(f"predictor {candidate.name!r} failed: "):
        prediction = fit_predict(candidate.make, inputs, seed).prediction
    mean = prediction.mean
    low = high = None
    if prediction.std is not None:
        half_width = NormalDist().inv_cdf((1 + INTERVAL) / 2) * prediction.std[-1]
        low = _floats(np.clip(mean[-1] - half_width, 0, 1))
        high = _floats(np.clip(mean[-1] + half_width, 0, 1))
    outside, unseen = _find_extrapolation(rows, data)
    return NetworkPrediction(
        images, candidate.name, prediction.epochs, _floats(mean[-1]), low, high,
        len(data.train), len(test), _share_below(mean[:-1, -1], mean[-1, -1]),
        _share_below(true, mean[-1, -1]), parameters(rows), macs(rows), len(rows), outside, unseen,
        bool(np.ptp(mean, axis=0).max() == 0),
    )  # fmt: skip


def _without_proxies(data: TaskData) -> TaskData:
    """Return the data without proxies, which are not known for the user's network."""
    train, validation = (replace(runs, proxies=None) for runs in (data.train, data.validation))
    queries = replace(data.queries, proxies=None)
    return replace(data, train=train, validation=validation, queries=queries)


def _with_network(queries: Queries, index: Sequence[int], rows: tuple[LayerRow, ...]) -> Queries:
    """Return some of the queries, followed by the user's network."""
    assert queries.observed == 0  # so the series copied from the first query are empty
    extended = queries.take([*index, index[0]])
    return replace(
        extended,
        ids=(*extended.ids[:-1], "own"),
        architectures=(*extended.architectures[:-1], None),
        layer_rows=(*extended.layer_rows[:-1], rows),
    )


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _share_below(values: Array, value: float) -> float:
    """Return the fraction of values that are lower; ties count half."""
    return float(np.mean(values < value) + np.mean(values == value) / 2)


def _find_extrapolation(
    rows: tuple[LayerRow, ...], data: TaskData
) -> tuple[tuple[OutOfRange, ...], tuple[str, ...]]:
    """Return the features outside the range of the training networks, and unseen layer types."""
    known = network_features(data.train)
    own = network_features(replace(data.train.take(np.array([0])), layer_rows=(rows,)))[0]
    low, high = known.min(axis=0), known.max(axis=0)
    slack = SLACK * (1 + np.abs(low) + np.abs(high))
    outside = {
        FEATURES[i]: OutOfRange(FEATURES[i], float(own[i]), float(low[i]), float(high[i]))
        for i in np.flatnonzero((own < low - slack) | (own > high + slack))
    }  # two groups of features have some in common
    seen = {_layer_type(row) for walk in data.train.layer_rows for row in walk}
    unseen = dict.fromkeys(_layer_type(row) for row in rows if _layer_type(row) not in seen)
    return tuple(sorted(outside.values(), key=lambda o: -o.distance)), tuple(unseen)


def _layer_type(row: LayerRow) -> str:
    """Return the layer type of a row: its kind, its stride, and whether it is in a shortcut."""
    stride = f" of stride {row.stride}" if row.stride > 1 and row.kind in STRIDED else ""
    shortcut = " of a shortcut" if row.role == "shortcut" else ""
    return f"{row.kind}{stride}{shortcut}"
