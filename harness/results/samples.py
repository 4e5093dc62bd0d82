"""The score of a stored result on each bootstrap resample, to compare results."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from harness.metrics.bootstrap import Array
from harness.metrics.registry import METRICS
from harness.results.predictions import matrix, predicted_epochs, split_seeds
from harness.results.store import read_with_predictions
from harness.scoring.strata import strata, tabulate
from harness.scoring.targets import Targets


def seed_predictions(path: Path) -> list[pa.Table]:
    """Return the predictions of each seed of the result at `path`, in the order of the seeds.

    Raises:
        FileNotFoundError: If the result or its predictions are missing.
        ValueError: If the predictor failed, or a file breaks a rule.
    """
    result, table = read_with_predictions(path)
    if table is None:
        raise ValueError(
            f"predictor {result.predictor!r} failed on {result.task!r}: {result.failure}"
        )
    return split_seeds(table, len(result.seeds))


def score_samples(
    tables: list[pa.Table], targets: Targets, *, metric: str = "tau", stratum: str = "test"
) -> Array:
    """Return a score, then its value on each resample, (1 + resamples,); means over seeds.

    Args:
        tables: The predictions of each seed.
        targets: The targets of the task.
        metric: A name of `METRICS`.
        stratum: Name of a stratum of results.

    Raises:
        ValueError: If the stratum has no networks, or the predictions do not have the metric.
    """
    samples = []
    for table in tables:
        mean, std = matrix(table, "mean", targets.run_ids), None
        epochs = predicted_epochs(table)
        if METRICS[metric].needs != "curve":
            mean, epochs = mean[:, -1:], epochs[-1:]
        if not table["std"].null_count:
            std = matrix(table, "std", targets.run_ids)
        rows = tabulate(targets, mean, epochs=epochs, std=std)
        found = strata(rows, names=[stratum], metrics=[metric])
        if stratum not in found:
            raise ValueError(f"no networks in the stratum {stratum!r}")
        if metric not in found[stratum]:
            raise ValueError(f"the predictions have no {metric!r} in {stratum!r}")
        samples.append(found[stratum][metric])
    mean_over_seeds: Array = np.mean(samples, axis=0)
    return mean_over_seeds
