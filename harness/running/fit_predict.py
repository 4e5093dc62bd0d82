"""A predictor's answer: asked for once, timed, and checked against the protocol."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.protocol import Array, Prediction, Predictor, Queries, Runs
from harness.results.result import Seconds

Wrong = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TimedPrediction:
    """What a predictor said, with accuracies clipped to [0, 1], and what it took.

    Attributes:
        prediction: In the order of the queries.
        seconds: Measured time to fit and to predict.
        counts: What the predictor counted, by name.
    """

    prediction: Prediction
    seconds: Seconds
    counts: Mapping[str, int]


class TaskInputs(Protocol):
    """What a predictor is fitted on and asked; `harness.task_data.TaskData` adds the truths."""

    @property
    def train(self) -> Runs:
        """To fit on."""

    @property
    def validation(self) -> Runs:
        """To choose with."""

    @property
    def queries(self) -> Queries:
        """To answer."""


def fit_predict(make: Callable[[], Predictor], data: TaskInputs, seed: int) -> TimedPrediction:
    """Make, fit and ask a predictor, once, about all queries in one call.

    It is given copies, so that whatever it does to them reaches nobody else.

    Raises:
        ValueError: If the answer breaks the protocol.
        Exception: Whatever the predictor raises.
    """
    train, validation, queries = data.train.copy(), data.validation.copy(), data.queries.copy()
    predictor = make()
    started = time.perf_counter()
    predictor.fit(train, validation, observed=queries.observed, seed=seed)
    fitted = time.perf_counter()
    prediction = predictor.predict(queries)
    seconds = Seconds(fitted - started, time.perf_counter() - fitted)
    return TimedPrediction(checked(prediction, data.queries), seconds, counts_of(predictor))


def counts_of(predictor: object) -> dict[str, int]:
    """Return what a predictor counted: its mapping `counts`, or its number `failed_fits`."""
    counts = getattr(predictor, "counts", None)
    if isinstance(counts, Mapping):
        return {str(n): v for n, v in counts.items() if isinstance(v, int) and v >= 0}
    failed = getattr(predictor, "failed_fits", None)
    return {"failed_fits": failed} if isinstance(failed, int) and failed >= 0 else {}


def checked(prediction: object, queries: Queries) -> Prediction:
    """Return an answer in float64, its accuracies clipped to [0, 1].

    Raises:
        ValueError: If it breaks a rule of `harness.protocol.Prediction`.
    """
    problem = type_problem(prediction)
    if problem:
        raise ValueError(problem)
    assert isinstance(prediction, Prediction)
    for rule in (epochs_problem, shape_problem, finite_problem, std_problem):
        problem = rule(prediction, queries)
        if problem:
            raise ValueError(problem)
    std = None if prediction.std is None else prediction.std.astype(np.float64)
    mean = np.clip(prediction.mean.astype(np.float64), 0.0, 1.0)
    return Prediction(mean, tuple(int(epoch) for epoch in prediction.epochs), std)


def type_problem(prediction: object) -> str:
    """Return why an answer is no `Prediction` of arrays of floats; empty if it is one."""
    if not isinstance(prediction, Prediction):
        return f"the answer must be a Prediction, not {type(prediction).__name__}"
    if not isinstance(prediction.epochs, tuple):
        return f"`epochs` must be a tuple, not {type(prediction.epochs).__name__}"
    values: dict[str, object] = {"mean": prediction.mean}
    if prediction.std is not None:
        values["std"] = prediction.std
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            return f"`{name}` must be an array, not {type(value).__name__}"
        if value.dtype.kind != "f":
            return f"`{name}` must hold floats, not {value.dtype}"
    return ""


def epochs_problem(prediction: Prediction, queries: Queries) -> str:
    """Return how an answer is not of the epochs asked for; empty if it is."""
    total = queries.recipe.epochs
    if prediction.epochs in (tuple(range(queries.observed + 1, total + 1)), (total,)):
        return ""
    return (
        f"`epochs` (={prediction.epochs}) must be all from {queries.observed + 1} to {total}, or "
        f"({total},)"
    )


def shape_problem(prediction: Prediction, queries: Queries) -> str:
    """Return how an answer has another shape than one row for each query; empty if it has not."""
    shape = (len(queries), len(prediction.epochs))
    if prediction.mean.shape != shape:
        return f"`mean` of shape {prediction.mean.shape} must be (networks, epochs) = {shape}"
    if prediction.std is not None and prediction.std.shape != shape:
        return f"`std` of shape {prediction.std.shape} must be (networks, epochs) = {shape}"
    return ""


def finite_problem(prediction: Prediction, queries: Queries) -> str:
    """Return the first number that is not finite; empty if all are."""
    problem = _first(
        prediction, queries, "mean", prediction.mean, ~np.isfinite(prediction.mean), "finite"
    )
    if problem or prediction.std is None:
        return problem
    return _first(
        prediction, queries, "std", prediction.std, ~np.isfinite(prediction.std), "finite"
    )


def std_problem(prediction: Prediction, queries: Queries) -> str:
    """Return the first standard deviation that is not positive; empty if all are."""
    if prediction.std is None:
        return ""
    return _first(prediction, queries, "std", prediction.std, ~(prediction.std > 0), "above 0")


def range_problem(prediction: Prediction, queries: Queries) -> str:
    """Return the first accuracy outside [0, 1], which `checked` clips; empty if there is none."""
    outside = ~((prediction.mean >= 0) & (prediction.mean <= 1))
    return _first(prediction, queries, "mean", prediction.mean, outside, "in [0, 1]")


def _first(
    prediction: Prediction, queries: Queries, name: str, values: Array, wrong: Wrong, rule: str
) -> str:
    """Return the first wrong value, if any, and how many there are."""
    found = np.argwhere(wrong)
    if not len(found):
        return ""
    place = f"`{name}`"
    if values.shape == (len(queries), len(prediction.epochs)):
        row, column = found[0]
        place += f" of query {queries.ids[row]!r} at epoch {prediction.epochs[column]}"
    more = f" ({len(found)} of {values.size} are not)" if len(found) > 1 else ""
    return f"{place} (={values[tuple(found[0])]}) must be {rule}{more}"
