"""The part of the page's index that is a comparison of search algorithms."""

from collections.abc import Sequence
from itertools import groupby

from harness.scoring.scores import Score
from harness.search.open.result import OpenResult
from harness.search.pool_result import PoolResult
from harness.search.result import SearchResult

DECIMALS = 5


def search_index(searches: Sequence[SearchResult]) -> list[dict[str, object]]:
    """Return a record for each image set, space and budget, its algorithms by area."""
    ordered = sorted(searches, key=_setting)
    return [_record(list(group)) for _, group in groupby(ordered, key=_setting)]


def _setting(result: SearchResult) -> tuple[str, int, str, float]:
    """Return what searches that are compared have in common; the pool comes first."""
    skeletons = len(result.skeletons) if isinstance(result, OpenResult) else 0
    return result.images, skeletons, result.budget.unit, result.budget.amount


def _record(results: list[SearchResult]) -> dict[str, object]:
    """Return what the page shows of results with one budget."""
    first = results[0]
    return {
        "images": first.images,
        "unit": first.budget.unit,
        "budget": first.budget.amount,
        "points": list(first.budget.points()),
        "space": _space(first),
        "rows": [_row(result) for result in sorted(results, key=area_of)],
    }


def _space(result: SearchResult) -> dict[str, object]:
    """Return what was searched, and how well its surrogate predicts if there is one."""
    if isinstance(result, PoolResult):
        return {"networks": result.networks}
    assert isinstance(result, OpenResult)
    folds = [fold.tau for fold in result.surrogate.folds if fold.tau is not None]
    return {
        "skeletons": list(result.skeletons),
        "shortcuts": result.has_shortcuts,
        "draws": result.draws.number,
        "best": round(result.draws.best, DECIMALS),
        "chain": _numbers(result.draws.accuracy)[0],
        "model": result.surrogate.model,
        "tau": [round(min(folds), 2), round(max(folds), 2)] if folds else None,
    }


def area_of(result: SearchResult) -> tuple[float, str]:
    """Return what results are sorted by: the area under the regret curve, then the name."""
    return result.area.value or 0.0, result.algorithm


def _row(result: SearchResult) -> dict[str, object]:
    assert isinstance(result, PoolResult | OpenResult)
    more = result.test_regret if isinstance(result, PoolResult) else result.accuracy[-1]
    return {
        "name": result.algorithm,
        "title": result.title,
        "repeats": result.repeats,
        "regret": [_numbers(score) for score in result.regret],
        "area": _numbers(result.area),
        "more": _numbers(more),
        "best": round(result.found_best, 3),
        "epochs": round(result.spent_epochs, 1),
        "own": round(result.own_seconds, 3),
    }


def _numbers(score: Score) -> list[float | None]:
    """Return value, low and high."""
    return [None if v is None else round(v, DECIMALS) for v in (score.value, score.low, score.high)]
