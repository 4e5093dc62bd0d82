"""Files of external data: networks that are made up, and the published ones as lines."""

import json
from pathlib import Path
from typing import Any

from benchmark.space.layer_walk import LayerRow
from docs.convert_metaqnn import layers_of
from harness.studies.external import read_external

HEADER: dict[str, Any] = {
    "format": "peephole-networks", "version": 1, "name": "toy", "images": "drawings",
    "resolution": 16, "channels": 1, "classes": 4, "epochs": 6,
}  # fmt: skip


def network(number: int, **fields: object) -> dict[str, Any]:
    """Return a network whose accuracy grows with its width, without noise."""
    layers = [
        {"kind": "conv", "kernel_height": 3, "kernel_width": 3, "out_channels": 8 + number},
        {"kind": "max_pool", "kernel_height": 2, "kernel_width": 2, "stride": 2},
        {"kind": "linear", "out_channels": 4},
    ]
    curve = [round((0.3 + number / 100) * (1 - 0.5**epoch), 6) for epoch in range(1, 7)]
    return {"id": f"n{number}", "layers": layers, "series": {"valid_accuracy": curve}} | fields


def write_external(path: Path, *lines: object, header: object = HEADER) -> Path:
    """Write a file; without lines, of 60 networks."""
    given = lines or tuple(network(number) for number in range(60))
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *given)))
    return path


def metaqnn_rows(text: str, folder: Path) -> tuple[LayerRow, ...]:
    """Return the layer rows of a network of MetaQNN, as its converter writes it."""
    header = HEADER | {"resolution": 32, "channels": 3, "classes": 10, "epochs": 1}
    line = {"id": "a", "layers": layers_of(text), "series": {"valid_accuracy": [0.5]}}
    return read_external(write_external(folder / "net.jsonl", line, header=header)).runs.layer_rows[
        0
    ]
