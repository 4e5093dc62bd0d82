"""Makes a submission: checks and scores it, and writes its files for a pull request.

Everything is done in a temporary folder first, so a submission that fails leaves no files.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.release import Release
from benchmark.tasks import Task
from benchmark.util.atomic import check_writable, replacing, write_atomically
from harness.predictors.registry import PREDICTORS
from harness.results.replacing import check_replaceable
from harness.results.result import Result
from harness.results.store import read_with_predictions, remove_result, result_path, write_result
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
from harness.verification.claims import seconds_of
from harness.verification.prediction_file import score_predictions
from harness.verification.predictor_rules import CHECK_RUNS, check_predictor

PREDICTIONS = "predictions"  # folder of the files <task>.parquet


@dataclass(frozen=True, slots=True)
class SubmissionFiles:
    """A submission, the text of its `submission.yaml`, and its Python or Parquet files."""

    submission: Submission
    text: str
    code: tuple[Path, ...]
    predictions: Mapping[str, Path]  # by task


def read_submission_files(folder: Path) -> SubmissionFiles:
    """Return the submission in a folder that was made from `template/`.

    The folder holds `submission.yaml` and `.py` files, or `predictions/<task>.parquet` for each
    task.

    Raises:
        ValueError: If a rule is broken; the message starts with a path.
        FileNotFoundError: If the predictions of a task are missing.
    """
    submission = read_submission(folder)
    text = (folder / FILE).read_text(encoding="utf-8")
    code = tuple(code_files(folder))
    if submission.kind == "code":
        return SubmissionFiles(submission, text, code, {})
    files = {task: folder / PREDICTIONS / f"{task}.parquet" for task in submission.tasks}
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(f"no predictions {str(path)!r} for a task of {FILE}")
    return SubmissionFiles(submission, text, (), files)


def make_submission_files(what: str, fields: Mapping[str, object]) -> SubmissionFiles:
    """Return the submission of a file of predictions, or of a predictor, without a folder.

    `what` is a Parquet file with the predictions of one task, whatever its ending, or a predictor
    as `harness.running.find_predictor.find` takes it. `fields` are those of `submission.yaml`
    except `kind` and `predictor`, which follow from `what`.

    Raises:
        ValueError: If a field is missing or a rule is broken.
        FileNotFoundError: If there is no such file.
    """
    source, _, attribute = what.rpartition(":")
    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}
    plain.setdefault("date", datetime.now(UTC).date().isoformat())
    path = Path(what)
    if path.is_dir() and what not in PREDICTORS:
        raise FileNotFoundError(
            f"folder {what!r} has no {FILE}; template/ of the repository has one to copy"
        )
    if path.suffix == ".parquet" or (path.is_file() and path.suffix != ".py"):
        submission = make_submission(plain | {"kind": "predictions"})
        if len(submission.tasks) > 1:
            raise ValueError(
                f"{what}: a file holds the predictions of one task, not {len(submission.tasks)}; "
                f"for more, make a folder with {FILE} as in template/"
            )
        predictions = {submission.tasks[0]: path}
        return SubmissionFiles(submission, to_yaml(submission), (), predictions)
    is_file = source.endswith(".py")
    if is_file and not Path(source).is_file():
        raise FileNotFoundError(f"no file {source!r} for the predictor {what!r}")
    predictor = f"{Path(source).name}:{attribute}" if is_file else what
    submission = make_submission(plain | {"kind": "code", "predictor": predictor})
    code = (Path(source),) if is_file else ()
    return SubmissionFiles(submission, to_yaml(submission), code, {})


def submit_files(
    files: SubmissionFiles, setting: Setting, *, replace_existing: bool = False
) -> list[Result]:
    """Check and score a submission, write it and its results, and return the results.

    The folder `submissions` lies beside the folder of results. The seeds are those of the
    submission, not those of the setting.

    Raises:
        ValueError: If the submission exists already, breaks a rule, or fails, `check_replaceable`
            refuses to replace a result, or a folder cannot be written to.
        OSError: If a file cannot be read or written.
    """
    submission = files.submission
    folder = submissions_folder(setting.results) / submission.name
    if folder.exists() and not replace_existing:
        raise ValueError(f"submission {submission.name!r} exists already; --replace replaces it")
    tasks = [setting.release.task(task) for task in submission.tasks]
    for path in (result_path(setting.results, task.name, submission.name) for task in tasks):
        if not replace_existing:
            check_replaceable(path, range(submission.seeds), folder.parent)
        check_writable(path)
    check_writable(folder.parent / FILE)
    with TemporaryDirectory(prefix="peephole-submit-") as name:
        temporary = Path(name) / submission.name
        write_atomically(temporary / FILE, files.text)
        for path in files.code:
            shutil.copy(path, temporary)
        read_submission(temporary)
        if submission.kind == "code":
            _check_code(temporary, submission, {task.images for task in tasks}, setting)
            out = replace(setting, results=Path(name) / "out", seeds=submission.seeds)
            outcomes = _run_code(temporary, submission, out)
        else:
            outcomes = [_score(files, task, setting.release) for task in tasks]
        results = [write_result(setting.results, *outcome) for outcome in outcomes]
        _remove_earlier(setting.results, submission)
        _replace_files(temporary, folder)
    return results


def _check_code(folder: Path, submission: Submission, images: set[str], setting: Setting) -> None:
    """Check that the predictor in a folder follows the rules."""
    for name in sorted(images):
        runs = training_runs(name, CHECK_RUNS, setting.release)
        make = find(str(folder)).make
        for finding in check_predictor(make, runs, traceback=setting.traceback):
            if not finding.passed:
                raise ValueError(
                    f"{submission.predictor} breaks the rule {finding.rule!r}: {finding.seen}"
                )


def _run_code(folder: Path, submission: Submission, setting: Setting) -> list[Outcome]:
    """Fit and score the predictor in a folder on every task."""
    outcomes: list[Outcome] = []
    for result in evaluate_many([str(folder)], submission.tasks, setting):
        if result.failure is not None:
            raise ValueError(f"{submission.predictor} failed on {result.task}: {result.failure}")
        path = result_path(setting.results, result.task, result.predictor)
        outcomes.append((result, read_with_predictions(path)[1]))
    return outcomes


def _score(files: SubmissionFiles, task: Task, release: Release) -> Outcome:
    """Score the predictions of a task."""
    submission, path = files.submission, files.predictions[task.name]
    result, table = score_predictions(path, task, release=release)
    if len(result.seeds) != submission.seeds:
        raise ValueError(
            f"{path}: there are predictions of {len(result.seeds)} seeds, but `seeds` of {FILE} is "
            f"{submission.seeds}"
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
    """Remove an earlier submission's results on tasks that the new one does not have."""
    for path in results.glob(f"*/{submission.name}.json"):
        if path.parent.name not in submission.tasks:
            remove_result(results, path.parent.name, submission.name)


def _replace_files(source: Path, target: Path) -> None:
    """Make the files of a folder those of another, one by one, so that none is ever missing."""
    files = {path.name: path for path in source.iterdir() if path.is_file()}
    for name, path in files.items():
        with replacing(target / name) as draft:
            shutil.copyfile(path, draft)
    for path in target.iterdir():
        if path.name not in files:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
