"""Zero-cost proxies: values computed from an untrained network and one batch of training images.

Each image set has one file, `<images>/proxies.parquet`, with one row for each architecture of its
runs. The field metadata defines units, ranges and meanings. Proxies are computed in double
precision on networks initialised as for a run, but with a seed that no run has, so they carry no
information about a run's random outcome.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.runs import null_problems, read_parquet
from benchmark.schema import Column
from benchmark.space.imagesets import get_images

PROXY_SCHEMA_VERSION = 1
SEED = 1000  # seed of the initial weights; seeds of runs start from 0
_TEXT, _COUNT, _VALUE = pa.string(), pa.int32(), pa.float64()
_GRADIENT = "gradient of the batch's mean cross-entropy, in training mode"

VALUES: dict[str, Column] = {
    "gradient_norm": Column(_VALUE, "", ">= 0", f"L2 norm over all parameters of the {_GRADIENT}"),
    "snip": Column(
        _VALUE, "", ">= 0",
        f"sum of |weight x gradient| over the weights of convolutions and head; {_GRADIENT} "
        "(Lee et al. 2019, arXiv:1810.02340)",
    ),
    "synflow": Column(
        _VALUE, "nats", "finite",
        "logarithm of the sum of |weight| x dR/d|weight| over the weights of convolutions and head,"
        " R the sum of the outputs for an image of ones; every weight is its absolute value, and"
        " activations and batch normalisations pass on what they are given"
        " (Tanaka et al. 2020, arXiv:2006.05467)",
    ),
    "jacov": Column(
        _VALUE, "", "finite",
        "-sum(log(v + 1e-5) + 1 / (v + 1e-5)) over the eigenvalues v of the correlations between"
        " images of the gradient of the summed logits by the pixels, statistics of batch"
        " normalisations held as they are on the batch; images whose gradient is the same at every"
        " pixel, or zero, correlate by 1 with each other and by 0 with the rest"
        " (Mellor et al. 2020, arXiv:2006.04647v1)",
    ),
    "naswot": Column(
        _VALUE, "nats", ">= 0",
        "log-determinant of K + I; K counts for each two images the units whose pre-activations"
        " are on the same side of 1e-12, over all activations: ReLU, sigmoid, tanh. The identity"
        " keeps it finite where images agree in every unit"
        " (Mellor et al. 2021, arXiv:2006.04647v3)",
    ),
    "signal_share": Column(
        _VALUE, "fraction", "[0, 1]",
        "share of the variance of the head's inputs, over images and channels, that lies between"
        " images; 0 where that variance is not above 1e-24",
    ),
    "gradient_ratio": Column(
        _VALUE, "nats", "finite",
        "logarithm of the squared gradient of the first convolution's weights over that of the"
        f" head's, each at least 1e-100; {_GRADIENT}",
    ),
    "initial_loss": Column(
        _VALUE, "nats", ">= 0", "mean cross-entropy of the batch, in training mode"
    ),
}  # fmt: skip
COLUMNS: dict[str, Column] = {
    "architecture_id": Column(_TEXT, "", "16 hexadecimal digits", "of the network, as in the runs"),
    "seed": Column(_COUNT, "", ">= 0", "names the stream of initial weights; that of no run"),
    "batch": Column(_COUNT, "images", "> 0", "training images, not augmented, the same for all"),
    **VALUES,
    "device": Column(_TEXT, "", "", "processor or GPU model that computed it"),
    "environment_id": Column(_TEXT, "", "", "versions: environments.json beside the data"),
    "generator_version": Column(_TEXT, "", "", "version of this project that computed it"),
}
PROXIES = tuple(VALUES)  # names of the proxies, in the order of a predictor's columns
PROXY_SCHEMA = pa.schema(
    [column.arrow(name) for name, column in COLUMNS.items()],
    metadata={"schema_version": str(PROXY_SCHEMA_VERSION)},
)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of one network. `COLUMNS` defines the fields, with units and ranges."""

    architecture_id: str
    seed: int
    batch: int
    gradient_norm: float
    snip: float
    synflow: float
    jacov: float
    naswot: float
    signal_share: float
    gradient_ratio: float
    initial_loss: float
    device: str
    environment_id: str
    generator_version: str

    def __post_init__(self) -> None:
        """Check the ranges of the values."""
        for name in PROXIES:
            problem = _problem(name, getattr(self, name))
            if problem:
                raise ValueError(f"`{name}` of architecture {self.architecture_id!r} {problem}")


assert [f.name for f in fields(Proxies)] == list(COLUMNS), "Proxies and COLUMNS must agree"


def _problem(name: str, value: object) -> str:
    """Return the rule that a value breaks, as the end of a message; empty if it is valid."""
    if not isinstance(value, float) or not np.isfinite(value):
        return f"(={value!r}) must be a finite number"
    span = VALUES[name].range
    if (span != "finite" and value < 0) or (span == "[0, 1]" and value > 1):
        return f"(={value!r}) must be {'in ' if span == '[0, 1]' else ''}{span}"
    return ""


def proxies_path(images: str, folder: Path) -> Path:
    """Return the path of the proxies of an image set.

    Raises:
        ValueError: If the images are unknown.
    """
    return folder / get_images(images).name / "proxies.parquet"


def read_proxies(images: str, folder: Path) -> pa.Table | None:
    """Return the proxies of an image set, one row per architecture; None if there is no file.

    Raises:
        ValueError: If the name is unknown, or the file is damaged or has another schema.
    """
    path = proxies_path(images, folder)
    return read_parquet(path, version=PROXY_SCHEMA_VERSION) if path.exists() else None


def proxy_table(rows: Iterable[Proxies]) -> pa.Table:
    """Return proxies as a table, sorted by architecture."""
    ordered = sorted(rows, key=lambda row: row.architecture_id)
    return pa.Table.from_pylist([asdict(row) for row in ordered], schema=PROXY_SCHEMA)


def table_rows(table: pa.Table) -> list[Proxies]:
    """Return the rows of a table.

    Raises:
        ValueError: If a value is not finite or is out of range.
    """
    return [Proxies(**row) for row in table.select(list(COLUMNS)).to_pylist()]


def proxy_problems(images: str, folder: Path, seeds: Mapping[str, set[int]]) -> list[str]:
    """Return the problems of the proxies of an image set; an empty list if it has no file.

    `seeds` holds the seeds of the image set's runs, by architecture id.
    """
    try:
        table = read_proxies(images, folder)
    except ValueError as error:
        return [str(error)]
    if table is None:
        return []
    if not table.schema.equals(PROXY_SCHEMA, check_metadata=True):
        return [f"proxies.parquet of {images!r} does not have the schema of this release"]
    nulls = null_problems(table, f"{images}/proxies.parquet", PROXIES)  # those are named below
    if nulls:
        return nulls
    counts = Counter(table.column("architecture_id").to_pylist())
    found = {
        "lack": seeds.keys() - counts.keys(),
        "include architectures without runs:": counts.keys() - seeds.keys(),
        "repeat": {name for name, count in counts.items() if count > 1},
    }
    problems = [
        f"proxies of {images!r} {text} {', '.join(sorted(names))}"
        for text, names in found.items()
        if names
    ]
    for row in table.to_pylist():
        name = row["architecture_id"]
        texts = [(column, _problem(column, row[column])) for column in PROXIES]
        problems += [f"`{c}` of architecture {name!r} {text}" for c, text in texts if text]
        if row["seed"] in seeds.get(name, ()):
            problems.append(
                f"`seed` (={row['seed']}) of architecture {name!r} is also a run's seed"
            )
    if len(set(zip(*table.select(["seed", "batch"]).to_pydict().values(), strict=True))) > 1:
        problems.append(f"proxies of {images!r} mix seeds or batch sizes")
    return problems
