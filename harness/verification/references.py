"""Holds the rows of reference predictors against a record, and fits the cheap ones again.

The record is `references.json` in the folder of results: the SHA-256 of the result of every
reference predictor on every task, which holds the SHA-256 of its predictions. So no part of a row
can be changed, and no row removed or failed, unseen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.release import Release
from benchmark.runs import sha256
from benchmark.util.locks import locked_folder
from benchmark.util.strict_json import read_record, refuse
from harness.predictors.registry import PREDICTORS
from harness.results.predictions import mean_table, predictions_table, round_prediction
from harness.results.result import Result
from harness.results.store import read_result, read_with_predictions, write_json
from harness.running.evaluate import drop_observed
from harness.running.find_predictor import find
from harness.running.fit_predict import fit_predict
from harness.task_data import TaskData, load_task_data

SCHEMA_VERSION = 1
TOLERANCE = 1e-3  # of a prediction that is fitted again; one valid image is at least 2e-3


@dataclass(frozen=True, slots=True)
class References:
    """The SHA-256 of the results of reference predictors, by task and predictor."""

    schema_version: int
    results: Mapping[str, Mapping[str, str]]

    def __post_init__(self) -> None:
        """Check the version."""
        if self.schema_version != SCHEMA_VERSION:
            refuse("schema_version", self.schema_version, f"{SCHEMA_VERSION}")


def references_path(results: Path) -> Path:
    """Return the path of the record in a folder of results."""
    return results / "references.json"


def read_references(results: Path) -> References | None:
    """Return the record of a folder of results; None if it has none.

    Raises:
        ValueError: If the record breaks a rule; the message starts with its path.
    """
    path = references_path(results)
    return read_record(path, References) if path.is_file() else None


def write_references(results: Path) -> tuple[Path, list[str]]:
    """Record the results of all reference predictors of a folder.

    Returns:
        The path of the record, and the image sets of the results.

    Raises:
        ValueError: If a result breaks a rule.
        OSError: If a file cannot be read or written.
    """
    found: dict[str, dict[str, str]] = {}
    images: dict[str, None] = {}
    with locked_folder(results):
        for path in sorted(results.glob("*/*.json")):
            result = read_result(path)
            if result.predictor in PREDICTORS and result.status == "scored":
                found.setdefault(result.task, {})[result.predictor] = sha256(path)
            images[result.images] = None
        write_json(references_path(results), References(SCHEMA_VERSION, found))
    return references_path(results), list(images)


def renew_references(results: Path, paths: Iterable[Path]) -> None:
    """Record verified results again after their level was raised, those that are on record.

    Raises:
        ValueError: If the record breaks a rule.
        OSError: If a file cannot be read or written.
    """
    with locked_folder(results):
        references = read_references(results)
        if references is None:
            return
        found = {task: dict(digests) for task, digests in references.results.items()}
        for path in paths:
            digests = found.get(path.parent.name, {})
            if path.stem in digests:
                digests[path.stem] = sha256(path)
        write_json(references_path(results), References(SCHEMA_VERSION, found))


def check_reference(path: Path, result: Result, references: References | None) -> None:
    """Check the result of a reference predictor against the registry and the record.

    Raises:
        ValueError: If it failed, or its title, its seeds or its digest are others.
    """
    expected = {"title": PREDICTORS[result.predictor].title, "status": "scored"}
    for field, value in expected.items():
        if getattr(result, field) != value:
            raise ValueError(
                f"{path}: `{field}` (={getattr(result, field)!r}) must be {value!r} for a "
                "reference predictor"
            )
    if not PREDICTORS[result.predictor].stochastic and result.seeds != (0,):
        raise ValueError(f"{path}: `seeds` (={result.seeds}) must be (0,): one fit says all")
    if references is not None:
        recorded = references.results.get(result.task, {}).get(result.predictor)
        if recorded != sha256(path):
            raise ValueError(
                f"{path}: SHA-256 {sha256(path)} is {recorded} in references.json; `peephole board "
                "record` records a new evaluation"
            )


def largest_difference(stored: pa.Table, again: pa.Table) -> tuple[float, str]:
    """Return the largest difference between two tables of predictions, and a text that locates it.

    Raises:
        ValueError: If their rows differ in number, or only one has standard deviations.
    """
    if stored.column_names != again.column_names or len(stored) != len(again):
        raise ValueError(f"fitted again, it predicts {len(again)} rows, not {len(stored)}")
    largest = (0.0, "")
    for name in ("mean", "std"):
        if stored[name].null_count != again[name].null_count:
            raise ValueError("fitted again, it must give `std` if and only if `std` is stored")
        if stored[name].null_count:
            continue
        one, other = stored[name].to_numpy(), again[name].to_numpy()
        row = int(np.argmax(np.abs(one - other)))
        run_id, epoch = stored["run_id"][row].as_py(), stored["epoch"][row].as_py()
        where = f"`{name}` of run {run_id!r} at epoch {epoch}"
        text = f"{where} (={one[row]}) is {other[row]} when it is fitted again"
        largest = max(largest, (float(abs(one[row] - other[row])), text))
    return largest


def refit_all(paths: Iterable[Path], release: Release) -> list[str]:
    """Fit the deterministic reference predictors of some results again; return the problems.

    The predictions of an ensemble are compared with the mean of those of its members, which are the
    seeds of another result.
    """
    problems = []
    tasks: dict[str, list[Path]] = {}
    for path in paths:
        if path.stem in PREDICTORS and not PREDICTORS[path.stem].stochastic:
            tasks.setdefault(path.parent.name, []).append(path)
    for name, of_task in tasks.items():
        data = load_task_data(release.task(name), release)
        for path in of_task:
            try:
                refit(path, data)
            except (ValueError, OSError) as error:
                problems.append(f"{path}: {error}".replace(f"{path}: {path}: ", f"{path}: "))
    return problems


def refit(path: Path, data: TaskData) -> None:
    """Check that a deterministic reference predictor gives its stored predictions again.

    Raises:
        ValueError: If it predicts something else.
        OSError: If a file cannot be read.
    """
    result, stored = read_with_predictions(path)
    member = PREDICTORS[result.predictor].options.get("member")
    if member is None:
        timed = fit_predict(find(result.predictor).make, data, 0)
        again = round_prediction(drop_observed(timed.prediction, data.task.observed))
        table = predictions_table(data.run_ids, again.epochs, again.mean, again.std)
    else:
        seeds = read_with_predictions(path.with_name(f"{member}.json"))[1]
        table = None if seeds is None else mean_table(seeds)
    if stored is None or table is None:
        raise ValueError(f"the predictor, or its member {member!r}, has no predictions")
    largest, where = largest_difference(stored, table)
    if largest > TOLERANCE:
        raise ValueError(f"{where}; they may differ by at most {TOLERANCE:g}")
