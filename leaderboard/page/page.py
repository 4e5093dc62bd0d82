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
from pathlib import Path

from benchmark.tasks import group_of
from harness.metrics.registry import HEADLINE, METRICS, Group
from leaderboard.board import Board
from leaderboard.networks import TaskNetworks
from leaderboard.page.networks_part import images_part
from leaderboard.page.packing import compressed
from leaderboard.page.predictor_sources import sources_of
from leaderboard.page.search_part import search_index
from leaderboard.page.task_part import targets_of, task_part
from leaderboard.words import CHECKED

SCRIPTS = (
    "elements.js", "data.js", "view.js", "scores.js", "table.js", "csv.js", "charts.js",
    "labels.js", "headline.js", "compare.js", "matrix.js", "lines.js", "skeletons.js",
    "networks.js", "layers.js", "search.js", "page.js",
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


def render(
    board: Board, all_networks: Mapping[str, TaskNetworks], submissions: Path | None = None
) -> str:
    """Return the page as HTML.

    Args:
        board: All results.
        all_networks: Networks of every task of the board, by task name.
        submissions: Folder of submissions, from which authors and addresses are taken.

    Raises:
        ValueError: If the networks of a task are missing, predictions are for other networks, or a
            submission breaks a rule.
    """
    style, script = _source("page.css"), "".join(map(_source, SCRIPTS))
    record = script_safe(index(board, submissions))
    data = [f'<script type="application/json" id="index">{record}</script>']
    data += [
        f'<script type="text/plain" id="{name}">{compressed(*part)}</script>'
        for name, part in parts(board, all_networks).items()
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


def parts(
    board: Board, all_networks: Mapping[str, TaskNetworks]
) -> dict[str, tuple[dict[str, object], bytes]]:
    """Return the parts of the data, which the page unpacks one by one, by the id of their element.

    Raises:
        ValueError: If the networks of a task are missing, or predictions are for other networks.
    """
    for task in board.tasks:
        if task.name not in all_networks:
            raise ValueError(f"the networks of task {task.name!r} are missing")
    tasks = {
        f"task-{number}": task_part(board, task, all_networks[task.name])
        for number, task in enumerate(board.tasks)
    }
    images = dict.fromkeys(task.images for task in board.tasks)
    return tasks | {f"images-{name}": images_part(board, all_networks, name) for name in images}


def index(board: Board, submissions: Path | None = None) -> str:
    """Return the JSON that the page needs before it unpacks a part."""
    names = sorted({row.result.predictor for task in board.tasks for row in task.rows})
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
        "targets": targets_of(board),
        "checked": CHECKED,
        "leftOut": board.left_out,
        "searches": search_index(board.searches),
        "sources": {name: sources_of(name, submissions) for name in names},
        "tasks": [
            {
                "name": task.name,
                "images": task.images,
                "group": group_of(task.name),
                "observed": task.observed,
            }
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
