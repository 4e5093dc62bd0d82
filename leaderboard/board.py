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

from benchmark.space.imagesets import IMAGES
from benchmark.space.skeletons import SKELETONS
from harness.results.ceiling import Ceiling, read_ceiling
from harness.results.folder import results_folder
from harness.results.predictions import mean_table, predicted_epochs
from harness.results.result import Result, tau_samples
from harness.results.store import read_with_predictions
from harness.scoring.differences import Differences, pairwise_differences
from harness.scoring.score_rules import is_average, variance
from harness.scoring.targets import SCORED_SPLITS
from harness.verification.rerun import check_claim, read_reruns

RESULTS = Path(__file__).parent / "results"
ABOVE_CEILING = "above the ceiling"  # flag of a tau above the interval of its ceiling
RELATIVE_TOLERANCE = 1e-6  # between variances of the targets that are computed from mse and r2


def results_here() -> Path:
    """Return the results folder of the working directory, or the package's if there is none."""
    folder = results_folder(None)
    return folder if folder.is_dir() else RESULTS


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
        rankable: Mean tau over the held-out skeletons whose ceiling's interval does not reach 0;
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
        images: Name of the image set.
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
    """All tasks and ceilings.

    Attributes:
        tasks: Tasks, sorted by image set and observed epochs.
        ceilings: Ceiling of each image set that has one, by image set.
    """

    tasks: tuple[TaskBoard, ...]
    ceilings: Mapping[str, Ceiling]


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
        result, table = read_with_predictions(path)
        check_claim(path, result, reruns)
        mean = None if table is None else mean_table(table)
        entries.setdefault(result.task, []).append((result, mean))
    if not entries:
        raise ValueError(f"no result <task>/<predictor>.json in {str(folder)!r}")
    ceilings = {c.images: c for c in map(read_ceiling, sorted(folder.glob("ceiling-*.json")))}
    tasks = [task_board(of, ceilings.get(of[0][0].images)) for of in entries.values()]
    order = list(IMAGES)
    tasks.sort(key=lambda task: (order.index(task.images), task.observed, task.name))
    return Board(tuple(tasks), ceilings)


def task_board(
    entries: Sequence[tuple[Result, pa.Table | None]], ceiling: Ceiling | None = None
) -> TaskBoard:
    """Return the board of a task.

    Args:
        entries: At least one result of the task, each with its predictions; None if it failed.
        ceiling: Ceiling of the image set, if it has one.

    Raises:
        ValueError: If two results contradict each other, or one was scored without resamples.
    """
    results = [result for result, _ in entries]
    check_agreement(results)
    first = results[0]
    tables = {result.predictor: table for result, table in entries if table is not None}
    _check_networks(first.task, tables)
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
