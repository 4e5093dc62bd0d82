"""The rules of a valid prediction, which every check of a prediction applies.

Each rule returns a description of the first violation, or an empty text if there is none.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness.protocol import Array, Prediction, Queries

MOST_VALUES = 100_000_000  # of an array; an array of strides 0 can stand for any number


@dataclass(frozen=True, slots=True)
class Scope:
    """The networks and epochs that a prediction must cover.

    Attributes:
        ids: Id of each network, in the order of the rows of the prediction.
        epochs: Number of epochs of training, which is the last epoch.
        observed: Number of observed epochs; None if unknown.
        kind: What an id stands for, for messages.
    """

    ids: Sequence[str]
    epochs: int
    observed: int | None = None
    kind: str = "run"


def query_scope(queries: Queries) -> Scope:
    """Return the networks and epochs that a prediction of queries must cover."""
    return Scope(queries.ids, queries.recipe.epochs, queries.observed, "query")


def plain_prediction(prediction: object) -> Prediction:
    """Return what `predict` returned as a `Prediction` of plain arrays of float64, all copies.

    Every attribute is read once, and subclasses of arrays, tuples and integers are converted by
    numpy and Python alone, so no code of the predictor runs afterwards.

    Raises:
        ValueError: If it is no `Prediction`, or its fields have other types.
        Exception: Any exception that the predictor's own classes raise.
    """
    if not isinstance(prediction, Prediction):
        raise ValueError(f"`predict` must return a Prediction, not {type(prediction).__name__}")
    epochs, mean, std = prediction.epochs, prediction.mean, prediction.std
    if not issubclass(type(epochs), tuple):
        raise ValueError(f"`epochs` must be a tuple, not {type(epochs).__name__}")
    numbers = tuple(map(operator.index, tuple.__iter__(epochs)))
    return Prediction(
        _plain_array("mean", mean), numbers, None if std is None else _plain_array("std", std)
    )


def _plain_array(name: str, values: object) -> Array:
    """Return an array of floats as a new plain array of float64."""
    if not issubclass(type(values), np.ndarray):
        raise ValueError(f"`{name}` must be an array, not {type(values).__name__}")
    plain = np.ndarray.view(cast(Array, values), np.ndarray)
    if plain.dtype.kind != "f":
        raise ValueError(f"`{name}` must hold floats, not {plain.dtype}")
    if plain.size > MOST_VALUES:
        raise ValueError(f"`{name}` must have at most {MOST_VALUES:,} values, not {plain.size:,}")
    return plain.astype(np.float64)


def epochs_problem(prediction: Prediction, scope: Scope) -> str:
    """Check that the epochs are all after the observed ones, or the last one alone."""
    epochs, last, observed = prediction.epochs, scope.epochs, scope.observed
    first = max(1, min(epochs, default=last)) if observed is None else observed + 1
    if epochs in (tuple(range(first, last + 1)), (last,)):
        return ""
    start = "the first one not observed" if observed is None else str(first)
    return f"`epochs` (={epochs}) must be all from {start} to {last}, or ({last},)"


def shape_problem(prediction: Prediction, scope: Scope) -> str:
    """Check that there is one row for each network and one column for each epoch."""
    shape = (len(scope.ids), len(prediction.epochs))
    for name, values in _arrays(prediction):
        if values.shape != shape:
            return f"`{name}` of shape {values.shape} must be (networks, epochs) = {shape}"
    return ""


def finite_problem(prediction: Prediction, scope: Scope) -> str:
    """Check that all numbers are finite."""
    problems = (
        _first_violation(prediction, scope, name, np.isfinite(values), "finite")
        for name, values in _arrays(prediction)
    )
    return next(filter(None, problems), "")


def std_problem(prediction: Prediction, scope: Scope) -> str:
    """Check that all standard deviations are positive."""
    if prediction.std is None:
        return ""
    return _first_violation(prediction, scope, "std", prediction.std > 0, "above 0")


def range_problem(prediction: Prediction, scope: Scope) -> str:
    """Check that all accuracies are in [0, 1]."""
    inside = (prediction.mean >= 0) & (prediction.mean <= 1)
    return _first_violation(prediction, scope, "mean", inside, "in [0, 1]")


PREDICTION_RULES: dict[str, Callable[[Prediction, Scope], str]] = {
    "epochs": epochs_problem,
    "shape": shape_problem,
    "finite": finite_problem,
    "std": std_problem,
    "range": range_problem,
}


def require_valid(prediction: Prediction, scope: Scope) -> None:
    """Check a prediction against all `PREDICTION_RULES`.

    Raises:
        ValueError: If it breaks one; the message names the rule and the first offending value.
    """
    for rule in PREDICTION_RULES.values():
        problem = rule(prediction, scope)
        if problem:
            raise ValueError(problem)


def _arrays(prediction: Prediction) -> list[tuple[str, Array]]:
    """Return the arrays of a prediction by name."""
    arrays = [("mean", prediction.mean)]
    return arrays if prediction.std is None else [*arrays, ("std", prediction.std)]


def _first_violation(
    prediction: Prediction, scope: Scope, name: str, valid: NDArray[np.bool_], rule: str
) -> str:
    """Describe the first value of an array that breaks a rule, and how many values break it."""
    wrong = np.argwhere(~valid)
    if not len(wrong):
        return ""
    where = f"`{name}`"
    if valid.shape == (len(scope.ids), len(prediction.epochs)):
        row, column = wrong[0]
        where += f" of {scope.kind} {scope.ids[row]!r} at epoch {prediction.epochs[column]}"
    value = getattr(prediction, name)[tuple(wrong[0])]
    more = f" ({len(wrong)} of {valid.size} are not)" if len(wrong) > 1 else ""
    return f"{where} (={value}) must be {rule}{more}"
