"""Helpers of the reference predictors: input checks, standardised features, folds, random state.

Every `fit` raises the errors of `check_runs`. Every `predict` raises those of `check_observed`, or
of `check_fitted` alone if its predictor does not use curves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.util.text import quantity
from harness.protocol import Array, Queries, Runs

CONSTANT = 1e-6  # a column with a standard deviation up to this counts as constant

Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Subtracts the mean of each column and divides by its standard deviation.

    A column that is constant in the data it was fitted on becomes 0 for all other data as well.

    Attributes:
        mean: (columns,).
        std: (columns,), standard deviations; infinity for a constant column.
    """

    mean: Array
    std: Array

    @classmethod
    def fit(cls, values: Array) -> "Standardiser":
        """Return the standardiser of values (rows, columns).

        >>> standardise = Standardiser.fit(np.array([[1.0, 7.0], [3.0, 7.0]]))
        >>> standardise(np.array([[3.0, 100.0]])).tolist()
        [[1.0, 0.0]]
        """
        std = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(std > CONSTANT, std, np.inf))

    def __call__(self, values: NDArray[np.floating]) -> Array:
        """Return standardised values (rows, columns)."""
        return np.asarray((values - self.mean) * (1 / self.std), dtype=np.float64)


def folds(rows: int, number: int, seed: int) -> list[tuple[Index, Index]]:
    """Return the row indices (inside, outside) of random folds, at most one fold per row.

    >>> sorted(int(row) for _, outside in folds(3, 5, 0) for row in outside)
    [0, 1, 2]
    """
    fold = np.random.default_rng(seed).permutation(rows) % min(number, rows)
    return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(fold.max() + 1)]


def later_epochs(total: int, observed: int) -> tuple[int, ...]:
    """Return the epochs after the observed ones, counted from 1.

    >>> later_epochs(5, 3)
    (4, 5)
    """
    return tuple(range(observed + 1, total + 1))


@contextmanager
def preserve_numpy_state() -> Iterator[None]:
    """Restore numpy's global random state afterwards; fitting sklearn's NuSVR changes it."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def check_runs(train: Runs, observed: int) -> None:
    """Check the arguments of `fit`.

    Raises:
        ValueError: If no epoch is left to predict, or there are fewer than two training runs.
    """
    if not 0 <= observed < train.recipe.epochs:
        raise ValueError(
            f"`observed` (={observed}) must be from 0 to {train.recipe.epochs - 1}, one less than "
            "the epochs of the recipe"
        )
    if len(train) < 2:
        raise ValueError(f"`train` must hold at least 2 runs, not {len(train)}")


def check_fitted(fitted: bool, method: str = "predict") -> None:
    """Check that a predictor was fitted before a method of it is called.

    Raises:
        ValueError: If it was not.
    """
    if not fitted:
        raise ValueError(f"`{method}` needs a fitted predictor: call `fit` first")


def check_observed(fitted: int | None, queries: Queries) -> int:
    """Return the number of observed epochs, after checking that the predictor was fitted for it.

    `fitted` is the number that it was fitted for; None if it was not fitted.

    Raises:
        ValueError: If the predictor was not fitted, or for another number of epochs.
    """
    check_fitted(fitted is not None)
    if queries.observed != fitted:
        raise ValueError(
            f"queries have {quantity(queries.observed, 'observed epoch')}, but the predictor was "
            f"fitted for {fitted}"
        )
    return queries.observed
