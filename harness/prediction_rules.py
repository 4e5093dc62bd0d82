"""The rules of a valid prediction, which every check of a prediction applies.

Each rule returns a description of the first violation, or an empty text if there is none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.protocol import Array, Prediction, Queries


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


def type_problem(prediction: object) -> str:
    """Check that a prediction is a `Prediction` whose arrays hold floats."""
    if not isinstance(prediction, Prediction):
        return f"`predict` must return a Prediction, not {type(prediction).__name__}"
    if not isinstance(prediction.epochs, tuple):
        return f"`epochs` must be a tuple, not {type(prediction.epochs).__name__}"
    for name, values in _arrays(prediction):
        if not isinstance(values, np.ndarray):
            return f"`{name}` must be an array, not {type(values).__name__}"
        if values.dtype.kind != "f":
            return f"`{name}` must hold floats, not {values.dtype}"
    return ""


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
