"""What a predictor is given and what it answers.

A predictor is fitted on `Runs`, whose curves are whole, and answers `Queries`, which hold copies
of the first `observed` epochs, of what is known of the network before training, and nothing else:
no test series, no status, no times, no device, nothing after the observed epochs, no other seeds of
the same network.
"""

from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.recipes import Recipe
from benchmark.space.architectures import Architecture
from benchmark.space.layer_walk import LayerRow

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The series of some runs, each (networks, epochs), entry e = after epoch e + 1.

    A run that diverged has NaN as its losses and norms, and chance as its accuracies, from then on.

    Attributes:
        learning_rate: Of the last step of the epoch.
        train_loss: Mean over the epoch's steps, on augmented images, in nats.
        train_accuracy: Likewise, a fraction.
        train_loss_tenths: (networks, epochs, 10), mean loss of each tenth of the epoch.
        valid_loss: On the fixed valid images, in nats.
        valid_accuracy: Likewise, a fraction.
        gradient_norm: Of all parameters at the last step.
        weight_norm: Of all parameters after the last step.
        initial_valid_loss: (networks,), before training; None where no epoch is observed.
        initial_valid_accuracy: Likewise.
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
        ids: Opaque names, without meaning outside this object.
        images: Name of the image set.
        recipe: How the networks are trained.
        observed: Epochs seen (k).
        architectures: One per network; None for one that our skeletons cannot express.
        layer_rows: The layer walk of each network.
        series: The first `observed` epochs.
        proxies: (networks, proxies), zero-cost proxies in the order of `benchmark.proxies.PROXIES`,
            of initial weights that no run has; None where nobody computed them.
    """

    ids: tuple[str, ...]
    images: str
    recipe: Recipe
    observed: int
    architectures: tuple[Architecture | None, ...]
    layer_rows: tuple[tuple[LayerRow, ...], ...]
    series: Series
    proxies: Array | None

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Finished runs, whole, to fit on. Attributes as in `Queries`, over all epochs."""

    ids: tuple[str, ...]
    images: str
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
        """Valid accuracy after the last epoch, (runs,)."""
        return self.series.valid_accuracy[:, -1]

    def take(self, index: NDArray[np.intp]) -> "Runs":
        """Return copies of some runs, in the order of `index`."""
        return Runs(
            tuple(self.ids[i] for i in index),
            self.images,
            self.recipe,
            tuple(self.architectures[i] for i in index),
            tuple(self.layer_rows[i] for i in index),
            self.series.take(index, self.recipe.epochs),
            None if self.proxies is None else self.proxies[index].copy(),
        )

    def observe(self, epochs: int) -> Queries:
        """Return the runs as queries that see their first epochs, with the same ids and order."""
        everything = np.arange(len(self))
        return Queries(
            self.ids,
            self.images,
            self.recipe,
            epochs,
            self.architectures,
            self.layer_rows,
            self.series.take(everything, epochs),
            None if self.proxies is None else self.proxies.copy(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A predictor's answer.

    Attributes:
        mean: (networks, len(epochs)) accuracies, a fraction.
        epochs: Which epochs, from 1: all after the observed ones, or the last alone.
        std: Standard deviations in the shape of `mean`, if the predictor has them.
    """

    mean: Array
    epochs: tuple[int, ...]
    std: Array | None = None


@runtime_checkable
class Predictor(Protocol):
    """What is benchmarked. Nothing is inherited; a class with these two methods is one."""

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Learn from whole runs; `validation` is for choosing, `seed` fixes all randomness."""
        ...

    def predict(self, queries: Queries) -> Prediction:
        """Answer each query, in order."""
        ...
