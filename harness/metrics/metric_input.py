"""The input of a metric: the networks of one stratum, and how often each is drawn."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array, Counts
from harness.metrics.pair_counts import PairCounts, count_pairs


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MetricInput:
    """The networks of one stratum. A metric has one value per row of `counts`.

    Attributes:
        target: True accuracies, (networks, predicted epochs); the last column is the final epoch.
        mean: Predicted accuracies, (networks, predicted epochs).
        std: Predicted standard deviation of the final accuracy, (networks,); None if not predicted.
        learned: Whether the true final accuracy is above twice chance, (networks,).
        paired_target: True final accuracy minus that of the paired network, (networks,); NaN for a
            network without a pair; None if no network of the stratum has one.
        paired_mean: Predicted final accuracy minus that of the paired network, (networks,).
        seed_difference: Difference of final accuracies that two runs of a typical network exceed in
            5 % of cases; None if it is not known.
        counts: How often each network is drawn, (resamples, networks).
        candidates: Networks of each random candidate set, as in `bootstrap.candidate_sets`.
    """

    target: Array
    mean: Array
    std: Array | None = None
    learned: NDArray[np.bool_]
    paired_target: Array | None = None
    paired_mean: Array | None = None
    seed_difference: float | None = None
    counts: Counts
    candidates: NDArray[np.intp]
    _pairs: dict[int, PairCounts] = field(init=False, default_factory=dict)

    @property
    def final_target(self) -> Array:
        """True accuracy after the last epoch, (networks,)."""
        return self.target[:, -1]

    @property
    def final_mean(self) -> Array:
        """Predicted accuracy after the last epoch, (networks,)."""
        return self.mean[:, -1]

    def pairs(self, column: int = -1) -> PairCounts:
        """Return the pair counts of a predicted epoch, (resamples,); counted once."""
        column %= self.target.shape[1]
        if column not in self._pairs:
            counted = count_pairs(self.target[:, column], self.mean[:, column], self.counts)
            self._pairs[column] = counted
        return self._pairs[column]

    def average(self, values: Array) -> Array:
        """Return the mean of each column over each resample's draws, (resamples, columns).

        Args:
            values: (networks, columns).
        """
        weights = self.counts.astype(np.float64)
        average: Array = weights @ values / weights.sum(axis=1, keepdims=True)
        return average
