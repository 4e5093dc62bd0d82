"""Tests which predictors are significantly better: paired differences, corrected for all pairs.

All predictors are scored on the same resamples of the same networks. The distribution of a paired
difference is much narrower than two separate intervals suggest. The step-down maximum test of
Romano and Wolf (2005, doi:10.1198/016214504000000539) bounds the probability of any false
significance among all pairs by 5 %: a difference is compared with the largest standardised
difference of the remaining pairs over the shared resamples, so the number of pairs needs no other
correction, and the smallest p-value does not grow with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array, interval

LEVEL = 0.05
NO_SPREAD = 1e-9  # least standard deviation of a difference; a smaller one is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Differences:
    """The differences between the scores of all pairs of predictors.

    Arrays are (predictors, predictors), row minus column, in the order of `names`.

    Attributes:
        names: Names of the predictors.
        value: Difference of the scores.
        low: Lower end of its 95 % interval, of this pair alone; NaN where undefined.
        high: Upper end.
        p_value: P-value of no difference, corrected for the number of pairs.
        higher: Whether a higher score is better.
    """

    names: tuple[str, ...]
    value: Array
    low: Array
    high: Array
    p_value: Array
    higher: bool

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Whether each difference is significant at the 5 % level."""
        significant: NDArray[np.bool_] = self.p_value < LEVEL
        return significant

    def ranks(self) -> dict[str, tuple[int, int]]:
        """Return the first and last rank that the significant differences allow each predictor.

        The first rank is one more than the number of predictors that are significantly better; the
        last one is the number of predictors that are not significantly worse.
        """
        ahead = self.significant & ((self.value > 0) == self.higher)
        better, worse = ahead.sum(axis=0), ahead.sum(axis=1)
        count = len(self.names)
        return {
            name: (1 + int(better[index]), count - int(worse[index]))
            for index, name in enumerate(self.names)
        }


def pairwise_differences(samples: Mapping[str, Array], *, higher: bool) -> Differences:
    """Return the tested differences of all pairs of predictors.

    Args:
        samples: For each predictor its score, then its score on each of the shared resamples,
            (1 + resamples,).
        higher: Whether a higher score is better.
    """
    names = tuple(samples)
    pairs = list(combinations(range(len(names)), 2))
    drawn = [samples[names[one]] - samples[names[other]] for one, other in pairs]
    shape = (len(names), len(names))
    value, low, high, p_value = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.ones(shape)
    for (one, other), difference, p in zip(pairs, drawn, corrected_p_values(drawn), strict=True):
        start, end = interval(difference[1:]) or (np.nan, np.nan)
        value[one, other], value[other, one] = difference[0], -difference[0]
        low[one, other], high[one, other] = start, end
        low[other, one], high[other, one] = -end, -start
        p_value[one, other] = p_value[other, one] = p
    return Differences(names, value, low, high, p_value, higher)


def corrected_p_values(differences: list[Array]) -> Array:
    """Return two-sided p-values of no difference, corrected for the number of differences.

    Args:
        differences: For each pair the difference, then that of each shared resample,
            (1 + resamples,); undefined resamples (NaN) count as equal to the difference.
    """
    if not differences:
        return np.empty(0)
    samples = np.stack(differences).astype(np.float32)
    value, resampled = samples[:, :1], samples[:, 1:]
    centred = np.where(np.isfinite(resampled), resampled - value, 0.0)
    spread = centred.std(axis=1, keepdims=True)
    statistics = np.abs(np.hstack([value, centred])) / np.maximum(spread, NO_SPREAD)
    observed, null = statistics[:, 0], statistics[:, 1:]
    order = np.argsort(-observed, kind="stable")
    # The largest of this and all later statistics, for each resample
    largest = np.maximum.accumulate(null[order[::-1]], axis=0)[::-1]
    reached = (largest >= observed[order, None]).sum(axis=1)
    p_values = np.empty(len(observed))
    p_values[order] = np.maximum.accumulate((1 + reached) / (1 + resampled.shape[1]))
    return p_values
