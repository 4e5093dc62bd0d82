"""Results whose code was run again, apart from the test networks, and the record of it.

The record, `reruns.json` in the folder of results, is what a result that claims to be `rerun` is
checked against: it holds digests of the predictions and of the code that gave them again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.runs import read_pages
from benchmark.util.atomic import write_atomically
from benchmark.util.strict_json import broken, encode, read_record, to_text
from harness.predictors.registry import PREDICTORS
from harness.results.predictions import predictions_table, round_prediction, seeds_table
from harness.results.result import Result, seeds_path
from harness.running.evaluate import SECONDS, all_counts, drop_observed
from harness.running.fit_predict import TimedPrediction
from harness.running.submission import code_digest, code_files, find_submission
from harness.task_data import load_task_data
from harness.verification.isolated_process import Code, predict_in_isolation
from harness.verification.rescore import Rescoring, rescore

SCHEMA_VERSION = 1
TOLERANCE = 1e-3  # of a predicted accuracy: less than one valid image of any image set is 2e-3
MINUTES = 60.0  # that code may take for one task


@dataclass(frozen=True, slots=True)
class Rerun:
    """Predictions that came out again.

    Attributes:
        task: That was answered.
        predictor: By whom.
        predictions_sha256: As in the result.
        code_sha256: Of the submission; None for a reference predictor, which is the harness's own.
        harness_version: Of the harness that ran it.
        largest_difference: Between two predictions of the same accuracy or standard deviation.
    """

    task: str
    predictor: str
    predictions_sha256: str
    code_sha256: str | None
    harness_version: str
    largest_difference: float


@dataclass(frozen=True, slots=True)
class Reruns:
    """The record; one entry for each task and predictor, sorted by them."""

    schema_version: int
    reruns: tuple[Rerun, ...]

    def __post_init__(self) -> None:
        """Check the version and that nothing stands there twice."""
        if self.schema_version != SCHEMA_VERSION:
            broken("schema_version", self.schema_version, f"{SCHEMA_VERSION}")
        keys = [(rerun.task, rerun.predictor) for rerun in self.reruns]
        if len(set(keys)) < len(keys):
            raise ValueError("`reruns` must hold each task and predictor once")


def reruns_path(results: Path) -> Path:
    """Return where the record lies in a folder of results."""
    return results / "reruns.json"


def read_reruns(results: Path) -> Reruns:
    """Return the record of a folder of results; an empty one if there is none.

    Raises:
        ValueError: If it breaks a rule; the message starts with its path.
    """
    path = reruns_path(results)
    return read_record(path, Reruns) if path.is_file() else Reruns(SCHEMA_VERSION, ())


def write_rerun(results: Path, rerun: Rerun) -> None:
    """Enter a rerun in the record, in place of an earlier one."""
    key = (rerun.task, rerun.predictor)
    others = [r for r in read_reruns(results).reruns if (r.task, r.predictor) != key]
    entries = sorted([*others, rerun], key=lambda entry: (entry.task, entry.predictor))
    record = Reruns(SCHEMA_VERSION, tuple(entries))
    write_atomically(reruns_path(results), f"{to_text(encode(record))}\n")


def check_claim(path: Path, result: Result, reruns: Reruns) -> None:
    """Check that a result which claims to be rerun has its entry in the record.

    Raises:
        ValueError: If it has none, or one of other predictions.
    """
    if result.verification != "rerun":
        return
    key = (result.task, result.predictor, result.predictions_sha256)
    if key not in [(r.task, r.predictor, r.predictions_sha256) for r in reruns.reruns]:
        raise ValueError(
            f"{path}: `verification` (='rerun') must be 'rescored' at most: reruns.json has no "
            "entry of these predictions"
        )


def find_code(predictor: str, submissions: Path) -> tuple[Code, str | None]:
    """Return the code of a predictor and its digest, None for a reference predictor.

    Raises:
        ValueError: If it is a submission of predictions, or a damaged one.
        FileNotFoundError: If there is no such submission.
    """
    if predictor in PREDICTORS:
        return Code(predictor), None
    submission = find_submission(submissions, predictor)
    if submission.predictor is None:
        raise ValueError(f"submission {predictor!r} is of predictions; there is no code to run")
    folder = submissions / predictor
    files = tuple(code_files(folder)) if submission.file else ()
    return Code(submission.predictor, files), code_digest(folder)


def rerun(
    job: Rescoring, submissions: Path, *, minutes: float = MINUTES, tolerance: float = TOLERANCE
) -> Rerun:
    """Run the code of a result again and return the record of it.

    Args:
        job: The result, which is rescored first.
        submissions: The folder of submissions.
        minutes: That the code may take.
        tolerance: Of a prediction.

    Raises:
        ValueError: If the result is not proven, the code fails, or its answers are others; the
            message starts with the result's path.
        OSError: If a file cannot be read or written.
    """
    result = rescore(job)
    task = job.release.task(result.task)
    data = load_task_data(task, job.release)
    try:
        code, digest = find_code(result.predictor, submissions)
        timed = predict_in_isolation(code, data, result.seeds, minutes=minutes, release=job.release)
        _check_counts(result, timed)
        predictions = [round_prediction(drop_observed(a.prediction, task.observed)) for a in timed]
        run_ids = data.targets.valid_accuracy.run_ids
        tables = [predictions_table(run_ids, p.epochs, p.mean, p.std) for p in predictions]
        several = len(result.seeds) > 1
        source = seeds_path(job.path) if several else job.path.with_suffix(".parquet")
        largest = _largest_difference(read_pages(source), seeds_table(result.seeds, tables))
        if largest[0] > tolerance:
            raise ValueError(f"{largest[1]}; at most {tolerance:g} may lie between them")
    except ValueError as error:
        raise ValueError(f"{job.path}: {error}") from error
    assert result.predictions_sha256 is not None
    return Rerun(
        result.task,
        result.predictor,
        result.predictions_sha256,
        digest,
        result.harness_version,
        largest[0],
    )


def _check_counts(result: Result, timed: Sequence[TimedPrediction]) -> None:
    """Check that the code counted again what the result says, seconds left out."""
    counts, said = (
        {name: count for name, count in found.items() if not name.endswith(SECONDS)}
        for found in (all_counts(timed), result.counts)
    )
    if counts != said:
        raise ValueError(f"`counts` (={said}) is {counts} when it is run again")


def _largest_difference(stored: pa.Table, again: pa.Table) -> tuple[float, str]:
    """Return the largest difference between two tables of predictions, and where it is in words.

    Raises:
        ValueError: If they are of other epochs, or only one has standard deviations.
    """
    if stored.column_names != again.column_names or len(stored) != len(again):
        raise ValueError(f"{len(again)} rows are predicted when it is run again, not {len(stored)}")
    found = (0.0, "")
    for name in ("mean", "std"):
        if stored[name].null_count != again[name].null_count:
            raise ValueError("`std` must be given when it is run again exactly if it is stored")
        if stored[name].null_count:
            continue
        one, other = stored[name].to_numpy(), again[name].to_numpy()
        row = int(np.argmax(np.abs(one - other)))
        run_id, epoch = stored["run_id"][row].as_py(), stored["epoch"][row].as_py()
        where = f"`{name}` of run {run_id!r} at epoch {epoch} (={one[row]}) is {other[row]} when "
        found = max(found, (float(abs(one[row] - other[row])), f"{where}it is run again"))
    return found
