"""The board as Markdown: the README's table, between two markers, and the whole leaderboard."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.tasks import group_of
from benchmark.util.text import moment
from harness.results.ceiling import Ceiling
from harness.scoring.scores import Score, SeedScore, number_text, score_text
from harness.scoring.targets import SCORED_SPLITS
from leaderboard.board import Board, Row, TaskBoard
from leaderboard.words import CHECKED, RANK_RULE

SHOWN = 12  # predictors of the README's table
START, END = "<!-- board -->", "<!-- /board -->"
DASH = "–"  # noqa: RUF001
_INTRODUCTION = (
    "Made by `peephole board build --readme README.md` from the results in `leaderboard/results`, "
    "at first in a minute or two on two cores; `peephole board serve` shows the same as a page.\n\n"
    "Test and held-out networks are those of each task. A predictor is fitted once with each of "
    "its seeds, and each fit is scored alone; a score is the mean over these seeds. Intervals are "
    "95 %, from a bootstrap over networks.\n\n"
    f"{RANK_RULE} Bold in an overview: no predictor is significantly better on test.\n\n"
    "Scores on held-out skeletons are the mean over skeletons (R²: of the sums over skeletons). "
    "Their intervals are for these skeletons alone. *between* is the standard deviation of tau "
    "between them: for skeletons in general, the standard error of the mean is that number divided "
    "by the square root of the number of skeletons. *share* is the mean tau divided by the mean "
    "ceiling. *rankable* is the mean tau over the skeletons with a ceiling of tau or R² above 0 "
    "with 95 % confidence; in the others, no difference between networks is shown.\n\n"
    "In tasks of *A-to-B*, predictors are fitted on runs of image set A and order networks of B."
)
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {s: f"&#{ord(s)};" for s in "|[]*`\\~"}
_COLUMNS = (
    "rank", "predictor", "tau, test", "tau, held out", "share", "rankable", "between", "R², test",
    "R², held out", "MSE, test", "MSE, held out", "checked",
)  # fmt: skip


def readme_table(board: Board) -> str:
    """Return the README's table: tau of the best predictors on the board's first image set."""
    tasks = group_tasks(board)[0]
    return _overview(tasks, board.ceilings.get(tasks[0].images), SHOWN)


def leaderboard_text(board: Board) -> str:
    """Return the leaderboard as Markdown: an overview of each image set, then a table per task."""
    texts = ["# Leaderboard", _INTRODUCTION]
    for tasks in group_tasks(board):
        ceiling = board.ceilings.get(tasks[0].images)
        texts += [f"## {group_of(tasks[0].name)}", _overview(tasks, ceiling)]
        for task in tasks:
            texts += [f"### {_caption(task)}", _task_table(task)]
    return "\n\n".join(texts) + "\n"


def group_tasks(board: Board) -> list[list[TaskBoard]]:
    """Return the tasks of a board by group, in the order of the board."""
    groups: dict[str, list[TaskBoard]] = {}
    for task in board.tasks:
        groups.setdefault(group_of(task.name), []).append(task)
    return list(groups.values())


def best_first(tasks: Sequence[TaskBoard]) -> list[str]:
    """Return the predictors of some tasks by their mean tau on test; one missing counts as -1."""
    total: dict[str, float] = {}
    for task in tasks:
        for row in task.rows:
            tau = score_of(row, "test", "tau").value
            above = 0.0 if tau is None else tau + 1.0
            total[row.result.predictor] = total.get(row.result.predictor, 0.0) + above
    return sorted(total, key=lambda name: (-total[name], name))


def _overview(tasks: Sequence[TaskBoard], ceiling: Ceiling | None, most: int | None = None) -> str:
    """Return tau on every task of the predictors (at most so many), the best on average first."""
    cells: dict[str, list[str]] = {}
    for column, task in enumerate(tasks):
        for row in task.rows:
            line = cells.setdefault(row.result.predictor, [_number(None, 3)] * len(tasks))
            line[column] = _overview_cell(row)
    lines = [
        f"| {_escape(name)} | {' | '.join(cells[name])} |" for name in best_first(tasks)[:most]
    ]
    if ceiling is not None and tasks[0].observed == 0:
        limit = " / ".join(_number(ceiling.tau(split), 3) for split in SCORED_SPLITS)
        lines.append(f"| {_ceiling_name(ceiling)} | {limit} |{' |' * (len(tasks) - 1)}")
    heads = " | ".join(moment(task.observed) for task in tasks)
    return "\n".join(
        [
            f"**{group_of(tasks[0].name)}: Kendall's tau of the final accuracy, "
            "on test / on held-out skeletons**",
            "",
            f"| predictor | {heads} |",
            f"|---|{'--:|' * len(tasks)}",
            *lines,
        ]
    )


def _overview_cell(row: Row) -> str:
    """Return tau on both splits, bold where no predictor is significantly better on test."""
    if row.rank is None:
        return "failed"
    text = " / ".join(_number(score_of(row, split, "tau"), 3) for split in SCORED_SPLITS)
    return f"**{text}**" if row.rank[0] == 1 else text


def _caption(task: TaskBoard) -> str:
    networks = f"{task.networks['test']:,} test and {task.networks['heldout']:,} held-out networks"
    return f"{group_of(task.name)}, {moment(task.observed)} (`{task.name}`, {networks})"


def _task_table(task: TaskBoard) -> str:
    lines = [_line(_COLUMNS), f"|--:|---|{'--:|' * 9}---|", *map(_row_line, task.rows)]
    if task.ceiling is not None:
        lines.append(_line(_ceiling_cells(task.ceiling)))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row_line(row: Row) -> str:
    """Return a predictor's line; a failed one has its reason's first line instead of scores."""
    name = _escape(row.result.predictor)
    if row.rank is None or row.result.failure is not None:
        reason = _escape((row.result.failure or "").splitlines()[0])
        return _line(["", name, f"failed: {reason}", *[""] * (len(_COLUMNS) - 3)])
    low, high = row.rank
    rank = f"{low}" if low == high else f"{low}–{high}"  # noqa: RUF001
    flags = f" ({_escape(', '.join(row.flags))})" if row.flags else ""
    cells = [rank, f"{name}{flags}"]
    cells += [score_text(score_of(row, split, "tau"), 3, DASH) for split in SCORED_SPLITS]
    cells.append(share_text(row.share))
    cells += [DASH if x is None else f"{x:.3f}" for x in (row.rankable, row.spread)]
    cells += [_number(score_of(row, split, "r2"), 3) for split in SCORED_SPLITS]
    cells += [_number(score_of(row, split, "mse"), 5) for split in SCORED_SPLITS]
    return _line([*cells, CHECKED[row.result.verification]])


def _ceiling_name(ceiling: Ceiling) -> str:
    """Return the name of a ceiling's row, with the number of its repeated networks."""
    counts = " / ".join(str(ceiling.networks.get(split, 0)) for split in SCORED_SPLITS)
    return f"*ceiling: noise of seeds, {counts} networks*"


def _ceiling_cells(ceiling: Ceiling) -> list[str]:
    scores = [ceiling.scores.get(split, {}) for split in SCORED_SPLITS]
    taus = [ceiling.tau(split) for split in SCORED_SPLITS]
    names = [s.removeprefix("skeleton/") for s in ceiling.scores if s.startswith("skeleton/")]
    rankable = [
        ceiling.tau(f"skeleton/{name}").value for name in names if ceiling.is_rankable(name)
    ]
    known = [value for value in rankable if value is not None]
    mean = f"{sum(known) / len(known):.3f}" if known else DASH
    cells = ["", _ceiling_name(ceiling)]
    cells += [score_text(tau, 3, DASH) for tau in taus]
    cells += ["", mean, "", *(_number(metrics.get("r2"), 3) for metrics in scores)]
    return [*cells, "", "", ""]


def share_text(share: float | None) -> str:
    """Return a share of the ceiling in percent; a dash if it is undefined.

    >>> share_text(0.7213)
    '72 %'
    """
    return DASH if share is None else f"{100 * share:.0f} %"


def _escape(text: str) -> str:
    """Return text that can neither leave its cell nor become HTML, a link or a picture."""
    words = " ".join(text.split())
    return "".join(_ESCAPES.get(sign, sign) for sign in words).replace("://", "&#58;//")


def score_of(row: Row, split: str, metric: str) -> SeedScore:
    """Return a score of a row, all None where it has none."""
    metrics: Mapping[str, SeedScore] = row.result.scores.get(split, {})
    return metrics.get(metric, SeedScore(None, None, None, None))


def _number(score: Score | None, decimals: int) -> str:
    """Return a value as the page shows it; a dash if it is undefined."""
    return number_text(score, decimals, undefined=DASH)


def with_table(path: Path, table: str) -> str:
    """Return what a file would hold with a table between its markers.

    Raises:
        ValueError: If the markers are not there once each, in order.
        OSError: If the file cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f"{path}: must have the lines {START} and {END} once each, in this order")
    head, rest = text.split(START)
    return f"{head}{START}\n{table.strip()}\n{END}{rest.split(END)[1]}"
