"""Fits a predictor, and times and checks its prediction."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from harness.prediction_rules import query_scope, require_valid, type_problem
from harness.protocol import Prediction, Predictor, Queries, Runs
from harness.results.result import Seconds


@dataclass(frozen=True, slots=True, eq=False)
class TimedPrediction:
    """A valid prediction in the order of the queries, what it cost, and the predictor's counts."""

    prediction: Prediction
    seconds: Seconds
    counts: Mapping[str, int]


class TaskInputs(Protocol):
    """The inputs of a predictor; `harness.task_data.TaskData` adds the targets."""

    @property
    def train(self) -> Runs:
        """Runs to fit on."""

    @property
    def validation(self) -> Runs:
        """Runs for model selection."""

    @property
    def queries(self) -> Queries:
        """Networks to predict."""


def fit_predict(make: Callable[[], Predictor], data: TaskInputs, seed: int) -> TimedPrediction:
    """Make and fit a predictor, and predict all queries in one call.

    The predictor receives copies, so it cannot modify shared data.

    Raises:
        ValueError: If the prediction breaks a rule.
        Exception: Any exception that the predictor raises.
    """
    train, validation, queries = data.train.copy(), data.validation.copy(), data.queries.copy()
    predictor = make()
    started = time.perf_counter()
    predictor.fit(train, validation, observed=queries.observed, seed=seed)
    fitted = time.perf_counter()
    prediction = predictor.predict(queries)
    seconds = Seconds(fitted - started, time.perf_counter() - fitted)
    prediction = check_prediction(prediction, data.queries)
    return TimedPrediction(prediction, seconds, counts_of(predictor))


def counts_of(predictor: object) -> dict[str, int]:
    """Return the counts of a predictor: its mapping `counts`, or its number `failed_fits`."""
    counts = getattr(predictor, "counts", None)
    if isinstance(counts, Mapping):
        return {str(n): v for n, v in counts.items() if isinstance(v, int) and v >= 0}
    failed = getattr(predictor, "failed_fits", None)
    return {"failed_fits": failed} if isinstance(failed, int) and failed >= 0 else {}


def check_prediction(prediction: object, queries: Queries) -> Prediction:
    """Return a prediction in float64, with accuracies clipped to [0, 1].

    Raises:
        ValueError: If it breaks a rule of `harness.prediction_rules` other than the range.
    """
    problem = type_problem(prediction)
    if problem:
        raise ValueError(problem)
    assert isinstance(prediction, Prediction)
    mean = prediction.mean.astype(np.float64)
    mean = np.where(np.isfinite(mean), mean.clip(0.0, 1.0), mean)
    std = None if prediction.std is None else prediction.std.astype(np.float64)
    clipped = Prediction(mean, prediction.epochs, std)
    require_valid(clipped, query_scope(queries))
    return replace(clipped, epochs=tuple(int(epoch) for epoch in prediction.epochs))
