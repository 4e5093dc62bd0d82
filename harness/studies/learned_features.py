"""What a predictor makes of the test networks of a task, which it is not fitted on.

The authors of Peephole show its features as a t-SNE, and units that respond to convolutions (Deng,
Yan and Lin 2017, arXiv:1712.03351, section 4.4). A picture proves little, so both get a number: how
well the accuracies of its neighbours order the networks, and the AUC of each unit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from benchmark.release import INSTALLED, Release
from benchmark.space.layer_walk import LayerRow
from benchmark.tasks import Task
from benchmark.util.rng import generator_for
from benchmark.util.unknown_name import check_one, starting_with
from harness.features.architecture import (
    ARCHITECTURE_FEATURES,
    architecture_features,
    count_features,
)
from harness.features.units import Units, study_units
from harness.metrics.bootstrap import sample_counts
from harness.metrics.pair_counts import count_pairs
from harness.predictors.base import Standardiser
from harness.predictors.registry import PREDICTORS
from harness.protocol import Array, FeaturePredictor, LearnedFeatures, Queries
from harness.running.find_predictor import Candidate
from harness.running.fit_predict import check_prediction
from harness.scoring.scores import Score, score_of
from harness.task_data import load_task_data
from harness.user_code import user_code

NEIGHBOURS = 10
PERPLEXITY = 30.0  # of t-SNE (van der Maaten and Hinton 2008, JMLR 9), less for few networks


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kendall's tau-b of true final accuracies and other numbers.

    Attributes:
        by: The features by which networks are neighbours, or "its prediction".
        tau: Tau with the mean accuracy of the neighbours, or with the prediction. Its interval is
            over networks; their neighbours stay the same.
    """

    by: str
    tau: Score


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStudy:
    """The features of the test networks of a task.

    Attributes:
        predictor: Name of the predictor.
        task: Name of the task.
        seed: Seed of the fit.
        fitted: Number of training networks.
        neighbours: Number of neighbours of a network, among the other test networks.
        architecture_ids: Architecture of each test network.
        skeletons: Skeleton of each test network.
        accuracy: True final accuracies, (networks,).
        nearby: Mean accuracy of the neighbours by learned features, (networks,).
        features: Standardised learned features, (networks, features).
        agreements: By learned features first, then by others, and at last the prediction.
        shown: Index of the network whose layers are in `units`.
        units: The units of the predictor.
    """

    predictor: str
    task: str
    seed: int
    fitted: int
    neighbours: int
    architecture_ids: tuple[str, ...]
    skeletons: tuple[str, ...]
    accuracy: Array
    nearby: Array
    features: Array
    agreements: tuple[Agreement, ...]
    shown: int
    units: Units


def make_with_features(candidate: Candidate) -> FeaturePredictor:
    """Return a new predictor, if it has features.

    Raises:
        ValueError: If it has none, with the names of those that have; or if it cannot be made.
    """
    with user_code(f"predictor {candidate.name!r} failed: "):
        predictor = candidate.make()
    if not isinstance(predictor, FeaturePredictor):
        known = [name for name, entry in PREDICTORS.items() if entry.has_features]
        raise ValueError(
            f"predictor {candidate.name!r} has no method `learned_features`; predictors that have "
            f"it: {', '.join(known)}"
        )
    return predictor


def study_features(
    candidate: Candidate,
    task: Task,
    *,
    neighbours: int = NEIGHBOURS,
    network: str | None = None,
    seed: int = 0,
    release: Release = INSTALLED,
) -> FeatureStudy:
    """Return the features of a task's test networks, after fitting a predictor on the task.

    Args:
        candidate: The predictor.
        task: The task.
        neighbours: Number of neighbours of a network.
        network: First digits of the architecture id of the test network whose layers are kept
            [default: the first of median length].
        seed: The seed that the predictor is fitted with.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If the predictor has no features, raises anything or breaks the protocol; there
            are not so many neighbours; or no test network has the id.
    """
    predictor = make_with_features(candidate)
    data = load_task_data(task, release)
    targets = data.targets.valid_accuracy
    test = [i for i, split in enumerate(targets.splits) if split == "test"]
    ids = tuple(targets.architecture_ids[i] for i in test)
    queries, accuracy = data.queries.take(test), targets.curves[test, -1]
    if not 1 <= neighbours < len(test):
        raise ValueError(f"`neighbours` (={neighbours}) must be in 1..{len(test) - 1}")
    shown = _shown_network(network, ids, queries, task.name)
    with user_code(f"predictor {candidate.name!r} failed: "):
        train, validation = data.train.copy(), data.validation.copy()
        predictor.fit(train, validation, observed=task.observed, seed=seed)
        predicted = check_prediction(predictor.predict(queries.copy()), queries).mean[:, -1]
        found = check_features(predictor.learned_features(queries.copy()), queries)
    others = {"its features": found.networks} | reference_features(queries, found.networks.shape)
    nearby = {by: mean_of_neighbours(f, accuracy, neighbours) for by, f in others.items()}
    return FeatureStudy(
        candidate.name, task.name, seed, len(data.train), neighbours, ids,
        tuple(targets.skeletons[i] for i in test), accuracy, nearby["its features"],
        Standardiser.fit(found.networks)(found.networks),
        agreements_of(ids, accuracy, nearby | {"its prediction": predicted}), shown,
        study_units(found.layers, queries.layer_rows, shown),
    )  # fmt: skip


def _shown_network(network: str | None, ids: tuple[str, ...], queries: Queries, task: str) -> int:
    """Return the index of the network that a text names; by default, one of median length."""
    if network is None:
        order = sorted(range(len(ids)), key=lambda i: (len(queries.layer_rows[i]), ids[i]))
        return order[len(order) // 2]
    matches = starting_with(network, ids)
    check_one(f"test network of {task}", network, matches, ids)
    return ids.index(matches[0])


def check_features(features: object, queries: Queries) -> LearnedFeatures:
    """Return the features of queries.

    Raises:
        ValueError: If they are of another type or shape, or the networks' are not finite.
    """
    if not isinstance(features, LearnedFeatures):
        kind = type(features).__name__
        raise ValueError(f"`learned_features` must return LearnedFeatures, not {kind}")
    shape = features.networks.shape
    if len(shape) != 2 or shape[0] != len(queries) or not np.isfinite(features.networks).all():
        raise ValueError(
            f"`networks` (of shape {shape}) must be ({len(queries)}, features), and finite"
        )
    found = [values.shape for values in features.layers]
    end = found[0][1:] if found else ()
    if len(end) != 2 or found != [(len(rows), *end) for rows in queries.layer_rows]:
        raise ValueError(
            "`layers` must have, for each network, the shape (layers, levels, units), with the "
            "levels and units of the others"
        )
    return features


def reference_features(queries: Queries, shape: tuple[int, ...]) -> dict[str, Array]:
    """Return features that no predictor learned, (networks, features), by what they are.

    `shape` is that of the random ones.
    """

    def each(features: Callable[[tuple[LayerRow, ...]], Array]) -> Array:
        return np.stack([features(rows) for rows in queries.layer_rows])

    return {
        f"{len(ARCHITECTURE_FEATURES)} architecture features": each(architecture_features),
        "log parameters, log MACs, depth": each(count_features),
        "random numbers": generator_for("random-features-v1", *shape).normal(size=shape),
    }


def agreements_of(
    architecture_ids: tuple[str, ...], accuracy: Array, others: Mapping[str, Array]
) -> tuple[Agreement, ...]:
    """Return the agreement of true accuracies (networks,) with each of other numbers."""
    counts = sample_counts(architecture_ids)
    taus = {by: count_pairs(accuracy, values, counts).tau_b() for by, values in others.items()}
    return tuple(Agreement(by, score_of(samples)) for by, samples in taus.items())


def mean_of_neighbours(features: Array, values: Array, neighbours: int) -> Array:
    """Return the mean of a value over the nearest other networks, (networks,).

    Distances are Euclidean, between features (networks, features) that are standardised first.

    >>> mean_of_neighbours(np.array([[0.0], [1.0], [9.0]]), np.array([0.1, 0.2, 0.3]), 1).tolist()
    [0.2, 0.1, 0.2]
    """
    standardised = Standardiser.fit(features)(features)
    distances = cdist(standardised, standardised)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :neighbours]
    return np.asarray(values[nearest].mean(axis=1))


def map_to_plane(features: Array) -> Array:
    """Return a t-SNE of standardised features (networks, features): (networks, 2)."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    drawn = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(features)
    return np.asarray(drawn, dtype=np.float64)
