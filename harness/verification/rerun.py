"""Runs the code of results again without the test networks, and keeps a record of it.

The predictions of the rerun replace the stored ones, and are scored: so a row at level `rerun`
shows what the code gave, not what was submitted. The record is `reruns.json` in the folder of
results. An entry holds for these predictions, this code and this version of the harness alone; a
result at level `rerun` must have one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pyarrow as pa

from benchmark.release import Release
from benchmark.util.locks import locked_folder
from benchmark.util.strict_json import read_record, refuse
from harness.predictors.registry import PREDICTORS
from harness.results.predictions import to_parquet
from harness.results.result import Result
from harness.results.store import read_with_predictions, write_json
from harness.running.evaluate import SECONDS, ResultHeader, all_counts, drop_observed, score_outcome
from harness.running.fit_predict import TimedPrediction
from harness.running.submission import find_submission
from harness.running.submitted_files import code_digest, submitted_files
from harness.task_data import load_task_data
from harness.verification.canaries import Canaries, run_code
from harness.verification.isolated_process import Code, Limits
from harness.verification.isolation.launch import Measures
from harness.verification.references import largest_difference
from harness.verification.rescore import Rescoring, rescore

SCHEMA_VERSION = 1
TOLERANCE = 1e-3  # largest difference of predicted accuracies; one valid image is at least 2e-3
MINUTES = 60.0  # time limit of the code for one task


@dataclass(frozen=True, slots=True)
class Rerun:
    """A record of code that was run, and whose predictions are those of a result.

    Attributes:
        predictions_sha256: SHA-256 of the predictions that the code gave, as in the result.
        code_sha256: SHA-256 of the submission; None for a reference predictor.
        requirement: The installed package that ran, as "name==version"; None for code in files.
        harness_version: Version of the harness that ran the code.
        largest_difference: Between a mean or standard deviation that was submitted and the one that
            the code gave.
        measures: What the process had of its own; nothing if it was not isolated.
        canaries: What they gave; None in records that were written before there were any.
    """

    task: str
    predictor: str
    predictions_sha256: str
    code_sha256: str | None
    requirement: str | None
    harness_version: str
    largest_difference: float
    measures: Measures = ()
    canaries: Canaries | None = None


@dataclass(frozen=True, slots=True)
class Reruns:
    """All reruns of a folder of results, one for each task, predictor and predictions, sorted.

    Entries of earlier predictions stay, so that a record can land before the result that needs it.
    """

    schema_version: int
    reruns: tuple[Rerun, ...]

    def __post_init__(self) -> None:
        """Check the version and that no entry occurs twice."""
        if self.schema_version != SCHEMA_VERSION:
            refuse("schema_version", self.schema_version, f"{SCHEMA_VERSION}")
        keys = list(map(_key, self.reruns))
        if len(set(keys)) < len(keys):
            raise ValueError("`reruns` must hold each task, predictor and predictions once")


def _key(rerun: Rerun) -> tuple[str, str, str]:
    return rerun.task, rerun.predictor, rerun.predictions_sha256


def reruns_path(results: Path) -> Path:
    """Return the path of the record in a folder of results."""
    return results / "reruns.json"


def read_reruns(results: Path) -> Reruns:
    """Return the record of a folder of results; an empty one if there is none.

    Raises:
        ValueError: If the record breaks a rule; the message starts with its path.
    """
    path = reruns_path(results)
    return read_record(path, Reruns) if path.is_file() else Reruns(SCHEMA_VERSION, ())


def write_rerun(results: Path, rerun: Rerun) -> None:
    """Add a rerun to the record; it replaces an earlier one of the same predictions."""
    with locked_folder(results):
        others = [r for r in read_reruns(results).reruns if _key(r) != _key(rerun)]
        entries = sorted([*others, rerun], key=_key)
        write_json(reruns_path(results), Reruns(SCHEMA_VERSION, tuple(entries)))


def check_claim(path: Path, result: Result, reruns: Reruns) -> Rerun | None:
    """Return the entry of a result at level `rerun` in the record; None at other levels.

    Raises:
        ValueError: If it has none, or one of other predictions or another version of the harness.
    """
    if result.verification != "rerun":
        return None
    for entry in reruns.reruns:
        fields = ("task", "predictor", "predictions_sha256", "harness_version")
        if all(getattr(entry, field) == getattr(result, field) for field in fields):
            return entry
    raise ValueError(
        f"{path}: `verification` (='rerun') must be 'rescored' at most: reruns.json has no "
        "entry for these predictions and this version of the harness"
    )


def find_code(predictor: str, submissions: Path) -> tuple[Code, str | None, str | None]:
    """Return a predictor's code, its digest (None for a reference predictor) and its requirement.

    Raises:
        ValueError: If the submission is one of predictions, or breaks a rule.
        FileNotFoundError: If there is no such submission.
    """
    if predictor in PREDICTORS:
        return Code(predictor), None, None
    submission = find_submission(submissions, predictor)
    if submission.predictor is None:
        raise ValueError(f"submission {predictor!r} has only predictions, no code to run")
    folder = submissions / predictor
    files = submitted_files(folder) if submission.file else {}
    return Code(submission.predictor, files), code_digest(folder), submission.requirement


def _check_installed(requirement: str | None) -> None:
    """Check that a required package is installed in the version that is asked for."""
    if requirement is None:
        return
    name, exact, version = requirement.partition("==")
    if not exact:
        raise ValueError(f"`requirement` (={requirement!r}) must be NAME==VERSION to be run again")
    try:
        installed = metadata.version(name.strip())
    except metadata.PackageNotFoundError:
        installed = "not installed"
    if installed != version.strip():
        raise ValueError(f"`requirement` (={requirement!r}) must be installed; it is {installed}")


def rerun(
    job: Rescoring,
    submissions: Path,
    *,
    minutes: float = MINUTES,
    tolerance: float = TOLERANCE,
    fresh: Release | None = None,
) -> tuple[Rerun, Result, pa.Table]:
    """Rescore a result and run its code again for at most `minutes`.

    A predicted accuracy or standard deviation may differ by at most `tolerance`. `fresh` has
    networks that are in no release, on which the code is tried as well.

    Returns:
        An entry for the record, and the result of the predictions that the code gave, with these.

    Raises:
        ValueError: If the scores do not follow from the stored predictions, the code fails, or it
            predicts something else; the message starts with the result's path.
        OSError: If a file cannot be read or written.
    """
    stored = rescore(job)
    task = job.release.task(stored.task)
    data = load_task_data(task, job.release)
    try:
        code, digest, requirement = find_code(stored.predictor, submissions)
        _check_installed(requirement)
        run = run_code(code, data, stored.seeds, job.release, Limits(minutes), fresh=fresh)
        _check_counts(stored, run.timed)
        header = ResultHeader(task, stored.predictor, stored.title, stored.seeds, "rerun")
        predictions = [drop_observed(timed.prediction, task.observed) for timed in run.timed]
        result, table = score_outcome(
            header, predictions, data.targets, counts=stored.counts, seconds=stored.seconds
        )
        largest, where = largest_difference(read_with_predictions(job.path)[1], table)
        if largest > tolerance:
            raise ValueError(f"{where}; they may differ by at most {tolerance:g}")
    except ValueError as error:
        raise ValueError(f"{job.path}: {error}") from error
    entry = Rerun(
        result.task,
        result.predictor,
        hashlib.sha256(to_parquet(table)).hexdigest(),
        digest,
        requirement,
        result.harness_version,
        largest,
        run.measures,
        run.canaries,
    )
    return entry, result, table


def _check_counts(result: Result, timed: Sequence[TimedPrediction]) -> None:
    """Check that the rerun gives the counts of the result, except those of seconds."""
    rerun_counts, stored_counts = (
        {name: count for name, count in counts.items() if not name.endswith(SECONDS)}
        for counts in (all_counts(timed), result.counts)
    )
    if rerun_counts != stored_counts:
        raise ValueError(f"`counts` (={stored_counts}) is {rerun_counts} in the rerun")
