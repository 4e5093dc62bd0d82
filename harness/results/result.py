"""Results: what a predictor scored on a task, and the ceiling that noise sets.

A result is `<folder>/<task>/<predictor>.json` (harness/results/result.schema.json) and, beside it,
the mean over seeds of the predictions as `<predictor>.parquet` and, where there are several seeds,
those of each as `<predictor>.seeds.parquet` (`harness.results.predictions`). A ceiling is
`<folder>/ceiling-<images>.json`.

Every rule of this file and of `harness.scoring.score_rules` is checked when a result is made,
written or read, so that a file edited by hand is refused.
"""

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

import pyarrow as pa

from benchmark.space.imagesets import get_images
from benchmark.util.atomic import replacing, write_atomically
from benchmark.util.strict_json import broken, encode, read_record, to_text
from harness.metrics.registry import METRICS
from harness.results.predictions import (
    check_predictions,
    check_seeds,
    mean_table,
    read_predictions,
    to_parquet,
)
from harness.scoring.score_rules import FINAL_METRICS, check_score, check_scores
from harness.scoring.scores import Score, Scores, SeedScore

Status = Literal["scored", "failed"]
Verification = Literal["self-reported", "rescored", "rerun"]
Target = Literal["valid_accuracy"]

SCHEMA_VERSION = 1
HARNESS_VERSION = "0.2.0"  # raised whenever the same predictions would get other scores
CEILING_METRICS = ("r2", "tau")
CEILING_STRATA = ("all", "learned")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a predictor ran, without the names of hosts or users; None where not installed."""

    python: str
    platform: str
    numpy: str
    scipy: str
    torch: str | None
    sklearn: str | None


@dataclass(frozen=True, slots=True)
class Seconds:
    """Measured time, mean over seeds."""

    fit: float
    predict: float


@dataclass(frozen=True, slots=True)
class Result:
    """A predictor's scores on a task.

    Attributes:
        schema_version: `SCHEMA_VERSION`.
        task: Name of the task, which is also the folder.
        task_digest: SHA-256 of the task's rows.
        images: Name of the image set.
        observed: Epochs seen (k).
        target: What is predicted.
        predictor: Name of the predictor, which is also the file's.
        title: The predictor in words.
        status: Whether it was scored.
        failure: Why not; None if it was.
        harness_version: Of this package.
        environment: Where it ran.
        seeds: All that it was fitted with, different from each other.
        scores: stratum -> metric -> mean over seeds, on the target.
        scores_test_accuracy: Likewise on `test_accuracy`; metrics of the final epoch only.
        flags: What a reader should know of the predictions, for example `constant`.
        counts: What else was counted, for example `failed_fits`.
        networks: Networks in each part of the task.
        seconds: None if it failed, or if the predictions came as a file.
        observed_epochs_total: Epochs of the queries it saw, over all networks.
        predictions_sha256: Of the Parquet file beside; None if it failed.
        verification: `self-reported` by whoever ran it, `rescored` here from its predictions, or
            `rerun` here with data that holds train and validation only.
    """

    schema_version: int
    task: str
    task_digest: str
    images: str
    observed: int
    target: Target
    predictor: str
    title: str
    status: Status
    failure: str | None
    harness_version: str
    environment: Environment
    seeds: tuple[int, ...]
    scores: Scores
    scores_test_accuracy: Scores
    flags: tuple[str, ...]
    counts: Mapping[str, int]
    networks: Mapping[str, int]
    seconds: Seconds | None
    observed_epochs_total: int
    predictions_sha256: str | None
    verification: Verification

    def __post_init__(self) -> None:
        """Check the fields, each by itself and against each other."""
        _check_version(self.schema_version)
        _check_identity(self)
        _check_counts(self)
        _check_status(self)
        check_scores(self.scores, len(self.seeds), "scores")
        check_scores(self.scores_test_accuracy, len(self.seeds), "scores_test_accuracy")
        for stratum, metrics in self.scores_test_accuracy.items():
            for name in metrics:
                if METRICS[name].needs == "curve":
                    where = f"scores_test_accuracy.{stratum}"
                    broken(where, name, f"a metric of the final epoch: {', '.join(FINAL_METRICS)}")


def _check_version(version: int) -> None:
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"`schema_version` (={version}) must be {SCHEMA_VERSION}, the one this version reads; "
            "score the predictions again"
        )


def _check_identity(result: Result) -> None:
    """Check names, digests and seeds."""
    for field in ("task", "predictor"):
        name = getattr(result, field)
        if not _NAME.fullmatch(name):
            broken(field, name, "of a-z, 0-9, '.', '_' and '-', not starting with a sign")
    for field in ("title", "harness_version"):
        if not getattr(result, field).strip():
            broken(field, getattr(result, field), "a text that is not empty")
    if not _SHA256.fullmatch(result.task_digest):
        broken("task_digest", result.task_digest, "64 hexadecimal digits")
    get_images(result.images)
    if not result.seeds or len(set(result.seeds)) < len(result.seeds):
        broken("seeds", result.seeds, "at least one, all different")


def _check_counts(result: Result) -> None:
    """Check that nothing counted or measured is negative."""
    numbers: dict[str, float] = {
        "observed": result.observed,
        "observed_epochs_total": result.observed_epochs_total,
        **{f"counts.{name}": count for name, count in result.counts.items()},
        **{f"networks.{name}": count for name, count in result.networks.items()},
    }
    if result.seconds is not None:
        numbers |= {"seconds.fit": result.seconds.fit, "seconds.predict": result.seconds.predict}
    for name, number in numbers.items():
        if number < 0:
            broken(name, number, "at least 0")
    for part in ("test", "heldout"):
        if part not in result.networks:
            raise ValueError(f"`networks` must have the part {part}")


def _check_status(result: Result) -> None:
    """Check that a scored result has what a failed one lacks, and the other way round."""
    if result.status == "failed":
        if not result.failure:
            broken("failure", result.failure, "the reason of a failed predictor")
        if result.scores or result.scores_test_accuracy:
            raise ValueError("`scores` of a failed predictor must be empty")
        if result.predictions_sha256 is not None:
            broken("predictions_sha256", result.predictions_sha256, "null for a failed predictor")
        return
    if result.failure is not None:
        broken("failure", result.failure, "null for a scored predictor")
    tau = result.scores.get("test", {}).get("tau")
    if tau is None or tau.value is None:
        raise ValueError("`scores.test.tau.value` must be given: the board is sorted by it")
    digest = result.predictions_sha256
    if digest is not None and not _SHA256.fullmatch(digest):
        broken("predictions_sha256", digest, "64 hexadecimal digits")


def environment() -> Environment:
    """Return this machine's, without importing what it lists."""
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return Environment(
        platform.python_version(),
        f"{platform.system()} {platform.machine()}",
        installed["numpy"],
        installed["scipy"],
        installed.get("torch"),
        installed.get("scikit-learn"),
    )


def result_path(folder: Path, task: str, predictor: str) -> Path:
    """Return where a result lies in a folder of results."""
    return folder / task / f"{predictor}.json"


def seeds_path(path: Path) -> Path:
    """Return where the predictions of each seed of a result lie, if it has several."""
    return path.with_suffix(".seeds.parquet")


def write_result(folder: Path, result: Result, predictions: pa.Table | None) -> Result:
    """Write a result and its predictions, replacing an earlier one.

    The result is written after its predictions, with their digest, and returned as it is written.

    Args:
        folder: The folder of all results.
        result: With any `predictions_sha256`, which is replaced.
        predictions: As `harness.results.predictions.seeds_table` makes them; None if the predictor
            failed.

    Raises:
        ValueError: If the predictions do not fit the result.
        OSError: If a file cannot be written.
    """
    path = result_path(folder, result.task, result.predictor)
    beside = path.with_suffix(".parquet")
    if (predictions is None) != (result.status == "failed"):
        rule = "exactly if it is scored"
        raise ValueError(f"result {result.predictor!r} must have predictions {rule}")
    digest = None
    seeds_path(path).unlink(missing_ok=True)
    if predictions is not None:
        mean = mean_table(predictions)
        check_predictions(mean, asked_networks(result))
        if mean is not predictions:
            check_seeds(predictions, asked_networks(result), result.seeds)
            _write_bytes(seeds_path(path), to_parquet(predictions))
        content = to_parquet(mean)
        digest = hashlib.sha256(content).hexdigest()
        _write_bytes(beside, content)
    record = replace(result, predictions_sha256=digest)
    write_atomically(path, f"{to_text(encode(record))}\n")
    if predictions is None:
        beside.unlink(missing_ok=True)
    return record


def _write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as draft:
        draft.write_bytes(content)


def asked_networks(result: Result) -> int:
    """Return how many networks the predictions of a result are of."""
    return result.networks["test"] + result.networks["heldout"]


def read_result(path: Path) -> Result:
    """Return a result, checked with its predictions. Raises as `read_with_predictions`."""
    return read_with_predictions(path)[0]


def read_with_predictions(path: Path) -> tuple[Result, pa.Table | None]:
    """Return a checked result and the rows of its predictions file; None for a failed predictor.

    Raises:
        ValueError: If a field, a type, an invariant, the place or the predictions are wrong; the
            message starts with the path.
        OSError: If the result cannot be read.
    """
    result = read_record(path, Result)
    if path.stem != result.predictor:
        raise ValueError(f"{path}: `predictor` (={result.predictor!r}) must be the file's name")
    if path.resolve().parent.name != result.task:
        raise ValueError(f"{path}: `task` (={result.task!r}) must be the folder's name")
    if result.status != "scored":
        return result, None
    return result, _read_stored(path.with_suffix(".parquet"), result)


def _read_stored(beside: Path, result: Result) -> pa.Table:
    """Return the predictions of a result, with digest and rows checked."""
    if not beside.is_file():
        raise ValueError(f"{beside}: the predictions of a scored result must lie here")
    digest = hashlib.sha256(beside.read_bytes()).hexdigest()
    if digest != result.predictions_sha256:
        raise ValueError(
            f"{beside}: SHA-256 {digest} must be `predictions_sha256` "
            f"(={result.predictions_sha256!r}) of {result.predictor}.json"
        )
    return read_predictions(beside, asked_networks(result))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How well a predictor that knew each network's mean over seeds would score before training.

    Attributes:
        schema_version: `SCHEMA_VERSION`.
        images: Name of the image set, which is also in the file's name.
        target: What would be predicted.
        harness_version: Of this package.
        networks: Networks with repeated runs that it rests on, for each stratum.
        scores: For `all` networks and those that `learned`, r2 and tau. No invariant: a predictor
            may be above.
    """

    schema_version: int
    images: str
    target: Target
    harness_version: str
    networks: Mapping[str, int]
    scores: Mapping[str, Mapping[str, Score]]

    def __post_init__(self) -> None:
        """Check the names and ranges."""
        _check_version(self.schema_version)
        get_images(self.images)
        for name, found in (("networks", self.networks), ("scores", self.scores)):
            if set(found) != set(CEILING_STRATA):
                broken(name, sorted(found), f"about {' and '.join(CEILING_STRATA)}")
        for stratum, metrics in self.scores.items():
            where = f"scores.{stratum}"
            if set(metrics) != set(CEILING_METRICS):
                broken(where, sorted(metrics), f"about {' and '.join(CEILING_METRICS)}")
            for name, score in metrics.items():
                seedless = SeedScore(score.value, score.low, score.high, None)
                check_score(seedless, METRICS[name].range, 1, f"{where}.{name}")


def ceiling_path(folder: Path, images: str) -> Path:
    """Return where the ceiling of an image set lies in a folder of results."""
    return folder / f"ceiling-{images}.json"


def write_ceiling(folder: Path, ceiling: Ceiling) -> Path:
    """Write a ceiling, replacing an earlier one, and return its path."""
    path = ceiling_path(folder, ceiling.images)
    write_atomically(path, f"{to_text(encode(ceiling))}\n")
    return path


def read_ceiling(path: Path) -> Ceiling:
    """Return a ceiling, checked.

    Raises:
        ValueError: If a field, a type or the file's name is wrong; the message starts with the
            path.
        OSError: If it cannot be read.
    """
    ceiling = read_record(path, Ceiling)
    if path.name != f"ceiling-{ceiling.images}.json":
        raise ValueError(f"{path}: `images` (={ceiling.images!r}) must be in the file's name")
    return ceiling
