"""How a submission is made: checked, scored, and laid out for a pull request.

All is done in a temporary folder first; what does not hold leaves nothing behind.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.release import Release
from benchmark.runs import read_pages
from benchmark.util.atomic import write_atomically
from harness.results.result import Result, result_path, seeds_path, write_result
from harness.running.evaluate import Outcome
from harness.running.evaluate_many import Setting, evaluate_many
from harness.running.find_predictor import find
from harness.running.submission import (
    FILE,
    Submission,
    code_files,
    make_submission,
    read_submission,
    submissions_folder,
    to_yaml,
)
from harness.task_data import training_runs
from harness.verification.audit import seconds_of
from harness.verification.prediction_file import score_predictions
from harness.verification.predictor_rules import CHECK_RUNS, check_predictor

PREDICTIONS = "predictions"  # the folder with <task>.parquet


@dataclass(frozen=True, slots=True)
class SubmissionFiles:
    """What is to be submitted.

    Attributes:
        submission: What its `submission.yaml` says.
        text: Of that file.
        code: Files of code.
        predictions: Of each task, for a submission of predictions.
    """

    submission: Submission
    text: str
    code: tuple[Path, ...]
    predictions: Mapping[str, Path]


def read_submission_files(folder: Path) -> SubmissionFiles:
    """Return the submission of a folder with `submission.yaml`, made from `template/`.

    Beside it lie `.py` files, or `predictions/<task>.parquet` for each task.

    Raises:
        ValueError: If a rule is broken; the message starts with a path.
        FileNotFoundError: If the predictions of a task are not there.
    """
    submission = read_submission(folder)
    text = (folder / FILE).read_text(encoding="utf-8")
    code = tuple(code_files(folder))
    if submission.kind == "code":
        return SubmissionFiles(submission, text, code, {})
    if code:
        raise ValueError(f"{code[0]}: a submission of predictions must hold no code")
    files = {task: folder / PREDICTIONS / f"{task}.parquet" for task in submission.tasks}
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(f"no predictions {str(path)!r} for a task of {FILE}")
    return SubmissionFiles(submission, text, (), files)


def make_submission_files(what: str, fields: Mapping[str, object]) -> SubmissionFiles:
    """Return the submission of a file of predictions or of a predictor, without a folder.

    Args:
        what: A Parquet file, which answers the only task, or a predictor that
            `harness.running.find_predictor.find` takes.
        fields: Of `submission.yaml`, but `kind` and `predictor`, which follow from it.

    Raises:
        ValueError: If a field is missing or a rule is broken.
        FileNotFoundError: If there is no such file.
    """
    place, colon, attribute = what.rpartition(":")
    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}
    if what.endswith(".parquet"):
        submission = make_submission(plain | {"kind": "predictions"})
        if len(submission.tasks) > 1:
            raise ValueError(
                f"{what}: one file of predictions answers one task, not {len(submission.tasks)}; "
                f"for more, make a folder with {FILE} as template/ shows"
            )
        return SubmissionFiles(
            submission, to_yaml(submission), (), {submission.tasks[0]: Path(what)}
        )
    own = bool(colon) and place.endswith(".py")
    if own and not Path(place).is_file():
        raise FileNotFoundError(f"no file {place!r} for the predictor {what!r}")
    predictor = f"{Path(place).name}:{attribute}" if own else what
    submission = make_submission(plain | {"kind": "code", "predictor": predictor})
    return SubmissionFiles(submission, to_yaml(submission), (Path(place),) if own else (), {})


def submit_files(
    files: SubmissionFiles, setting: Setting, *, replace_existing: bool = False
) -> list[Result]:
    """Check and score a submission, write it and its results, and return them, `self-reported`.

    Args:
        files: What is submitted.
        setting: Where results lie, with `submissions` beside them; its seeds are not used.
        replace_existing: Whether an earlier submission of the same name is replaced.

    Raises:
        ValueError: If the submission is there already, breaks a rule, or fails.
        OSError: If a file cannot be read or written.
    """
    submission = files.submission
    place = submissions_folder(setting.results) / submission.name
    if place.exists() and not replace_existing:
        raise ValueError(f"submission {submission.name!r} is there already; --replace replaces it")
    tasks = [setting.release.task(task) for task in submission.tasks]
    with TemporaryDirectory(prefix="peephole-submit-") as name:
        laid_out = Path(name) / submission.name
        _write_folder(files, laid_out)
        if submission.kind == "code":
            _check_code(laid_out, submission, {task.images for task in tasks}, setting)
            outcomes = _run_code(laid_out, submission, replace(setting, results=Path(name) / "out"))
        else:
            outcomes = [_score(files, task, setting.release) for task in submission.tasks]
        results = [write_result(setting.results, *outcome) for outcome in outcomes]
        _remove_earlier(setting.results, submission)
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(laid_out, place, ignore=shutil.ignore_patterns("__pycache__"))
    return results


def _write_folder(files: SubmissionFiles, folder: Path) -> None:
    folder.mkdir(parents=True)
    write_atomically(folder / FILE, files.text)
    for path in files.code:
        shutil.copy(path, folder)
    read_submission(folder)


def _check_code(folder: Path, submission: Submission, images: set[str], setting: Setting) -> None:
    """Check that the code of a folder keeps the rules of predictors."""
    for name in sorted(images):
        runs = training_runs(name, CHECK_RUNS, setting.release)
        for finding in check_predictor(find(str(folder)).make, runs):
            if not finding.passed:
                raise ValueError(
                    f"{submission.predictor} breaks the rule {finding.rule!r}: {finding.seen}"
                )


def _run_code(folder: Path, submission: Submission, setting: Setting) -> list[Outcome]:
    """Return what the code of a folder scores on every task."""
    own = replace(setting, seeds=submission.seeds)
    results = evaluate_many([str(folder)], submission.tasks, own)
    outcomes: list[Outcome] = []
    for result in results:
        if result.failure is not None:
            raise ValueError(f"{submission.predictor} failed on {result.task}: {result.failure}")
        path = result_path(own.results, result.task, result.predictor)
        several = seeds_path(path)
        table = read_pages(several if several.is_file() else path.with_suffix(".parquet"))
        outcomes.append((result, table))
    return outcomes


def _score(files: SubmissionFiles, name: str, release: Release) -> Outcome:
    """Return what the predictions of a task score."""
    submission, path = files.submission, files.predictions[name]
    task = release.task(name)
    result, table = score_predictions(path, task, release=release)
    if len(result.seeds) != submission.seeds:
        raise ValueError(
            f"{path}: predictions of {len(result.seeds)} seeds must be of {submission.seeds}, as "
            f"`seeds` of {FILE} says"
        )
    named = replace(
        result,
        predictor=submission.name,
        title=submission.title,
        seconds=seconds_of(submission),
        verification="self-reported",
    )
    return named, table


def _remove_earlier(results: Path, submission: Submission) -> None:
    """Remove results of an earlier submission on tasks that the new one leaves out."""
    for path in results.glob(f"*/{submission.name}.json"):
        if path.parent.name not in submission.tasks:
            for file in (path, path.with_suffix(".parquet"), seeds_path(path)):
                file.unlink(missing_ok=True)
