"""Makes a submission: checks and scores it, and writes its files for a pull request.

Everything is done in a temporary folder first, so a submission that fails leaves no files.
"""

import faulthandler
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.release import Release
from benchmark.tasks import Task
from benchmark.util.atomic import check_writable, replacing, write_atomically
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.text import quantity, to_line
from harness.predictors.registry import PREDICTORS, check_available
from harness.results.replacing import check_replaceable
from harness.results.result import Result
from harness.results.store import read_with_predictions, remove_result, result_path, write_result
from harness.running.drafts import SubmissionFiles, taken_files
from harness.running.evaluate import Outcome
from harness.running.evaluate_many import Setting, evaluate_many
from harness.running.find_predictor import find
from harness.running.submission import FILE, Submission, read_submission, submissions_folder
from harness.running.submitted_files import copy_files, folder_of, hidden_modules
from harness.task_data import training_runs
from harness.verification.claims import seconds_of
from harness.verification.isolation.other_files import advice, work_in_copy
from harness.verification.prediction_file import score_predictions
from harness.verification.predictor_rules import CHECK_RUNS, Finding, check_predictor

RENAME = "rename it"
HIDDEN = f"is hidden by another module of this name, which Python finds first: {RENAME}"


@dataclass(frozen=True, slots=True)
class _Code:
    """A predictor, and where it is tried.

    Attributes:
        predictor: As for `find`; if its files are copied, it is the copy.
        folder: The folder to work in, which is new and has the copy.
        original: The folder of its files, if they are copied.
        place: What messages say instead of the path of the copy.
        name: Its name, as for `find`.
        hidden: What to say of each of its `hidden_modules`.
    """

    predictor: str
    folder: Path
    original: Path | None
    place: str = ""
    name: str | None = None
    hidden: Sequence[str] = ()

    def explain(self, text: str) -> str:
        """Return a message with the paths that the user knows, and with what to do about it."""
        shown = text.replace(f"{self.folder}/", self.place) + (
            advice(text) if self.original else ""
        )
        is_import = re.search(r"(Import|ModuleNotFound|Attribute)Error: ", text)
        return "; ".join([shown, *self.hidden] if is_import and RENAME not in text else [shown])


def check_code(
    predictor: str,
    release: Release,
    images: str | None = None,
    *,
    name: str | None = None,
    traceback: bool = False,
) -> list[Finding]:
    """Check a predictor against the rules, from a copy of the files that `submit` would take.

    The rules are tried in a process of its own, whose current folder is the copy. Code in files has
    a first finding that says which files these are.

    Args:
        predictor: As for `harness.running.find_predictor.find`.
        release: Has the runs to check with, and the tasks of a submission.
        images: Image set of the runs; if None, those of the submission's tasks, else the first.
        name: As for `harness.running.find_predictor.find`.
        traceback: Whether to write that of an exception to stderr.

    Raises:
        ValueError: As `find`, or if a file may not be submitted, or a task is unknown.
        OSError: If a file cannot be read or written.
    """
    if predictor in PREDICTORS:
        check_available(predictor)
    folder, files, draft = taken_files(predictor)
    sets = {release.task(task).fitted_on for task in draft.tasks} if draft else set()
    sets = {images} if images else sets or {release.default_images()}
    hidden = [f"{path} {HIDDEN}" for path in hidden_modules(folder, files)]
    with TemporaryDirectory(prefix="peephole-check-") as temporary:
        copy, place, there = Path(temporary).resolve(), f"{folder}/", predictor
        copy_files({**files, FILE: folder / FILE} if draft else files, copy)
        if draft:
            there = str(copy)
        elif files:
            source, _, attribute = predictor.rpartition(":")
            place = source.removesuffix(Path(source).name)
            there = f"{copy}/{Path(source).name}:{attribute}"
        code = _Code(there, copy, folder_of(files), place, name, hidden)
        findings = _check_rules(code, sets, release, traceback)
    if not files:
        return findings
    size = sum(path.stat().st_size for path in files.values())
    seen = "; ".join([f"{to_line(', '.join(files))}; {size:,} bytes", *hidden])
    return [Finding("files", True, seen), *findings]


def _check_rules(
    code: _Code, images: Iterable[str], release: Release, traceback: bool
) -> list[Finding]:
    """Return the findings on the runs of each image set, from a process of its own."""
    call = partial(_check_here, code, sorted(images), _absolute(release), traceback)
    try:
        ((_, findings),) = run_in_processes([call], 1)
    except ValueError as error:
        raise ValueError(code.explain(str(error))) from error.__cause__
    if isinstance(findings, EndedEarlyError):
        return [Finding("process", False, f"{findings}; a predictor must not end it")]
    return [f if f.passed else replace(f, seen=code.explain(f.seen)) for f in findings]


def _check_here(
    code: _Code, images: Iterable[str], release: Release, traceback: bool
) -> list[Finding]:
    """Return the findings, in this process, which is used for nothing else."""
    if traceback:
        faulthandler.enable()
    every = [training_runs(name, CHECK_RUNS, release) for name in images]
    if code.original:
        work_in_copy(code.folder, code.original, release.folder)
    make = find(code.predictor, code.name).make
    os.chdir(code.folder)
    return [
        finding for runs in every for finding in check_predictor(make, runs, traceback=traceback)
    ]


def _absolute(release: Release) -> Release:
    """Return a release that is found from every folder."""
    return replace(release, folder=release.folder.absolute())


def submit_files(
    files: SubmissionFiles, setting: Setting, *, replace_existing: bool = False
) -> list[Result]:
    """Check and score a submission, write it and its results, and return the results.

    The folder `submissions` lies beside the folder of results. The seeds are those of the
    submission, not those of the setting. Results of a submission that is replaced are removed on
    the tasks that the new one does not have.

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
    earlier: set[str] = set()
    with suppress(FileNotFoundError, ValueError):  # there is none, or it is damaged
        earlier = set(read_submission(folder).tasks)
    with TemporaryDirectory(prefix="peephole-submit-") as name:
        temporary = Path(name).resolve() / submission.name
        write_atomically(temporary / FILE, files.text)
        copy_files(files.code, temporary)
        read_submission(temporary)
        if submission.kind == "code":
            sets = {task.fitted_on for task in tasks}
            original = folder_of(files.code) if submission.file else None
            code = _Code(str(temporary), temporary, original)
            for finding in _check_rules(code, sets, setting.release, setting.traceback):
                if not finding.passed:
                    broken = f"{submission.predictor} breaks the rule {finding.rule!r}"
                    raise ValueError(f"{broken}: {finding.seen}")
            release, out = _absolute(setting.release), Path(name).resolve() / "out"
            own = replace(setting, results=out, release=release, seeds=submission.seeds)
            with chdir(temporary):  # as in a rerun
                outcomes = _run_code(temporary, submission, own)
        else:
            outcomes = [_score(files, task, setting.release) for task in tasks]
        results = [write_result(setting.results, *outcome) for outcome in outcomes]
        for task in earlier - set(submission.tasks):
            remove_result(setting.results, task, submission.name)
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
            f"{path}: there are predictions of {quantity(len(result.seeds), 'seed')}, but `seeds` "
            f"of {FILE} is {submission.seeds}"
        )
    named = replace(
        result,
        predictor=submission.name,
        title=submission.title,
        seconds=seconds_of(submission),
        verification="self-reported",
    )
    return named, table


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
