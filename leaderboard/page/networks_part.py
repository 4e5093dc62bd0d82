"""The part of the page's data that is an image set: its networks, and the best predictions."""

from collections.abc import Mapping
from itertools import groupby

from benchmark.space.imagesets import IMAGES
from benchmark.space.layer_walk import LayerRow, layer_word, macs, parameters
from harness.results.predictions import matrix, predicted_epochs
from leaderboard.board import Board, Row
from leaderboard.networks import TaskNetworks
from leaderboard.page.packing import Bytes, pack_curves, pack_exact

PREDICTIONS = 150  # predictors of all tasks together whose predictions the page holds


def images_part(
    board: Board, all_networks: Mapping[str, TaskNetworks], images: str
) -> tuple[dict[str, object], bytes]:
    """Return the record of an image set for the page, and the bytes that it refers to.

    Raises:
        ValueError: If predictions are for other networks than the task's.
    """
    content = Bytes()
    # Most tasks of an image set have the same networks, so each set of networks is stored once
    indices: dict[tuple[str, ...], int] = {}
    sets: list[dict[str, object]] = []
    tasks: dict[str, object] = {}
    kept = PREDICTIONS // len(board.tasks)
    for task in board.tasks:
        if task.images != images:
            continue
        networks = all_networks[task.name]
        run_ids = networks.targets.run_ids
        if run_ids not in indices:
            indices[run_ids] = len(sets)
            sets.append(_networks(networks, content))
        predictions = {
            row.result.predictor: _predictions(row, run_ids, content)
            for row in task.rows[:kept]
            if row.predictions is not None
        }
        tasks[task.name] = {"set": indices[run_ids], "predictions": predictions}
    record: dict[str, object] = {
        "resolution": IMAGES[images].resolution, "kept": kept, "sets": sets, "tasks": tasks
    }  # fmt: skip
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


def _predictions(row: Row, run_ids: tuple[str, ...], content: Bytes) -> dict[str, object]:
    """Return where the predictions of a row lie."""
    assert row.predictions is not None
    mean = matrix(row.predictions, "mean", run_ids)
    return {
        "epochs": list(predicted_epochs(row.predictions)),
        "finals": content.add(pack_exact(mean[:, -1])),
        "curves": content.add(pack_curves(mean)) if mean.shape[1] > 1 else None,
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
