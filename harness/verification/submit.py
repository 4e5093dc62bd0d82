"""Makes a submission: checks and scores it, and writes its files for a pull request.

Everything is done in a temporary folder first, so a submission that fails leaves no files.
"""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.release import Release
from benchmark.tasks import Task
from benchmark.util.atomic import check_writable, replacing, write_atomically
from benchmark.util.text import to_line
from harness.results.replacing import check_replaceable
from harness.results.result import Result
from harness.results.store import read_with_predictions, remove_result, result_path, write_result
from harness.running.drafts import SubmissionFiles
from harness.running.evaluate import Outcome
from harness.running.evaluate_many import Setting, evaluate_many
from harness.running.find_predictor import find
from harness.running.submission import FILE, Submission, read_submission, submissions_folder
from harness.running.submitted_files import (
    Files,
    copy_files,
    files_of_module,
    forget_modules,
    require_installed,
    submitted_files,
)
from harness.task_data import training_runs
from harness.verification.claims import seconds_of
from harness.verification.prediction_file import score_predictions
from harness.verification.predictor_rules import CHECK_RUNS, Finding, check_predictor


def check_code(
    predictor: str, release: Release, images: str | None = None, *, traceback: bool = False
) -> list[Finding]:
    """Check a predictor against the rules, from a copy of the files that `submit` would take.

    Code in files has a first finding that says which files these are. Anything else, as a name in
    the registry, has no files and is checked where it is.

    Args:
        predictor: As for `harness.running.find_predictor.find`.
        release: Has the runs to check with, and the tasks of a submission.
        images: Image set of the runs; if None, those of the submission's tasks, else `digits`.
        traceback: Whether to write that of an exception to stderr.

    Raises:
        ValueError: As `find`, or if a file may not be submitted, or a task is unknown.
        OSError: If a file cannot be read or written.
    """
    folder, (source, _, attribute) = Path(predictor), predictor.rpartition(":")
    files: Files = {}
    place, sets = "", {"digits"}
    if (folder / FILE).is_file():
        submission = read_submission(folder)
        sets = {release.task(task).images for task in submission.tasks}
        place, inner = str(folder), ""
        files = submitted_files(folder) if submission.file else {}
    elif source.endswith(".py") and Path(source).is_file():
        inner = Path(source).name
        place, files = source.removesuffix(inner), files_of_module(Path(source))
    sets = {images} if images else sets
    if not files:
        require_installed(predictor)
        return _check_rules(predictor, sets, release, traceback)
    with TemporaryDirectory(prefix="peephole-check-") as temporary:
        copy = Path(temporary).resolve()
        copy_files(files if inner else {**files, FILE: folder / FILE}, copy)
        there, shown = (f"{copy}/{inner}:{attribute}", f"{copy}/") if inner else (str(copy),) * 2
        try:
            findings = _check_rules(there, sets, release, traceback)
        except ValueError as error:
            raise ValueError(str(error).replace(shown, place)) from error
        finally:
            forget_modules(copy)
    size = sum(path.stat().st_size for path in files.values())
    taken = Finding("files", True, f"{to_line(', '.join(files))}; {size:,} bytes")
    return [taken, *(replace(f, seen=f.seen.replace(shown, place)) for f in findings)]


def _check_rules(
    predictor: str, images: Iterable[str], release: Release, traceback: bool
) -> list[Finding]:
    """Return the findings on the runs of each image set."""
    make = find(predictor).make
    return [
        finding
        for name in sorted(images)
        for finding in check_predictor(
            make, training_runs(name, CHECK_RUNS, release), traceback=traceback
        )
    ]


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
        copy_files(files.code, temporary)
        read_submission(temporary)
        if submission.kind == "code":
            sets = {task.images for task in tasks}
            for finding in _check_rules(str(temporary), sets, setting.release, setting.traceback):
                if not finding.passed:
                    broken = f"{submission.predictor} breaks the rule {finding.rule!r}"
                    raise ValueError(f"{broken}: {finding.seen}")
            out = replace(setting, results=Path(name) / "out", seeds=submission.seeds)
            outcomes = _run_code(temporary, submission, out)
        else:
            outcomes = [_score(files, task, setting.release) for task in tasks]
        results = [write_result(setting.results, *outcome) for outcome in outcomes]
        _remove_earlier(setting.results, submission)
        _replace_files(temporary, folder)
    return results


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
    if not path.is_file():
        raise FileNotFoundError(f"no predictions {str(path)!r} for the task {task.name!r}")
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
    files = {path.relative_to(source): path for path in source.rglob("*") if path.is_file()}
    for name, path in files.items():
        with replacing(target / name) as draft:
            shutil.copyfile(path, draft)
    kept = {parent for name in files for parent in (name, *name.parents)}
    for path in sorted(target.rglob("*"), reverse=True):  # what a folder holds before the folder
        if path.relative_to(target) not in kept:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
