"""Checks what a result claims: whose it is, and how far it was verified."""

from pathlib import Path

from harness.predictors.registry import PREDICTORS
from harness.results.result import Result, Seconds
from harness.running.submission import FILE, Submission, find_submission, submission_names
from harness.verification.references import References, check_reference
from harness.verification.rerun import Reruns, check_claim, find_code


def check_source(
    path: Path, result: Result, submissions: Path, references: References | None
) -> None:
    """Check that a result agrees with its reference predictor or its submission."""
    if result.predictor in PREDICTORS:
        check_reference(path, result, references)
        return
    if result.predictor not in submission_names(submissions):
        raise ValueError(
            f"{path}: predictor {result.predictor!r} must be a reference predictor or have a "
            f"submission in {str(submissions)!r}"
        )
    submission = find_submission(submissions, result.predictor)
    for field, (value, expected) in _shared_fields(submission, result).items():
        if value != expected:
            raise ValueError(
                f"{path}: `{field}` (={value!r}) is {expected!r} in {submission.name}/{FILE}"
            )


def _shared_fields(submission: Submission, result: Result) -> dict[str, tuple[object, object]]:
    """Return, by field, the value in a result and the value in its submission."""
    shared: dict[str, tuple[object, object]] = {
        "title": (result.title, submission.title),
        "seeds": (result.seeds, tuple(range(submission.seeds))),
        "task": (result.task, result.task if result.task in submission.tasks else None),
    }
    if submission.kind == "predictions":
        shared["seconds"] = (result.seconds, seconds_of(submission))
        shared["counts"] = (dict(result.counts), {})
    return shared


def seconds_of(submission: Submission) -> Seconds | None:
    """Return the seconds that a submission of predictions states; None if it states none."""
    if submission.fit_seconds is None or submission.predict_seconds is None:
        return None
    return Seconds(submission.fit_seconds, submission.predict_seconds)


def check_level(path: Path, result: Result, reruns: Reruns, submissions: Path) -> None:
    """Check that a result claims no verification level that cannot be shown."""
    if result.verification != "self-reported" and result.status == "failed":
        raise ValueError(
            f"{path}: `verification` (={result.verification!r}) must be 'self-reported' for a "
            "failed predictor"
        )
    entry = check_claim(path, result, reruns)
    if entry is not None and find_code(result.predictor, submissions)[1] != entry.code_sha256:
        raise ValueError(
            f"{path}: `verification` (='rerun') must be 'rescored' at most: the code has changed "
            "since"
        )
