"""Results scored again from their stored predictions, which must give the same numbers.

Of a result, predictions prove the scores, their intervals and spread over seeds, the flags and all
that follows from the task. They cannot prove title, environment, seconds and what a predictor
counted: these stay the word of whoever ran it, also in a result that is `rescored`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from benchmark.util.atomic import write_atomically
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from benchmark.util.strict_json import encode, to_text
from harness.metrics.bootstrap import RESAMPLES
from harness.results.predictions import mean_table, read_predictions
from harness.results.result import (
    Result,
    Verification,
    asked_networks,
    read_result,
    seeds_path,
)
from harness.verification.prediction_file import score_predictions

# Of a number, absolute and relative: sums in another order, on another processor, differ by less
TOLERANCE = 1e-9
PROVEN = (
    "task_digest",
    "images",
    "observed",
    "target",
    "harness_version",
    "seeds",
    "flags",
    "networks",
    "observed_epochs_total",
    "scores",
    "scores_test_accuracy",
)
INTERVAL = (".low", ".high")


@dataclass(frozen=True, slots=True)
class Rescoring:
    """One result that is to be scored again.

    Attributes:
        path: Of the result.
        intervals: Whether intervals are computed, too, which takes nearly all the time.
        release: The data; by default that of the installed package.
    """

    path: Path
    intervals: bool = True
    release: Release = INSTALLED


def can_be_rescored(path: Path, result: Result) -> bool:
    """Return whether the predictions of every seed are there."""
    return len(result.seeds) == 1 or seeds_path(path).is_file()


def rescore(job: Rescoring) -> Result:
    """Return a result that its stored predictions prove.

    Raises:
        ValueError: If they do not: the message names the result, the number and both values.
        OSError: If a file cannot be read.
    """
    result = read_result(job.path)
    source = job.path.with_suffix(".parquet")
    if len(result.seeds) > 1:
        source = seeds_path(job.path)
        if not source.is_file():
            raise ValueError(
                f"{source}: predictions of each of the {len(result.seeds)} seeds must lie here, or "
                "the scores cannot be found again; evaluate the predictor again"
            )
    task = _task(job.path, result, job.release)
    resamples = RESAMPLES if job.intervals else 0
    again, table = score_predictions(source, task, release=job.release, resamples=resamples)
    check_proven(job.path, result, again, intervals=job.intervals)
    stored = read_predictions(job.path.with_suffix(".parquet"), asked_networks(result))
    if table is not None and not mean_table(table).equals(stored):
        raise ValueError(f"{source}: the mean over seeds must be {result.predictor}.parquet")
    return result


def _task(path: Path, result: Result, release: Release) -> Task:
    try:
        return release.task(result.task)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_proven(path: Path, result: Result, again: Result, *, intervals: bool) -> None:
    """Check that a result says what its predictions, scored again, say.

    Args:
        path: Of the result, for messages.
        result: As it is stored.
        again: Of the same predictions, scored now.
        intervals: Whether intervals are compared, too.

    Raises:
        ValueError: If a number is missing, does not belong there, or is another.
    """
    found, proven = dict(_numbers(result)), dict(_numbers(again))
    for name in dict.fromkeys([*found, *proven]):
        if not intervals and name.endswith(INTERVAL):
            continue
        one, other = found.get(name), proven.get(name)
        if name not in found:
            raise ValueError(f"{path}: `{name}` is missing; from its predictions it is {other!r}")
        if name not in proven:
            raise ValueError(f"{path}: `{name}` (={one!r}) does not follow from its predictions")
        if not _is_equal(one, other):
            raise ValueError(f"{path}: `{name}` (={one!r}) is {other!r} from its predictions")


def _numbers(result: Result) -> Iterator[tuple[str, object]]:
    """Yield the full name and the value of all that predictions prove."""

    def walk(name: str, value: object) -> Iterator[tuple[str, object]]:
        if not isinstance(value, Mapping):
            yield name, value
            return
        for key, entry in value.items():
            yield from walk(f"{name}.{key}", entry)

    for field in PROVEN:
        yield from walk(field, encode(getattr(result, field)))


def _is_equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return one == other


def rescore_all(jobs: Sequence[Rescoring], *, processes: int = 2) -> list[str]:
    """Return the problem of each result, in order; an empty string if there is none.

    Args:
        jobs: The results to rescore.
        processes: How many run at a time. With 1, no process is started.
    """
    progress = Progress("results", len(jobs))
    calls = [partial(_find_problem, job) for job in jobs]
    here = processes == 1 or len(jobs) < 2
    done: Iterator[tuple[int, str | EndedEarlyError]] = (
        enumerate(call() for call in calls) if here else run_in_processes(calls, processes)
    )
    problems = {}
    for number, problem in done:
        ended = isinstance(problem, EndedEarlyError)
        problems[number] = f"{jobs[number].path}: {problem}" if ended else str(problem)
        progress.advance()
    return [problems[number] for number in range(len(jobs))]


def _find_problem(job: Rescoring) -> str:
    """Return the problem of a result; an empty string if there is none."""
    try:
        rescore(job)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def raise_level(path: Path, verification: Verification) -> None:
    """Write a result anew with another verification level."""
    result = replace(read_result(path), verification=verification)
    write_atomically(path, f"{to_text(encode(result))}\n")


def result_paths(results: Path, predictors: Sequence[str] = ()) -> list[Path]:
    """Return the paths of all results, or of those of some predictors, by task and predictor."""
    found = sorted(results.glob("*/*.json"))
    return [path for path in found if not predictors or path.stem in predictors]
