"""Writes the published MetaQNN networks in the format of `external_data.md`.

The CSV holds 1,000 chain networks on CIFAR-10 with 20 epochs each, published with Baker et al. 2017
(arXiv:1705.10823). A layer is C(filters, kernel, stride), P(kernel, stride), D(i, n), FC(units),
GAP(classes) or SM(classes); only a stride reduces the resolution. The learning rate is left out: it
is an outcome, as restarts chose it. The group of a network is its text, so copies stay together.

Run as `python convert_metaqnn.py metaqnn_cifar10.csv metaqnn.jsonl`.
"""

import csv
import json
import re
import sys
from pathlib import Path

EPOCHS = 20
HEADER = {
    "format": "peephole-networks", "version": 1, "name": "metaqnn", "images": "CIFAR-10",
    "resolution": 32, "channels": 3, "classes": 10, "epochs": EPOCHS,
}  # fmt: skip
WORD = re.compile(r"(C|P|D|FC|GAP|SM)\(([\d,. ]+)\)")
Layer = dict[str, int | str]


def layers_of(text: str) -> list[Layer]:
    """Return the layers of a network.

    Raises:
        ValueError: If the text contains anything else.

    >>> [layer["kind"] for layer in layers_of("[C(64,3,1), P(2,2), D(1,1), FC(128), SM(10)]")]
    ['conv', 'max_pool', 'dropout', 'dense', 'linear']
    """
    words = WORD.findall(text)
    if not words or WORD.sub("", text).strip("[], "):
        raise ValueError(f"`net` (={text!r}) must be a list of C, P, D, FC, GAP and SM")
    layers: list[Layer] = []
    side = HEADER["resolution"]
    assert isinstance(side, int)
    for kind, numbers in words:
        for layer in _layers(kind, [int(float(number)) for number in numbers.split(",")], side):
            side = max(1, -(-side // int(layer.get("stride", 1))))
            layers.append(layer | {"out_resolution": side})
    return layers


def _layers(kind: str, numbers: list[int], side: int) -> list[Layer]:
    """Return the layers of a word; `side` is the input's height and width in pixels."""
    if kind == "C":
        return [window("conv", *numbers[1:3]) | {"out_channels": numbers[0]}]
    if kind == "P":
        return [window("max_pool", *numbers[:2])]
    if kind == "D":
        return [{"kind": "dropout"}]
    if kind == "FC":
        return [window("dense", side, side) | {"out_channels": numbers[0]}]
    if kind == "GAP":
        return [
            window("conv", 1, 1) | {"out_channels": numbers[0]},
            window("global_pool", side, side),
        ]
    return [window("linear", side, side) | {"out_channels": numbers[0]}]


def window(kind: str, side: int, stride: int) -> Layer:
    """Return a layer with a square kernel."""
    return {"kind": kind, "kernel_height": side, "kernel_width": side, "stride": stride}


def convert(source: Path, target: Path) -> None:
    """Write the networks of a CSV file.

    Raises:
        ValueError: If a line differs from the published format; the message names the line.
        OSError: If a file cannot be read or written.
    """
    lines = [json.dumps(HEADER)]
    with source.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            try:
                layers = layers_of(row["net"])
                curve = [float(row[f"acc_{epoch}"]) for epoch in range(1, EPOCHS + 1)]
            except (KeyError, TypeError, ValueError) as error:
                where = f"{source}: line {number + 2}"
                raise ValueError(f"{where} is not a MetaQNN network: {error}") from error
            network = {"id": f"m{number:04d}", "group": row["net"], "layers": layers}
            lines.append(json.dumps(network | {"series": {"valid_accuracy": curve}}))
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
