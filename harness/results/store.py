"""Reads and writes results and their predictions.

A result is stored as `<folder>/<task>/<predictor>.json` (harness/results/result.schema.json). The
predictions of all its seeds are one file beside it (`harness.results.predictions`), which is named
after the start of its digest: `<predictor>.<16 digits>.parquet`. So the predictions of an earlier
result stay until the new JSON file replaces the old one, and the two never get mixed.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from benchmark.util.atomic import replacing, write_atomically
from benchmark.util.locks import locked_folder
from benchmark.util.strict_json import encode, read_record, to_text
from benchmark.util.unknown_name import foreign_content
from harness.results.predictions import check_predictions, read_predictions, to_parquet
from harness.results.result import Result

DIGITS = 16  # of the digest in the name of a file of predictions


def result_path(folder: Path, task: str, predictor: str) -> Path:
    """Return the path of a result in a folder of results."""
    return folder / task / f"{predictor}.json"


def predictions_path(path: Path, result: Result) -> Path:
    """Return the path of the predictions of a scored result that is stored at `path`."""
    return path.with_name(f"{path.stem}.{str(result.predictions_sha256)[:DIGITS]}.parquet")


def write_result(folder: Path, result: Result, predictions: pa.Table | None) -> Result:
    """Write a result and its predictions, replacing an earlier one.

    The result is written after its predictions, with their digest, and returned as written. If the
    process is killed, the folder has either the new or the earlier result.

    Args:
        folder: Folder of all results.
        result: The result; its `predictions_sha256` is replaced.
        predictions: A table of `harness.results.predictions.seeds_table`; None if the predictor
            failed.

    Raises:
        ValueError: If the predictions do not fit the result.
        OSError: If a file cannot be written.
    """
    if (predictions is None) != (result.status == "failed"):
        rule = "if and only if it is scored"
        raise ValueError(f"result {result.predictor!r} must have predictions {rule}")
    path = result_path(folder, result.task, result.predictor)
    content = None
    if predictions is not None:
        check_predictions(predictions, query_count(result), result.seeds)
        content = to_parquet(predictions)
    digest = None if content is None else hashlib.sha256(content).hexdigest()
    record = replace(result, predictions_sha256=digest)
    with locked_folder(folder):
        if content is not None:
            with replacing(predictions_path(path, record)) as draft:
                draft.write_bytes(content)
        write_json(path, record)
        _remove_predictions(path, kept=record)
    return record


def write_json(path: Path, record: object) -> None:
    """Write a result, or another record, as JSON."""
    write_atomically(path, f"{to_text(encode(record))}\n")


def remove_result(folder: Path, task: str, predictor: str) -> None:
    """Remove a result and its predictions, if they exist."""
    path = result_path(folder, task, predictor)
    with locked_folder(folder):
        path.unlink(missing_ok=True)
        _remove_predictions(path)


def _remove_predictions(path: Path, kept: Result | None = None) -> None:
    """Remove the files of predictions of the result at `path`, except those of `kept`."""
    for other in path.parent.glob(f"{path.stem}.{'[0-9a-f]' * DIGITS}.parquet"):
        if kept is None or other != predictions_path(path, kept):
            other.unlink()


def query_count(result: Result) -> int:
    """Return the number of queries of the task of a result."""
    return result.networks["test"] + result.networks["heldout"]


def read_result(path: Path) -> Result:
    """Return a checked result; of its predictions, the digest is checked.

    Raises:
        ValueError: If a field, a type, the path or the digest break a rule; the message starts with
            the path.
        FileNotFoundError: If the result or its predictions are missing.
        OSError: If a file cannot be read.
    """
    result = read_record(path, Result)
    if path.stem != result.predictor:
        raise ValueError(f"{path}: `predictor` (={result.predictor!r}) must be the file's name")
    if path.resolve().parent.name != result.task:
        raise ValueError(f"{path}: `task` (={result.task!r}) must be the folder's name")
    if result.status != "scored":
        return result
    if result.predictions_sha256 is None:
        raise ValueError(f"{path}: `predictions_sha256` (=None) must be given for a scored result")
    source = predictions_path(path, result)
    if not source.is_file():
        raise FileNotFoundError(
            f"{source}: the predictions of a scored result are missing; those of this repository "
            "come with a checkout, not with an installed package"
        )
    content = source.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != result.predictions_sha256:
        if problem := foreign_content(content):
            raise ValueError(f"{source}: {problem}")
        raise ValueError(
            f"{source}: SHA-256 {digest} must be `predictions_sha256` "
            f"(={result.predictions_sha256!r}) of {result.predictor}.json"
        )
    return result


def read_with_predictions(path: Path) -> tuple[Result, pa.Table | None]:
    """Return a checked result and its predictions, as a table of `seeds_table`; None if it failed.

    Raises:
        ValueError: As for `read_result`, or if the predictions break a rule.
        OSError: As for `read_result`.
    """
    result = read_result(path)
    if result.status != "scored":
        return result, None
    source = predictions_path(path, result)
    return result, read_predictions(source, query_count(result), result.seeds)
