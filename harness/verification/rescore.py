"""Scores stored predictions again and checks that the result has the same numbers.

Predictions prove the scores, their intervals and spread over seeds, the flags, and all fields that
follow from the task. They do not prove title, environment, seconds and counts: these remain
self-reported, even in a result at level `rescored`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmark.release import INSTALLED, Release
from benchmark.runs import sha256, split_path
from benchmark.space.splits import SPLITS
from benchmark.util.locks import locked_folder
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from benchmark.util.strict_json import encode
from harness.metrics.bootstrap import RESAMPLES
from harness.results.ceiling import build_ceiling, is_same, read_ceiling
from harness.results.result import Result, Verification
from harness.results.store import predictions_path, read_result, write_json
from harness.task_data import TaskTargets, load_targets
from harness.verification.checked import check_path, remember
from harness.verification.prediction_file import score_predictions

TOLERANCE = 1e-9  # absolute and relative; sums differ by less between processors
PROVEN = (
    "task_digest", "images", "observed", "target", "harness_version", "seeds", "flags",
    "networks", "observed_epochs_total", "scores", "scores_test_accuracy", "scores_valid_loss",
    "tau_resamples",
)  # fmt: skip
INTERVAL = (".low", ".high")
TOGETHER = 8  # results of a task that one process scores, with targets that are read once


@dataclass(frozen=True, slots=True)
class Rescoring:
    """A result to score again.

    Attributes:
        path: Path of the result.
        intervals: Whether to compute intervals too, which takes most of the time.
    """

    path: Path
    intervals: bool = True
    release: Release = INSTALLED


def rescore(job: Rescoring, targets: TaskTargets | None = None) -> Result:
    """Return a result after checking that its scores follow from its stored predictions.

    The targets are read from the release if they are not given.

    Raises:
        ValueError: If they do not; the message names the result, the field and both values.
        OSError: If a file cannot be read.
    """
    result = read_result(job.path)
    try:
        task = job.release.task(result.task)
    except ValueError as error:
        raise ValueError(f"{job.path}: {error}") from error
    resamples = RESAMPLES if job.intervals else 0
    source = predictions_path(job.path, result)
    again, _ = score_predictions(
        source, task, release=job.release, resamples=resamples, targets=targets
    )
    check_proven(job.path, result, again, intervals=job.intervals)
    return result


def check_proven(path: Path, result: Result, again: Result, *, intervals: bool) -> None:
    """Check that a result has the values of `again`, the score of the same predictions now.

    Messages start with `path`. Intervals are compared only if `intervals` is true.

    Raises:
        ValueError: If a value is missing, superfluous or different.
    """
    stored, proven = dict(_proven_values(result)), dict(_proven_values(again))
    for name in dict.fromkeys([*stored, *proven]):
        if not intervals and name.endswith(INTERVAL):
            continue
        one, other = stored.get(name), proven.get(name)
        if name not in stored:
            raise ValueError(f"{path}: `{name}` is missing; from its predictions it is {other!r}")
        if name not in proven:
            raise ValueError(f"{path}: `{name}` (={one!r}) does not follow from its predictions")
        if not _is_equal(one, other):
            raise ValueError(f"{path}: `{name}` (={one!r}) is {other!r} from its predictions")


def _proven_values(result: Result) -> Iterator[tuple[str, object]]:
    """Yield the dotted name and the value of everything that predictions prove."""

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

    A result that this version found right before is not scored again (`checked`), but its files and
    the rows of its task are checked. If `processes` is 1, no process is started.
    """
    problems: dict[int, str] = {}
    groups: dict[tuple[str, bool], list[int]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault((job.path.parent.name, is_known(job)), []).append(number)
    parts = []
    for (_, known), numbers in groups.items():
        if known:
            found = find_problems([jobs[number] for number in numbers])
            problems |= dict(zip(numbers, found, strict=True))
        else:
            parts += [numbers[i : i + TOGETHER] for i in range(0, len(numbers), TOGETHER)]
    calls = [partial(find_problems, [jobs[number] for number in part]) for part in parts]
    here = processes == 1 or len(calls) < 2
    done: Iterator[tuple[int, list[str] | EndedEarlyError]] = (
        enumerate(call() for call in calls) if here else run_in_processes(calls, processes)
    )
    progress = Progress("results", sum(map(len, parts)))
    for index, texts in done:
        if isinstance(texts, EndedEarlyError):
            texts = [f"{jobs[number].path}: {texts}" for number in parts[index]]
        problems |= dict(zip(parts[index], texts, strict=True))
        progress.advance(len(parts[index]))
    return [problems[number] for number in range(len(jobs))]


def _checks(job: Rescoring) -> list[Path]:
    """Return the paths that remember a check of a result with and without its intervals.

    Raises:
        ValueError: If the release does not have the task.
        OSError: If the result cannot be read.
    """
    digest = job.release.task(job.path.parent.name).digest.encode()
    content = job.path.read_bytes()
    return [check_path(content, digest, name) for name in (b"intervals", b"values")]


def is_known(job: Rescoring) -> bool:
    """Return whether a result was found right before, with its intervals if they are asked for."""
    try:
        with_intervals, values = _checks(job)
    except (ValueError, OSError):
        return False
    return with_intervals.exists() or (not job.intervals and values.exists())


def find_problems(jobs: Sequence[Rescoring]) -> list[str]:
    """Return the problem of each result of a task; an empty string if there is none."""
    release = jobs[0].release
    try:
        targets = load_targets(release.task(jobs[0].path.parent.name), release)
    except (ValueError, OSError) as error:
        return [f"{job.path}: {error}" for job in jobs]
    return [_find_problem(job, targets) for job in jobs]


def _find_problem(job: Rescoring, targets: TaskTargets) -> str:
    try:
        if is_known(job):
            read_result(job.path)
        else:
            rescore(job, targets)
            remember(_checks(job)[0 if job.intervals else 1])
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def raise_level(path: Path, verification: Verification) -> None:
    """Change the verification level of a stored result."""
    with locked_folder(path.parents[1]):
        write_json(path, replace(read_result(path), verification=verification))


def result_paths(results: Path, predictors: Sequence[str] = ()) -> list[Path]:
    """Return the paths of all results, or of those of some predictors, by task and predictor."""
    paths = sorted(results.glob("*/*.json"))
    return [path for path in paths if not predictors or path.stem in predictors]


def ceiling_problem(path: Path, release: Release = INSTALLED) -> str:
    """Return why a ceiling does not follow from the runs; an empty string if it does."""
    try:
        stored = read_ceiling(path)
        files = [split_path(stored.images, split, release.folder) for split in SPLITS]
        digests = [sha256(file).encode() for file in files if file.exists()]
        memory = check_path(path.read_bytes(), *digests)
        if memory.exists():
            return ""
        built = build_ceiling(stored.images, release)
    except (ValueError, OSError) as error:
        return f"{path}: {error}".replace(f"{path}: {path}: ", f"{path}: ")
    if built is None or not is_same(stored, built):
        return f"{path}: the ceiling is not that of the runs; `peephole board record` rewrites it"
    remember(memory)
    return ""
