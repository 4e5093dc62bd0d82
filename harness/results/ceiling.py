"""The noise ceiling of an image set, from networks trained more than once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmark.release import INSTALLED, Release
from benchmark.runs import series
from benchmark.schema import TRAINED_STATUSES
from benchmark.space.imagesets import get_images, learned_above
from harness.metrics.bootstrap import Array
from harness.results.result import (
    HARNESS_VERSION,
    SCHEMA_VERSION,
    Ceiling,
    ceiling_path,
    read_ceiling,
    write_ceiling,
)
from harness.scoring.noise_ceiling import ceiling
from harness.scoring.targets import SCORED_SPLITS

ROUNDING = 1e-9  # tolerance of a score, as for rescoring


def repeated_finals(images: str, release: Release = INSTALLED) -> list[Array]:
    """Return the final valid accuracies of each network with at least two runs, (runs,) each.

    The networks are those of the splits test and heldout, sorted by architecture id. Their runs,
    sorted by seed, are those that completed or diverged.

    Raises:
        FileNotFoundError: If one of the two splits is missing from the data.
        ValueError: If the image set is unknown.
    """
    columns = ["architecture_id", "seed", "status", "valid_accuracy"]
    finals: dict[str, list[tuple[int, float]]] = {}
    for split in SCORED_SPLITS:
        table = release.runs(images, split, columns=columns)
        trained = [status in TRAINED_STATUSES for status in table["status"].to_pylist()]
        table = table.filter(pa.array(trained, pa.bool_()))
        ids, seeds = table["architecture_id"].to_pylist(), table["seed"].to_pylist()
        for name, seed, curve in zip(ids, seeds, series(table, "valid_accuracy"), strict=True):
            finals.setdefault(name, []).append((seed, float(curve[-1])))
    return [
        np.array([final for _, final in sorted(runs)])
        for _, runs in sorted(finals.items())
        if len(runs) > 1
    ]


def build_ceiling(images: str, release: Release = INSTALLED) -> Ceiling | None:
    """Return the ceiling of an image set; None if no network was trained repeatedly.

    Raises the errors of `repeated_finals`.
    """
    finals = repeated_finals(images, release)
    if not finals:
        return None
    classes = get_images(images).classes
    learned = sum(int((runs > learned_above(classes)).sum()) > 1 for runs in finals)
    return Ceiling(
        schema_version=SCHEMA_VERSION,
        images=images,
        target="valid_accuracy",
        harness_version=HARNESS_VERSION,
        networks={"all": len(finals), "learned": learned},
        scores=ceiling(finals, classes=classes),
    )


def write_ceilings(images: list[str], results: Path, release: Release = INSTALLED) -> list[Path]:
    """Write the ceilings of image sets into a folder of results; return their paths.

    Image sets without repeated runs have no ceiling. A file that differs only by rounding is kept,
    because processors and numpy versions round differently. Raises the errors of `repeated_finals`.
    """
    built = [ceiling for name in images if (ceiling := build_ceiling(name, release)) is not None]
    paths = [ceiling_path(results, ceiling.images) for ceiling in built]
    for path, ceiling in zip(paths, built, strict=True):
        if not path.is_file() or not _same(read_ceiling(path), ceiling):
            write_ceiling(results, ceiling)
    return paths


def _same(one: Ceiling, other: Ceiling) -> bool:
    """Return whether two ceilings are equal, numbers within `ROUNDING`."""
    numbers, others = (
        np.array([(s.value, s.low, s.high) for kind in c.scores.values() for s in kind.values()])
        for c in (one, other)
    )
    close = np.allclose(numbers.astype(float), others.astype(float), 0, ROUNDING, equal_nan=True)
    return replace(one, scores=other.scores) == other and close
