"""Results of searches as lines of a table."""

from collections.abc import Iterator

from harness.scoring.scores import score_text
from harness.search.pool_result import PoolResult
from harness.search.result import SearchResult

NAMES = 30  # columns of the algorithm's name
SHOWN = (0.25, 0.5, 1.0)  # shares of the budget at which regret is shown


def header_lines(result: PoolResult) -> Iterator[str]:
    """Yield what the results of one command share, and the names of the columns."""
    whole = f"{result.budget.amount:g} {result.budget.unit}"
    yield (
        f"{result.networks} test networks of {result.images}; {result.repeats} searches of {whole} "
        "each; regret in validation accuracy, mean and 95 % interval"
    )
    yield column_line()


def column_line() -> str:
    """Return the names of the columns of `search_line`."""
    shares = "".join(f"{f'at {share:.0%}':>10}" for share in SHOWN[:-1])
    cost = f"{'best':>5} {'epochs':>7} {'own s':>6}"
    return f"{'algorithm':{NAMES}} {'area':>24}{shares}{'at 100%':>25}  {cost}"


def search_line(result: SearchResult) -> str:
    """Return a result as a line under `column_line`."""
    points = result.regret
    at = [points[round(share * len(points)) - 1] for share in SHOWN]
    middle = "".join(f"{score.value:>10.4f}" for score in at[:-1])
    return (
        f"{result.algorithm:{NAMES}} {score_text(result.area, 4):>24}{middle}"
        f"{score_text(at[-1], 4):>25}  {result.found_best:>5.0%} {result.spent_epochs:>7.0f} "
        f"{result.own_seconds:>6.1f}"
    )
