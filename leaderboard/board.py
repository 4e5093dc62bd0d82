"""The board: the results of every task, checked against each other, ranked, and in tie bands.

Rows are sorted by Kendall's tau on test, best first. A *tie band* is a group of consecutive rows
whose intervals overlap the interval of the band's first row; the first row whose interval lies
entirely below starts the next band. A *rank* is a range: its first rank is one more than the number
of predictors whose intervals lie entirely above, and its last rank is the number of predictors
whose intervals do not lie entirely below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from benchmark.release import INSTALLED, Release
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.space.layer_walk import LayerRow, walk
from harness.results.folder import results_folder
from harness.results.predictions import predicted_epochs
from harness.results.result import Ceiling, Result, read_ceiling, read_with_predictions
from harness.scoring.score_rules import is_average, variance
from harness.scoring.targets import Targets
from harness.task_data import build_targets, evaluation_rows
from harness.verification.rerun import check_claim, read_reruns

RESULTS = Path(__file__).parent / "results"
RELATIVE_TOLERANCE = 1e-6  # between variances of the targets that are computed from mse and r2


def results_here() -> Path:
    """Return the results folder of the working directory, or the package's if there is none."""
    folder = results_folder(None)
    return folder if folder.is_dir() else RESULTS


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A result on the board.

    Attributes:
        result: The result.
        band: Number of its tie band, from 1; None for a failed predictor.
        rank: First and last rank that the intervals allow, from 1; None for a failed predictor.
        predictions: Rows of the predictions file; None for a failed predictor.
    """

    result: Result
    band: int | None
    rank: tuple[int, int] | None
    predictions: pa.Table | None


@dataclass(frozen=True, slots=True, eq=False)
class TaskBoard:
    """All results of a task.

    Attributes:
        name: Name of the task.
        images: Name of the image set.
        observed: Number of observed epochs.
        target: Name of the curve that is predicted.
        networks: Number of networks in each split.
        rows: At least one row, best first; failed predictors come last.
    """

    name: str
    images: str
    observed: int
    target: str
    networks: Mapping[str, int]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """All tasks and ceilings.

    Attributes:
        tasks: Tasks, sorted by image set and observed epochs.
        ceilings: Ceiling of each image set that has one, by image set.
    """

    tasks: tuple[TaskBoard, ...]
    ceilings: Mapping[str, Ceiling]


@dataclass(frozen=True, slots=True, eq=False)
class TaskNetworks:
    """The networks of a task, which the page shows together with the predictions.

    Attributes:
        targets: True curves of the task's test and held-out runs.
        layer_rows: Layer walk of each run's network, in the order of the targets.
    """

    targets: Targets
    layer_rows: tuple[tuple[LayerRow, ...], ...]

    def __post_init__(self) -> None:
        """Check that there is one layer walk for each run."""
        if len(self.layer_rows) != len(self.targets.run_ids):
            raise ValueError(
                f"layer_rows (={len(self.layer_rows)} networks) must have one entry per run "
                f"({len(self.targets.run_ids)})"
            )


def load_networks(task_name: str, release: Release = INSTALLED) -> TaskNetworks:
    """Read the networks of a task from the data.

    Args:
        task_name: Name of a frozen task.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If the task is unknown, or its runs are missing from the data or differ.
        FileNotFoundError: If a split is missing from the data.
    """
    task = release.task(task_name)
    images = get_images(task.images)
    rows, splits = evaluation_rows(release.task_tables(task))
    targets = build_targets(task, rows, splits).valid_accuracy
    architectures = map(from_record, rows["architecture"].to_pylist())
    layer_rows = tuple(walk(architecture, images) for architecture in architectures)
    return TaskNetworks(targets, layer_rows)


def load_all_networks(board: Board) -> dict[str, TaskNetworks]:
    """Return the networks of every task of a board, by task name. Raises as `load_networks`."""
    return {task.name: load_networks(task.name) for task in board.tasks}


def read_board(folder: Path) -> Board:
    """Read and check all results of a folder and return their board.

    Raises:
        ValueError: If there is no result, a result breaks a rule, or two contradict each other.
        FileNotFoundError: If the folder does not exist.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of results {str(folder)!r}")
    entries: dict[str, list[tuple[Result, pa.Table | None]]] = {}
    reruns = read_reruns(folder)
    for path in sorted(folder.glob("*/*.json")):
        result, predictions = read_with_predictions(path)
        check_claim(path, result, reruns)
        entries.setdefault(result.task, []).append((result, predictions))
    if not entries:
        raise ValueError(f"no result <task>/<predictor>.json in {str(folder)!r}")
    tasks = [task_board(of_task) for of_task in entries.values()]
    order = list(IMAGES)
    tasks.sort(key=lambda task: (order.index(task.images), task.observed, task.name))
    ceilings = [read_ceiling(path) for path in sorted(folder.glob("ceiling-*.json"))]
    return Board(tuple(tasks), {ceiling.images: ceiling for ceiling in ceilings})


def task_board(entries: Sequence[tuple[Result, pa.Table | None]]) -> TaskBoard:
    """Return the board of a task.

    Args:
        entries: At least one result of the task, each with its predictions; None if it failed.

    Raises:
        ValueError: If two results contradict each other.
    """
    results = [result for result, _ in entries]
    check_agreement(results)
    first = results[0]
    tables = {result.predictor: table for result, table in entries if table is not None}
    _check_networks(first.task, tables)
    rows = tuple(
        Row(result, band, rank, tables.get(result.predictor))
        for result, band, rank in rank_results(results)
    )
    return TaskBoard(first.task, first.images, first.observed, first.target, first.networks, rows)


def check_agreement(results: Sequence[Result]) -> None:
    """Check that results of a task agree with each other.

    Raises:
        ValueError: If the task's digest, image set, observed epochs, target or networks differ, or
            if mse and r2 imply different variances of the targets.
    """
    first = results[0]
    for other in results[1:]:
        for field in ("task_digest", "images", "observed", "target", "networks"):
            one, two = getattr(first, field), getattr(other, field)
            if one != two:
                raise ValueError(
                    f"task {first.task!r}: `{field}` of {first.predictor!r} (={one!r}) and of "
                    f"{other.predictor!r} (={two!r}) must be the same"
                )
    for field in ("scores", "scores_test_accuracy"):
        _check_variance(results, field)


def _check_variance(results: Sequence[Result], field: str) -> None:
    """Check that mse / (1 - r2), the variance of the targets, is the same for all predictors."""
    known: dict[str, tuple[str, float]] = {}
    for result in results:
        for stratum, metrics in getattr(result, field).items():
            implied = None if is_average(stratum) else variance(metrics)
            if implied is None:
                continue
            predictor, expected = known.setdefault(stratum, (result.predictor, implied))
            if abs(implied - expected) > RELATIVE_TOLERANCE * expected:
                raise ValueError(
                    f"task {result.task!r}: `{field}.{stratum}` of {result.predictor!r} implies "
                    f"targets with variance mse / (1 - r2) = {implied:.6g}, that of {predictor!r} "
                    f"{expected:.6g}"
                )


def _check_networks(task: str, tables: Mapping[str, pa.Table]) -> None:
    """Check that all predictions are for the same networks and have the same last epoch."""
    first: tuple[str, tuple[frozenset[str], int]] | None = None
    for predictor, table in tables.items():
        predicted = (frozenset(table["run_id"].to_pylist()), predicted_epochs(table)[-1])
        if first is not None and predicted != first[1]:
            raise ValueError(
                f"task {task!r}: predictions of {predictor!r} and of {first[0]!r} must be for the "
                "same networks and have the same last epoch"
            )
        first = first or (predictor, predicted)


def rank_results(
    results: Sequence[Result],
) -> list[tuple[Result, int | None, tuple[int, int] | None]]:
    """Return results with tie band and rank, sorted by tau on test, best first; failed ones last.

    Ties are sorted by the predictors' names.
    """
    scored = [result for result in results if result.status == "scored"]
    scored.sort(key=lambda result: (-_interval(result)[1], result.predictor))
    intervals = [_interval(result) for result in scored]
    failed = sorted((r for r in results if r.status == "failed"), key=lambda r: r.predictor)
    ranked: list[tuple[Result, int | None, tuple[int, int] | None]] = [
        (result, band, rank)
        for result, band, rank in zip(scored, bands(intervals), ranks(intervals), strict=True)
    ]
    return ranked + [(result, None, None) for result in failed]


def _interval(result: Result) -> tuple[float, float, float]:
    """Return low, value and high of tau on test; all are the value if the interval is undefined."""
    score = result.scores["test"]["tau"]
    assert score.value is not None  # checked when the result is read
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    return low, score.value, high


def bands(intervals: Sequence[tuple[float, float, float]]) -> list[int]:
    """Return the number of the tie band of each interval, from 1.

    Args:
        intervals: Low, value and high of each predictor, sorted by value, best first.

    >>> bands([(0.7, 0.8, 0.9), (0.6, 0.7, 0.8), (0.5, 0.6, 0.65), (0.6, 0.6, 0.7)])
    [1, 1, 2, 2]
    """
    numbers: list[int] = []
    band, floor = 0, float("inf")  # floor: lower end of the band's first interval
    for low, _, high in intervals:
        if high < floor:
            band, floor = band + 1, low
        numbers.append(band)
    return numbers


def ranks(intervals: Sequence[tuple[float, float, float]]) -> list[tuple[int, int]]:
    """Return the first and last rank that the intervals allow each predictor, from 1.

    Args:
        intervals: Low, value and high of each predictor, in any order.

    >>> ranks([(0.7, 0.8, 0.9), (0.6, 0.7, 0.8), (0.3, 0.4, 0.5)])
    [(1, 2), (1, 2), (3, 3)]
    """
    return [
        (
            1 + sum(other_low > high for other_low, _, _ in intervals),
            len(intervals) - sum(other_high < low for _, _, other_high in intervals),
        )
        for low, _, high in intervals
    ]
