"""The interface between the benchmark and a predictor: inputs, predictions and the two methods.

A predictor is fitted on `Runs`, which hold all epochs, and predicts `Queries`. Queries hold copies
of the first `observed` epochs and what is known of a network before training. They hold no test
accuracy, status, time, device, later epoch or other seed of the same network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.recipes import Recipe
from benchmark.space.architectures import Architecture
from benchmark.space.layer_walk import LayerRow
from benchmark.util.strict_json import refuse
from benchmark.util.unknown_name import check_type

Array = NDArray[np.float64]
Index = Sequence[int] | NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The series of several runs, (networks, epochs) each; column e is epoch e + 1.

    From the epoch in which a run diverges, its losses and norms are NaN and its accuracies are at
    chance.

    Attributes:
        learning_rate: Learning rate of the last step of the epoch.
        train_loss: Mean loss over the epoch's steps on augmented images, in nats.
        train_accuracy: Mean accuracy over the epoch's steps on augmented images, a fraction.
        train_loss_tenths: Mean loss of each tenth of the epoch, in nats, (networks, epochs, 10).
        valid_loss: Loss on the fixed validation images, in nats.
        valid_accuracy: Accuracy on the fixed validation images, a fraction.
        gradient_norm: Norm of the gradient of all parameters at the last step.
        weight_norm: Norm of all parameters after the last step.
        initial_valid_loss: `valid_loss` before training, (networks,); None if no epoch is observed.
        initial_valid_accuracy: `valid_accuracy` before training, (networks,); None if no epoch is
            observed.
    """

    learning_rate: Array
    train_loss: Array
    train_accuracy: Array
    train_loss_tenths: Array
    valid_loss: Array
    valid_accuracy: Array
    gradient_norm: Array
    weight_norm: Array
    initial_valid_loss: Array | None
    initial_valid_accuracy: Array | None

    def take(self, index: NDArray[np.intp], epochs: int) -> "Series":
        """Return copies of the first epochs of some runs; the initial values only if epochs > 0."""
        values: dict[str, Array | None] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("initial_"):
                keep = epochs > 0 and value is not None
                values[field.name] = value[index].copy() if keep else None
            else:
                values[field.name] = value[index, :epochs].copy()
        return Series(**values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Networks whose accuracy is asked for.

    Attributes:
        ids: Opaque names that have no meaning outside this object.
        images: Name of the image set; of external data, the one with the nearest resolution.
        classes: Number of classes; chance is 1 / classes.
        recipe: The training recipe of all networks; of external data, only `epochs` is known.
        observed: Number of observed epochs (k).
        architectures: Architecture of each network; None if no skeleton expresses it.
        layer_rows: The layer walk of each network.
        series: The series of the observed epochs.
        proxies: Zero-cost proxies in the order of `benchmark.proxies.PROXIES`, (networks, proxies),
            at initial weights that no run has; None if the data has none.
    """

    ids: tuple[str, ...]
    images: str
    classes: int
    recipe: Recipe
    observed: int
    architectures: tuple[Architecture | None, ...]
    layer_rows: tuple[tuple[LayerRow, ...], ...]
    series: Series
    proxies: Array | None

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.ids)

    def take(self, index: Index) -> "Queries":
        """Return copies of some queries, in the order of `index`."""
        return replace(self, **_take_networks(self, index, self.observed))

    def copy(self) -> "Queries":
        """Return the queries with copies of all arrays."""
        return self.take(np.arange(len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Finished runs to fit on. Attributes as in `Queries`, but `series` has all epochs."""

    ids: tuple[str, ...]
    images: str
    classes: int
    recipe: Recipe
    architectures: tuple[Architecture | None, ...]
    layer_rows: tuple[tuple[LayerRow, ...], ...]
    series: Series
    proxies: Array | None

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.ids)

    @property
    def final_accuracy(self) -> Array:
        """Validation accuracy after the last epoch, (runs,)."""
        return self.series.valid_accuracy[:, -1]

    def take(self, index: Index) -> "Runs":
        """Return copies of some runs, in the order of `index`."""
        return replace(self, **_take_networks(self, index, self.recipe.epochs))

    def copy(self) -> "Runs":
        """Return the runs with copies of all arrays."""
        return self.take(np.arange(len(self)))

    def concat(self, other: "Runs") -> "Runs":
        """Return these runs followed by others of the same image set and recipe."""
        check_type("other", other, Runs, "`Runs`")
        names = [field.name for field in fields(Series)]
        pairs = {name: (getattr(self.series, name), getattr(other.series, name)) for name in names}
        proxies = None
        if self.proxies is not None and other.proxies is not None:
            proxies = np.concatenate([self.proxies, other.proxies])
        return replace(
            self,
            ids=self.ids + other.ids,
            architectures=self.architectures + other.architectures,
            layer_rows=self.layer_rows + other.layer_rows,
            series=Series(**{name: np.concatenate(pair) for name, pair in pairs.items()}),
            proxies=proxies,
        )

    def observe(self, epochs: int) -> Queries:
        """Return the runs as queries with their first epochs, with the same ids and order."""
        if epochs not in range(self.recipe.epochs + 1):
            refuse("epochs", epochs, f"in 0..{self.recipe.epochs}")
        taken = _take_networks(self, np.arange(len(self)), epochs)
        names = ("images", "classes", "recipe")
        known = {name: getattr(self, name) for name in names}
        return Queries(observed=epochs, **known, **taken)


def _take_networks(networks: Queries | Runs, index: Index, epochs: int) -> dict[str, Any]:
    """Return the fields that differ between networks, as copies of some networks."""
    given = np.asarray(index)
    if given.ndim != 1 or (len(given) and given.dtype.kind not in "iu"):
        refuse("index", index, "a list of whole numbers; `numpy.flatnonzero` makes one of a mask")
    chosen = given.astype(np.intp)
    return {
        "ids": tuple(networks.ids[i] for i in chosen),
        "architectures": tuple(networks.architectures[i] for i in chosen),
        "layer_rows": tuple(networks.layer_rows[i] for i in chosen),
        "series": networks.series.take(chosen, epochs),
        "proxies": None if networks.proxies is None else networks.proxies[chosen].copy(),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The output of a predictor.

    Attributes:
        mean: Predicted accuracies, fractions, (networks, len(epochs)).
        epochs: The predicted epochs, from 1: all after the observed ones, or the last one alone.
        std: Standard deviations of `mean`, (networks, len(epochs)); None if not predicted.
    """

    mean: Array
    epochs: tuple[int, ...]
    std: Array | None = None


@runtime_checkable
class Predictor(Protocol):
    """What the benchmark evaluates: any class with these two methods; it inherits nothing."""

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Learn from runs with all epochs.

        Args:
            train: Runs to fit on.
            validation: Runs for model selection.
            observed: Number of epochs that queries will have.
            seed: Fixes all randomness.
        """
        ...

    def predict(self, queries: Queries) -> Prediction:
        """Return predictions for all queries, in their order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LearnedFeatures:
    """What a predictor makes of networks and of their layers before it predicts.

    Attributes:
        networks: What its last layers read of each network, (networks, features).
        layers: Values of its units at each layer of each network, (layers, levels, units), in the
            order of the layer rows; NaN for a layer that it does not read. A level is a layer of
            the predictor's own.
    """

    networks: Array
    layers: tuple[Array, ...]


@runtime_checkable
class FeaturePredictor(Predictor, Protocol):
    """A predictor whose features can be looked at; the benchmark does not ask for this."""

    def learned_features(self, queries: Queries) -> LearnedFeatures:
        """Return the features of all queries, in their order."""
        ...
