"""A predictor's answer: asked for once, timed, and checked against the protocol."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.protocol import Array, Prediction, Predictor, Queries, Runs
from harness.results.result import Seconds
from harness.task_data import copy_queries

Wrong = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a predictor said, with accuracies clipped to [0, 1], and what it took.

    Attributes:
        prediction: In the order of the queries.
        seconds: Measured time to fit and to predict.
        counts: What the predictor counted, by name.
    """

    prediction: Prediction
    seconds: Seconds
    counts: Mapping[str, int]


class Asked(Protocol):
    """What a predictor is fitted on and asked; `harness.task_data.Parts` adds the truths."""

    @property
    def train(self) -> Runs:
        """To fit on."""

    @property
    def validation(self) -> Runs:
        """To choose with."""

    @property
    def queries(self) -> Queries:
        """To answer."""


def ask(make: Callable[[], Predictor], parts: Asked, seed: int) -> Answer:
    """Make, fit and ask a predictor, once, about all queries in one call.

    It is given copies, so that whatever it does to them reaches nobody else.

    Raises:
        ValueError: If the answer breaks the protocol.
        Exception: Whatever the predictor raises.
    """
    train, validation = copy_runs(parts.train), copy_runs(parts.validation)
    queries = copy_queries(parts.queries)
    predictor = make()
    started = time.perf_counter()
    predictor.fit(train, validation, observed=queries.observed, seed=seed)
    fitted = time.perf_counter()
    prediction = predictor.predict(queries)
    seconds = Seconds(fitted - started, time.perf_counter() - fitted)
    return Answer(checked(prediction, parts.queries), seconds, counts_of(predictor))


def copy_runs(runs: Runs) -> Runs:
    """Return runs with arrays of their own."""
    return runs.take(np.arange(len(runs)))


def counts_of(predictor: object) -> dict[str, int]:
    """Return what a predictor counted: its mapping `counts`, or its number `failed_fits`."""
    counts = getattr(predictor, "counts", None)
    if isinstance(counts, Mapping):
        return {str(n): v for n, v in counts.items() if isinstance(v, int) and v >= 0}
    failed = getattr(predictor, "failed_fits", None)
    return {"failed_fits": failed} if isinstance(failed, int) and failed >= 0 else {}


def checked(answer: object, queries: Queries) -> Prediction:
    """Return an answer in float64, its accuracies clipped to [0, 1].

    Raises:
        ValueError: If it breaks a rule of `harness.protocol.Prediction`.
    """
    problem = type_problem(answer)
    if problem:
        raise ValueError(problem)
    assert isinstance(answer, Prediction)
    for rule in (epochs_problem, shape_problem, finite_problem, std_problem):
        problem = rule(answer, queries)
        if problem:
            raise ValueError(problem)
    std = None if answer.std is None else answer.std.astype(np.float64)
    mean = np.clip(answer.mean.astype(np.float64), 0.0, 1.0)
    return Prediction(mean, tuple(int(epoch) for epoch in answer.epochs), std)


def type_problem(answer: object) -> str:
    """Return why an answer is no `Prediction` of arrays of floats; empty if it is one."""
    if not isinstance(answer, Prediction):
        return f"the answer must be a Prediction, not {type(answer).__name__}"
    if not isinstance(answer.epochs, tuple):
        return f"`epochs` must be a tuple, not {type(answer.epochs).__name__}"
    values: dict[str, object] = {"mean": answer.mean}
    if answer.std is not None:
        values["std"] = answer.std
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            return f"`{name}` must be an array, not {type(value).__name__}"
        if value.dtype.kind != "f":
            return f"`{name}` must hold floats, not {value.dtype}"
    return ""


def epochs_problem(answer: Prediction, queries: Queries) -> str:
    """Return how an answer is not of the epochs asked for; empty if it is."""
    total = queries.recipe.epochs
    if answer.epochs in (tuple(range(queries.observed + 1, total + 1)), (total,)):
        return ""
    return (
        f"`epochs` (={answer.epochs}) must be all from {queries.observed + 1} to {total}, or "
        f"({total},)"
    )


def shape_problem(answer: Prediction, queries: Queries) -> str:
    """Return how an answer has another shape than one row for each query; empty if it has not."""
    shape = (len(queries), len(answer.epochs))
    if answer.mean.shape != shape:
        return f"`mean` of shape {answer.mean.shape} must be (networks, epochs) = {shape}"
    if answer.std is not None and answer.std.shape != shape:
        return f"`std` of shape {answer.std.shape} must be (networks, epochs) = {shape}"
    return ""


def finite_problem(answer: Prediction, queries: Queries) -> str:
    """Return the first number that is not finite; empty if all are."""
    problem = _first(answer, queries, "mean", answer.mean, ~np.isfinite(answer.mean), "finite")
    if problem or answer.std is None:
        return problem
    return _first(answer, queries, "std", answer.std, ~np.isfinite(answer.std), "finite")


def std_problem(answer: Prediction, queries: Queries) -> str:
    """Return the first standard deviation that is not positive; empty if all are."""
    if answer.std is None:
        return ""
    return _first(answer, queries, "std", answer.std, ~(answer.std > 0), "above 0")


def range_problem(answer: Prediction, queries: Queries) -> str:
    """Return the first accuracy outside [0, 1], which `checked` clips; empty if there is none."""
    outside = ~((answer.mean >= 0) & (answer.mean <= 1))
    return _first(answer, queries, "mean", answer.mean, outside, "in [0, 1]")


def _first(
    answer: Prediction, queries: Queries, name: str, values: Array, wrong: Wrong, rule: str
) -> str:
    """Return the first wrong value, if any, and how many there are."""
    found = np.argwhere(wrong)
    if not len(found):
        return ""
    place = f"`{name}`"
    if values.shape == (len(queries), len(answer.epochs)):
        row, column = found[0]
        place += f" of query {queries.ids[row]!r} at epoch {answer.epochs[column]}"
    more = f" ({len(found)} of {values.size} are not)" if len(found) > 1 else ""
    return f"{place} (={values[tuple(found[0])]}) must be {rule}{more}"
