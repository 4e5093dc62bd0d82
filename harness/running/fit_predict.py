"""A predictor's answer: asked for once, timed, and checked against the protocol."""

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
    prediction = check_prediction(prediction, data.queries)
    return TimedPrediction(prediction, seconds, counts_of(predictor))


def counts_of(predictor: object) -> dict[str, int]:
    """Return what a predictor counted: its mapping `counts`, or its number `failed_fits`."""
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
