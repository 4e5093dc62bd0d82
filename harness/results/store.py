"""Reads and writes results and their predictions.

A result is stored as `<folder>/<task>/<predictor>.json` (harness/results/result.schema.json). The
mean over seeds of its predictions is `<predictor>.parquet` beside it; with several seeds, the
predictions of each seed are `<predictor>.seeds.parquet` (`harness.results.predictions`).
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from benchmark.util.atomic import replacing, write_atomically
from benchmark.util.strict_json import encode, read_record, to_text
from harness.results.predictions import (
    check_predictions,
    check_seeds,
    mean_table,
    read_predictions,
    to_parquet,
)
from harness.results.result import Result


def result_path(folder: Path, task: str, predictor: str) -> Path:
    """Return the path of a result in a folder of results."""
    return folder / task / f"{predictor}.json"


def seeds_path(path: Path) -> Path:
    """Return the path of the predictions of each seed, for a result with several seeds."""
    return path.with_suffix(".seeds.parquet")


def write_result(folder: Path, result: Result, predictions: pa.Table | None) -> Result:
    """Write a result and its predictions, replacing an earlier one.

    The result is written after its predictions, with their digest, and returned as written.

    Args:
        folder: Folder of all results.
        result: The result; its `predictions_sha256` is replaced.
        predictions: A table of `harness.results.predictions.seeds_table`; None if the predictor
            failed.

    Raises:
        ValueError: If the predictions do not fit the result.
        OSError: If a file cannot be written.
    """
    path = result_path(folder, result.task, result.predictor)
    mean_path = path.with_suffix(".parquet")
    if (predictions is None) != (result.status == "failed"):
        rule = "if and only if it is scored"
        raise ValueError(f"result {result.predictor!r} must have predictions {rule}")
    digest = None
    seeds_path(path).unlink(missing_ok=True)
    if predictions is not None:
        mean = mean_table(predictions)
        check_predictions(mean, query_count(result))
        if mean is not predictions:
            check_seeds(predictions, query_count(result), result.seeds)
            _write_bytes(seeds_path(path), to_parquet(predictions))
        content = to_parquet(mean)
        digest = hashlib.sha256(content).hexdigest()
        _write_bytes(mean_path, content)
    record = replace(result, predictions_sha256=digest)
    write_atomically(path, f"{to_text(encode(record))}\n")
    if predictions is None:
        mean_path.unlink(missing_ok=True)
    return record


def _write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as draft:
        draft.write_bytes(content)


def query_count(result: Result) -> int:
    """Return the number of queries of the task of a result."""
    return result.networks["test"] + result.networks["heldout"]


def read_result(path: Path) -> Result:
    """Return a result, after checking it and its predictions. Raises as `read_with_predictions`."""
    return read_with_predictions(path)[0]


def read_with_predictions(path: Path) -> tuple[Result, pa.Table | None]:
    """Return a checked result and the rows of its predictions file; None for a failed predictor.

    Raises:
        ValueError: If a field, a type, the path or the predictions break a rule; the message starts
            with the path.
        OSError: If the result cannot be read.
    """
    result = read_record(path, Result)
    if path.stem != result.predictor:
        raise ValueError(f"{path}: `predictor` (={result.predictor!r}) must be the file's name")
    if path.resolve().parent.name != result.task:
        raise ValueError(f"{path}: `task` (={result.task!r}) must be the folder's name")
    if result.status != "scored":
        return result, None
    return result, _read_stored(path.with_suffix(".parquet"), result)


def _read_stored(path: Path, result: Result) -> pa.Table:
    """Return the predictions of a result, with digest and rows checked."""
    if not path.is_file():
        raise ValueError(f"{path}: the predictions of a scored result are missing")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != result.predictions_sha256:
        raise ValueError(
            f"{path}: SHA-256 {digest} must be `predictions_sha256` "
            f"(={result.predictions_sha256!r}) of {result.predictor}.json"
        )
    return read_predictions(path, query_count(result))
