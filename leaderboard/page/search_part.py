"""The part of the page's index that is a comparison of search algorithms."""

from collections.abc import Sequence
from itertools import groupby

from harness.scoring.scores import Score
from harness.search.result import SearchResult

DECIMALS = 5


def search_index(searches: Sequence[SearchResult]) -> list[dict[str, object]]:
    """Return a record for each image set and budget, with its algorithms, the best area first."""
    ordered = sorted(searches, key=_setting)
    return [_record(list(group)) for _, group in groupby(ordered, key=_setting)]


def _setting(result: SearchResult) -> tuple[str, str, float]:
    return result.images, result.budget.unit, result.budget.amount


def _record(results: list[SearchResult]) -> dict[str, object]:
    """Return what the page shows of results with one budget."""
    first = results[0]
    return {
        "images": first.images,
        "unit": first.budget.unit,
        "budget": first.budget.amount,
        "points": list(first.budget.points()),
        "networks": first.networks,
        "rows": [_row(result) for result in sorted(results, key=area_of)],
    }


def area_of(result: SearchResult) -> tuple[float, str]:
    """Return what results are sorted by: the area under the regret curve, then the name."""
    return result.area.value or 0.0, result.algorithm


def _row(result: SearchResult) -> dict[str, object]:
    return {
        "name": result.algorithm,
        "title": result.title,
        "repeats": result.repeats,
        "regret": [_numbers(score) for score in result.regret],
        "area": _numbers(result.area),
        "test": _numbers(result.test_regret),
        "best": round(result.found_best, 3),
        "epochs": round(result.spent_epochs, 1),
        "seconds": round(result.spent_seconds, 1),
        "own": round(result.own_seconds, 3),
    }


def _numbers(score: Score) -> list[float | None]:
    """Return value, low and high."""
    return [None if v is None else round(v, DECIMALS) for v in (score.value, score.low, score.high)]
