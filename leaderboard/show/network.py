"""Shows a network of the release in the terminal: its layers and the curves of all its runs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from textwrap import wrap

import click
import pyarrow as pa
import pyarrow.compute as pc

from benchmark.manifest import released_splits
from benchmark.recipes import Recipe
from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, layer_word, macs, parameters, walk
from benchmark.util.text import escape
from benchmark.util.unknown_name import check_one, starting_with
from leaderboard.show.chart import Array, chart
from leaderboard.show.split import check_images

WIDTH = 80  # columns of the terminal
COLOURS = {
    "conv": "blue", "max_pool": "yellow", "avg_pool": "yellow", "relu": "green",
    "sigmoid": "green", "tanh": "green", "bn": "bright_black", "linear": "magenta",
    "global_pool": "magenta",
}  # fmt: skip
COLUMNS = (
    "run_id", "architecture_id", "architecture", "skeleton", "recipe_id", "seed", "status",
    "valid_accuracy", "test_accuracy",
)  # fmt: skip
Found = tuple[str, str, str]  # architecture id, image set and split of a run


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network and its runs, by seed.

    Attributes:
        seeds: Seed of each trained run.
        statuses: Status of each trained run.
        valid: Valid accuracy of each trained run (runs, epochs).
        test: Test accuracy of each trained run (runs, epochs).
    """

    architecture_id: str
    skeleton: str
    images: str
    split: str
    rows: tuple[LayerRow, ...]
    recipe: Recipe
    seeds: tuple[int, ...]
    statuses: tuple[str, ...]
    valid: Array
    test: Array


@dataclass(frozen=True, slots=True)
class Line:
    """Layers that are drawn on one line.

    Attributes:
        name: Name of the group of layers, for example `stem` or `block 1`.
        rows: Layers in order, without those of the shortcut and the addition.
        shortcut: Convolution of the shortcut around the layers, or `identity`; None if there is no
            shortcut.
    """

    name: str
    rows: tuple[LayerRow, ...]
    shortcut: str | None


def load_network(name: str, images: str | None = None, release: Release = INSTALLED) -> Network:
    """Read a network of the release by its architecture id, a prefix of it, or a run id.

    The default image set is the first in which the network was trained.

    Raises:
        FileNotFoundError: If there is no data.
        ValueError: If no network has this id, or several have this prefix.
    """
    everywhere = _read_ids(release)
    runs = everywhere
    if images is not None:
        wanted = get_images(images).name
        runs = {run: found for run, found in everywhere.items() if found[1] == wanted}
    matches = _matches(name, runs)
    if not matches and (others := {image_set for _, image_set, _ in _matches(name, everywhere)}):
        raise ValueError(
            f"{name!r} is a network of {' and '.join(sorted(others))}, not of {images}"
        )
    ids = [architecture for architecture, *_ in matches]
    known = {architecture for architecture, *_ in runs.values()}
    check_one("network or run of this release", name, ids, known)
    _, image_set, split = matches[0]
    return _network(release.runs(image_set, split, columns=COLUMNS), matches[0], release)


def all_networks(images: str, release: Release = INSTALLED) -> Iterator[Network]:
    """Yield the networks of an image set, split by split, in the order of the data.

    Raises:
        ValueError: If the image set is unknown; the message suggests the nearest name.
        FileNotFoundError: If the release has no data of it; the message lists what it has.
    """
    check_images(images, release)
    for split in (s for name, s in released_splits(release.folder) if name == images):
        table = release.runs(images, split, columns=COLUMNS)
        for architecture_id in table["architecture_id"].unique().to_pylist():
            yield _network(table, (architecture_id, images, split), release)


def _network(table: pa.Table, found: Found, release: Release) -> Network:
    """Return a network, given the runs of its split."""
    architecture_id, image_set, split = found
    rows = table.filter(pc.equal(table["architecture_id"], architecture_id)).sort_by("seed")
    first = rows.slice(0, 1).to_pylist()[0]
    trained = rows.filter(pc.greater(pc.list_value_length(rows["valid_accuracy"]), 0))
    return Network(
        architecture_id,
        first["skeleton"],
        image_set,
        split,
        walk(from_record(first["architecture"]), get_images(image_set)),
        release.recipe(first["recipe_id"]),
        tuple(trained["seed"].to_pylist()),
        tuple(trained["status"].to_pylist()),
        series(trained, "valid_accuracy"),
        series(trained, "test_accuracy"),
    )


def network_record(network: Network) -> dict[str, object]:
    """Return a network as an object of JSON, with its layers and the curves of its runs."""
    curves = (network.seeds, network.statuses, network.valid.tolist(), network.test.tolist())
    keys = ("seed", "status", "valid_accuracy", "test_accuracy")
    names = ("architecture_id", "skeleton", "images", "split")
    return {
        **{name: getattr(network, name) for name in names},
        "layers": [asdict(row) for row in network.rows],
        "runs": [dict(zip(keys, run, strict=True)) for run in zip(*curves, strict=True)],
    }


def _matches(name: str, runs: dict[str, Found]) -> list[Found]:
    """Return the run, or else the networks, whose ids, of small letters, a name begins."""
    if name.lower() in runs:
        return [runs[name.lower()]]
    networks = {found[0]: found for found in reversed(runs.values())}  # the first image set wins
    return [networks[i] for i in starting_with(name, networks)]


def _read_ids(release: Release) -> dict[str, Found]:
    """Return architecture id, image set and split of each run, by run id."""
    runs: dict[str, Found] = {}
    columns = ("run_id", "architecture_id")
    for image_set, split in released_splits(release.folder):
        table = release.runs(image_set, split, columns=columns)
        for run, architecture in zip(*(c.to_pylist() for c in table.columns), strict=True):
            runs[run] = (architecture, image_set, split)
    if not runs:
        raise FileNotFoundError(f"no runs in {str(release.folder)!r}")
    return runs


def drawn_lines(rows: tuple[LayerRow, ...]) -> list[Line]:
    """Return a line for each stem, block, transition and head of a network."""
    lines = []
    for name, grouped in groupby(rows, _group_name):
        group = tuple(grouped)
        on_shortcut = [layer_word(row) for row in group if row.role == "shortcut"]
        added = any(row.role == "add" for row in group)
        shortcut = " ".join(on_shortcut) or "identity" if added else None
        drawn = tuple(row for row in group if row.role not in ("shortcut", "add"))
        lines.append(Line(name, drawn, shortcut))
    return lines


def _group_name(row: LayerRow) -> str:
    if row.block >= 0:
        return f"block {row.block + 1}"
    return "reduce" if row.role == "transition" else row.role


def network_lines(network: Network) -> Iterator[str]:
    """Yield the lines that show a network, at most 80 columns wide and with terminal colours."""
    yield (
        f"{click.style(escape(network.architecture_id), bold=True)}  {escape(network.skeleton)}, "
        f"{network.split} split of {network.images}"
    )
    yield (
        f"{parameters(network.rows):,} parameters, {macs(network.rows):,} multiply-accumulates, "
        f"{len(network.rows)} layers"
    )
    yield ""
    stage = -1
    for line in drawn_lines(network.rows):
        now = line.rows[0].stage
        head = f"stage {now + 1}" if now != stage and line.name not in ("stem", "head") else ""
        stage = now
        yield from _line(line, head)
    yield ""
    yield from _curves(network)


def _line(line: Line, stage: str) -> Iterator[str]:
    """Yield the layers of a line, wrapped, with a bar at the left if there is a shortcut."""
    side = line.rows[0].in_resolution
    start = f"{stage:8} {f'{side}x{side}':>7}  {line.name:8} "
    text = " ".join(map(layer_word, line.rows))
    kinds = (row.kind for row in line.rows)
    for index, part in enumerate(wrap(text, WIDTH - len(start) - 3)):
        rail = "  " if line.shortcut is None else ("┌ " if index == 0 else "│ ")
        words = " ".join(click.style(word, fg=COLOURS.get(next(kinds))) for word in part.split())
        yield f"{start if index == 0 else ' ' * len(start)}{rail}{words}"
    if line.shortcut is not None:
        yield f"{' ' * len(start)}└ + {line.shortcut}"


def _curves(network: Network) -> Iterator[str]:
    """Yield a chart of the valid accuracies, and the final accuracies of each run."""
    if not network.seeds:
        yield "no run of this network was trained to the end"
        return
    seeds = "seed" if len(network.seeds) == 1 else "seeds"
    yield f"valid accuracy of {seeds} {', '.join(map(str, network.seeds))} (* where they overlap)"
    yield from chart(network.valid, [str(seed % 10) for seed in network.seeds])
    yield ""
    yield f"{'seed':>4}  {'status':10} {'valid':>7} {'test':>7} {'best epoch':>11}"
    for seed, status, valid, test in zip(
        network.seeds, network.statuses, network.valid, network.test, strict=True
    ):
        best = int(valid.argmax()) + 1
        yield f"{seed:4}  {status:10} {valid[-1]:7.4f} {test[-1]:7.4f} {best:11}"
