"""A result of a predictor on a task, and the rules of its fields.

All rules of this file and of `harness.scoring.score_rules` are checked whenever a result is made,
written or read, so files edited by hand are refused. `harness.results.store` has the files.
"""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import numpy as np

from benchmark.space.imagesets import get_images
from benchmark.util.strict_json import refuse
from benchmark.util.text import check_line
from harness.metrics.bootstrap import RESAMPLES, Array
from harness.metrics.registry import METRICS, ORDER
from harness.results.names import check_name
from harness.scoring.score_rules import FINAL_METRICS, check_scores
from harness.scoring.scores import Scores
from harness.scoring.targets import SCORED_SPLITS

Status = Literal["scored", "failed"]
Verification = Literal["self-reported", "rescored", "rerun"]
Target = Literal["valid_accuracy"]

SCHEMA_VERSION = 2
MOST_SEEDS = 100  # that a predictor is fitted with
TAU_UNITS = 10_000  # stored steps of tau
HARNESS_VERSION = "0.3.0"  # raised whenever the scores of the same predictions change
# Fields of scores, and the metrics that each may have
SCORED_METRICS: dict[str, tuple[str, ...]] = {
    "scores": tuple(METRICS),
    "scores_test_accuracy": FINAL_METRICS,
    "scores_valid_loss": ORDER,
}
LONGEST_FAILURE = 500  # characters
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Environment:
    """Platform and versions, without names of hosts or users; None if not installed."""

    python: str
    platform: str
    numpy: str
    scipy: str
    torch: str | None
    sklearn: str | None


@dataclass(frozen=True, slots=True)
class Seconds:
    """Measured time to fit and to predict, in seconds, mean over seeds."""

    fit: float
    predict: float


@dataclass(frozen=True, slots=True)
class Result:
    """A predictor's scores on a task.

    Attributes:
        schema_version: `SCHEMA_VERSION`.
        task: Name of the task and of the folder.
        task_digest: Digest of the task, which covers its rows.
        images: Name of the image set.
        observed: Number of observed epochs (k).
        target: The predicted quantity.
        predictor: Name of the predictor and of the file.
        title: The predictor in words.
        status: `scored` or `failed`.
        failure: Why the predictor failed; None if it is scored.
        harness_version: `HARNESS_VERSION` of the harness that scored it.
        environment: Where the predictor was evaluated.
        seeds: All seeds that the predictor was fitted with, all different.
        scores: Scores on the target by stratum and metric, means over seeds.
        scores_test_accuracy: Scores on `test_accuracy` by stratum and metric, means over seeds;
            metrics of the final epoch only.
        scores_valid_loss: Scores of the order of the predictions against the final `valid_loss`,
            by stratum and metric, means over seeds; metrics of `ORDER` only.
        tau_resamples: tau on test of each bootstrap resample, mean over seeds, in units of 1e-4,
            None where undefined; from these the board tests which predictors are better.
        flags: Warnings about the predictions, for example `constant`.
        counts: Other counts of the predictor by name, for example `failed_fits`.
        networks: Number of networks in each split of the task.
        seconds: Measured time; None if the predictor failed or its predictions were submitted.
        observed_epochs_total: Number of observed epochs, summed over all queries.
        predictions_sha256: SHA-256 of the file of the predictions of all seeds; None if failed.
        verification: `self-reported` by its author, `rescored` from its predictions, or `rerun`
            with data that has only the splits train and validation.
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
    scores_valid_loss: Scores
    tau_resamples: tuple[int | None, ...]
    flags: tuple[str, ...]
    counts: Mapping[str, int]
    networks: Mapping[str, int]
    seconds: Seconds | None
    observed_epochs_total: int
    predictions_sha256: str | None
    verification: Verification

    def __post_init__(self) -> None:
        """Check each field, and fields against each other."""
        check_version(self.schema_version)
        _check_identity(self)
        _check_counts(self)
        _check_status(self)
        for field, allowed in SCORED_METRICS.items():
            scores = getattr(self, field)
            check_scores(scores, len(self.seeds), field)
            for stratum, metrics in scores.items():
                for name in metrics:
                    if name not in allowed:
                        refuse(f"{field}.{stratum}", name, f"one of {', '.join(allowed)}")


def check_version(version: int) -> None:
    """Check that a file has this version of the schema. Raises ValueError."""
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"`schema_version` (={version}) must be {SCHEMA_VERSION} for this version of peephole; "
            "score the predictions again"
        )


def pack_resamples(samples: Array) -> tuple[int | None, ...]:
    """Return tau on resamples as it is stored, in units of 1e-4.

    >>> pack_resamples(np.array([0.61234, np.nan]))
    (6123, None)
    """
    return tuple(round(float(x) * TAU_UNITS) if np.isfinite(x) else None for x in samples)


def tau_samples(result: Result) -> Array:
    """Return tau on test of a scored result, then on each resample, (1 + resamples,).

    Raises:
        ValueError: If the result was scored without resamples.
    """
    if not result.tau_resamples:
        raise ValueError(f"result {result.predictor!r} on {result.task!r} has no `tau_resamples`")
    units = [np.nan if value is None else value / TAU_UNITS for value in result.tau_resamples]
    return np.array([result.scores["test"]["tau"].value, *units], dtype=np.float64)


def _check_identity(result: Result) -> None:
    """Check names, digests and seeds."""
    for field in ("task", "predictor"):
        check_name(field, getattr(result, field))
    for field in ("title", "harness_version"):
        check_line(field, getattr(result, field))
    check_line("failure", result.failure, LONGEST_FAILURE)
    for field in Environment.__slots__:
        check_line(f"environment.{field}", getattr(result.environment, field))
    for field in ("flags", "counts", "networks"):
        for name in getattr(result, field):
            check_line(field, name)
    if not _SHA256.fullmatch(result.task_digest):
        refuse("task_digest", result.task_digest, "64 hexadecimal digits")
    get_images(result.images)
    if not 1 <= len(set(result.seeds)) == len(result.seeds) <= MOST_SEEDS:
        refuse("seeds", result.seeds, f"at least one, at most {MOST_SEEDS}, all different")


def _check_counts(result: Result) -> None:
    """Check that counts and times are not negative."""
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
            refuse(name, number, "at least 0")
    for split in SCORED_SPLITS:
        if split not in result.networks:
            raise ValueError(f"`networks` must have the split {split!r}")


def _check_status(result: Result) -> None:
    """Check that the fields fit the status."""
    if result.status == "failed":
        if not result.failure:
            refuse("failure", result.failure, "given for a failed predictor")
        if any(getattr(result, field) for field in (*SCORED_METRICS, "tau_resamples")):
            raise ValueError("`scores` of a failed predictor must be empty")
        if result.predictions_sha256 is not None:
            refuse("predictions_sha256", result.predictions_sha256, "null for a failed predictor")
        return
    if result.failure is not None:
        refuse("failure", result.failure, "null for a scored predictor")
    tau = result.scores.get("test", {}).get("tau")
    if tau is None or tau.value is None:
        raise ValueError("`scores.test.tau.value` must be given: the board is sorted by it")
    if len(result.tau_resamples) not in (0, RESAMPLES):
        refuse("tau_resamples", len(result.tau_resamples), f"{RESAMPLES} numbers, or none")
    digest = result.predictions_sha256
    if digest is not None and not _SHA256.fullmatch(digest):
        refuse("predictions_sha256", digest, "64 hexadecimal digits")


def environment() -> Environment:
    """Return the environment of this process, without importing the packages that it lists."""
    return Environment(
        platform.python_version(),
        f"{platform.system()} {platform.machine()}",
        metadata.version("numpy"),
        metadata.version("scipy"),
        _version("torch"),
        _version("scikit-learn"),
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
