"""What submitted code receives and gives back, between this process and the isolated one.

It receives pickled inputs, which come from here. It gives back a line of JSON and plain numbers:
bytes that can be anything, so their number and meaning are checked before they are used.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.util.strict_json import parse_record
from benchmark.util.text import check_line, to_line
from harness.protocol import Prediction, Queries, Runs
from harness.running.fit_predict import LARGEST_COUNT, LONGEST_COUNT, MOST_COUNTS, check_prediction

HEADER_BYTES = 2**16  # most bytes of the line of JSON
MESSAGE = 300  # most characters of a message


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What the process receives: runs to fit on, queries and seeds, but no targets.

    With each seed there is one fit, and then one call of `predict` for each entry of `queries`.
    """

    predictor: str
    train: Runs
    validation: Runs
    queries: tuple[Queries, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What one seed gave: the prediction of each entry of the queries, and the counts."""

    predictions: tuple[Prediction, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PredictionHeader:
    """The shape of a prediction: its epochs, and whether it has standard deviations."""

    epochs: tuple[int, ...]
    std: bool


@dataclass(frozen=True, slots=True)
class FitHeader:
    """The shapes and counts of one seed."""

    predictions: tuple[PredictionHeader, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Header:
    """The line before the numbers; no fits if the predictor failed."""

    failure: str | None
    fits: tuple[FitHeader, ...]


def most_bytes(inputs: Inputs) -> int:
    """Return how many bytes all predictions can have."""
    epochs = inputs.train.recipe.epochs
    networks = sum(map(len, inputs.queries))
    return HEADER_BYTES + len(inputs.seeds) * networks * epochs * 2 * 8


def to_bytes(failure: str | None, fits: Sequence[Fitted]) -> bytes:
    """Return the failure or the fits as bytes."""
    numbers = []
    headers = []
    for fit in fits:
        shapes = [{"epochs": p.epochs, "std": p.std is not None} for p in fit.predictions]
        headers.append({"predictions": shapes, "counts": dict(fit.counts)})
        for prediction in fit.predictions:
            numbers += [a for a in (prediction.mean, prediction.std) if a is not None]
    line = json.dumps({"failure": failure, "fits": headers})
    return b"".join([line.encode(), b"\n", *(a.astype("<f8").tobytes() for a in numbers)])


def from_bytes(content: bytes, inputs: Inputs) -> list[Fitted]:
    """Return the fits that an isolated process gave back.

    Raises:
        ValueError: If the predictor failed, or the content is not what `to_bytes` returns for valid
            predictions; the message is one printable line.
    """
    try:
        return _parse(content, inputs)
    except ValueError as error:
        raise ValueError(to_line(str(error), MESSAGE)) from error


def _parse(content: bytes, inputs: Inputs) -> list[Fitted]:
    line, newline, numbers = content[:HEADER_BYTES].partition(b"\n")
    if not newline:
        raise ValueError(f"it must print a line of at most {HEADER_BYTES:,} bytes first")
    header = parse_record(line, Header, "its first line")
    if header.failure is not None:
        raise ValueError(header.failure)
    if [len(fit.predictions) for fit in header.fits] != [len(inputs.queries)] * len(inputs.seeds):
        raise ValueError(f"it must give {len(inputs.queries)} predictions for each seed")
    numbers, at, fits = content[len(line) + 1 :], 0, []
    for fit in header.fits:
        _check_counts(fit.counts)
        predictions = []
        for shape, queries in zip(fit.predictions, inputs.queries, strict=True):
            arrays = []
            for _ in range(1 + shape.std):
                size = len(queries) * len(shape.epochs)
                if at + 8 * size > len(numbers):
                    raise ValueError(f"its predictions end after {len(numbers):,} bytes")
                values = np.frombuffer(numbers, "<f8", size, at).astype(np.float64)
                arrays.append(values.reshape(len(queries), len(shape.epochs)))
                at += 8 * size
            given = Prediction(arrays[0], shape.epochs, arrays[1] if shape.std else None)
            predictions.append(check_prediction(given, queries))
        fits.append(Fitted(tuple(predictions), fit.counts))
    if at != len(numbers):
        raise ValueError(f"it printed {len(numbers) - at:,} bytes more than its predictions")
    return fits


def _check_counts(counts: Mapping[str, int]) -> None:
    """Check the number, names and values of counts; `counts_of` gives no others."""
    if len(counts) > MOST_COUNTS:
        raise ValueError(f"`counts` must have at most {MOST_COUNTS} entries, not {len(counts)}")
    for name, count in counts.items():
        check_line("counts", name, LONGEST_COUNT)
        if not 0 <= count <= LARGEST_COUNT:
            raise ValueError(f"`counts.{name}` (={count}) must be in 0..{LARGEST_COUNT}")
