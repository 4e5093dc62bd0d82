"""The noise ceiling at k = 0: scores of an ideal predictor, from networks trained repeatedly.

Before training, the best possible prediction is the expected accuracy of a network; the randomness
of the scored run cannot be predicted. The ceiling is the R2 and tau of expected accuracies against
single runs. It holds for k = 0 only, because observed epochs carry information about their run.

**R2** is 1 - within / total: the variance among runs of one network over the variance of single
runs, from the usual unbiased estimates (at least 0, which a constant prediction reaches).

**tau** cannot be measured directly, because expected accuracies are unknown: an estimate from all
runs contains the scored run (too high), an estimate from the other runs is noisy (too low).
Therefore tau-b between one run and the mean of m *other* runs of each network is measured for m = 1
and m = 2, over all choices of runs. The noise variance of that mean is proportional to 1/m, and tau
is extrapolated to 1/m = 0. For networks whose runs all learned, 1/tau^2 is assumed linear in 1/m,
and tau is limited to the range from its value at m = 2 to the square root of its value at m = 1.
The upper limit needs no model: if c is the probability of one order of two networks' runs minus
that of the other order, m = 1 measures the mean of c^2, and no order exceeds the mean of |c|. Pairs
with a failed network, most of which always have the same order, are treated separately: their
contribution to tau is assumed linear in 1/m.

Bias of tau in simulations (80 repetitions of 200 networks with 3 runs; standard error in brackets)
against tau-b of the expected accuracies and 20,000 single runs:

- normal accuracies, R2 .95, .8, .5, .2, .05: -.002 (.001), -.003 (.002), +.007 (.003), +.002
  (.007), -.047 (.008);
- 12 % or 30 % of failed networks, exactly at chance, the others at R2 .5: .000 (.004), +.009
  (.003);
- a quarter of the networks failing at random: +.021 (.004);
- 12 % or 30 % of failed networks with the same expected accuracy, around which their runs scatter:
  -.004, -.002 (.002) for a predictor that orders them at random, -.009, -.040 for one that ties
  them, because ties in a prediction raise tau-b. Such a predictor can exceed the ceiling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchmark.space.imagesets import learned_above
from harness.metrics.bootstrap import Array, Counts, resample_counts
from harness.scoring.scores import Score, score_of

TAU_RUNS = 3  # runs of a network needed for tau: one scored, two averaged
NO_VARIANCE = 1e-16  # squared accuracy; a difference of 1 in 100,000 images gives more


def ceiling(finals: Sequence[Array], *, classes: int) -> dict[str, dict[str, Score]]:
    """Return the ceiling of `r2` and `tau` for `all` networks and those that `learned`.

    For `learned`, runs not above twice chance are dropped, then networks with only one run left.
    Networks with two runs are used for R2 but not for tau. A ceiling is undefined (None) for fewer
    than two networks, or if all runs are equal.

    Args:
        finals: Final accuracies of each network's runs, (runs,) with at least 2 runs each.
        classes: Number of classes of the image set; chance is 1 / classes.

    Raises:
        ValueError: If a network has fewer than 2 runs or an accuracy outside [0, 1].

    >>> finals = [np.array([0.1, 0.1, 0.1]), np.array([0.5, 0.6, 0.5]), np.array([0.9, 0.8, 0.9])]
    >>> scores = ceiling(finals, classes=10)
    >>> round(scores["all"]["r2"].value, 4), scores["all"]["tau"].value
    (0.9851, 1.0)
    """
    for index, runs in enumerate(finals):
        _check(index, runs)
    threshold = learned_above(classes)
    learned = [runs[runs > threshold] for runs in finals]
    return {"all": _ceilings(finals, threshold), "learned": _ceilings(learned, threshold)}


def _check(index: int, runs: Array) -> None:
    if runs.ndim != 1 or len(runs) < 2:
        raise ValueError(
            f"finals of network {index} of shape {runs.shape} must be (runs,) with at least 2 runs"
        )
    wrong = runs[~((runs >= 0) & (runs <= 1))]
    if len(wrong):
        raise ValueError(f"final accuracy of network {index} (={wrong[0]}) must be in [0, 1]")


def _ceilings(finals: Sequence[Array], threshold: float) -> dict[str, Score]:
    """Return both ceilings; sorts the networks, so that their order has no effect."""
    networks = sorted((np.sort(runs) for runs in finals if len(runs) >= 2), key=np.ndarray.tolist)
    enough = [runs for runs in networks if len(runs) >= TAU_RUNS]
    undefined = np.array([np.nan])
    return {
        "r2": score_of(_r2(networks, _counts(len(networks))) if networks else undefined),
        "tau": score_of(_tau(enough, _counts(len(enough)), threshold) if enough else undefined),
    }


def _counts(networks: int) -> Counts:
    """Return a count of 1 for each network, then the resamples, (1 + resamples, networks)."""
    names = [f"{index:09d}" for index in range(networks)]
    return np.concatenate([np.ones((1, networks), np.int32), resample_counts(names)])


def _r2(networks: Sequence[Array], counts: Counts) -> Array:
    """Return 1 - within / total in each resample, NaN where there is no variance."""
    means = np.array([runs.mean() for runs in networks])
    within = np.array([runs.var(ddof=1) for runs in networks])
    of_means = within / np.array([len(runs) for runs in networks])
    draws = counts.sum(axis=1)
    centred = means - means.mean()
    columns = np.stack([centred, centred**2, within, of_means], axis=1)
    first, second, noise, noise_of_means = (counts @ columns / draws[:, None]).T
    # Subtract the noise variance that the variance of the means contains
    between = (second - first**2) * draws / np.maximum(draws - 1, 1) - noise_of_means
    total = np.maximum(between, 0.0) + noise
    ratio = noise / np.where(total > NO_VARIANCE, total, 1.0)
    return np.where((total > NO_VARIANCE) & (draws > 1), 1.0 - ratio, np.nan)


def _tau(networks: Sequence[Array], counts: Counts, threshold: float) -> Array:
    """Return the extrapolated tau in each resample, NaN where all runs are equal."""
    learned = np.array([bool(runs.min() > threshold) for runs in networks])
    single, double = _PairMeans.of(networks, 1), _PairMeans.of(networks, 2)
    net, scale = single.resample(counts)
    steady_net, steady_scale = single.resample(counts * learned)
    double_net, double_scale = double.resample(counts)
    double_steady_net, double_steady_scale = double.resample(counts * learned)
    fraction = _ratio(steady_scale, scale)
    steady = _extrapolate(
        _ratio(steady_net, steady_scale), _ratio(double_steady_net, double_steady_scale)
    )
    rest = _ratio(net - steady_net, scale)
    double_rest = _ratio(double_net - double_steady_net, double_scale)
    others = np.minimum(2 * double_rest - rest, 1 - fraction)
    return np.where(scale > 0, np.maximum(steady * fraction + others, 0.0), np.nan)


def _extrapolate(single: Array, double: Array) -> Array:
    """Return tau at 1/m = 0 from tau at m = 1 and m = 2, within its bounds."""
    single, double = np.maximum(single, 0.0), np.maximum(double, 0.0)
    bound = np.sqrt(single)
    positive = (single > 0) & (double > 0)
    inverse = 2 / np.where(positive, double, 1.0) ** 2 - 1 / np.where(positive, single, 1.0) ** 2
    tau = np.where(inverse > 0, 1 / np.sqrt(np.where(inverse > 0, inverse, 1.0)), 1.0)
    return np.clip(tau, np.minimum(double, bound), bound)


def _ratio(values: Array, scale: Array) -> Array:
    """Return values / scale, 0 where the scale is 0."""
    return np.where(scale > 0, values / np.where(scale > 0, scale, 1.0), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _PairMeans:
    """Means over all choices of runs for each pair of networks, (networks, networks).

    Draws of the same network are tied, so diagonals are 0.

    Attributes:
        net: Sign of the difference of the scored runs times that of the means.
        untied_scored: Fraction of choices whose scored runs differ.
        untied_mean: Fraction of choices whose means differ.
    """

    net: Array
    untied_scored: Array
    untied_mean: Array

    @classmethod
    def of(cls, networks: Sequence[Array], averaged: int) -> Self:
        """Return the pairs for one run against the mean of `averaged` other runs."""
        scored, mean, network = _choices(networks, averaged)
        first = np.sign(np.subtract.outer(scored, scored))
        second = np.sign(np.subtract.outer(mean, mean))
        matrices = (first * second, np.abs(first), np.abs(second))
        return cls(*(_mean_over_choices(values, network) for values in matrices))

    def resample(self, counts: Counts) -> tuple[Array, Array]:
        """Return net pairs and the denominator of tau-b in each resample, (resamples,) each."""
        weights = counts.astype(np.float64)
        net, untied_scored, untied_mean = (
            np.einsum("rn,rn->r", weights @ values, weights)
            for values in (self.net, self.untied_scored, self.untied_mean)
        )
        return net, np.sqrt(untied_scored * untied_mean)


def _choices(networks: Sequence[Array], averaged: int) -> tuple[Array, Array, NDArray[np.intp]]:
    """Return every scored run, the mean of every set of other runs, and the network's index."""
    rows = [
        (float(runs[run]), float(runs[list(others)].mean()), index)
        for index, runs in enumerate(networks)
        for run in range(len(runs))
        for others in combinations([i for i in range(len(runs)) if i != run], averaged)
    ]
    scored, means, indices = zip(*rows, strict=True)
    return np.array(scored), np.array(means), np.array(indices, dtype=np.intp)


def _mean_over_choices(values: Array, network: NDArray[np.intp]) -> Array:
    """Return the mean value of each pair of networks, 0 on the diagonal, (networks, networks).

    Args:
        values: Value of each pair of choices, (choices, choices).
        network: Index of each choice's network, sorted, (choices,).
    """
    choices = np.bincount(network)
    member = np.equal.outer(np.arange(len(choices)), network).astype(np.float64)
    means: Array = member @ values @ member.T / np.multiply.outer(choices, choices)
    np.fill_diagonal(means, 0.0)
    return means
