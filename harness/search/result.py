"""The result of a search: what each repeat chose and when, and the scores that follow from it.

*Regret* is the best final validation accuracy of the pool minus that of the chosen network, whose
stored run is the one that the search trained. Before a search has chosen, it is the mean of the
pool. The *area* is the mean regret over the budgets of `Budget.points`. Intervals are those of the
mean over repeats, from a bootstrap of repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.util.locks import locked_folder
from benchmark.util.rng import generator_for
from benchmark.util.strict_json import read_record, refuse
from harness.metrics.bootstrap import RESAMPLES, Array, interval
from harness.results.result import HARNESS_VERSION, Environment, environment
from harness.results.store import write_json
from harness.scoring.scores import Score
from harness.search.budget import Budget
from harness.search.pool import Pool
from harness.search.session import Choice

SCHEMA_VERSION = 1
FOLDER = "search"  # in a folder of results
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of an algorithm on a pool.

    Attributes:
        schema_version: Version of the format.
        images: Image set of the pool.
        algorithm: Name of the algorithm.
        title: What it does, on one line.
        budget: What each repeat could spend.
        repeats: Number of searches, with seeds 0, 1, 2, ... and an order of the pool each.
        networks: Number of networks in the pool.
        regret: Mean regret at each budget of `Budget.points`.
        area: Mean of `regret` over these budgets.
        found_best: Share of the repeats whose last choice has no regret.
        test_regret: The best final test accuracy of the pool minus that of the last choice.
        spent_epochs: Mean epochs spent.
        spent_seconds: Mean measured seconds of these epochs.
        own_seconds: Mean seconds of the algorithm itself, fits of its predictor included, on the
            machine that ran the search; no part of a budget.
        choices: The choices of each repeat; networks are numbered by architecture id.
        harness_version: Version of the harness.
        environment: Versions of what is installed.
    """

    schema_version: int
    images: str
    algorithm: str
    title: str
    budget: Budget
    repeats: int
    networks: int
    regret: tuple[Score, ...]
    area: Score
    found_best: float
    test_regret: Score
    spent_epochs: float
    spent_seconds: float
    own_seconds: float
    choices: tuple[tuple[Choice, ...], ...]
    harness_version: str
    environment: Environment


def regret_curves(
    choices: Sequence[Sequence[Choice]], pool: Pool, budget: Budget
) -> NDArray[np.float64]:
    """Return the regret of each repeat at each budget, (repeats, budgets)."""
    regret = pool.regret
    steps = [[(getattr(c, budget.unit), regret[c.network]) for c in made] for made in choices]
    return step_curves(steps, float(regret.mean()), budget)


def step_curves(
    steps: Sequence[Sequence[tuple[float, float]]], before: float, budget: Budget
) -> NDArray[np.float64]:
    """Return the regret of each repeat at each budget, (repeats, budgets).

    Args:
        steps: Cost of each choice of a repeat, ascending, and its regret.
        before: Regret before the first choice.
        budget: The budget.
    """
    curves = np.full((len(steps), len(budget.points())), before)
    for curve, made in zip(curves, steps, strict=True):
        costs = np.array([cost for cost, _ in made])
        for place, point in enumerate(budget.points()):
            known = int(np.searchsorted(costs, point + TOLERANCE, side="right"))
            if known:
                curve[place] = made[known - 1][1]
    return curves


def mean_score(values: Array) -> Score:
    """Return the mean over repeats of values (repeats,), with its interval."""
    rng = generator_for("search-repeats-v1", len(values))
    drawn = rng.integers(len(values), size=(RESAMPLES, len(values)))
    low, high = interval(values[drawn].mean(axis=1)) or (None, None)
    return Score(float(values.mean()), low, high)


def score_search(
    pool: Pool,
    algorithm: str,
    title: str,
    budget: Budget,
    choices: Sequence[Sequence[Choice]],
    spent: Array,
) -> SearchResult:
    """Return the result of the repeats of an algorithm.

    Args:
        pool: The networks.
        algorithm: Name of the algorithm.
        title: What it does.
        budget: The budget of each repeat.
        choices: The choices of each repeat.
        spent: Epochs, their seconds, and the algorithm's own seconds of each repeat, (repeats, 3).
    """
    curves = regret_curves(choices, pool, budget)
    last = np.array([made[-1].network for made in choices])
    test_regret = pool.test_accuracy.max() - pool.test_accuracy[last]
    epochs, seconds, own = spent.mean(axis=0).tolist()
    return SearchResult(
        schema_version=SCHEMA_VERSION,
        images=pool.images,
        algorithm=algorithm,
        title=title,
        budget=budget,
        repeats=len(choices),
        networks=len(pool),
        regret=tuple(mean_score(values) for values in curves.T),
        area=mean_score(curves.mean(axis=1)),
        found_best=float((pool.regret[last] <= TOLERANCE).mean()),
        test_regret=mean_score(test_regret),
        spent_epochs=epochs,
        spent_seconds=seconds,
        own_seconds=own,
        choices=tuple(map(tuple, choices)),
        harness_version=HARNESS_VERSION,
        environment=environment(),
    )


def search_path(folder: Path, images: str, algorithm: str, budget: Budget) -> Path:
    """Return where the result of a search lies in a folder of results."""
    name = f"{algorithm}-{budget.amount:g}-{budget.unit}.json"
    return folder / FOLDER / images / name


def write_search(folder: Path, result: SearchResult) -> Path:
    """Write a result, replacing an earlier one of the same budget, and return its path."""
    path = search_path(folder, result.images, result.algorithm, result.budget)
    with locked_folder(folder):
        write_json(path, result)
    return path


def read_search(path: Path, pool: Pool) -> SearchResult:
    """Return a stored result, after computing its scores again from the choices and the pool.

    Raises:
        ValueError: If a field breaks a rule or does not follow from the choices; the message starts
            with the path.
        OSError: If the file cannot be read.
    """
    stored = read_record(path, SearchResult)
    try:
        _check(stored, pool)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return stored


def _check(stored: SearchResult, pool: Pool) -> None:
    """Check a result against its pool."""
    for field, value in (("images", pool.images), ("networks", len(pool))):
        if getattr(stored, field) != value:
            refuse(field, getattr(stored, field), f"{value!r}, that of the pool")
    if not stored.choices or any(not made for made in stored.choices):
        raise ValueError("`choices` must have at least one choice of each repeat")
    for made in stored.choices:
        for before, after in pairwise(made):
            if after.epochs < before.epochs or after.seconds < before.seconds:
                refuse("choices", after, "no cheaper than the choice before it")
        for choice in made:
            if not 0 <= choice.network < len(pool):
                refuse("choices", choice, f"of a network in 0..{len(pool) - 1}")
            if getattr(choice, stored.budget.unit) > stored.budget.amount + TOLERANCE:
                refuse("choices", choice, "within the budget")
    spent = np.array([[stored.spent_epochs, stored.spent_seconds, stored.own_seconds]])
    again = score_search(pool, stored.algorithm, stored.title, stored.budget, stored.choices, spent)
    for field in ("repeats", "regret", "area", "found_best", "test_regret"):
        if getattr(again, field) != getattr(stored, field):
            raise ValueError(f"`{field}` does not follow from the choices and the data")
