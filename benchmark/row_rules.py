"""What must hold in each row of runs and in its bits, whatever else a release holds."""

from collections.abc import Iterator

import numpy as np

from benchmark.schema import check_row, run_id
from benchmark.space.architectures import architecture_id, from_record
from benchmark.space.imagesets import ImageSet, get_images
from benchmark.space.layer_walk import macs, parameters, walk
from benchmark.space.splits import split_of

FINAL_BITS = ("valid_accuracy", "test_accuracy")  # the accuracies of a run's bits, in order
ROUNDING = 1e-6  # largest rounding error of an accuracy in single precision


def row_problems(row: dict[str, object], split: str | None = None) -> list[str]:
    """Return the problems of a row: invalid fields, contradictions, or the wrong split.

    A calibration run has no split.
    """
    name, problems = row["run_id"], []
    try:
        check_row(row)
    except ValueError as error:
        problems.append(str(error))
    try:
        architecture = from_record(row["architecture"])  # type: ignore[arg-type]
        rows = walk(architecture, get_images(str(row["images"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [*problems, f"`architecture` of run {name!r} cannot be read: {error}"]
    identity = architecture_id(architecture)
    expected = {
        "architecture_id": identity,
        "skeleton": architecture.skeleton,
        "run_id": run_id(
            str(row["images"]), identity, str(row["recipe_id"]), int(str(row["seed"]))
        ),
        "parameters": parameters(rows),
        "macs": macs(rows),
    }
    for field, value in expected.items():
        if row[field] != value:
            problems.append(f"`{field}` of run {name!r} is {row[field]!r} and must be {value!r}")
    drawn = str(row["drawn_architecture_id"])
    if not get_images(str(row["images"])).halved and drawn != identity:
        problems.append(
            f"`drawn_architecture_id` of run {name!r} is {drawn!r} and must be {identity!r}"
        )
    right = split_of(architecture.skeleton, drawn)
    if split not in (None, right):
        problems.append(f"run {name!r} is in {split!r} but belongs in {right!r}")
    return problems


def bit_problems(row: dict[str, object], bits: bytes, images: ImageSet) -> Iterator[str]:
    """Yield bits that contradict a run's final accuracies; incomplete runs have no bits set."""
    size = -(-(images.valid + images.test) // 8)
    if len(bits) != size:
        yield f"`correct` of run {row['run_id']!r} has {len(bits)} bytes, not {size}"
        return
    right = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(bool)
    parts = right[: images.valid], right[images.valid : images.valid + images.test]
    for name, part in zip(FINAL_BITS, parts, strict=True):
        accuracies = row[name]
        assert isinstance(accuracies, list)
        final = 0.0 if row["status"] != "completed" else accuracies[-1] if accuracies else None
        if final is None:  # a problem of the row, and named there
            continue
        if abs(part.mean() - final) > ROUNDING:
            yield (
                f"`correct` of run {row['run_id']!r} gives {part.mean():.6f}, but its final "
                f"`{name}` is {final:.6f}"
            )
