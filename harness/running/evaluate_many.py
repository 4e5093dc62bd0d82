"""Many predictors on many tasks, in parallel processes, with what is done already taken over.

Each fit has a process of its own. A result is written as soon as it is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from harness.predictors.registry import PREDICTORS
from harness.results.result import (
    HARNESS_VERSION,
    Result,
    read_result,
    result_path,
    seeds_path,
    write_result,
)
from harness.running.custom_splits import Trial, TrialScore, failed_trials, score_trials
from harness.running.evaluate import evaluate_shared, header_of
from harness.running.find_predictor import SEEDS, Candidate, find

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """Where evaluations read and write, and how they run.

    Attributes:
        results: Folder of all results.
        release: The data; by default that of the installed package.
        seeds: How many, for stochastic predictors.
        processes: How many at a time.
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


@dataclass(frozen=True, slots=True)
class Job:
    """One fit: a predictor and the tasks that share it.

    The predictor is named as `harness.running.find_predictor.find` takes it.
    """

    predictor: str
    tasks: tuple[Task, ...]


def evaluate_many(
    predictors: Sequence[str], tasks: Sequence[str], setting: Setting
) -> list[Result]:
    """Return the results of all predictors on all tasks, by task and predictor as they are given.

    The result of a predictor of the registry is taken over if the same harness scored it with the
    same seeds on the same rows; failed ones are tried again, and one's own code always runs.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If a name is not known, or the data is not what a task was frozen on.
        OSError: If a result cannot be written.
    """
    candidates = {name: find(name) for name in dict.fromkeys(predictors)}
    _check_names(candidates)
    asked = [setting.release.task(name) for name in dict.fromkeys(tasks)]
    found: dict[tuple[str, str], Result] = {}
    jobs: list[Job] = []
    for name, candidate in candidates.items():
        taken = {task.name: _taken(name, candidate, task, setting) for task in asked}
        found |= {(task, name): result for task, result in taken.items() if result is not None}
        missing = [task for task in asked if taken[task.name] is None]
        jobs += [Job(name, group) for group in _groups(candidate, missing)]
    found |= _run_all(jobs, setting)
    return [found[task.name, name] for task in asked for name in candidates]


def _check_names(candidates: dict[str, Candidate]) -> None:
    """Check that no two predictors write the same results.

    Raises:
        ValueError: If two do.
    """
    owners: dict[str, str] = {}
    for predictor, candidate in candidates.items():
        other = owners.setdefault(candidate.name, predictor)
        if other != predictor:
            raise ValueError(
                f"predictors {other!r} and {predictor!r} would both be called {candidate.name!r}"
            )


def _taken(predictor: str, candidate: Candidate, task: Task, setting: Setting) -> Result | None:
    """Return the result that is there already, unless it is another's, damaged or failed."""
    path = result_path(setting.results, task.name, candidate.name)
    if candidate.name not in PREDICTORS or not path.exists():
        return None
    try:
        result = read_result(path)
    except ValueError:  # damaged or of an older schema: it is made again
        return None
    if len(result.seeds) > 1 and not seeds_path(path).exists():  # it could not be rescored
        return None
    expected = ("scored", task.digest, HARNESS_VERSION, candidate.seeds(setting.seeds))
    seen = (result.status, result.task_digest, result.harness_version, result.seeds)
    return result if seen == expected else None


def _groups(candidate: Candidate, tasks: Sequence[Task]) -> list[tuple[Task, ...]]:
    """Return the tasks that one fit serves, together."""
    groups: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        key = (task.images, task.digest, task.name if candidate.uses_curve else "")
        groups.setdefault(key, []).append(task)
    return [tuple(group) for group in groups.values()]


def _run_all(jobs: Sequence[Job], setting: Setting) -> dict[tuple[str, str], Result]:
    """Return the result of every job by task and predictor."""
    found: dict[tuple[str, str], Result] = {}
    progress = Progress("results", sum(len(job.tasks) for job in jobs))
    calls = [partial(run, job, setting) for job in jobs]
    for number, answer in run_in_processes(calls, setting.processes):
        job = jobs[number]
        if isinstance(answer, EndedEarlyError):
            answer = _write_ended(job, setting, answer)
        found |= {(result.task, job.predictor): result for result in answer}
        progress.advance(len(job.tasks))
    return found


def run(job: Job, setting: Setting) -> list[Result]:
    """Evaluate a job in this process and write its results."""
    candidate = find(job.predictor)
    outcomes = evaluate_shared(candidate, job.tasks, seeds=setting.seeds, release=setting.release)
    return [write_result(setting.results, *outcome) for outcome in outcomes]


def _write_ended(job: Job, setting: Setting, ended: EndedEarlyError) -> list[Result]:
    """Write that the process of a job ended before its results were there."""
    candidate = find(job.predictor)
    headers = [header_of(candidate, task, setting.seeds) for task in job.tasks]
    results = [header.fail(str(ended)) for header in headers]
    return [write_result(setting.results, result, None) for result in results]


def try_many(
    predictors: Sequence[str], trials: Sequence[Trial], observed: Sequence[int], setting: Setting
) -> list[TrialScore]:
    """Return scores on trials by predictor, observed epochs and label; nothing is written.

    A predictor that does not look at curves is fitted once for all numbers of observed epochs.

    Raises:
        ValueError: If a predictor is not known.
    """
    candidates = {name: find(name) for name in predictors}
    asked = [
        (candidate, name, k)
        for name, candidate in candidates.items()
        for k in (observed if candidate.uses_curve else (min(observed),))
    ]
    progress = Progress("fits", len(asked))
    calls = [partial(_try, name, trials, k, setting.seeds) for _, name, k in asked]
    found: dict[tuple[str, int], list[TrialScore]] = {}
    for number, answer in run_in_processes(calls, setting.processes):
        candidate, name, k = asked[number]
        if isinstance(answer, EndedEarlyError):
            answer = failed_trials(candidate.name, trials, k, str(answer))
        for shared in (k,) if candidate.uses_curve else observed:
            found[name, shared] = [replace(score, observed=shared) for score in answer]
        progress.advance()
    return [score for name in predictors for k in observed for score in found[name, k]]


def _try(name: str, trials: Sequence[Trial], observed: int, seeds: int) -> list[TrialScore]:
    return score_trials(find(name), trials, observed, seeds)
