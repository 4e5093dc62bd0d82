"""The result of a search: what each repeat chose and when, and the scores that follow from it.

Before a search has chosen, its regret is that of a random choice. The *area* is the mean regret
over the budgets of `Budget.points`. Intervals are those of the mean over repeats, from a bootstrap
of repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.util.locks import locked_folder
from benchmark.util.rng import generator_for
from benchmark.util.strict_json import refuse
from harness.metrics.bootstrap import RESAMPLES, Array, interval
from harness.results.result import HARNESS_VERSION, Environment, environment
from harness.results.store import write_json
from harness.scoring.scores import Score
from harness.search.budget import UNITS, Budget
from harness.search.registry import Track

SCHEMA_VERSION = 1
FOLDER = "search"  # in a folder of results
TOLERANCE = 1e-9
SCORES = ("repeats", "regret", "area", "found_best")  # what follows from choices


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What the results of both tracks have.

    Attributes:
        schema_version: Version of the format.
        images: Image set.
        algorithm: Name of the algorithm.
        title: What it does, on one line.
        budget: What each repeat could spend.
        repeats: Number of searches, with seeds 0, 1, 2, ...
        regret: Mean regret at each budget of `Budget.points`.
        area: Mean of `regret` over these budgets.
        found_best: Share of the repeats whose last choice has no regret.
        spent_epochs: Mean epochs spent.
        own_seconds: Mean seconds of the algorithm itself, fits of its predictor included, on the
            machine that ran the search; no part of a budget.
        harness_version: Version of the harness.
        environment: Versions of what is installed.
    """

    track: ClassVar[Track]

    schema_version: int
    images: str
    algorithm: str
    title: str
    budget: Budget
    repeats: int
    regret: tuple[Score, ...]
    area: Score
    found_best: float
    spent_epochs: float
    own_seconds: float
    harness_version: str
    environment: Environment

    def path(self, folder: Path) -> Path:
        """Return where the result lies in a folder of results."""
        name = f"{self.algorithm}-{self.budget.amount:g}-{self.budget.unit}.json"
        return folder / FOLDER / self.images / name


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
        for index, point in enumerate(budget.points()):
            known = int(np.searchsorted(costs, point + TOLERANCE, side="right"))
            if known:
                curve[index] = made[known - 1][1]
    return curves


def mean_score(values: Array) -> Score:
    """Return the mean over repeats of values (repeats,), with its interval."""
    rng = generator_for("search-repeats-v1", len(values))
    drawn = rng.integers(len(values), size=(RESAMPLES, len(values)))
    low, high = interval(values[drawn].mean(axis=1)) or (None, None)
    return Score(float(values.mean()), low, high)


def common_fields(
    steps: Sequence[Sequence[tuple[float, float]]], before: float, budget: Budget
) -> dict[str, Any]:
    """Return the fields of a result that both tracks compute alike; arguments as `step_curves`."""
    curves = step_curves(steps, before, budget)
    return {
        "schema_version": SCHEMA_VERSION,
        "budget": budget,
        "repeats": len(steps),
        "regret": tuple(mean_score(values) for values in curves.T),
        "area": mean_score(curves.mean(axis=1)),
        "found_best": float(np.mean([made[-1][1] <= TOLERANCE for made in steps])),
        "harness_version": HARNESS_VERSION,
        "environment": environment(),
    }


def write_search(folder: Path, result: SearchResult) -> Path:
    """Write a result, replacing an earlier one of the same budget, and return its path."""
    path = result.path(folder)
    with locked_folder(folder):
        write_json(path, result)
    return path


def check_choices(choices: Sequence[Sequence[Any]], budget: Budget) -> None:
    """Check that every repeat has choices, whose costs ascend and are within the budget.

    Raises:
        ValueError: If not.
    """
    if not choices or any(not made for made in choices):
        raise ValueError("`choices` must have at least one choice of each repeat")
    for made in choices:
        for before, after in pairwise(made):
            if any(getattr(after, u, 0) < getattr(before, u, 0) for u in UNITS):
                refuse("choices", after, "no cheaper than the choice before it")
        for choice in made:
            if getattr(choice, budget.unit) > budget.amount + TOLERANCE:
                refuse("choices", choice, "within the budget")


def check_scores(stored: SearchResult, again: SearchResult, *more: str) -> None:
    """Check that the scores of a stored result, and more fields, are those computed again.

    Raises:
        ValueError: If not; the message names the first such field.
    """
    for field in (*SCORES, *more):
        if getattr(again, field) != getattr(stored, field):
            raise ValueError(f"`{field}` does not follow from the choices and the data")
