"""The board's page: one HTML file with style, scripts and data inside, which opens from a disk.

Its sources lie in `leaderboard/page/web`. No address is named, and the page's own policy lets it
load nothing and run nothing but these scripts, whose hash it names.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources

from benchmark.space.imagesets import IMAGES
from benchmark.space.layer_walk import LayerRow, layer_word, macs, parameters
from harness.metrics.registry import HEADLINE, METRICS, Group
from harness.results.predictions import matrix, predicted_epochs
from harness.results.result import Ceiling
from harness.scoring.score_rules import Scores, SeedScore
from leaderboard.board import Board, Row, TaskBoard, TaskNetworks
from leaderboard.page.packing import Bytes, compressed, pack_curves, pack_exact, scaled
from leaderboard.page.predictor_inputs import inputs_of

SCRIPTS = (
    "elements.js", "data.js", "view.js", "scores.js", "table.js", "csv.js", "charts.js",
    "compare.js", "lines.js", "skeletons.js", "networks.js", "layers.js", "page.js",
)  # fmt: skip
GROUPS: dict[Group, str] = {  # of columns, with the titles a reader chooses them by
    "final": "final accuracy",
    "order": "order",
    "regret": "regret of the best chosen",
    "curve": "whole curve",
    "uncertainty": "uncertainty",
    "learned": "networks that learned",
}
PLACE = re.compile(r"\{\{([a-z-]+)\}\}")  # of the page's source, where something is put in


def render(board: Board, all_networks: Mapping[str, TaskNetworks]) -> str:
    """Return the page.

    Args:
        board: All results.
        all_networks: For every task of the board, by name.

    Raises:
        ValueError: If a task has no truth, or predictions are not of its networks.
    """
    style, script = _source("page.css"), "".join(map(_source, SCRIPTS))
    parts = {
        images: compressed(*page_data(board, all_networks, images)) for images in images_of(board)
    }
    data = [f'<script type="application/json" id="index">{script_safe(index(board))}</script>']
    data += [
        f'<script type="text/plain" id="data-{images}">{text}</script>'
        for images, text in parts.items()
    ]
    places = {
        "style-hash": _hash(style),
        "script-hash": _hash(script),
        "style": style,
        "data": "\n".join(data),
        "script": script,
    }
    return PLACE.sub(lambda place: places[place[1]], _source("page.html"))


def _source(name: str) -> str:
    return resources.files("leaderboard").joinpath("page", "web", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return a source for the page's Content-Security-Policy that allows this text only."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script_safe(text: str) -> str:
    r"""Return JSON that cannot end the script element it stands in.

    >>> script_safe('{"title":"</script>"}')
    '{"title":"\\u003c/script>"}'
    """
    return text.replace("<", "\\u003c")


def images_of(board: Board) -> tuple[str, ...]:
    """Return the image sets of a board, in the order of its tasks."""
    return tuple(dict.fromkeys(task.images for task in board.tasks))


def index(board: Board) -> str:
    """Return, as JSON, what the page must know before it unpacks an image set."""
    record = {
        "metrics": {
            name: {
                "label": metric.label,
                "direction": metric.direction,
                "target": metric.target,
                "decimals": metric.decimals,
            }
            for name, metric in METRICS.items()
        },
        "charted": [name for name in _headline_first() if METRICS[name].needs == "final"],
        "columns": {group: [title, _columns(group)] for group, title in GROUPS.items()},
        "tasks": [
            {"name": task.name, "images": task.images, "observed": task.observed}
            for task in board.tasks
        ],
    }
    return json.dumps(record, separators=(",", ":"))


def _headline_first() -> list[str]:
    """Return the names of all metrics, the headline's first."""
    return [*HEADLINE, *(name for name in METRICS if name not in HEADLINE)]


def _columns(group: Group) -> list[str]:
    """Return the metrics of a group; `metric/learned` is one of the networks that learned."""
    names = [name for name in _headline_first() if group in METRICS[name].groups]
    return [f"{name}/learned" for name in HEADLINE] + names if group == "learned" else names


def page_data(
    board: Board, all_networks: Mapping[str, TaskNetworks], images: str
) -> tuple[dict[str, object], bytes]:
    """Return everything the page shows of an image set, and the bytes it refers to."""
    content = Bytes()
    # Tasks of an image set mostly ask for the same networks: each set is stored once
    sets: dict[tuple[str, ...], int] = {}
    shown: list[dict[str, object]] = []
    tasks: list[dict[str, object]] = []
    boards = [task for task in board.tasks if task.images == images]
    for task in boards:
        if task.name not in all_networks:
            raise ValueError(f"task {task.name!r} of the board must have a truth")
        targets = all_networks[task.name]
        key = targets.targets.run_ids
        if key not in sets:
            sets[key] = len(shown)
            shown.append(_networks(targets, content))
        tasks.append(_task(task, key, content) | {"set": sets[key]})
    names = dict.fromkeys(row.result.predictor for task in boards for row in task.rows)
    record: dict[str, object] = {
        "resolution": IMAGES[images].resolution,
        "ceiling": _ceiling(board.ceilings.get(images)),
        "inputs": {name: inputs_of(name, boards) for name in names},
        "sets": shown,
        "tasks": tasks,
    }
    return record, bytes(content.content)


def _networks(targets: TaskNetworks, content: Bytes) -> dict[str, object]:
    """Return the networks of a truth, column by column."""
    runs = targets.targets
    return {
        "architectures": list(runs.architecture_ids),
        "skeletons": list(runs.skeletons),
        "heldout": [int(part == "heldout") for part in runs.splits],
        "parameters": [parameters(rows) for rows in targets.layer_rows],
        "macs": [macs(rows) for rows in targets.layer_rows],
        "layers": [drawing(rows) for rows in targets.layer_rows],
        "epochs": runs.curves.shape[1],
        "curves": content.add(pack_exact(runs.curves)),
    }


def drawing(rows: tuple[LayerRow, ...]) -> str:
    """Return a network as text: groups parted by `;`, each its place, `=` and its layers.

    `conv3x5:24` is a convolution with a kernel 3 high and 5 wide and 24 output channels; a stride
    above 1 follows as `/2`.
    """
    groups: list[tuple[str, list[str]]] = []
    for row in rows:
        place = _place(row)
        if not groups or groups[-1][0] != place:
            groups.append((place, []))
        groups[-1][1].append(layer_word(row))
    return ";".join(f"{place}={' '.join(words)}" for place, words in groups)


def _place(row: LayerRow) -> str:
    """Return where a layer is: its block, counted from 1, or its role outside blocks."""
    return row.role if row.block < 0 else f"block {row.block + 1}"


def _task(task: TaskBoard, run_ids: tuple[str, ...], content: Bytes) -> dict[str, object]:
    return {
        "name": task.name,
        "observed": task.observed,
        "networks": {part: task.networks[part] for part in ("test", "heldout")},
        "rows": [_row(row, run_ids, content) for row in task.rows],
    }


def _row(row: Row, run_ids: tuple[str, ...], content: Bytes) -> dict[str, object]:
    """Return a result, without what the page does not show."""
    result = row.result
    record: dict[str, object] = {
        "predictor": result.predictor,
        "title": result.title,
        "failure": result.failure,
        "band": row.band,
        "rank": row.rank,
        "scores": _scores(result.scores),
        "testAccuracy": _scores(result.scores_test_accuracy),
        "flags": list(result.flags),
        "counts": dict(result.counts),
        "seeds": len(result.seeds),
        "fit": None if result.seconds is None else _short(result.seconds.fit),
        "predict": None if result.seconds is None else _short(result.seconds.predict),
        "observedEpochs": result.observed_epochs_total,
        "verification": result.verification,
        "version": result.harness_version,
        "platform": result.environment.platform,
    }
    if row.predictions is not None:
        mean = matrix(row.predictions, "mean", run_ids)
        record["epochs"] = list(predicted_epochs(row.predictions))
        record["finals"] = content.add(pack_exact(mean[:, -1]))
        record["curves"] = content.add(pack_curves(mean)) if mean.shape[1] > 1 else None
    return record


def _short(value: float) -> float:
    """Return a number with three significant digits."""
    return float(f"{value:.3g}")


def _scores(scores: Scores) -> dict[str, list[list[int | None] | None]]:
    """Return, for each stratum, value, low, high and spread over seeds in the order of METRICS."""
    return {
        stratum: [_score(name, metrics.get(name)) for name in METRICS]
        for stratum, metrics in scores.items()
    }


def _score(metric: str, score: SeedScore | None) -> list[int | None] | None:
    """Return the numbers of a score, those that are undefined at the end left out."""
    if score is None:
        return None
    numbers = [score.value, score.low, score.high, score.seed_std]
    while numbers and numbers[-1] is None:
        numbers.pop()
    return [scaled(number, METRICS[metric].decimals) for number in numbers]


def _ceiling(ceiling: Ceiling | None) -> dict[str, list[list[int | None] | None]]:
    known: dict[str, dict[str, SeedScore]] = {
        stratum: {name: SeedScore(s.value, s.low, s.high, None) for name, s in metrics.items()}
        for stratum, metrics in ({} if ceiling is None else ceiling.scores).items()
    }
    return _scores(known)
