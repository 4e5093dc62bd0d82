"""The board's page: one HTML file with the data inside, which opens from a disk, offline.

Accuracies are stored as whole numbers of ten-thousandths (two bytes each, little-endian, base64):
four digits, as many as 10,000 images can tell apart. Scores keep five significant digits.
"""

import base64
import json
from collections.abc import Mapping
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from benchmark.imagesets import IMAGES
from benchmark.walk import LayerRow, macs, parameters
from harness.invariants import Scores
from harness.metrics import METRICS
from harness.results import Ceiling
from harness.stored_predictions import matrix, predicted_epochs
from leaderboard.board import Board, Row, TaskBoard, TaskTruth

PLACE = "/*board*/null"  # where the template takes the data
STEPS = 10_000  # of an accuracy of 1
_SHORT = {"max_pool": "max", "avg_pool": "avg", "global_pool": "mean"}
_KERNELS = ("conv", "max_pool", "avg_pool")


def render(board: Board, truths: Mapping[str, TaskTruth]) -> str:
    """Return the page.

    Args:
        board: All results.
        truths: For every task of the board, by name.

    Raises:
        ValueError: If a task has no truth, or predictions are not of its networks.
    """
    template = resources.files("leaderboard").joinpath("page.html").read_text(encoding="utf-8")
    before, after = template.split(PLACE)
    return before + script_safe(json.dumps(page_data(board, truths), separators=(",", ":"))) + after


def script_safe(text: str) -> str:
    r"""Return JSON that cannot end the script element it stands in.

    >>> script_safe('{"title":"</script>"}')
    '{"title":"\\u003c/script>"}'
    """
    return text.replace("<", "\\u003c")


def page_data(board: Board, truths: Mapping[str, TaskTruth]) -> dict[str, object]:
    """Return everything the page shows, as JSON values."""
    for task in board.tasks:
        if task.name not in truths:
            raise ValueError(f"task {task.name!r} of the board must have a truth")
    # Tasks of an image set mostly ask for the same networks: each set is stored once
    sets: dict[tuple[str, ...], int] = {}
    shown: list[dict[str, object]] = []
    tasks: list[dict[str, object]] = []
    for task in board.tasks:
        truth = truths[task.name]
        key = (task.images, *truth.truth.run_ids)
        if key not in sets:
            sets[key] = len(shown)
            shown.append(_networks(truth))
        tasks.append(_task(task, truth.truth.run_ids) | {"set": sets[key]})
    return {
        "metrics": {name: metric.direction for name, metric in METRICS.items()},
        "images": {task.images: IMAGES[task.images].chance for task in board.tasks},
        "ceilings": {name: _ceiling(ceiling) for name, ceiling in board.ceilings.items()},
        "sets": shown,
        "tasks": tasks,
    }


def pack(values: NDArray[np.float64]) -> str:
    """Return accuracies in [0, 1], row by row, rounded to four digits.

    >>> base64.b64decode(pack(np.array([0.0, 1.0]))).hex()
    '00001027'
    """
    whole = np.rint(np.clip(values, 0, 65_535 / STEPS) * STEPS).astype("<u2")
    return base64.b64encode(whole.tobytes()).decode()


def _networks(truth: TaskTruth) -> dict[str, object]:
    """Return the networks of a truth, column by column."""
    runs = truth.truth
    return {
        "runs": list(runs.run_ids),
        "architectures": list(runs.architecture_ids),
        "skeletons": list(runs.skeletons),
        "heldout": [int(part == "heldout") for part in runs.parts],
        "parameters": [parameters(rows) for rows in truth.layer_rows],
        "macs": [macs(rows) for rows in truth.layer_rows],
        "layers": [drawing(rows) for rows in truth.layer_rows],
        "epochs": runs.curves.shape[1],
        "curves": pack(runs.curves),
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


def layer_word(row: LayerRow) -> str:
    """Return a layer as one word."""
    word = _SHORT.get(row.kind, row.kind)
    if row.kind in _KERNELS:
        word += f"{row.kernel_height}x{row.kernel_width}"
    if row.kind in ("conv", "linear"):
        word += f":{row.out_channels}"
    return word + (f"/{row.stride}" if row.stride > 1 else "")


def _task(task: TaskBoard, run_ids: tuple[str, ...]) -> dict[str, object]:
    return {
        "name": task.name,
        "images": task.images,
        "observed": task.observed,
        "networks": {part: task.networks[part] for part in ("test", "heldout")},
        "rows": [_row(row, run_ids) for row in task.rows],
    }


def _row(row: Row, run_ids: tuple[str, ...]) -> dict[str, object]:
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
    }
    if row.predictions is not None:
        record["epochs"] = list(predicted_epochs(row.predictions))
        record["mean"] = pack(matrix(row.predictions, "mean", run_ids))
    return record


def _short(value: float | None) -> float | None:
    """Return a number with five significant digits."""
    return None if value is None else float(f"{value:.5g}")


def _scores(scores: Scores) -> dict[str, dict[str, list[float | None]]]:
    """Return value, low, high and spread over seeds of each metric in each stratum."""
    return {
        stratum: {
            name: [_short(v) for v in (score.value, score.low, score.high, score.seed_std)]
            for name, score in metrics.items()
        }
        for stratum, metrics in scores.items()
    }


def _ceiling(ceiling: Ceiling) -> dict[str, dict[str, list[float | None]]]:
    return {
        stratum: {
            name: [_short(v) for v in (score.value, score.low, score.high)]
            for name, score in metrics.items()
        }
        for stratum, metrics in ceiling.scores.items()
    }
