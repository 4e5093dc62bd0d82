"""What reference predictors share: standardised features and the checks of their inputs."""

import numpy as np
from numpy.typing import NDArray

from harness.protocol import Array, Queries, Runs

Index = NDArray[np.intp]


def scaling(features: Array) -> tuple[Array, Array]:
    """Return the centre and the factor of each column that standardise it.

    The factor of a column that never varies is 0, so that it counts nothing for other networks
    either.

    >>> centre, factor = scaling(np.array([[1.0, 7.0], [3.0, 7.0]]))
    >>> ((np.array([3.0, 100.0]) - centre) * factor).tolist()
    [1.0, 0.0]
    """
    spread = features.std(axis=0)
    varies = spread > 1e-9
    return features.mean(axis=0), np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)


def folds(rows: int, number: int, seed: int) -> list[tuple[Index, Index]]:
    """Return the row indices (inside, outside) of random folds, at most one for each row.

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


def check_runs(train: Runs, observed: int) -> None:
    """Check what a predictor is to be fitted on.

    Raises:
        ValueError: If no epoch is left to predict, or fewer than two runs are there.
    """
    if not 0 <= observed < train.recipe.epochs:
        raise ValueError(
            f"`observed` (={observed}) must be from 0 to {train.recipe.epochs - 1}, one less than "
            "the epochs of the recipe"
        )
    if len(train) < 2:
        raise ValueError(f"`train` must hold at least 2 runs, not {len(train)}")


def check_fitted(fitted: bool) -> None:
    """Check that a predictor was fitted.

    Raises:
        ValueError: If it was not.
    """
    if not fitted:
        raise ValueError("`predict` needs a fitted predictor: call `fit` first")


def check_observed(fitted: int | None, queries: Queries) -> int:
    """Return the observed epochs, having checked that a predictor was fitted for as many.

    Raises:
        ValueError: If it was not fitted, or fitted for another number.
    """
    check_fitted(fitted is not None)
    if queries.observed != fitted:
        raise ValueError(
            f"queries have {queries.observed} observed epochs, but the predictor was fitted for "
            f"{fitted}"
        )
    return queries.observed
