"""A surrogate of training: a random forest from a network's features to its final accuracy.

It is fitted to the released runs of all splits, in logits. The noise of seeds is how the runs of
networks that were trained several times scatter around the mean of their logits; it is drawn from
the networks whose mean is nearest. It is not enlarged by the root of n / (n - 1), the usual
correction for n runs: networks that fail once in three runs would then reach accuracies that none
does. On `digits`, the logits of two runs of a network differ by 1.06 (standard deviation) in the
surrogate and by 1.11 in the data; with the correction, by 1.30.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from benchmark.manifest import released_splits
from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.space.architectures import Architecture, from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.space.sampler import as_trained
from benchmark.tasks import was_trained
from benchmark.util.rng import generator_for
from harness.features.logits import from_logits, to_logits
from harness.features.observed import features_of
from harness.predictors.base import folds
from harness.protocol import Array
from harness.search.open.check import FoldScore, SurrogateCheck, score_fold
from harness.task_data import recipe_of

TREES, LEAST_LEAF, SHARE = 100, 3, 1 / 3  # share of the features that is drawn for each split
MODEL = f"random forest of {TREES} trees on architecture features, in logits"
FOLDS = 5
NEIGHBOURS = 30  # repeated networks from which noise is drawn
COLUMNS = (
    "architecture_id", "paired_architecture_id", "architecture", "recipe_id", "seed", "status",
    "valid_accuracy",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The networks that a surrogate is fitted to.

    Attributes:
        epochs: Number of epochs of their training.
        features: Features of each, (networks, features).
        families: Number that networks with the same blocks share, (networks,).
        logits: Logit of the final validation accuracy of each run, (runs,) for each network.
    """

    epochs: int
    features: Array
    families: NDArray[np.intp]
    logits: tuple[Array, ...]

    @property
    def means(self) -> Array:
        """Mean logit of each network, (networks,)."""
        return np.array([logits.mean() for logits in self.logits])


@dataclass(frozen=True, slots=True, eq=False)
class ForestSurrogate:
    """A fitted surrogate.

    Attributes:
        images: Name of the image set.
        epochs: Number of epochs of a training.
        check: How well it predicts.
        forest: The forest.
        centres: Mean logit of each repeated network, (networks,).
        residuals: Logits of its runs minus the mean, (runs,) for each network.
    """

    images: str
    epochs: int
    check: SurrogateCheck
    forest: RandomForestRegressor
    centres: Array
    residuals: tuple[Array, ...]

    def value(self, architecture: Architecture) -> float:
        """Return the accuracy that an architecture, as drawn, reaches without noise."""
        return self.value_as_trained(as_trained(architecture, get_images(self.images)))

    def value_as_trained(self, architecture: Architecture) -> float:
        """Return the value of an architecture at the widths with which it is trained."""
        features = features_of(walk(architecture, get_images(self.images)))
        return float(from_logits(_predict(self.forest, features[None]))[0])

    def measure(self, value: float, identity: str, seed: int) -> float:
        """Return the accuracy of a run of an architecture with that value, id and seed."""
        logit = to_logits(np.array(value))
        nearest = np.argsort(abs(self.centres - logit), kind="stable")[:NEIGHBOURS]
        rng = generator_for("open-search-noise-v1", self.images, seed, identity)
        residuals = self.residuals[nearest[rng.integers(len(nearest))]]
        return float(from_logits(logit + residuals[rng.integers(len(residuals))]))


def load_surrogate(images: str, release: Release = INSTALLED) -> ForestSurrogate:
    """Return the surrogate of an image set.

    Raises:
        FileNotFoundError: If the release has no runs on the image set.
        ValueError: If the image set is unknown, the runs have several recipes, or they are too few.
    """
    networks = read_networks(images, release)
    repeated = [logits for logits in networks.logits if len(logits) > 1]
    families = len(set(networks.families.tolist()))
    if families < FOLDS or not repeated:
        raise ValueError(
            f"a surrogate of {images} needs at least {FOLDS} networks, and one of them with "
            f"several seeds; the data has {families} and {len(repeated)}"
        )
    check = SurrogateCheck(MODEL, len(networks.logits), len(repeated), check_folds(networks))
    return ForestSurrogate(
        images,
        networks.epochs,
        check,
        _fit(networks.features, networks.means),
        np.array([logits.mean() for logits in repeated]),
        tuple(logits - logits.mean() for logits in repeated),
    )


def read_networks(images: str, release: Release = INSTALLED) -> Networks:
    """Return the networks of all splits of an image set. Raises errors as `load_surrogate`."""
    splits = [split for name, split in released_splits(release.folder) if name == images]
    tables = [release.runs(images, s, columns=COLUMNS) for s in splits or ("train",)]
    table = pa.concat_tables(tables)
    table = table.filter(was_trained(table))
    table = table.sort_by([("architecture_id", "ascending"), ("seed", "ascending")])
    recipe, names = recipe_of(table, release), np.array(table["architecture_id"].to_pylist())
    _, first, runs = np.unique(names, return_index=True, return_counts=True)
    logits = to_logits(series(table, "valid_accuracy")[:, -1])
    rows = table.take(pa.array(first)).to_pylist()
    pairs = [row["paired_architecture_id"] or row["architecture_id"] for row in rows]
    image_set = get_images(images)
    return Networks(
        recipe.epochs,
        np.stack([features_of(walk(from_record(r["architecture"]), image_set)) for r in rows]),
        np.unique(pairs, return_inverse=True)[1],
        tuple(logits[start : start + n] for start, n in zip(first, runs, strict=True)),
    )


def _fit(features: Array, logits: Array) -> RandomForestRegressor:
    return RandomForestRegressor(
        TREES, min_samples_leaf=LEAST_LEAF, max_features=SHARE, random_state=0
    ).fit(features, logits)


def _predict(forest: RandomForestRegressor, features: Array) -> Array:
    """Return what `forest.predict` does, fifteen times as fast for a single network."""
    trees = [tree.tree_.predict(features.astype(np.float32))[:, 0] for tree in forest.estimators_]
    return np.asarray(np.mean(trees, axis=0), dtype=np.float64)


def check_folds(networks: Networks) -> tuple[FoldScore, ...]:
    """Return the scores of surrogates on the networks that they were not fitted to."""
    means = networks.means
    accuracies = np.array([from_logits(logits).mean() for logits in networks.logits])
    scores = []
    for _, outside in folds(networks.families.max() + 1, FOLDS, seed=0):
        held_back = np.isin(networks.families, outside)
        forest = _fit(networks.features[~held_back], means[~held_back])
        predicted = from_logits(_predict(forest, networks.features[held_back]))
        scores.append(score_fold(accuracies[held_back], predicted))
    return tuple(scores)
