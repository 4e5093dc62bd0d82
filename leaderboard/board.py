"""The board: the results of every task, checked against each other and ranked.

Rows are sorted by Kendall's tau on test, best first: the mean over seeds of single fits. A *rank*
is a range that the significant differences allow: its first rank is one more than the number of
predictors that are significantly better, and its last one is the number of predictors that are not
significantly worse. `harness.scoring.differences` tests all pairs of a task at once.

Before training (k = 0), scores are also shown relative to the ceiling of their networks. Later, the
observed epochs carry information about their run, and no ceiling is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.release import INSTALLED, Release
from benchmark.space.imagesets import IMAGES
from benchmark.space.skeletons import SKELETONS
from benchmark.tasks import group_of
from harness.results.ceiling import Ceiling, ceiling_paths, read_ceiling
from harness.results.contents import require_contents
from harness.results.predictions import mean_table
from harness.results.result import Result, tau_samples
from harness.results.store import read_with_predictions
from harness.running.submission import submissions_folder
from harness.scoring.differences import Differences, pairwise_differences
from harness.scoring.targets import SCORED_SPLITS
from harness.search.result import SearchResult
from harness.search.tracks.stored import read_searches
from harness.verification.audit import Request, verify

ABOVE_CEILING = "above the ceiling"  # flag of a tau above the interval of its ceiling


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A result on the board. All but the result and its flags is None for a failed predictor.

    Attributes:
        result: The result.
        rank: First and last rank that the significant differences allow, from 1.
        predictions: Mean predictions over seeds, a table of `mean_table`.
        flags: Warnings for readers of the scores: those of the result, and `above the ceiling`.
        share: Mean tau over held-out skeletons, divided by the mean of their ceilings; None after
            training has started.
        rankable: Mean tau over the held-out skeletons with a ceiling whose interval is above 0;
            None after training has started.
        spread: Standard deviation of tau between held-out skeletons.
    """

    result: Result
    rank: tuple[int, int] | None
    predictions: pa.Table | None
    flags: tuple[str, ...]
    share: float | None = None
    rankable: float | None = None
    spread: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TaskBoard:
    """All results of a task.

    Attributes:
        name: Name of the task.
        images: Name of the image set of the networks.
        observed: Number of observed epochs.
        target: Name of the curve that is predicted.
        networks: Number of networks in each split.
        rows: At least one row, best first; failed predictors come last.
        differences: Tested differences of tau on test between the scored predictors, in the order
            of the rows.
        ceiling: Ceiling of the image set; None if it has none or epochs are observed.
    """

    name: str
    images: str
    observed: int
    target: str
    networks: Mapping[str, int]
    rows: tuple[Row, ...]
    differences: Differences
    ceiling: Ceiling | None


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """All tasks, ceilings and searches.

    Attributes:
        tasks: Tasks, sorted by image set and observed epochs; transfer tasks come last.
        ceilings: Ceiling of each image set that has one, by image set.
        left_out: The problem of each result or ceiling that was left out.
        searches: Results of search algorithms.
    """

    tasks: tuple[TaskBoard, ...]
    ceilings: Mapping[str, Ceiling]
    left_out: tuple[str, ...] = ()
    searches: tuple[SearchResult, ...] = ()


def verified_board(folder: Path, release: Release = INSTALLED, *, own: Path | None = None) -> Board:
    """Return the board of the results whose every value follows from the release.

    Values are computed again from the predictions, ceilings from the runs. Wrong ones are left out.
    The folders are as for `read_board`.

    Raises:
        ValueError: If no result is right, or anything lies there or in the folder of submissions
            that `check_contents` refuses.
        FileNotFoundError: If the folder does not exist.
    """
    wrong: dict[Path, str] = {}
    for place in filter(None, (own, folder)):
        request = Request(place, release=release, intervals=False, published=False)
        wrong |= verify(request).wrong
    return read_board(folder, wrong, own=own)


def read_board(
    folder: Path, left_out: Mapping[Path, str] | None = None, *, own: Path | None = None
) -> Board:
    """Return the board of the results of a folder, without computing their values again.

    Args:
        folder: Folder of results.
        left_out: The results and ceilings to leave out, each with its problem.
        own: Folder of one's own results to add; they count instead of others of the same name.

    Raises:
        ValueError: If there is no result, one breaks a rule, or anything lies there or in the
            folder of submissions that `check_contents` refuses.
        FileNotFoundError: If a folder does not exist.
    """
    problems = left_out or {}
    paths: dict[tuple[str, str], Path] = {}
    for place in filter(None, (folder, own)):
        if not place.is_dir():
            raise FileNotFoundError(f"no folder of results {str(place)!r}")
        require_contents(place, submissions_folder(place))
        paths |= {(p.parent.name, p.stem): p for p in place.glob("*/*.json") if p not in problems}
    entries: dict[str, list[tuple[Result, pa.Table | None]]] = {}
    for _, path in sorted(paths.items()):
        result, table = read_with_predictions(path)
        mean = None if table is None else mean_table(table)
        entries.setdefault(result.task, []).append((result, mean))
    if not entries:
        text = f"no result <task>/<predictor>.json in {str(folder)!r}"
        first, more = next(iter(problems.values()), ""), len(problems) - 1
        raise ValueError(f"{text}{first and f'; {first}'}{f' (and {more} more)' * (more > 0)}")
    places = [place for place in (own, folder) if place is not None]
    found = [path for place in places for path in ceiling_paths(place) if path not in problems]
    ceilings = {ceiling.images: ceiling for ceiling in map(read_ceiling, reversed(found))}
    tasks = [task_board(of, ceilings.get(of[0][0].images)) for of in entries.values()]
    tasks.sort(key=lambda task: ([*IMAGES].index(task.images), task.observed, task.name))
    tasks.sort(key=lambda task: group_of(task.name) != task.images)
    searches = read_searches(places, problems)
    return Board(tuple(tasks), ceilings, tuple(problems.values()), tuple(searches))


def task_board(
    entries: Sequence[tuple[Result, pa.Table | None]], ceiling: Ceiling | None = None
) -> TaskBoard:
    """Return the board of a task.

    Args:
        entries: At least one result of the task, each with its predictions; None if it failed.
        ceiling: Ceiling of the image set, if it has one.

    Raises:
        ValueError: If a result was scored without resamples.
    """
    results = [result for result, _ in entries]
    first = results[0]
    tables = {result.predictor: table for result, table in entries if table is not None}
    known = ceiling if first.observed == 0 else None
    scored = [result for result in results if result.status == "scored"]
    scored.sort(key=lambda result: (-float(tau_samples(result)[0]), result.predictor))
    differences = pairwise_differences({r.predictor: tau_samples(r) for r in scored}, higher=True)
    ranks = differences.ranks()
    rows = [
        _score_row(result, ranks[result.predictor], tables.get(result.predictor), known)
        for result in scored
    ]
    failed = sorted((r for r in results if r.status == "failed"), key=lambda r: r.predictor)
    rows += [Row(result, None, None, result.flags) for result in failed]
    return TaskBoard(
        first.task,
        first.images,
        first.observed,
        first.target,
        first.networks,
        tuple(rows),
        differences,
        known,
    )


def _score_row(
    result: Result, rank: tuple[int, int], predictions: pa.Table | None, ceiling: Ceiling | None
) -> Row:
    """Return the row of a scored result."""
    taus = held_out_taus(result)
    spread = float(np.std(list(taus.values()), ddof=1)) if len(taus) > 1 else None
    if ceiling is None:
        return Row(result, rank, predictions, result.flags, spread=spread)
    above = any(
        (high := ceiling.tau(split).high) is not None
        and (tau := result.scores.get(split, {}).get("tau")) is not None
        and tau.value is not None
        and tau.value > high
        for split in SCORED_SPLITS
    )
    flags = (*result.flags, ABOVE_CEILING) if above else result.flags
    whole = ceiling.tau("heldout").value
    share = float(np.mean(list(taus.values()))) / whole if taus and whole else None
    rankable = [tau for name, tau in taus.items() if ceiling.is_rankable(name)]
    mean_of_rankable = float(np.mean(rankable)) if rankable else None
    return Row(result, rank, predictions, flags, share, mean_of_rankable, spread)


def held_out_taus(result: Result) -> dict[str, float]:
    """Return tau on each held-out skeleton on which it is defined."""
    taus = {}
    for name, skeleton in SKELETONS.items():
        tau = result.scores.get(f"skeleton/{name}", {}).get("tau")
        if skeleton.held_out and tau is not None and tau.value is not None:
            taus[name] = tau.value
    return taus
