"""The runs of an image set as a search sees them: what is known after each epoch, and its cost."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from numbers import Integral
from pathlib import Path
from typing import Any

from benchmark.manifest import released_splits
from benchmark.release import Release, find_release
from benchmark.runs import read_table, split_path
from benchmark.schema import TRAINED_STATUSES
from benchmark.space.imagesets import get_images
from benchmark.space.splits import SPLITS
from benchmark.util.strict_json import refuse
from benchmark.util.unknown_name import check_one, check_type, starting_with

COLUMNS = (
    "run_id", "architecture_id", "seed", "status", "status_reason", "epochs_done", "device",
    "valid_accuracy", "valid_loss", "train_loss", "test_accuracy", "epoch_seconds",
)  # fmt: skip
RUN_ID = re.compile(r"(.+)-([0-9a-f]{16})-[0-9a-f]{12}-(\d+)")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is known of a run after some epochs, and what a call cost; nothing of later epochs.

    Attributes:
        architecture_id: The network.
        images: The image set.
        seed: The seed of the run.
        epochs: The epoch E after which the values were measured.
        valid_accuracy: A fraction; on all valid images after the last epoch, before it on the image
            set's fixed part of them. Chance from the epoch in which the run diverged.
        valid_loss: In nats, on the same images; None from the epoch in which the run diverged.
        train_loss: In nats, the running mean of epoch E on augmented images; None likewise.
        diverged: Whether the run diverged in epoch E or before.
        device: Processor or GPU model that trained the run.
        cost_epochs: Epochs trained for this call; the epoch in which a run diverged is its last.
        cost_seconds: The measured seconds of these epochs.
        test_accuracy: A fraction, on all test images. It is for reports: `query` and `trajectory`
            give it after the last epoch of the recipe, a `Ledger` never; else it is None.
    """

    architecture_id: str
    images: str
    seed: int
    epochs: int
    valid_accuracy: float
    valid_loss: float | None
    train_loss: float | None
    diverged: bool
    device: str
    cost_epochs: int
    cost_seconds: float
    test_accuracy: float | None


@dataclass(frozen=True, slots=True)
class StoredRuns:
    """All runs of an image set, as rows by architecture id and seed."""

    images: str
    folder: Path
    rows: dict[str, dict[int, dict[str, Any]]]
    runs: dict[tuple[str, int], tuple[Measurement, ...]] = field(default_factory=dict)  # asked for

    def find(self, network: str, seed: int, epochs: int) -> tuple[Measurement, ...]:
        """Return a run up to an epoch; errors are those of `benchmark.query.query`."""
        rule = "the id of an architecture, or its first digits (of an Arrow value, `.as_py()`)"
        check_type("network", network, str, rule)
        name = network if network in self.rows else self._full_id(network)
        check_seed(f"network {name!r} of {self.images} has no run", seed, self.rows[name])
        run = self.runs.get((name, seed))
        if run is None:
            run = self.runs[name, seed] = _measurements(self.images, self.rows[name][seed])
        check_type("epochs", epochs, Integral, "a whole number")
        if not 1 <= epochs <= len(run):
            refuse("epochs", epochs, f"in 1..{len(run)}")
        return run[:epochs]

    def _full_id(self, network: str) -> str:
        """Return the id of the network that a text begins."""
        run = RUN_ID.fullmatch(network)
        if run:
            raise ValueError(
                f"{network!r} is a run; ask for network {run[2]!r} with images={run[1]!r} and "
                f"seed={run[3]}"
            )
        found = starting_with(network, self.rows)
        others = {images for images, _ in released_splits(self.folder)} - {self.images}
        for images in sorted(others) if not found else ():
            if starting_with(network, stored_runs(images, self.folder).rows):
                raise ValueError(f"{network!r} is a network of {images}, not of {self.images}")
        check_one(f"network of {self.images}", network, found, self.rows)
        return found[0]

    def seeds(self) -> set[int]:
        """Return all seeds of the runs."""
        return set().union(*self.rows.values())

    def networks(self, seed: int) -> tuple[str, ...]:
        """Return the ids of the networks that were trained with a seed, sorted."""
        found = ((name, runs.get(seed)) for name, runs in self.rows.items())
        return tuple(sorted(n for n, row in found if row and row["status"] in TRAINED_STATUSES))


def check_seed(start: str, seed: int, known: Iterable[int]) -> None:
    """Check that there is a seed; `start` is how the message starts.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If there is none; the message has those that there are.
    """
    check_type("seed", seed, Integral, "a whole number")
    if seed not in known:
        raise ValueError(f"{start} with seed {seed}; seeds: {', '.join(map(str, sorted(known)))}")


def _measurements(images: str, row: dict[str, Any]) -> tuple[Measurement, ...]:
    """Return what is known of a run after each epoch."""
    if row["status"] not in TRAINED_STATUSES:
        why = f"its status is {row['status']}, {row['status_reason']!r}"
        raise ValueError(f"run {row['run_id']!r} was not trained to the end: {why}")
    done = row["epochs_done"]
    end = done + (row["status"] == "diverged")  # the epoch in which it diverged was trained, too
    columns = (row[s] for s in ("valid_accuracy", "valid_loss", "train_loss"))
    test = [None] * (len(row["test_accuracy"]) - 1) + row["test_accuracy"][-1:]
    entries = zip(*columns, accumulate(row["epoch_seconds"]), test, strict=True)
    return tuple(
        Measurement(
            row["architecture_id"], images, row["seed"], e, accuracy, loss, train_loss, e > done,
            row["device"], min(e, end), seconds, test_accuracy,
        )
        for e, (accuracy, loss, train_loss, seconds, test_accuracy) in enumerate(entries, start=1)
    )  # fmt: skip


def stored_runs(images: str, release: Release | Path | str) -> StoredRuns:
    """Return the runs of an image set; they are read again if a file has changed.

    Raises:
        FileNotFoundError: If the release has none.
        TypeError: If an argument is of another type.
        ValueError: If the images are unknown, or a file is damaged or ambiguous.
    """
    get_images(images)
    folder = find_release(release).folder
    stamps = tuple((p, p.stat().st_mtime_ns) for p in _paths(images, folder) if p.exists())
    if not stamps:
        known = ", ".join(dict.fromkeys(i for i, _ in released_splits(folder))) or "none"
        raise FileNotFoundError(f"{str(folder)!r} has no runs on {images!r}; image sets: {known}")
    return _read(images, folder, stamps)


@lru_cache(maxsize=64)
def _paths(images: str, folder: Path) -> tuple[Path, ...]:
    return tuple(split_path(images, split, folder) for split in SPLITS)


@lru_cache(maxsize=8)
def _read(images: str, folder: Path, stamps: tuple[tuple[Path, int], ...]) -> StoredRuns:
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for row in (row for path, _ in stamps for row in read_table(path, COLUMNS).to_pylist()):
        first = rows.setdefault(row["architecture_id"], {}).setdefault(row["seed"], row)
        if first is not row:
            raise ValueError(
                f"{str(folder)!r} has two runs of a network with one seed, and a query could mean "
                f"either: {first['run_id']!r} and {row['run_id']!r}"
            )
    return StoredRuns(images, folder, rows)
