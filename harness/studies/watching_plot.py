"""Draws what predictions are worth as an SVG: tau against epochs, and held-out skeletons.

The same numbers always give the same bytes, so that an old picture is noticed. There is one for
light and one for dark pages.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmark.util.text import moment
from harness.scoring.scores import Score, score_text
from harness.studies.watching import Transfer, Watching

WIDTH, HEIGHT, MARGIN = 900, 430, 24  # pixels
TOP, BOTTOM, LEFT, RIGHT = 118, 380, 60, 570  # of the panel of epochs
BARS = 640, 865  # left and right end of the panel of skeletons
MOST_SHARE = 1.2
FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours, those of the page."""

    paper: str
    ink: str
    soft: str
    line: str
    prediction: str
    run: str


THEMES = {
    "light": Theme("#fcfcfa", "#1b1f24", "#565e68", "#e4e6e2", "#0a5fa5", "#a84c05"),
    "dark": Theme("#0d1117", "#e6e8ea", "#a6aeb7", "#2a2f36", "#6fb4f2", "#f0a35a"),
}


def draw_watching(watching: Watching, theme: Theme) -> str:
    """Return the picture: a panel of test networks and one of held-out skeletons with a ceiling."""
    epochs = len(watching.last_value)
    title = "How many epochs of training is a prediction worth?"
    about = (
        f"Kendall&#8217;s &#964; of the final accuracy on {watching.networks} test networks of "
        f"{watching.images}; 95 % intervals"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="{FAMILY}" font-size="13">',
        f"<title>{title} {about}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{theme.paper}"/>',
        _text(MARGIN, 36, title, f'fill="{theme.ink}" font-size="19" font-weight="650"'),
        _text(MARGIN, 58, about, f'fill="{theme.soft}"'),
        *_legend(watching, theme),
        *_axes(epochs, theme),
        *_levels(watching, theme),
        *_last_value(watching, theme),
        *_predictions(watching, theme),
        *_skeletons(watching, theme),
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _x(epoch: float, epochs: int) -> float:
    return LEFT + (RIGHT - LEFT) * (epoch + 0.5) / (epochs + 1)


def _y(tau: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(max(tau, 0.0), 1.0)


def _ends(score: Score) -> tuple[float, float, float]:
    """Return value, low and high, the value where an end is undefined."""
    value = 0.0 if score.value is None else score.value
    low, high = (value if end is None else end for end in (score.low, score.high))
    return value, low, high


def _legend(watching: Watching, theme: Theme) -> Iterator[str]:
    """Yield what the marks mean, in a row below the title."""
    y = 84.0
    yield _circle(MARGIN + 8, y - 4, theme.prediction)
    yield _text(MARGIN + 18, y, "best prediction, and the epoch it equals", f'fill="{theme.soft}"')
    yield _line((328, 350), (y - 4, y - 4), f'stroke="{theme.ink}" stroke-width="1.6"')
    yield _text(356, y, "last accuracy", f'fill="{theme.soft}"')
    if watching.another_run is not None:
        yield _line((470, 492), (y - 4, y - 4), f'stroke="{theme.run}" stroke-width="1.6"')
        yield _text(498, y, "another whole training", f'fill="{theme.soft}"')
    if watching.ceiling is not None:
        dashes = f'stroke="{theme.soft}" stroke-width="1.2" stroke-dasharray="5 4"'
        yield _line((676, 698), (y - 4, y - 4), dashes)
        yield _text(704, y, "ceiling before training", f'fill="{theme.soft}"')


def _axes(epochs: int, theme: Theme) -> Iterator[str]:
    small = f'fill="{theme.soft}" font-size="12"'
    for fifth in range(6):
        y = _y(fifth / 5)
        yield _line((LEFT, RIGHT), (y, y), f'stroke="{theme.line}"')
        yield _text(LEFT - 8, y + 4, f"{fifth / 5:.1f}", f'{small} text-anchor="end"')
    for epoch in range(0, epochs + 1, max(1, epochs // 10)):
        yield _text(_x(epoch, epochs), BOTTOM + 17, str(epoch), f'{small} text-anchor="middle"')
    yield _text((LEFT + RIGHT) / 2, BOTTOM + 37, "epochs of training that are seen",
                f'{small} text-anchor="middle"')  # fmt: skip


def _levels(watching: Watching, theme: Theme) -> Iterator[str]:
    """Yield the band of another training, and the ceiling before training."""
    if watching.another_run is not None:
        value, low, high = map(_y, _ends(watching.another_run))
        yield (
            f'<rect x="{LEFT}" y="{high:.1f}" width="{RIGHT - LEFT}" height="{low - high:.1f}" '
            f'fill="{theme.run}" opacity="0.12"/>'
        )
        yield _line((LEFT, RIGHT), (value, value), f'stroke="{theme.run}" stroke-width="1.2"')
    if watching.ceiling is not None and watching.ceiling.value is not None:
        y = _y(watching.ceiling.value)
        yield _line((LEFT, RIGHT), (y, y), f'stroke="{theme.soft}" stroke-dasharray="5 4"')


def _last_value(watching: Watching, theme: Theme) -> Iterator[str]:
    last = [_ends(score) for score in watching.last_value]
    xs = [_x(epoch, len(last)) for epoch in range(1, len(last) + 1)]
    values, lows, highs = zip(*last, strict=True)
    around = [*zip(xs, highs, strict=True), *zip(xs[::-1], lows[::-1], strict=True)]
    yield f'<polygon points="{_points(around)}" fill="{theme.ink}" opacity="0.1"/>'
    yield (
        f'<polyline points="{_points(list(zip(xs, values, strict=True)))}" fill="none" '
        f'stroke="{theme.ink}" stroke-width="1.6"/>'
    )


def _points(places: list[tuple[float, float]]) -> str:
    """Return the points of a line through values of tau, each with its place across."""
    return " ".join(f"{x:.1f},{_y(tau):.1f}" for x, tau in places)


def _predictions(watching: Watching, theme: Theme) -> Iterator[str]:
    """Yield the best predictors, each with its interval and an arrow to the epoch it equals."""
    epochs = len(watching.last_value)
    style = f'stroke="{theme.prediction}" stroke-width="1.4"'
    for e in watching.equivalents:
        tau, low, high = map(_y, _ends(e.tau))
        x, equal = _x(e.observed, epochs), _x(_ends(e.equals)[0], epochs)
        yield _line((x, x), (low, high), style)
        yield _circle(x, tau, theme.prediction)
        if equal - x > 12:
            yield _line((x + 5, equal - 2), (tau, tau), style)
            yield (
                f'<path d="M{equal - 8:.1f} {tau - 4:.1f}L{equal - 1:.1f} {tau:.1f}'
                f'L{equal - 8:.1f} {tau + 4:.1f}" fill="none" {style}/>'
            )


def _skeletons(watching: Watching, theme: Theme) -> Iterator[str]:
    """Yield the share of each ceiling that is reached before training, hollow without a ceiling."""
    if not watching.held_out:
        return
    left, right = BARS
    small = f'fill="{theme.soft}" font-size="12"'
    yield _text(left, TOP - 2, "Skeletons that nothing is fitted on", f'fill="{theme.soft}"')
    unit = (right - left) / MOST_SHARE
    for half in (0.0, 0.5, 1.0):
        x = left + unit * half
        dashes = f'stroke="{theme.soft}" stroke-dasharray="5 4"' if half == 1.0 else ""
        yield _line((x, x), (TOP + 12, BOTTOM), dashes or f'stroke="{theme.line}"')
        yield _text(x, BOTTOM + 17, f"{half:.1f}", f'{small} text-anchor="middle"')
    yield _text((left + right) / 2, BOTTOM + 37, "share of the ceiling, before training",
                f'{small} text-anchor="middle"')  # fmt: skip
    step = (BOTTOM - TOP - 18) / len(watching.held_out)
    for place, transfer in enumerate(watching.held_out):
        yield from _bar(transfer, TOP + 18 + step * place, unit, theme)


def _bar(transfer: Transfer, top: float, unit: float, theme: Theme) -> Iterator[str]:
    """Yield the bar of a skeleton, its interval and its name."""
    left, _ = BARS
    ceiling = _ends(transfer.ceiling)[0]
    shares = [value / ceiling if ceiling else 0.0 for value in _ends(transfer.tau)]
    share, low, high = (min(max(share, 0.0), MOST_SHARE) for share in shares)
    fill = theme.prediction if transfer.is_rankable else "none"
    name = transfer.skeleton + ("" if transfer.is_rankable else ": no difference shown")
    yield _text(left, top + 14, name, f'fill="{theme.ink}"')
    yield (
        f'<rect x="{left}" y="{top + 20:.1f}" width="{unit * share:.1f}" height="16" '
        f'fill="{fill}" stroke="{theme.prediction}"/>'
    )
    y = top + 28
    ends = (left + unit * low, left + unit * high)
    yield _line(ends, (y, y), f'stroke="{theme.ink}" stroke-width="2"')


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{text}</text>'


def _line(xs: tuple[float, float], ys: tuple[float, float], style: str) -> str:
    return f'<line x1="{xs[0]:.1f}" y1="{ys[0]:.1f}" x2="{xs[1]:.1f}" y2="{ys[1]:.1f}" {style}/>'


def _circle(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def watching_sentence(watching: Watching) -> str:
    """Return what the picture says, as Markdown."""
    worth = []
    for e in watching.equivalents:
        value, low, high = _ends(e.equals)
        worth.append(f"{moment(e.observed)} **{value:.1f}** [{low:.1f}, {high:.1f}]")
    text = (
        f"On `{watching.images}`, the best prediction orders networks as well as watching so many "
        f"of {len(watching.last_value)} epochs: {', '.join(worth)}."
    )
    if watching.another_run is None:
        return text
    other = score_text(watching.another_run, 3)
    known = score_text(watching.equivalents[-1].tau, 3)
    return (
        f"{text} Another whole training, with another seed, orders the networks that have one at "
        f"tau {other}; the last of these predictions orders all at {known}."
    )
