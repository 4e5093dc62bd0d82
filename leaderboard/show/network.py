"""A network of the release: its architecture layer by layer, and the curves of all its runs."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import click
import pyarrow.compute as pc

from benchmark.release import INSTALLED, Release
from benchmark.runs import series, split_path
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.space.layer_walk import LayerRow, layer_word, macs, parameters, walk
from benchmark.space.splits import SPLITS
from leaderboard.show.chart import Array, chart

WIDTH = 80  # columns
COLOURS = {
    "conv": "blue", "max_pool": "yellow", "avg_pool": "yellow", "relu": "green",
    "sigmoid": "green", "tanh": "green", "bn": "bright_black", "linear": "magenta",
    "global_pool": "magenta",
}  # fmt: skip
COLUMNS = (
    "run_id", "architecture_id", "architecture", "skeleton", "seed", "status", "valid_accuracy",
    "test_accuracy",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network and its runs, by seed.

    Attributes:
        architecture_id: Its identity.
        skeleton: The frame around its blocks.
        images: What it was trained on.
        split: Where its runs lie.
        rows: Its layer walk.
        seeds: One per run that was trained, as the next.
        statuses: How it ended.
        valid: Valid accuracy (runs, epochs).
        test: Test accuracy, likewise.
    """

    architecture_id: str
    skeleton: str
    images: str
    split: str
    rows: tuple[LayerRow, ...]
    seeds: tuple[int, ...]
    statuses: tuple[str, ...]
    valid: Array
    test: Array


@dataclass(frozen=True, slots=True)
class Line:
    """Layers that are drawn on one line.

    Attributes:
        place: Stem, block, transition or head.
        rows: In order, the shortcut's and the addition left out.
        shortcut: The convolution of the shortcut around them, `identity`, or None without one.
    """

    place: str
    rows: tuple[LayerRow, ...]
    shortcut: str | None


def load_network(name: str, images: str | None = None, release: Release = INSTALLED) -> Network:
    """Return a network of the release.

    Args:
        name: An architecture id, the unique start of one, or a run id.
        images: Of networks that were trained on several sets; the first that has it by default.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If there is no data.
        ValueError: If no network is so called, or several are.
    """
    known = _known(images, release)
    ids = {place[0]: place for place in reversed(known.values())}  # the first set stays
    found = [known[name][0]] if name in known else sorted(i for i in ids if i.startswith(name))
    if not found or not name:
        close = difflib.get_close_matches(name, ids, n=1, cutoff=0.0)
        hint = f"; the nearest is {close[0]!r}" if close else ""
        raise ValueError(f"no network or run of this release is called {name!r}{hint}")
    if len(found) > 1:
        shown = ", ".join(found[:3])
        raise ValueError(f"{name!r} is the start of {len(found)} networks: {shown}, ...")
    return _read(*known.get(name, ids[found[0]]), release)


def _known(images: str | None, release: Release) -> dict[str, tuple[str, str, str]]:
    """Return architecture id, image set and split of each run, by run id, image set by image set.

    Raises:
        ValueError: If the images are not known.
        FileNotFoundError: If there is no data, or none of the images.
    """
    chosen = (get_images(images).name,) if images else tuple(IMAGES)
    found: dict[str, tuple[str, str, str]] = {}
    columns = ("run_id", "architecture_id")
    for place in chosen:
        for split in SPLITS:
            if images or split_path(place, split, release.folder).exists():
                table = release.runs(place, split, columns=columns)
                for run, architecture in zip(*(c.to_pylist() for c in table.columns), strict=True):
                    found[run] = (architecture, place, split)
    if not found:
        raise FileNotFoundError(f"no runs in {str(release.folder)!r}")
    return found


def _read(architecture_id: str, images: str, split: str, release: Release) -> Network:
    table = release.runs(images, split, columns=COLUMNS)
    rows = table.filter(pc.equal(table["architecture_id"], architecture_id)).sort_by("seed")
    first = rows.slice(0, 1).to_pylist()[0]
    trained = rows.filter(pc.greater(pc.list_value_length(rows["valid_accuracy"]), 0))
    return Network(
        architecture_id,
        first["skeleton"],
        images,
        split,
        walk(from_record(first["architecture"]), get_images(images)),
        tuple(trained["seed"].to_pylist()),
        tuple(trained["status"].to_pylist()),
        series(trained, "valid_accuracy"),
        series(trained, "test_accuracy"),
    )


def drawn_lines(rows: tuple[LayerRow, ...]) -> list[Line]:
    """Return a network's layers line by line: stem, blocks, transitions, head."""
    lines = []
    for place, group in groupby(rows, _place):
        inside = tuple(group)
        at_shortcut = [layer_word(row) for row in inside if row.role == "shortcut"]
        added = any(row.role == "add" for row in inside)
        shortcut = " ".join(at_shortcut) or "identity" if added else None
        drawn = tuple(row for row in inside if row.role not in ("shortcut", "add"))
        lines.append(Line(place, drawn, shortcut))
    return lines


def _place(row: LayerRow) -> str:
    if row.block >= 0:
        return f"block {row.block + 1}"
    return "reduce" if row.role == "transition" else row.role


def network_lines(network: Network) -> Iterator[str]:
    """Yield the network in at most 80 columns, with colours that a terminal may show."""
    yield (
        f"{click.style(network.architecture_id, bold=True)}  {network.skeleton}, {network.split} "
        f"split of {network.images}"
    )
    yield (
        f"{parameters(network.rows):,} parameters, {macs(network.rows):,} multiply-accumulates, "
        f"{len(network.rows)} layers"
    )
    yield ""
    stage = -1
    for line in drawn_lines(network.rows):
        now = line.rows[0].stage
        head = f"stage {now + 1}" if now != stage and line.place not in ("stem", "head") else ""
        stage = now
        yield from _line(line, head)
    yield ""
    yield from _curves(network)


def _line(line: Line, stage: str) -> Iterator[str]:
    """Yield the layers of a line, wrapped, beside a rail where a shortcut goes around them."""
    side = line.rows[0].in_resolution
    start = f"{stage:8} {f'{side}x{side}':>7}  {line.place:8} "
    wrapped: list[list[LayerRow]] = [[]]
    width = 0
    for row in line.rows:
        size = len(layer_word(row)) + 1
        if width + size > WIDTH - len(start) - 2:
            wrapped, width = [*wrapped, []], 0
        wrapped[-1].append(row)
        width += size
    for index, part in enumerate(wrapped):
        rail = "  " if line.shortcut is None else ("┌ " if index == 0 else "│ ")
        words = " ".join(click.style(layer_word(r), fg=COLOURS.get(r.kind)) for r in part)
        yield f"{start if index == 0 else ' ' * len(start)}{rail}{words}"
    if line.shortcut is not None:
        yield f"{' ' * len(start)}└ + {line.shortcut}"


def _curves(network: Network) -> Iterator[str]:
    """Yield a chart of the valid accuracies, and what each run ended with."""
    if not network.seeds:
        yield "no run of it was trained to the end"
        return
    seeds = "seed" if len(network.seeds) == 1 else "seeds"
    yield f"valid accuracy of {seeds} {', '.join(map(str, network.seeds))} (* where they meet)"
    yield from chart(network.valid, [str(seed % 10) for seed in network.seeds])
    yield ""
    yield f"{'seed':>4}  {'status':10} {'valid':>7} {'test':>7} {'best epoch':>11}"
    for seed, status, valid, test in zip(
        network.seeds, network.statuses, network.valid, network.test, strict=True
    ):
        best = int(valid.argmax()) + 1
        yield f"{seed:4}  {status:10} {valid[-1]:7.4f} {test[-1]:7.4f} {best:11}"
