"""Runs the code of results again without the test networks, and keeps a record of it.

The record is `reruns.json` in the folder of results. It holds digests of the predictions and of the
code. A result at level `rerun` must have an entry there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.release import Release
from benchmark.util.atomic import write_atomically
from benchmark.util.strict_json import encode, read_record, refuse, to_text
from harness.predictors.registry import PREDICTORS
from harness.results.predictions import predictions_table, round_prediction, seeds_table
from harness.results.result import Result
from harness.results.store import read_with_predictions
from harness.running.evaluate import SECONDS, all_counts, drop_observed
from harness.running.fit_predict import TimedPrediction
from harness.running.submission import code_digest, code_files, find_submission
from harness.task_data import load_task_data
from harness.verification.canaries import Canaries, run_code
from harness.verification.compare_predictions import largest_difference
from harness.verification.isolated_process import Code, Limits
from harness.verification.isolation.launch import Measures
from harness.verification.rescore import Rescoring, rescore

SCHEMA_VERSION = 1
TOLERANCE = 1e-3  # largest difference of predicted accuracies; one valid image is at least 2e-3
MINUTES = 60.0  # time limit of the code for one task


@dataclass(frozen=True, slots=True)
class Rerun:
    """A record of code that gave the predictions of a result again.

    Attributes:
        predictions_sha256: SHA-256 of the stored predictions, as in the result.
        code_sha256: SHA-256 of the submission; None for a reference predictor.
        harness_version: Version of the harness that ran the code.
        largest_difference: Between a stored mean or standard deviation and the one predicted again.
        measures: What the process had of its own; nothing if it was not isolated.
        canaries: What they gave; None in records that were written before there were any.
    """

    task: str
    predictor: str
    predictions_sha256: str
    code_sha256: str | None
    harness_version: str
    largest_difference: float
    measures: Measures = ()
    canaries: Canaries | None = None


@dataclass(frozen=True, slots=True)
class Reruns:
    """All reruns of a folder of results, one for each task and predictor, sorted by them."""

    schema_version: int
    reruns: tuple[Rerun, ...]

    def __post_init__(self) -> None:
        """Check the version and that no task and predictor occur twice."""
        if self.schema_version != SCHEMA_VERSION:
            refuse("schema_version", self.schema_version, f"{SCHEMA_VERSION}")
        keys = [(rerun.task, rerun.predictor) for rerun in self.reruns]
        if len(set(keys)) < len(keys):
            raise ValueError("`reruns` must hold each task and predictor once")


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
    """Add a rerun to the record; it replaces an earlier one of its task and predictor."""
    key = (rerun.task, rerun.predictor)
    others = [r for r in read_reruns(results).reruns if (r.task, r.predictor) != key]
    entries = sorted([*others, rerun], key=lambda entry: (entry.task, entry.predictor))
    record = Reruns(SCHEMA_VERSION, tuple(entries))
    write_atomically(reruns_path(results), f"{to_text(encode(record))}\n")


def check_claim(path: Path, result: Result, reruns: Reruns) -> Rerun | None:
    """Return the entry of a result at level `rerun` in the record; None at other levels.

    Raises:
        ValueError: If it has none, or an entry of other predictions.
    """
    if result.verification != "rerun":
        return None
    key = (result.task, result.predictor, result.predictions_sha256)
    for entry in reruns.reruns:
        if (entry.task, entry.predictor, entry.predictions_sha256) == key:
            return entry
    raise ValueError(
        f"{path}: `verification` (='rerun') must be 'rescored' at most: reruns.json has no "
        "entry for these predictions"
    )


def find_code(predictor: str, submissions: Path) -> tuple[Code, str | None]:
    """Return a predictor's code and its digest, which is None for a reference predictor.

    Raises:
        ValueError: If the submission is one of predictions, or breaks a rule.
        FileNotFoundError: If there is no such submission.
    """
    if predictor in PREDICTORS:
        return Code(predictor), None
    submission = find_submission(submissions, predictor)
    if submission.predictor is None:
        raise ValueError(f"submission {predictor!r} has only predictions, no code to run")
    folder = submissions / predictor
    files = tuple(code_files(folder)) if submission.file else ()
    return Code(submission.predictor, files), code_digest(folder)


def rerun(
    job: Rescoring,
    submissions: Path,
    *,
    minutes: float = MINUTES,
    tolerance: float = TOLERANCE,
    fresh: Release | None = None,
) -> Rerun:
    """Rescore a result, run its code again for at most `minutes`, and return an entry.

    A predicted accuracy or standard deviation may differ by at most `tolerance`. `fresh` has
    networks that are in no release, on which the code is tried as well.

    Raises:
        ValueError: If the scores do not follow from the stored predictions, the code fails, or it
            predicts something else; the message starts with the result's path.
        OSError: If a file cannot be read or written.
    """
    result = rescore(job)
    task = job.release.task(result.task)
    data = load_task_data(task, job.release)
    try:
        code, digest = find_code(result.predictor, submissions)
        limits = Limits(minutes)
        run = run_code(code, data, result.seeds, job.release, limits, fresh=fresh)
        timed = run.timed
        _check_counts(result, timed)
        predictions = [round_prediction(drop_observed(a.prediction, task.observed)) for a in timed]
        run_ids = data.targets.valid_accuracy.run_ids
        tables = [predictions_table(run_ids, p.epochs, p.mean, p.std) for p in predictions]
        _, stored = read_with_predictions(job.path)
        largest, where = largest_difference(stored, seeds_table(result.seeds, tables))
        if largest > tolerance:
            raise ValueError(f"{where}; they may differ by at most {tolerance:g}")
    except ValueError as error:
        raise ValueError(f"{job.path}: {error}") from error
    assert result.predictions_sha256 is not None
    return Rerun(
        result.task,
        result.predictor,
        result.predictions_sha256,
        digest,
        result.harness_version,
        largest,
        run.measures,
        run.canaries,
    )


def _check_counts(result: Result, timed: Sequence[TimedPrediction]) -> None:
    """Check that the rerun gives the counts of the result, except those of seconds."""
    rerun_counts, stored_counts = (
        {name: count for name, count in counts.items() if not name.endswith(SECONDS)}
        for counts in (all_counts(timed), result.counts)
    )
    if rerun_counts != stored_counts:
        raise ValueError(f"`counts` (={stored_counts}) is {rerun_counts} in the rerun")
