"""Writes a CSV table with one row a network in the format of `external_data.md`.

The columns are `id`, `layers` and `valid_accuracy_1`, `valid_accuracy_2` and so on; `group` and
`split` may be given too. Layers are words such as `conv3x3:64/2 max_pool2x2/2 dense:128 linear:10`:
kind, kernel height x width, output channels after a colon, stride after a slash; whatever a kind
does not need is left out.

Run as `python convert_table.py table.csv mine.jsonl --name mine --images CIFAR-10 --resolution 32
--channels 3 --classes 10`.
"""

import argparse
import csv
import json
import re
from pathlib import Path

WORD = re.compile(r"([a-z_]+)(?:(\d+)x(\d+))?(?::(\d+))?(?:/(\d+))?")
FIELDS = ("kernel_height", "kernel_width", "out_channels", "stride")
CURVE = "valid_accuracy_"
Layer = dict[str, int | str]


def layers_of(text: str) -> list[Layer]:
    """Return the layers of a text of words.

    Raises:
        ValueError: If a word is not a layer.

    >>> layers_of("conv3x3:64/2 relu")[1:]
    [{'kind': 'relu'}]
    """
    layers = []
    for word in text.split():
        found = WORD.fullmatch(word)
        if not found:
            raise ValueError(
                f"layer {word!r} must be like conv3x3:64/2: kind, kernel:channels/stride"
            )
        numbers = zip(FIELDS, found.groups()[1:], strict=True)
        layers.append({"kind": found[1]} | {name: int(n) for name, n in numbers if n})
    return layers


def convert(source: Path, target: Path, header: dict[str, object]) -> None:
    """Write the networks of a CSV table.

    Args:
        source: The table.
        target: The file to write.
        header: Name, images, resolution, channels and classes of the data.

    Raises:
        ValueError: If a row lacks a column, or holds a wrong layer or number.
        OSError: If a file cannot be read or written.
    """
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        curve = [name for name in reader.fieldnames or () if name.startswith(CURVE)]
        if not curve:
            raise ValueError(f"{source}: no column starts with {CURVE!r}")
        head = {"format": "peephole-networks", "version": 1, **header, "epochs": len(curve)}
        lines = [json.dumps(head)]
        for number, row in enumerate(reader, start=2):
            try:
                accuracy = [float(row[f"{CURVE}{epoch + 1}"]) for epoch in range(len(curve))]
                network = {"id": row["id"], "layers": layers_of(row["layers"])}
            except KeyError as error:
                raise ValueError(f"{source}: there is no column {error}") from error
            except (TypeError, ValueError) as error:
                raise ValueError(f"{source}: line {number}: {error}") from error
            network |= {name: row[name] for name in ("group", "split") if row.get(name)}
            lines.append(json.dumps(network | {"series": {"valid_accuracy": accuracy}}))
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line, and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    for name in ("name", "images"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("resolution", "channels", "classes"):
        parser.add_argument(f"--{name}", required=True, type=int)
    header = vars(parser.parse_args())
    try:
        convert(header.pop("source"), header.pop("target"), header)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
