"""Fits a predictor, and times and checks its prediction."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from benchmark.util.text import is_line
from harness.prediction_rules import plain_prediction, query_scope, require_valid
from harness.protocol import Prediction, Predictor, Queries
from harness.results.result import Seconds
from harness.task_data import TaskData

MOST_COUNTS, LONGEST_COUNT = 100, 60  # counts of a predictor, and characters of their names
NO_FRACTION = 2.0  # a median of accuracies above it
LARGEST_COUNT = 2**53  # so that every reader of JSON reads it exactly


@dataclass(frozen=True, slots=True, eq=False)
class TimedPrediction:
    """A valid prediction in the order of the queries, what it cost, and the predictor's counts."""

    prediction: Prediction
    seconds: Seconds
    counts: Mapping[str, int]


def fit_predict(make: Callable[[], Predictor], data: TaskData, seed: int) -> TimedPrediction:
    """Make and fit a predictor, and predict all queries in one call.

    The predictor receives copies, so it cannot modify shared data.

    Raises:
        ValueError: If the prediction breaks a rule.
        Exception: Any exception that the predictor raises.
    """
    train, validation, queries = data.train.copy(), data.validation.copy(), data.queries.copy()
    with np.errstate(), warnings.catch_warnings():  # what the predictor sets ends here
        predictor = make()
        started = time.perf_counter()
        predictor.fit(train, validation, observed=queries.observed, seed=seed)
        fitted = time.perf_counter()
        prediction = predictor.predict(queries)
        seconds = Seconds(fitted - started, time.perf_counter() - fitted)
        counts = counts_of(predictor)
    return TimedPrediction(check_prediction(prediction, data.queries), seconds, counts)


def counts_of(predictor: object) -> dict[str, int]:
    """Return the counts of a predictor: its mapping `counts`, or its number `failed_fits`.

    Only the first `MOST_COUNTS` are looked at; those that are no counts or have no printable name
    are left out.
    """
    counts = getattr(predictor, "counts", None)
    if not isinstance(counts, Mapping):
        counts = {"failed_fits": getattr(predictor, "failed_fits", None)}
    given: dict[str, int] = {}
    for name, count in islice(counts.items(), MOST_COUNTS):
        is_count = type(count) is int or issubclass(type(count), np.integer)
        if type(name) is str and is_line(name, LONGEST_COUNT) and is_count:
            number = int(count)
            given |= {name: number} if 0 <= number <= LARGEST_COUNT else {}
    return given


def check_prediction(prediction: object, queries: Queries) -> Prediction:
    """Return a prediction in float64, with accuracies clipped to [0, 1].

    Raises:
        ValueError: If it breaks a rule of `harness.prediction_rules` other than the range, or if
            most accuracies are no fractions.
    """
    plain = plain_prediction(prediction)
    middle = np.median(plain.mean) if plain.mean.size else 0.0
    if NO_FRACTION < middle < np.inf:
        raise ValueError(f"mean must be fractions, not percent; half of it is above {middle:g}")
    mean = np.where(np.isfinite(plain.mean), plain.mean.clip(0.0, 1.0), plain.mean)
    clipped = replace(plain, mean=mean)
    require_valid(clipped, query_scope(queries))
    return clipped
