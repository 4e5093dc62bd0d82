"""The lines of a file of external data, as `docs/external_data.md` defines them.

A file is JSON lines: a header, then one network a line. `benchmark.util.strict_json` checks fields
and types; this module checks values, fills in what is not given, and makes layer rows and series.
Every message names the field, its value and the rule.
"""

import math
import re
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np

from benchmark.recipes import MOST_EPOCHS
from benchmark.schema import TENTHS
from benchmark.space.imagesets import IMAGES
from benchmark.space.layer_walk import ROW_KINDS, WEIGHTED, LayerRow, Role
from benchmark.util.strict_json import refuse
from benchmark.util.text import check_line, quantity
from benchmark.util.unknown_name import unknown_name
from harness.protocol import Array, Series

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Numbers = tuple[float | None, ...] | None  # one an epoch; None is unknown, or lost by divergence
NAME = re.compile(r"[a-z0-9-]{1,22}")
LARGEST_SIZE = 1_000_000  # of kernels, strides, channels and pixels
LONGEST_NAME = 2_000  # characters of an id or a group, which may be the network as text
REDUCING = ("global_pool", "dense", "linear")  # read all pixels, and leave one
ROLES: dict[str, Role] = {"add": "add", "global_pool": "head", "linear": "head"}  # else "block"
WINDOW = ("kernel_height", "kernel_width", "stride", "out_resolution")
SIZES = (*WINDOW[:3], "in_channels", "out_channels", "in_resolution", "out_resolution")


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a file."""

    format: Literal["peephole-networks"]
    version: int
    name: str
    images: str
    resolution: int
    channels: int
    classes: int
    epochs: int

    def __post_init__(self) -> None:
        """Check the values."""
        if self.version != 1:
            refuse("version", self.version, "1")
        if not NAME.fullmatch(self.name):
            refuse("name", self.name, "1 to 22 of a-z, 0-9 and '-'")
        check_line("images", self.images)
        for name in ("resolution", "channels", "classes"):
            _check_size(name, getattr(self, name), 2 if name == "classes" else 1)
        _check_size("epochs", self.epochs, most=MOST_EPOCHS)

    @property
    def nearest_images(self) -> str:
        """Name of the image set of this package with the nearest resolution and channels."""
        sizes = {
            name: (abs(math.log2(images.resolution / self.resolution)), images.channels)
            for name, images in IMAGES.items()
        }
        return min(sizes, key=lambda name: (sizes[name][0], abs(sizes[name][1] - self.channels)))


@dataclass(frozen=True, slots=True)
class LayerFields:
    """A layer: the fields of a `LayerRow`; those that are None follow from the layers before."""

    kind: str
    kernel_height: int | None = None
    kernel_width: int | None = None
    stride: int | None = None
    in_channels: int | None = None
    out_channels: int | None = None
    in_resolution: int | None = None
    out_resolution: int | None = None
    role: Role | None = None
    stage: int = 0
    block: int = 0
    inputs: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class SeriesFields:
    """The fields of a `Series` for one network; those that are None are unknown."""

    valid_accuracy: tuple[float, ...]
    learning_rate: Numbers = None
    train_loss: Numbers = None
    train_accuracy: tuple[float, ...] | None = None
    train_loss_tenths: tuple[Numbers, ...] | None = None
    valid_loss: Numbers = None
    gradient_norm: Numbers = None
    weight_norm: Numbers = None
    initial_valid_loss: float | None = None
    initial_valid_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class NetworkFields:
    """A network: every line after the first."""

    id: str
    layers: tuple[LayerFields, ...]
    series: SeriesFields
    group: str | None = None
    split: Split | None = None

    def __post_init__(self) -> None:
        """Check that names can be shown."""
        for name in ("id", "group"):
            check_line(name, getattr(self, name), LONGEST_NAME)


def rows_of(layers: tuple[LayerFields, ...], header: Header) -> tuple[LayerRow, ...]:
    """Return the layer rows of a network.

    Raises:
        ValueError: If a layer does not follow from its inputs, or predictors cannot read the
            network.
    """
    rows: list[LayerRow] = []
    for number, layer in enumerate(layers):
        rows.append(_row(layer, rows, header, f"layers[{number}]"))
    if not any(row.kind == "conv" and row.role == "block" for row in rows):
        refuse("layers", [row.kind for row in rows], "layers with a `conv` of the role 'block'")
    if (rows[-1].kind, rows[-1].out_channels) != ("linear", header.classes):
        last = f"{rows[-1].kind}:{rows[-1].out_channels}"
        refuse(f"layers[{len(rows) - 1}]", last, f"linear:{header.classes}, the classes")
    return tuple(rows)


def _row(layer: LayerFields, rows: list[LayerRow], header: Header, where: str) -> LayerRow:
    """Return the row of a layer, given the rows before it."""
    if layer.kind not in ROW_KINDS:
        raise ValueError(f"`{where}.kind`: {unknown_name('layer kind', layer.kind, ROW_KINDS)}")
    inputs = (len(rows) - 1,) if layer.inputs is None else layer.inputs
    channels, resolution = _input_sizes(layer, inputs, rows, header, where)
    if layer.kind in WEIGHTED and layer.out_channels is None:
        raise ValueError(f"field `{where}.out_channels` is missing")
    for name in ("stage", "block"):
        _check_size(f"{where}.{name}", getattr(layer, name), least=-1)
    stride = 1 if layer.stride is None else layer.stride
    _check_size(f"{where}.stride", stride)
    shrunk = -(-resolution // stride) if layer.kind == "conv" else max(1, resolution // stride)
    reducing = layer.kind in REDUCING
    side = resolution if reducing else 1
    follow = (side, side, 1, channels, channels, resolution, 1 if reducing else shrunk)
    sizes = dict(zip(SIZES, follow, strict=True))
    for name in SIZES:
        given = getattr(layer, name)
        if name in _free_sizes(layer.kind):
            sizes[name] = sizes[name] if given is None else given
            _check_size(f"{where}.{name}", sizes[name])
        elif given not in (None, sizes[name]):
            refuse(f"{where}.{name}", given, f"{sizes[name]}, as its inputs {inputs} have")
    return LayerRow(
        kind=layer.kind,
        **sizes,
        role=layer.role or ROLES.get(layer.kind, "block"),
        stage=layer.stage,
        block=layer.block,
        inputs=inputs,
    )


def _free_sizes(kind: str) -> tuple[str, ...]:
    """Return the sizes that a layer of a kind may choose; the others follow from its inputs."""
    if kind in WEIGHTED:
        return (*WINDOW, "out_channels")
    return WINDOW if kind in (*REDUCING, "max_pool", "avg_pool") else ()


def _input_sizes(
    layer: LayerFields, inputs: tuple[int, ...], rows: list[LayerRow], header: Header, where: str
) -> tuple[int, int]:
    """Return the channels and the resolution that all inputs of a layer have."""
    where = f"{where}.inputs"
    if (len(inputs) > 1) != (layer.kind == "add") or not inputs:
        refuse(where, inputs, f"{'two or more layers' if layer.kind == 'add' else 'one layer'}")
    if not all(-1 <= index < len(rows) for index in inputs):
        refuse(where, inputs, f"from -1, the image, to {len(rows) - 1}, the layer before")
    found = {
        (header.channels, header.resolution)
        if index == -1
        else (rows[index].out_channels, rows[index].out_resolution)
        for index in inputs
    }
    if len(found) > 1:
        refuse(where, inputs, f"layers of equal channels and resolution, not {sorted(found)}")
    return found.pop()


def series_of(network: SeriesFields, header: Header) -> dict[str, Array]:
    """Return the series of a network by name: (), (epochs,) or (epochs, 10).

    What is unknown is NaN, but an unknown accuracy is at chance.

    Raises:
        ValueError: If a series has the wrong length, or a value is out of range.
    """
    return {field.name: _series(field.name, network, header) for field in fields(Series)}


def _series(name: str, network: SeriesFields, header: Header) -> Array:
    """Return one series of a network."""
    shape: tuple[int, ...] = () if name.startswith("initial_") else (header.epochs,)
    shape += (TENTHS,) * name.endswith("_tenths")
    given, accuracy = getattr(network, name), "accuracy" in name
    if given is None:
        return np.full(shape, 1 / header.classes if accuracy else np.nan)
    _check_lengths(f"series.{name}", given, shape)
    values = np.array(given, dtype=np.float64)  # None becomes NaN
    wrong = np.argwhere((values < 0) | (accuracy & (values > 1)))
    if len(wrong):
        index = tuple(wrong[0].tolist())
        where = f"series.{name}" + "".join(f"[{i}]" for i in index)
        refuse(where, float(values[index]), "in [0, 1]" if accuracy else "at least 0")
    return values


def _check_lengths(where: str, given: tuple[object, ...] | None, shape: tuple[int, ...]) -> None:
    """Check that nested tuples have a shape."""
    if not shape:
        return
    if not isinstance(given, tuple) or len(given) != shape[0]:
        entries = quantity(len(given), "entry", "entries") if isinstance(given, tuple) else given
        raise ValueError(
            f"`{where}` (={entries}) must have {quantity(shape[0], 'entry', 'entries')}"
        )
    for i, inner in enumerate(given if shape[1:] else ()):
        _check_lengths(f"{where}[{i}]", inner, shape[1:])  # type: ignore[arg-type]


def _check_size(where: str, size: int, least: int = 1, most: int = LARGEST_SIZE) -> None:
    if not least <= size <= most:
        refuse(where, size, f"in {least}..{most}")
