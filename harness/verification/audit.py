"""Verifies folders of results: their sources, their numbers and, on request, their code.

Verification levels: `self-reported` means that nothing is verified; `rescored` that the scores
follow from the stored predictions; `rerun` that the stored predictions are those that the code gave
when a maintainer ran it (`harness.verification.rerun`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.release import INSTALLED, Release
from benchmark.util.unknown_name import unknown_name
from harness.predictors.registry import PREDICTORS
from harness.results.ceiling import ceiling_paths
from harness.results.contents import check_contents
from harness.results.store import read_result, result_path, write_result
from harness.running.submission import find_submission, submission_names, submissions_folder
from harness.search.tracks.stored import search_problems
from harness.verification.claims import check_level, check_source
from harness.verification.references import References, read_references, renew_references
from harness.verification.rerun import MINUTES, Rerun, read_reruns, rerun, write_rerun
from harness.verification.rescore import (
    Rescoring,
    ceiling_problem,
    raise_level,
    rescore_all,
    result_paths,
)


@dataclass(frozen=True, slots=True)
class Request:
    """Which results to verify, and how.

    Attributes:
        results: Folder of results; the folder `submissions` lies beside it.
        predictors: Names of the predictors to verify; all if empty.
        shard: (i, n) checks the intervals of every n-th result of reference predictors, starting
            with the i-th. Scores, and intervals of submissions, are always checked.
        intervals: Whether to check intervals at all; those of tau on test follow from
            `tau_resamples`, which are always checked.
        published: Whether every result must be of a reference predictor or of a submission, and
            every submission and recorded reference have its results.
        processes: How many processes run at a time.
    """

    results: Path
    predictors: tuple[str, ...] = ()
    shard: tuple[int, int] = (1, 1)
    release: Release = INSTALLED
    intervals: bool = True
    published: bool = True
    processes: int = 2

    def __post_init__(self) -> None:
        """Check the shard."""
        index, count = self.shard
        if not 1 <= index <= count:
            raise ValueError(f"`shard` (={index}/{count}) must be i/n with i from 1 to n")


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a verification.

    Attributes:
        proven: Results whose scores and intervals follow from their predictions.
        values: Results whose scores follow from their predictions; intervals were not checked.
        unproven: Results that cannot be rescored: those of failed predictors.
        wrong: The problem of each wrong result or ceiling, by path; it starts with a path.
        missing: Messages about results that are not there.
    """

    proven: tuple[Path, ...]
    values: tuple[Path, ...]
    unproven: tuple[Path, ...]
    wrong: Mapping[Path, str]
    missing: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """All problems."""
        return (*self.wrong.values(), *self.missing)


def verify(request: Request) -> Report:
    """Return which results of a folder are right and wrong; write and execute nothing.

    If anything lies there or in the folder of submissions that `check_contents` refuses, these are
    all problems, and nothing is read.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a predictor has no results there.
    """
    paths = _select_paths(request)
    submissions = submissions_folder(request.results)
    if strays := check_contents(request.results, submissions):
        return Report((), (), (), {}, tuple(strays))
    reruns, references = read_reruns(request.results), read_references(request.results)
    wrong: dict[Path, str] = {}
    jobs: list[Rescoring] = []
    unproven: list[Path] = []
    number = 0  # results of reference predictors so far
    for path in paths:
        try:
            result = read_result(path)
            if request.published:
                check_source(path, result, submissions, references)
            check_level(path, result, reruns, submissions)
        except (ValueError, OSError) as error:
            wrong[path] = str(error)
            continue
        if result.status == "failed":
            unproven.append(path)
            continue
        number += result.predictor in PREDICTORS
        in_shard = number % request.shard[1] == request.shard[0] % request.shard[1]
        intervals = request.intervals and (in_shard or result.predictor not in PREDICTORS)
        jobs.append(Rescoring(path, intervals, request.release))
    rescored = rescore_all(jobs, processes=request.processes)
    wrong |= {job.path: text for job, text in zip(jobs, rescored, strict=True) if text}
    for path in ceiling_paths(request.results):
        if problem := ceiling_problem(path, request.release):
            wrong[path] = problem
    if not request.predictors:
        wrong |= search_problems(request.results, request.release)
    missing = _find_missing(request, submissions, references) if request.published else []
    right = [job for job in jobs if job.path not in wrong]
    return Report(
        tuple(job.path for job in right if job.intervals),
        tuple(job.path for job in right if not job.intervals),
        tuple(unproven),
        wrong,
        tuple(missing),
    )


def _select_paths(request: Request) -> list[Path]:
    if not request.results.is_dir():
        raise FileNotFoundError(f"no folder of results {str(request.results)!r}")
    known = sorted({path.stem for path in result_paths(request.results)})
    for name in request.predictors:
        if name not in known:
            raise ValueError(unknown_name("predictor", name, known))
    return result_paths(request.results, request.predictors)


def _find_missing(request: Request, submissions: Path, references: References | None) -> list[str]:
    """Return a message for each result that is recorded, or that a submission names, and missing.

    Only those of the requested predictors are looked for.
    """
    wanted: list[tuple[Path, str]] = []
    problems = []
    for name in submission_names(submissions):
        if request.predictors and name not in request.predictors:
            continue
        try:
            tasks = find_submission(submissions, name).tasks
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        paths = (result_path(request.results, task, name) for task in tasks)
        wanted += [(path, f"the result of submission {name!r}") for path in paths]
    for task, digests in (references.results if references else {}).items():
        names = set(request.predictors or digests) & digests.keys()
        paths = (result_path(request.results, task, name) for name in sorted(names))
        wanted += [(path, "the recorded result") for path in paths]
    return problems + [f"{path}: {what} is missing" for path, what in wanted if not path.is_file()]


def raise_levels(request: Request, report: Report) -> list[Path]:
    """Raise proven results from `self-reported` to `rescored`, and return their paths."""
    raised = [p for p in report.proven if read_result(p).verification == "self-reported"]
    for path in raised:
        raise_level(path, "rescored")
    if raised:
        renew_references(request.results, raised)
    return raised


def rerun_all(
    request: Request,
    paths: Sequence[Path],
    *,
    minutes: float = MINUTES,
    fresh: Release | None = None,
) -> list[Rerun]:
    """Run the code of proven results again, record each rerun, and store what the code gave.

    Raises:
        ValueError: If code cannot be run or gives other predictions; earlier reruns are kept.
    """
    entries = []
    for path in paths:
        job = Rescoring(path, intervals=False, release=request.release)
        submissions = submissions_folder(request.results)
        entry, result, table = rerun(job, submissions, minutes=minutes, fresh=fresh)
        write_rerun(request.results, entry)
        write_result(request.results, result, table)
        renew_references(request.results, [path])
        entries.append(entry)
    return entries
