"""The board's page: a self-contained HTML file with style, scripts and data.

Its sources are in `leaderboard/page/web`. The page refers to no other address. Its content security
policy forbids loading anything, and allows only the scripts and styles with the given hashes.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from itertools import groupby

from benchmark.space.imagesets import IMAGES
from benchmark.space.layer_walk import LayerRow, layer_word, macs, parameters
from harness.metrics.registry import HEADLINE, METRICS, Group
from harness.results.ceiling import Ceiling
from harness.results.predictions import matrix, predicted_epochs
from harness.scoring.scores import Scores, SeedScore
from harness.scoring.targets import SCORED_SPLITS
from leaderboard.board import Board, Row, TaskBoard, TaskNetworks
from leaderboard.page.packing import Bytes, compressed, pack_curves, pack_exact, scaled
from leaderboard.page.predictor_inputs import inputs_of

SCRIPTS = (
    "elements.js", "data.js", "view.js", "scores.js", "table.js", "csv.js", "charts.js",
    "compare.js", "lines.js", "skeletons.js", "networks.js", "layers.js", "page.js",
)  # fmt: skip
GROUPS: dict[Group, str] = {  # groups of columns, with the titles that the page shows
    "final": "final accuracy",
    "order": "ranking",
    "regret": "regret of selection",
    "curve": "learning curve",
    "uncertainty": "uncertainty",
    "learned": "networks that learned",
}
PLACEHOLDER = re.compile(r"\{\{([a-z-]+)\}\}")  # in page.html


def render(board: Board, all_networks: Mapping[str, TaskNetworks]) -> str:
    """Return the page as HTML.

    Args:
        board: All results.
        all_networks: Networks of every task of the board, by task name.

    Raises:
        ValueError: If the networks of a task are missing, or predictions are for other networks.
    """
    style, script = _source("page.css"), "".join(map(_source, SCRIPTS))
    data = [f'<script type="application/json" id="index">{script_safe(index(board))}</script>']
    data += [
        f'<script type="text/plain" id="data-{images}">'
        f"{compressed(*page_data(board, all_networks, images))}</script>"
        for images in images_of(board)
    ]
    contents = {
        "style-hash": _hash(style),
        "script-hash": _hash(script),
        "style": style,
        "data": "\n".join(data),
        "script": script,
    }
    return PLACEHOLDER.sub(lambda match: contents[match[1]], _source("page.html"))


def _source(name: str) -> str:
    return resources.files("leaderboard").joinpath("page", "web", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return a Content-Security-Policy source that allows only this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script_safe(text: str) -> str:
    r"""Escape JSON so that it cannot end the script element that contains it.

    >>> script_safe('{"title":"</script>"}')
    '{"title":"\\u003c/script>"}'
    """
    return text.replace("<", "\\u003c")


def images_of(board: Board) -> tuple[str, ...]:
    """Return the image sets of a board, in the order of its tasks."""
    return tuple(dict.fromkeys(task.images for task in board.tasks))


def index(board: Board) -> str:
    """Return the JSON that the page needs before it unpacks an image set."""
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
    """Return the names of all metrics, headline metrics first."""
    return [*HEADLINE, *(name for name in METRICS if name not in HEADLINE)]


def _columns(group: Group) -> list[str]:
    """Return the metrics of a group; `metric/learned` is a metric of the networks that learned."""
    names = [name for name in _headline_first() if group in METRICS[name].groups]
    return [f"{name}/learned" for name in HEADLINE] + names if group == "learned" else names


def page_data(
    board: Board, all_networks: Mapping[str, TaskNetworks], images: str
) -> tuple[dict[str, object], bytes]:
    """Return the record of an image set for the page, and the bytes that it refers to."""
    content = Bytes()
    # Most tasks of an image set have the same networks, so each set of networks is stored once
    indices: dict[tuple[str, ...], int] = {}
    sets: list[dict[str, object]] = []
    tasks: list[dict[str, object]] = []
    boards = [task for task in board.tasks if task.images == images]
    for task in boards:
        if task.name not in all_networks:
            raise ValueError(f"the networks of task {task.name!r} are missing")
        networks = all_networks[task.name]
        run_ids = networks.targets.run_ids
        if run_ids not in indices:
            indices[run_ids] = len(sets)
            sets.append(_networks(networks, content))
        tasks.append(_task(task, run_ids, content) | {"set": indices[run_ids]})
    names = dict.fromkeys(row.result.predictor for task in boards for row in task.rows)
    record: dict[str, object] = {
        "resolution": IMAGES[images].resolution,
        "ceiling": _ceiling(board.ceilings.get(images)),
        "inputs": {name: inputs_of(name, boards) for name in names},
        "sets": sets,
        "tasks": tasks,
    }
    return record, bytes(content.content)


def _networks(networks: TaskNetworks, content: Bytes) -> dict[str, object]:
    """Return the networks of a task as columns."""
    targets = networks.targets
    return {
        "architectures": list(targets.architecture_ids),
        "skeletons": list(targets.skeletons),
        "heldout": [int(split == "heldout") for split in targets.splits],
        "parameters": [parameters(rows) for rows in networks.layer_rows],
        "macs": [macs(rows) for rows in networks.layer_rows],
        "layers": [layers_text(rows) for rows in networks.layer_rows],
        "epochs": targets.curves.shape[1],
        "curves": content.add(pack_exact(targets.curves)),
    }


def layers_text(rows: tuple[LayerRow, ...]) -> str:
    """Return a network as text, for example `stem=conv3x3:8 bn relu;block 1=conv3x5:24 relu`.

    Groups of layers are separated by `;`. Layers are written as `layer_word` returns them.
    """
    groups = groupby(rows, _group_name)
    return ";".join(f"{name}={' '.join(map(layer_word, group))}" for name, group in groups)


def _group_name(row: LayerRow) -> str:
    """Return the block of a layer, counted from 1, or its role if it is outside all blocks."""
    return row.role if row.block < 0 else f"block {row.block + 1}"


def _task(task: TaskBoard, run_ids: tuple[str, ...], content: Bytes) -> dict[str, object]:
    return {
        "name": task.name,
        "observed": task.observed,
        "networks": {split: task.networks[split] for split in SCORED_SPLITS},
        "rows": [_row(row, run_ids, content) for row in task.rows],
    }


def _row(row: Row, run_ids: tuple[str, ...], content: Bytes) -> dict[str, object]:
    """Return what the page shows of a result."""
    result = row.result
    record: dict[str, object] = {
        "predictor": result.predictor,
        "title": result.title,
        "failure": result.failure,
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
    """Return a number rounded to three significant digits."""
    return float(f"{value:.3g}")


def _scores(scores: Scores) -> dict[str, list[list[int | None] | None]]:
    """Return the numbers of each score, by stratum, in the order of METRICS."""
    return {
        stratum: [_score(name, metrics.get(name)) for name in METRICS]
        for stratum, metrics in scores.items()
    }


def _score(metric: str, score: SeedScore | None) -> list[int | None] | None:
    """Return value, low, high and standard deviation over seeds, without undefined last ones."""
    if score is None:
        return None
    numbers = [score.value, score.low, score.high, score.seed_std]
    while numbers and numbers[-1] is None:
        numbers.pop()
    return [scaled(number, METRICS[metric].decimals) for number in numbers]


def _ceiling(ceiling: Ceiling | None) -> dict[str, list[list[int | None] | None]]:
    scores: dict[str, dict[str, SeedScore]] = {
        stratum: {name: SeedScore(s.value, s.low, s.high, None) for name, s in metrics.items()}
        for stratum, metrics in ({} if ceiling is None else ceiling.scores).items()
    }
    return _scores(scores)
