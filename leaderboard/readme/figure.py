"""The README's picture: every predictor before training and at its latest, as an SVG.

The same rows always give the same bytes, so that a picture that is not of the results is noticed.
GitHub shows a picture for light and one for dark pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from harness.scoring.scores import SeedScore
from leaderboard.board import Board, Row, TaskBoard
from leaderboard.readme.table import best_first, group_tasks, moment, score_of

WIDTH, NAMES, GAP, STEP, TOP, BOTTOM, MARGIN = 900, 172, 36, 21, 118, 58, 20  # pixels
LETTERS = 22  # of a name
ROWS = 30  # at most; the best ones
FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours, those of the page."""

    paper: str
    ink: str
    soft: str
    line: str
    test: str
    held: str


THEMES = {
    "light": Theme("#fcfcfa", "#1b1f24", "#565e68", "#e4e6e2", "#0a5fa5", "#a84c05"),
    "dark": Theme("#0d1117", "#e6e8ea", "#a6aeb7", "#2a2f36", "#6fb4f2", "#f0a35a"),
}


@dataclass(frozen=True, slots=True)
class Panel:
    """A task's part of the picture: where it lies, and which scores lie where."""

    task: TaskBoard
    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """Return where a score lies."""
        share = (value - self.low) / (self.high - self.low)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)


def picture(board: Board, theme: Theme) -> str:
    """Return the picture of the first image set: its first task and its last, if it has two."""
    tasks = group_tasks(board)[0]
    shown = [tasks[0]] if len(tasks) == 1 else [tasks[0], tasks[-1]]
    names = best_first(shown)[:ROWS]
    low, high = _ends(shown)
    width = (WIDTH - NAMES - MARGIN - GAP * len(shown)) / len(shown)
    lefts = [NAMES + GAP + place * (width + GAP) for place in range(len(shown))]
    panels = [Panel(t, at, at + width, low, high) for t, at in zip(shown, lefts, strict=True)]
    height = TOP + STEP * len(names) + BOTTOM
    lines = [*_head(shown[0], theme, height), *_labels(names, panels, theme)]
    for panel in panels:
        lines += _axis(panel, theme, height - BOTTOM)
        lines += _limits(panel, theme, height - BOTTOM)
        lines += _marks(panel, names, theme)
    more = len({row.result.predictor for task in shown for row in task.rows}) - len(names)
    lines += _foot(theme, height, more)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _ends(tasks: Sequence[TaskBoard]) -> tuple[float, float]:
    """Return the ends of the scale of tau, whole tenths around all values but their intervals."""
    parts = ("test", "heldout")
    scores = [score_of(row, part, "tau") for task in tasks for row in task.rows for part in parts]
    known = [score.value for score in scores if score.value is not None] or [0.0]
    return min(-0.1, int(min(known) * 10 - 1) / 10), min(1.0, int(max(known) * 10 + 1.5) / 10)


def _head(task: TaskBoard, theme: Theme, height: float) -> list[str]:
    title = "How well can a network&#8217;s final accuracy be predicted?"
    networks = task.networks
    about = (
        f"Kendall&#8217;s &#964; on {task.images}: {networks['test']:,} test networks and "
        f"{networks['heldout']:,} of skeletons that no predictor was fitted on; 95 % intervals"
    )
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" font-family="{FAMILY}" font-size="13">',
        f"<title>{title} {about}</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="{theme.paper}"/>',
        _text(MARGIN, 38, title, f'fill="{theme.ink}" font-size="19" font-weight="650"'),
        _text(MARGIN, 61, about, f'fill="{theme.soft}"'),
    ]


def _labels(names: Sequence[str], panels: Sequence[Panel], theme: Theme) -> list[str]:
    """Return the names, bold where no predictor is significantly better in one of the panels."""
    first = {
        row.result.predictor
        for panel in panels
        for row in panel.task.rows
        if row.rank is not None and row.rank[0] == 1
    }
    lines = []
    for place, name in enumerate(names):
        short = escape(name if len(name) <= LETTERS else name[: LETTERS - 1] + "…")
        weight = ' font-weight="650"' if name in first else ""
        style = f'fill="{theme.ink if name in first else theme.soft}" text-anchor="end"{weight}'
        lines.append(_text(NAMES + 12, _row_y(place) + 4.5, short, style))
    return lines


def _axis(panel: Panel, theme: Theme, bottom: float) -> list[str]:
    lines = [
        _text(panel.left, TOP - 22, moment(panel.task.observed).capitalize(),
              f'fill="{theme.ink}" font-weight="650"'),
    ]  # fmt: skip
    for tenth in range(round(panel.low * 10), round(panel.high * 10) + 1):
        if tenth % 2:
            continue
        x = panel.x(tenth / 10)
        lines.append(_line(x, x, TOP - 10, bottom, f'stroke="{theme.line}"'))
        text = f"{tenth / 10:.1f}".replace("-", "&#8722;")
        lines.append(_text(x, bottom + 17, text,
                           f'fill="{theme.soft}" font-size="12" text-anchor="middle"'))  # fmt: skip
    return lines


def _limits(panel: Panel, theme: Theme, bottom: float) -> list[str]:
    """Return the ceiling of each split, which is known before training only."""
    lines: list[str] = []
    ceiling = panel.task.ceiling
    for split, colour in (("heldout", theme.held), ("test", theme.test)):
        value = None if ceiling is None else ceiling.tau(split).value
        if value is not None:
            x = panel.x(value)
            lines.append(_line(x, x, TOP - 10, bottom, f'stroke="{colour}" stroke-dasharray="3 3"'))
            style = f'fill="{theme.soft}" font-size="12" text-anchor="start"'
    return [*lines, _text(x + 3, TOP - 13, "ceilings", style)] if lines else []


def _marks(panel: Panel, names: Sequence[str], theme: Theme) -> list[str]:
    lines = []
    rows = {row.result.predictor: row for row in panel.task.rows}
    for place, name in enumerate(names):
        row = rows.get(name)
        if row is not None:
            lines += _row_marks(panel, row, _row_y(place), theme)
    return lines


def _row_marks(panel: Panel, row: Row, y: float, theme: Theme) -> list[str]:
    """Return both marks of a predictor, pale if another one is significantly better on test."""
    if row.rank is None:
        style = f'fill="{theme.soft}" font-size="12"'
        return [_text(panel.x(0.0), y + 4, "failed", style)]
    opacity = "" if row.rank[0] == 1 else ' opacity="0.5"'
    found = [f"<g{opacity}>"]
    found += _mark(panel, score_of(row, "heldout", "tau"), y + 3.5, theme.held, diamond=True)
    found += _mark(panel, score_of(row, "test", "tau"), y - 3.5, theme.test, diamond=False)
    return [*found, "</g>"]


def _mark(panel: Panel, score: SeedScore, y: float, colour: str, *, diamond: bool) -> list[str]:
    if score.value is None:
        return []
    x = panel.x(score.value)
    found = []
    if score.low is not None and score.high is not None:
        ends = panel.x(score.low), panel.x(score.high)
        found.append(_line(*ends, y, y, f'stroke="{colour}" stroke-width="1.5"'))
    return [*found, _symbol(x, y, colour, diamond=diamond)]


def _symbol(x: float, y: float, colour: str, *, diamond: bool) -> str:
    if diamond:
        return f'<path d="M{x:.1f} {y - 4:.1f}l4 4-4 4-4-4z" fill="{colour}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>'


def _foot(theme: Theme, height: float, more: int) -> list[str]:
    y = height - 16.0
    style = f'fill="{theme.soft}" font-size="12"'
    rest = f", {more} more on the board" if more else ""
    return [
        _symbol(MARGIN + 4, y - 4, theme.test, diamond=False),
        _text(MARGIN + 14, y, "test", style),
        _symbol(MARGIN + 58, y - 4, theme.held, diamond=True),
        _text(MARGIN + 68, y, "held-out skeletons", style),
        _text(WIDTH - MARGIN, y, f"pale: another predictor is significantly better on test{rest}",
              f'{style} text-anchor="end"'),
    ]  # fmt: skip


def _row_y(place: int) -> float:
    return TOP + STEP * (place + 0.5)


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{text}</text>'


def _line(x1: float, x2: float, y1: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" {style}/>'
