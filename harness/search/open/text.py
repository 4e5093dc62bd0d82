"""Results of searches of the open track as lines of a table."""

from collections.abc import Iterator

from harness.scoring.scores import score_text
from harness.search.open.result import OpenResult
from harness.search.text import column_line, search_line

LAST = "last quarter"  # name of a column


def open_header(result: OpenResult) -> Iterator[str]:
    """Yield what the results of one command share, and the names of the columns."""
    check, draws = result.surrogate, result.draws
    yield (
        f"architectures of {', '.join(result.skeletons)} on {result.images}; {result.repeats} "
        f"searches of {result.budget.amount:g} epochs each"
    )
    yield (
        f"surrogate: {check.model}, fitted to {check.networks} networks, noise from the "
        f"{check.repeated} with several seeds; on held-back networks by fold:"
    )
    for name, decimals in (("tau", 3), ("r2", 3), ("mse", 4)):
        values = [getattr(fold, name) for fold in check.folds]
        shown = " ".join("-" if v is None else f"{v:.{decimals}f}" for v in values)
        yield f"  {name:4} {shown}"
    yield (
        f"regret to the best of {draws.number:,} draws of the Markov chain ({draws.best:.4f}), "
        "without noise; mean and 95 % interval"
    )
    yield (
        f"{LAST}: accuracy of the trainings in the last quarter of the budget; a draw of the chain "
        f"reaches {score_text(draws.accuracy, 4)}"
    )
    yield f"{column_line()} {LAST:>24}"


def open_line(result: OpenResult) -> str:
    """Return a result as a line under `open_header`."""
    return f"{search_line(result)} {score_text(result.accuracy[-1], 4):>24}"
