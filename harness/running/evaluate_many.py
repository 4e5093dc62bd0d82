"""Evaluates many predictors on many tasks in parallel, and reuses results that exist.

What can be refused is refused before the first fit. Each fit runs in a separate process. A result
is written as soon as it is available.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from benchmark.util.atomic import check_writable
from benchmark.util.locks import LOCK
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from benchmark.util.text import quantity
from harness.predictors.registry import PREDICTORS
from harness.results.replacing import check_replaceable, write_unless_worse
from harness.results.result import HARNESS_VERSION, MOST_SEEDS, Result
from harness.results.store import read_result, result_path
from harness.running.attempt import Failed, attempt, raise_first
from harness.running.evaluate import evaluate_shared, header_of
from harness.running.find_predictor import SEEDS, Candidate, find
from harness.running.submission import submissions_folder

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """Where evaluations read and write, and how they run.

    Attributes:
        results: Folder of all results.
        seeds: Number of seeds of stochastic predictors.
        processes: Number of parallel processes.
        published: Another folder whose results are reused and never replaced.
        name: Name of the only predictor, one outside the registry [default: as for `find`].
        replace_existing: Whether stored results are replaced that are worth more than new ones.
        traceback: Whether the traceback of what a predictor raises is written to stderr.
    """

    results: Path
    release: Release = INSTALLED
    seeds: int = SEEDS
    processes: int = PROCESSES
    published: Path | None = None
    name: str | None = None
    replace_existing: bool = False
    traceback: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("seeds", "processes"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if self.seeds > MOST_SEEDS:
            raise ValueError(f"`seeds` (={self.seeds}) must be at most {MOST_SEEDS}")


@dataclass(frozen=True, slots=True)
class Job:
    """A fit of a predictor that `find` takes; its tasks differ only in their observed epochs."""

    predictor: str
    tasks: tuple[Task, ...]


def evaluate_many(
    predictors: Sequence[str], tasks: Sequence[str], setting: Setting
) -> list[Result]:
    """Return the results of all predictors on all tasks, by task and predictor in the given order.

    A stored result of a registry predictor is reused if the same harness version scored it with the
    same seeds on the same rows. Failed predictors and predictors outside the registry always run.
    Another stored result is replaced, but on request only if `check_replaceable` refuses it, or if
    it has scores and the predictor fails.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If a name is unknown or that of two predictors, the rows are not those that a
            task was frozen on, a stored result would be lost, the folder cannot be written to, or a
            predictor needs a package that is not installed.
        OSError: If a result cannot be written.
    """
    candidates = find_all(predictors, setting)
    chosen = [setting.release.task(name) for name in dict.fromkeys(tasks)]
    results: dict[tuple[str, str], Result] = {}
    jobs: list[Job] = []
    for name, candidate in candidates.items():
        stored = {task.name: _read_stored(candidate, task, setting) for task in chosen}
        results |= {(task, name): result for task, result in stored.items() if result is not None}
        missing = [task for task in chosen if stored[task.name] is None]
        _check_places(candidate, missing, setting)
        jobs += [Job(name, group) for group in _group_by_fit(candidate, missing)]
    results |= _run_all(jobs, setting)
    return [results[task.name, name] for task in chosen for name in candidates]


def find_all(predictors: Sequence[str], setting: Setting) -> dict[str, Candidate]:
    """Return the candidate of each predictor.

    Raises:
        ValueError: As for `find`, or if two have the same name, as they would write the same
            results, or a name is given for several.
    """
    names = list(dict.fromkeys(predictors))
    if setting.name is not None and len(names) > 1:
        raise ValueError(f"--name {setting.name!r} needs a single predictor, not {len(names)}")
    candidates = {name: find(name, setting.name) for name in names}
    owners: dict[str, str] = {}
    for predictor, candidate in candidates.items():
        other = owners.setdefault(candidate.name, predictor)
        if other != predictor:
            raise ValueError(
                f"predictors {other!r} and {predictor!r} have the same name {candidate.name!r}; "
                "evaluate them one by one, each with its --name"
            )
    return candidates


def _check_places(candidate: Candidate, tasks: Sequence[Task], setting: Setting) -> None:
    """Check that the results of fits can be stored, before the fits.

    Raises:
        ValueError: If one cannot.
    """
    paths = [result_path(setting.results, task.name, candidate.name) for task in tasks]
    for path in paths:
        if not setting.replace_existing:
            submissions = submissions_folder(setting.results)
            check_replaceable(path, candidate.seeds(setting.seeds), submissions)
        for place in (path, setting.results / LOCK):
            check_writable(place)
    replaced = sum(path.exists() for path in paths)
    if replaced and candidate.name not in PREDICTORS:
        where = f"{candidate.name}: earlier results on {quantity(replaced, 'task')} are replaced"
        sys.stderr.write(f"{where}; --name keeps both\n")


def _read_stored(candidate: Candidate, task: Task, setting: Setting) -> Result | None:
    """Return the stored result of a predictor if it can be reused."""
    if candidate.name not in PREDICTORS:
        return None
    expected = ("scored", task.digest, HARNESS_VERSION, candidate.seeds(setting.seeds))
    for folder in filter(None, (setting.results, setting.published)):
        try:
            result = read_result(result_path(folder, task.name, candidate.name))
        except (ValueError, FileNotFoundError):  # missing, damaged or of an older schema
            continue
        actual = (result.status, result.task_digest, result.harness_version, result.seeds)
        if actual == expected:
            return result
    return None


def _group_by_fit(candidate: Candidate, tasks: Sequence[Task]) -> list[tuple[Task, ...]]:
    """Return the tasks in groups that share a fit."""
    groups: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        key = (task.images, task.rows_digest, task.name if candidate.uses_curve else "")
        groups.setdefault(key, []).append(task)
    return [tuple(group) for group in groups.values()]


def _run_all(jobs: Sequence[Job], setting: Setting) -> dict[tuple[str, str], Result]:
    """Return the results of all jobs by task and predictor.

    An error of the harness itself is raised after all other jobs.
    """
    by_name: dict[tuple[str, str], Result] = {}
    progress = Progress("results", sum(len(job.tasks) for job in jobs))
    calls = [partial(attempt, run, job, setting) for job in jobs]
    failed: list[tuple[str, Failed]] = []
    for number, results in run_in_processes(calls, setting.processes):
        job = jobs[number]
        if isinstance(results, EndedEarlyError):
            results = attempt(_write_failed, job, setting, str(results))
        if isinstance(results, Failed):
            failed.append((job.predictor, results))
            results = []
        by_name |= {(result.task, job.predictor): result for result in results}
        progress.advance(len(job.tasks))
    raise_first(failed)
    return by_name


def run(job: Job, setting: Setting) -> list[Result]:
    """Evaluate a job in this process and write its results."""
    candidate, folder = find(job.predictor, setting.name), setting.results.absolute()
    outcomes = evaluate_shared(
        candidate,
        job.tasks,
        seeds=setting.seeds,
        release=setting.release,
        traceback=setting.traceback,
    )
    again = setting.replace_existing
    return [write_unless_worse(folder, *found, replace_existing=again) for found in outcomes]


def _write_failed(job: Job, setting: Setting, failure: str) -> list[Result]:
    """Write failed results for a job whose process ended early."""
    candidate = find(job.predictor, setting.name)
    failed = [header_of(candidate, task, setting.seeds).fail(failure) for task in job.tasks]
    folder, again = setting.results, setting.replace_existing
    return [write_unless_worse(folder, result, None, replace_existing=again) for result in failed]
