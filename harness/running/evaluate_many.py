"""Evaluates many predictors on many tasks in parallel, and reuses results that exist.

Each fit runs in a separate process. A result is written as soon as it is available.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from harness.predictors.registry import PREDICTORS
from harness.results.result import HARNESS_VERSION, MOST_SEEDS, Result
from harness.results.store import read_result, result_path, write_result
from harness.running.attempt import Failed, attempt, raise_first
from harness.running.evaluate import evaluate_shared, header_of
from harness.running.find_predictor import SEEDS, Candidate, find

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """Where evaluations read and write, and how they run.

    Attributes:
        results: Folder of all results.
        seeds: Number of seeds of stochastic predictors.
        processes: Number of parallel processes.
    """

    results: Path
    release: Release = INSTALLED
    seeds: int = SEEDS
    processes: int = PROCESSES

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

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If a name is unknown or that of two predictors, or the rows are not those that
            a task was frozen on.
        OSError: If a result cannot be written.
    """
    candidates = {name: find(name) for name in dict.fromkeys(predictors)}
    check_names(candidates)
    chosen = [setting.release.task(name) for name in dict.fromkeys(tasks)]
    results: dict[tuple[str, str], Result] = {}
    jobs: list[Job] = []
    for name, candidate in candidates.items():
        stored = {task.name: _read_stored(candidate, task, setting) for task in chosen}
        results |= {(task, name): result for task, result in stored.items() if result is not None}
        missing = [task for task in chosen if stored[task.name] is None]
        jobs += [Job(name, group) for group in _group_by_fit(candidate, missing)]
    results |= _run_all(jobs, setting)
    return [results[task.name, name] for task in chosen for name in candidates]


def check_names(candidates: dict[str, Candidate]) -> None:
    """Check that no two predictors have the same name, as they would write the same results.

    Raises:
        ValueError: If two do.
    """
    owners: dict[str, str] = {}
    for predictor, candidate in candidates.items():
        other = owners.setdefault(candidate.name, predictor)
        if other != predictor:
            raise ValueError(
                f"predictors {other!r} and {predictor!r} have the same name {candidate.name!r}"
            )


def _read_stored(candidate: Candidate, task: Task, setting: Setting) -> Result | None:
    """Return the stored result of a predictor if it can be reused."""
    path = result_path(setting.results, task.name, candidate.name)
    if candidate.name not in PREDICTORS or not path.exists():
        return None
    try:
        result = read_result(path)
    except (ValueError, FileNotFoundError):  # damaged, incomplete or of an older schema
        return None
    expected = ("scored", task.digest, HARNESS_VERSION, candidate.seeds(setting.seeds))
    actual = (result.status, result.task_digest, result.harness_version, result.seeds)
    return result if actual == expected else None


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
    candidate, folder = find(job.predictor), setting.results.absolute()
    outcomes = evaluate_shared(candidate, job.tasks, seeds=setting.seeds, release=setting.release)
    return [write_result(folder, *outcome) for outcome in outcomes]


def _write_failed(job: Job, setting: Setting, failure: str) -> list[Result]:
    """Write failed results for a job whose process ended early."""
    candidate = find(job.predictor)
    headers = [header_of(candidate, task, setting.seeds) for task in job.tasks]
    return [write_result(setting.results, header.fail(failure), None) for header in headers]
