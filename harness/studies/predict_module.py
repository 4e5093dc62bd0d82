"""Predicts the learning curve of a user's own network before it is trained.

A predictor is fitted on the released training networks of an image set. It predicts the user's
network and, for comparison, the released test networks. Features and layers of the network that no
training network has are listed, since predictions for them are extrapolations.

Intervals are scaled so that they cover 90 % of the released test and held-out networks. A network
that is far from the training networks gets none.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.space.imagesets import IMAGES
from benchmark.space.layer_walk import LayerRow, macs, parameters
from harness.predictors.registry import PREDICTORS
from harness.protocol import Array, Queries
from harness.running.find_predictor import Candidate
from harness.running.fit_predict import fit_predict
from harness.studies.out_of_range import FAR, OutOfRange, distance_to_training, find_extrapolation
from harness.task_data import TaskData, load_task_data
from harness.user_code import user_code

TINY = 1e-9  # least standard deviation
INTERVAL = 0.9  # share of the released test and held-out networks that the intervals cover


@dataclass(frozen=True, slots=True)
class NetworkPrediction:
    """The prediction for a network, compared with released networks.

    Attributes:
        images: Name of the image set that the network would be trained on.
        predictor: Name of the predictor.
        epochs: The predicted epochs, from 1.
        mean: Predicted valid accuracy after each epoch, a fraction.
        low: Lower ends of the 90 % intervals; None if the predictor gives no `std`, or if the
            network is farther than `FAR` from the training networks.
        high: Upper ends of the 90 % intervals; None if `low` is.
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
        scaled_on: Number of released networks on which the intervals are scaled.
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
    scaled_on: int

    @property
    def distance(self) -> float:
        """Distance to the training networks, as of `distance_to_training`."""
        return distance_to_training(self.outside, self.unseen)


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
    targets = data.targets.valid_accuracy
    test = [i for i, split in enumerate(targets.splits) if split == "test"]
    inputs = replace(data, queries=_with_network(data.queries, rows))
    with user_code(f"predictor {candidate.name!r} failed: "):
        prediction = fit_predict(candidate.make, inputs, seed).prediction
    mean, std, final = prediction.mean, prediction.std, prediction.mean[-1, -1]
    outside, unseen = find_extrapolation(rows, data.train)
    found = NetworkPrediction(
        images, candidate.name, prediction.epochs, _floats(mean[-1]), None, None,
        len(data.train), len(test), _share_below(mean[test, -1], final),
        _share_below(targets.curves[test, -1], final), parameters(rows), macs(rows), len(rows),
        outside, unseen, bool(np.ptp(mean, axis=0).max() == 0), len(targets.curves),
    )  # fmt: skip
    if std is None or found.distance > FAR:
        return found
    true = targets.curves[:, [epoch - 1 for epoch in prediction.epochs]]
    half_width = interval_factors(mean[:-1], std[:-1], true) * std[-1]
    low, high = np.clip(mean[-1] - half_width, 0, 1), np.clip(mean[-1] + half_width, 0, 1)
    return replace(found, low=_floats(low), high=_floats(high))


def interval_factors(mean: Array, std: Array, true: Array) -> Array:
    """Return by what a standard deviation is multiplied so that intervals cover `INTERVAL`.

    This is split conformal prediction (Lei et al. 2018, arXiv:1604.04173) of each epoch.

    Args:
        mean: Predicted accuracies, (networks, epochs).
        std: Their standard deviations, of the same shape.
        true: True accuracies, of the same shape.

    Returns:
        (epochs,).
    """
    errors = np.sort(np.abs(true - mean) / np.maximum(std, TINY), axis=0)
    rank = math.ceil((len(errors) + 1) * INTERVAL)
    return np.asarray(errors[min(rank, len(errors)) - 1])


def _without_proxies(data: TaskData) -> TaskData:
    """Return the data without proxies, which are not known for the user's network."""
    train, validation = (replace(runs, proxies=None) for runs in (data.train, data.validation))
    queries = replace(data.queries, proxies=None)
    return replace(data, train=train, validation=validation, queries=queries)


def _with_network(queries: Queries, rows: tuple[LayerRow, ...]) -> Queries:
    """Return the queries, followed by the user's network."""
    assert queries.observed == 0  # so the series copied from the first query are empty
    extended = queries.take([*range(len(queries.ids)), 0])
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
