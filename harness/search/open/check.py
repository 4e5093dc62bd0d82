"""How well a surrogate predicts networks that it was not fitted to."""

from dataclasses import dataclass

import numpy as np

from harness.metrics.metric_input import MetricInput
from harness.metrics.registry import METRICS
from harness.protocol import Array


@dataclass(frozen=True, slots=True)
class FoldScore:
    """Scores on the held-back networks of a fold, of the mean accuracy of their runs.

    Attributes:
        networks: Number of networks.
        tau: Kendall's tau-b; None where it is undefined.
        r2: As in the benchmark; None where it is undefined.
        mse: Mean squared error.
    """

    networks: int
    tau: float | None
    r2: float | None
    mse: float


@dataclass(frozen=True, slots=True)
class SurrogateCheck:
    """What a surrogate is and how well it predicts networks that it was not fitted to.

    Attributes:
        model: What it is.
        networks: Number of networks that it is fitted to.
        repeated: Number of those that were trained with several seeds, which give the noise.
        folds: Scores of each fold. Networks with the same blocks are in the same fold.
    """

    model: str
    networks: int
    repeated: int
    folds: tuple[FoldScore, ...]


def score_fold(accuracies: Array, predicted: Array) -> FoldScore:
    """Return the scores of predicted accuracies (networks,)."""
    sample = MetricInput(
        target=accuracies[:, None],
        mean=predicted[:, None],
        learned=np.ones(len(accuracies), dtype=np.bool_),
        counts=np.ones((1, len(accuracies)), dtype=np.int32),
        candidates=np.zeros((1, 1), dtype=np.intp),
    )
    tau, r2, mse = (float(METRICS[name].compute(sample)[0]) for name in ("tau", "r2", "mse"))
    tau_or_none, r2_or_none = (v if np.isfinite(v) else None for v in (tau, r2))
    return FoldScore(len(accuracies), tau_or_none, r2_or_none, mse)
