"""The schema of runs, one row per run. The field metadata defines units, ranges and meanings.

Accuracies are fractions in [0, 1] and losses are in nats. In a list with one entry per epoch, entry
e is the value after epoch e + 1; values measured before training have fields of their own. From the
epoch in which a run diverges, its accuracies are chance (1 / classes) and its losses and norms are
null. `correct/` holds which images the final network classified correctly; pixels and weights are
not part of the data.
"""

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Literal, get_args

import pyarrow as pa

from benchmark.space.architectures import Architecture, to_record
from benchmark.util.text import quantity

SCHEMA_VERSION = 2
TENTHS = 10  # entries of `train_loss_tenths` per epoch
Status = Literal["completed", "diverged", "out_of_memory", "failed"]
TRAINED_STATUSES: tuple[Status, ...] = ("completed", "diverged")  # with complete curves


def _list(kind: pa.DataType) -> pa.DataType:
    """Return a list type whose entries are named as Parquet files name them."""
    return pa.list_(pa.field("element", kind))


_LAYER = pa.struct(
    [
        ("kind", pa.string()),
        ("kernel_height", pa.int8()),
        ("kernel_width", pa.int8()),
        ("channels", pa.int32()),
        ("ratio", pa.float32()),
    ]
)
ARCHITECTURE_TYPE = pa.struct(
    [("skeleton", pa.string()), ("widths", _list(pa.int32())), ("blocks", _list(_list(_LAYER)))]
)
_LIST = _list(pa.float32())


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the schema: its type, unit, range and meaning."""

    type: pa.DataType
    unit: str
    range: str
    meaning: str

    def arrow(self, name: str) -> pa.Field:
        """Return the Arrow field with the metadata of the column."""
        metadata = {"unit": self.unit, "range": self.range, "description": self.meaning}
        return pa.field(name, self.type, metadata=metadata)


_EPOCH = "one entry per epoch, entry e = after epoch e + 1; "
_RUNNING = "running mean, on augmented images"
_MEASURED = "the last on all, the others on the image set's fixed part of the "
_INITIAL = "before training, with batch statistics, on the valid images of the first epochs"
_TEXT, _COUNT = pa.string(), pa.int64()
COLUMNS: dict[str, Column] = {
    "run_id": Column(_TEXT, "", "", "identity: images-architecture_id-recipe_id-seed"),
    "architecture_id": Column(_TEXT, "", "16 hexadecimal digits", "SHA-256 of the canonical JSON"),
    "drawn_architecture_id": Column(
        _TEXT,
        "",
        "16 hexadecimal digits",
        "the architecture as drawn, at full width; it decides the split, and is the same in every "
        "tier of an image set",
    ),
    "draw_index": Column(pa.int32(), "", ">= 0", "number in its skeleton's sequence"),
    "paired_architecture_id": Column(
        _TEXT, "", "or null", "the architecture that lent its blocks to this one"
    ),
    "skeleton": Column(_TEXT, "", "", "the frame around the sampled blocks"),
    "architecture": Column(ARCHITECTURE_TYPE, "", "", "skeleton, stage widths, blocks of layers"),
    "images": Column(_TEXT, "", "", "the image set"),
    "recipe_id": Column(_TEXT, "", "", "how it was trained: benchmark.recipes"),
    "seed": Column(pa.int32(), "", ">= 0", "names the streams of weights, order, augmentation"),
    "parameters": Column(_COUNT, "parameters", "> 0", "trainable parameters"),
    "macs": Column(_COUNT, "multiply-accumulates", "> 0", "of one image's forward pass"),
    "status": Column(_TEXT, "", "completed, diverged, out_of_memory, failed", "how it ended"),
    "status_reason": Column(_TEXT, "", "or null", "why it did not complete"),
    "epochs_planned": Column(pa.int32(), "epochs", "> 0", "epochs of the recipe"),
    "epochs_done": Column(pa.int32(), "epochs", ">= 0", "epochs before it ended or diverged"),
    "initial_valid_loss": Column(pa.float32(), "nats", ">= 0 or null", _INITIAL),
    "initial_valid_accuracy": Column(pa.float32(), "fraction", "[0, 1]", _INITIAL),
    "learning_rate": Column(_LIST, "", "> 0", _EPOCH + "rate of the epoch's last step"),
    "train_loss": Column(_LIST, "nats", ">= 0 or null", _EPOCH + _RUNNING),
    "train_accuracy": Column(_LIST, "fraction", "[0, 1]", _EPOCH + _RUNNING),
    "valid_loss": Column(_LIST, "nats", ">= 0 or null", _EPOCH + _MEASURED + "valid images"),
    "valid_accuracy": Column(_LIST, "fraction", "[0, 1]", _EPOCH + _MEASURED + "valid images"),
    "test_loss": Column(_LIST, "nats", ">= 0 or null", _EPOCH + _MEASURED + "test images"),
    "test_accuracy": Column(_LIST, "fraction", "[0, 1]", _EPOCH + _MEASURED + "test images"),
    "gradient_norm": Column(
        _LIST, "", ">= 0 or null", _EPOCH + "of all parameters, at the epoch's last step"
    ),
    "weight_norm": Column(
        _LIST, "", ">= 0 or null", _EPOCH + "of all parameters, after the epoch's last step"
    ),
    "epoch_seconds": Column(
        _LIST, "s", ">= 0", _EPOCH + "measured time of its training and evaluation; 0 if not run"
    ),
    "networks_in_flight": Column(pa.int32(), "", ">= 1", "networks that shared the device"),
    "train_loss_tenths": Column(
        _LIST, "nats", ">= 0 or null", "mean loss of each tenth of each epoch, epoch after epoch"
    ),
    "final_train_accuracy": Column(
        pa.float32(),
        "fraction",
        "[0, 1]",
        "final network, on the image set's fixed part of the training images, not augmented",
    ),
    "device": Column(_TEXT, "", "", "processor or GPU model that trained it"),
    "environment_id": Column(_TEXT, "", "", "versions: environments.json beside the data"),
    "generator_version": Column(_TEXT, "", "", "version of this project that trained it"),
    "started_at": Column(pa.timestamp("ms", tz="UTC"), "UTC", "", "when its training started"),
}
SCHEMA = pa.schema(
    [column.arrow(name) for name, column in COLUMNS.items()],
    metadata={"schema_version": str(SCHEMA_VERSION)},
)
_LISTS = tuple(name for name, column in COLUMNS.items() if pa.types.is_list(column.type))
EPOCH_SERIES = tuple(name for name in _LISTS if name != "train_loss_tenths")
_LEAST = {"> 0": 1, ">= 0": 0, ">= 1": 1}
_LARGEST = 3.4028234663852886e38  # IEEE 754 single precision
_EXACT = 2**24  # integers up to this are exact in single precision
_LAST_SECOND = 253_402_300_800  # Unix time of the year 10000, which a datetime cannot represent


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a network. `COLUMNS` defines the fields, with units and ranges."""

    run_id: str
    architecture_id: str
    drawn_architecture_id: str
    draw_index: int
    paired_architecture_id: str | None
    skeleton: str
    architecture: Architecture
    images: str
    recipe_id: str
    seed: int
    parameters: int
    macs: int
    status: Status
    status_reason: str | None
    epochs_planned: int
    epochs_done: int
    initial_valid_loss: float | None
    initial_valid_accuracy: float | None
    networks_in_flight: int
    final_train_accuracy: float | None
    device: str
    environment_id: str
    generator_version: str
    started_at: int
    learning_rate: list[float] = field(default_factory=list)
    train_loss: list[float | None] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float | None] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float | None] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    gradient_norm: list[float | None] = field(default_factory=list)
    weight_norm: list[float | None] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    train_loss_tenths: list[float | None] = field(default_factory=list)

    def to_row(self) -> dict[str, object]:
        """Return the run as a row of the schema, with values that JSON can represent."""
        row = {name: getattr(self, name) for name in SCHEMA.names}
        return row | {"architecture": to_record(self.architecture)}


def run_id(images: str, architecture_id: str, recipe_id: str, seed: int) -> str:
    """Return the id of a run.

    >>> run_id("digits", "0123456789abcdef", "fedcba987654", 0)
    'digits-0123456789abcdef-fedcba987654-0'
    """
    return f"{images}-{architecture_id}-{recipe_id}-{seed}"


def check_row(row: dict[str, object]) -> None:
    """Check a row against the schema.

    Raises:
        ValueError: If a field breaks a rule; the message names the run, field, value and rule.
    """
    if not isinstance(row, dict):
        raise ValueError(f"a run must be an object with the fields of the schema, not {row!r:.60}")
    name = row.get("run_id")
    trained = row.get("status") in TRAINED_STATUSES
    missing = [column for column in SCHEMA.names if column not in row]
    if missing:
        raise ValueError(f"run {name!r} lacks {', '.join(missing)}")
    for column in SCHEMA.names:
        if column not in _LISTS and not _is_valid(column, row[column], trained=trained):
            rule = f"{COLUMNS[column].type} {COLUMNS[column].range}".strip()
            raise ValueError(f"`{column}` (={row[column]!r:.60}) of run {name!r} must be {rule}")
    epochs = int(str(row["epochs_planned"])) if trained else 0
    for column in _LISTS:
        values = row[column]
        each = TENTHS if column == "train_loss_tenths" else 1
        if not isinstance(values, list) or len(values) != each * epochs:
            count = quantity(len(values) if isinstance(values, list) else 0, "entry", "entries")
            rule = f"not {each} for each of {quantity(epochs, 'epoch')}"
            raise ValueError(f"`{column}` of run {name!r} has {count}, {rule}")
        if not all(_is_number(value, column) for value in values):
            interval = COLUMNS[column].range.replace("> 0", ">= 0")
            raise ValueError(f"`{column}` of run {name!r} must lie in {interval}")


def _is_valid(column: str, value: object, *, trained: bool) -> bool:
    """Return whether the value of a field that is not a list is valid for its column."""
    kind, rule = COLUMNS[column].type, COLUMNS[column].range
    if column == "status":
        return value in get_args(Status)
    if column == "started_at":  # run files hold Unix seconds
        return isinstance(value, datetime) or (type(value) is int and 0 <= value < _LAST_SECOND)
    if column == "architecture":
        return isinstance(value, dict)
    if kind == _TEXT:
        if value is None:
            return "or null" in rule
        return isinstance(value, str) and value.isprintable()  # and can be encoded as UTF-8
    if kind == pa.float32():
        return _is_number(value, column) or (value is None and not trained)
    return type(value) is int and _LEAST[rule] <= value < 2 ** (kind.bit_width - 1)


def _is_number(value: object, column: str) -> bool:
    """Return whether a value is within a column's range and single precision."""
    rule = COLUMNS[column].range
    if value is None:
        return rule.endswith("or null")
    most = 1 if rule == "[0, 1]" else _LARGEST
    if type(value) is int:
        return 0 <= value <= min(most, _EXACT)
    return type(value) is float and 0 <= value <= most


assert {f.name for f in fields(Run)} == set(COLUMNS), "Run and COLUMNS must have the same fields"
