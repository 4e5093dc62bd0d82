"""The noise ceiling at k = 0: what the best predictor reaches, from networks trained repeatedly.

Before training, the most that can be known of a network is its expected accuracy; the luck of the
one scored run stays unknown. R2 and tau of the expected accuracies against single runs are the
ceiling. It holds for k = 0 only: later, the observed epochs share their run's luck.

**R2** is 1 - within / total: the variance among runs of one network over the variance of single
runs, from the usual unbiased estimates (not below 0, which a constant prediction reaches).

**tau** cannot be measured directly, as expected accuracies are not known: their estimate from all
runs would contain the scored run (too high), their estimate from the others is noisy (too low). So
tau-b between one run and the mean of m *other* runs of each network is measured for m = 1 and m =
2, over all choices of runs; the variance of that mean's noise is proportional to 1/m, and the value
at 1/m = 0 is extrapolated. Among networks whose runs all learned 1/tau^2 is taken as linear in 1/m,
and tau is kept between its value at m = 2 and the square root of that at m = 1, a bound without a
model: with c the chance of one order of two networks' runs less that of the other, m = 1 measures
the mean of c^2, and no order reaches more than the mean of |c|. Pairs with a network that failed,
most of them always in order, are apart: their part of tau is taken as linear.

Bias of tau, simulated (80 times 200 networks of 3 runs; in brackets its standard error), against
tau-b of the expected accuracies and 20,000 single runs:

- normal accuracies, R2 .95, .8, .5, .2, .05: -.002 (.001), -.003 (.002), +.007 (.003), +.002
  (.007), -.047 (.008);
- with 12 % or 30 % of failed networks, exactly at chance, the others at R2 .5: .000 (.004), +.009
  (.003);
- with a quarter of the networks failing by chance: +.021 (.004);
- with 12 % or 30 % of failed networks of one expected accuracy whose runs scatter about it: -.004,
  -.002 (.002) for a predictor that orders these at random, -.009, -.040 for one that ties them, as
  ties in a prediction raise tau-b. Such a predictor can pass the ceiling.
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

TAU_RUNS = 3  # runs of a network that tau needs: one scored, two averaged
NO_VARIANCE = 1e-16  # squared accuracy; one image of 100,000 in one run of many gives more


def ceiling(finals: Sequence[Array], *, classes: int) -> dict[str, dict[str, Score]]:
    """Return the ceiling of `r2` and `tau` for `all` networks and those that `learned`.

    For `learned`, runs not above twice chance are dropped, and then networks with one run left.
    Networks with two runs count for R2 but not for tau. A ceiling is undefined (None) with fewer
    than two networks, or if all their runs are equal.

    Args:
        finals: Final accuracies of each network's runs, (runs,), at least 2 each.
        classes: Of the image set; chance is 1 / classes.

    Raises:
        ValueError: If a network has fewer than 2 runs or an accuracy outside [0, 1].

    >>> finals = [np.array([0.1, 0.1, 0.1]), np.array([0.5, 0.6, 0.5]), np.array([0.9, 0.8, 0.9])]
    >>> found = ceiling(finals, classes=10)
    >>> round(found["all"]["r2"].value, 4), found["all"]["tau"].value
    (0.9851, 1.0)
    """
    for index, runs in enumerate(finals):
        _check(index, runs)
    bar = learned_above(classes)
    learned = [runs[runs > bar] for runs in finals]
    return {
        "all": _ceilings(finals, bar),
        "learned": _ceilings(learned, bar),
    }


def _check(index: int, runs: Array) -> None:
    if runs.ndim != 1 or len(runs) < 2:
        raise ValueError(
            f"finals of network {index} of shape {runs.shape} must be (runs,) with at least 2 runs"
        )
    wrong = runs[~((runs >= 0) & (runs <= 1))]
    if len(wrong):
        raise ValueError(f"final accuracy of network {index} (={wrong[0]}) must be in [0, 1]")


def _ceilings(finals: Sequence[Array], bar: float) -> dict[str, Score]:
    """Return both ceilings; networks in a fixed order, so that theirs has no effect."""
    networks = sorted((np.sort(runs) for runs in finals if len(runs) >= 2), key=np.ndarray.tolist)
    enough = [runs for runs in networks if len(runs) >= TAU_RUNS]
    undefined = np.array([np.nan])
    return {
        "r2": score_of(_r2(networks, _counts(len(networks))) if networks else undefined),
        "tau": score_of(_tau(enough, _counts(len(enough)), bar) if enough else undefined),
    }


def _counts(networks: int) -> Counts:
    """Return one count of each network, then the resamples, (1 + resamples, networks)."""
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
    # The variance of the means holds a part of the noise, which is taken out
    between = (second - first**2) * draws / np.maximum(draws - 1, 1) - noise_of_means
    total = np.maximum(between, 0.0) + noise
    ratio = noise / np.where(total > NO_VARIANCE, total, 1.0)
    return np.where((total > NO_VARIANCE) & (draws > 1), 1.0 - ratio, np.nan)


def _tau(networks: Sequence[Array], counts: Counts, bar: float) -> Array:
    """Return the extrapolated tau in each resample, NaN where all runs are equal."""
    learned = np.array([bool(runs.min() > bar) for runs in networks])
    single, double = _PairMeans.of(networks, 1), _PairMeans.of(networks, 2)
    net, scale = single.drawn(counts)
    steady_net, steady_scale = single.drawn(counts * learned)
    share = _divided(steady_scale, scale)
    steady = _extrapolated(
        _divided(steady_net, steady_scale), _divided(*double.drawn(counts * learned))
    )
    rest = _divided(net - steady_net, scale)
    double_net, double_scale = double.drawn(counts)
    double_rest = _divided(double_net - double.drawn(counts * learned)[0], double_scale)
    others = np.minimum(2 * double_rest - rest, 1 - share)
    return np.where(scale > 0, np.maximum(steady * share + others, 0.0), np.nan)


def _extrapolated(single: Array, double: Array) -> Array:
    """Return tau at 1/m = 0 from those at m = 1 and m = 2, within its bounds."""
    single, double = np.maximum(single, 0.0), np.maximum(double, 0.0)
    bound = np.sqrt(single)
    positive = (single > 0) & (double > 0)
    inverse = 2 / np.where(positive, double, 1.0) ** 2 - 1 / np.where(positive, single, 1.0) ** 2
    found = np.where(inverse > 0, 1 / np.sqrt(np.where(inverse > 0, inverse, 1.0)), 1.0)
    return np.clip(found, np.minimum(double, bound), bound)


def _divided(values: Array, scale: Array) -> Array:
    """Return a ratio, 0 where the scale is."""
    return np.where(scale > 0, values / np.where(scale > 0, scale, 1.0), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _PairMeans:
    """Pairs of networks, each the mean over all choices of runs in both, (networks, networks).

    Draws of one network are tied with each other: the diagonals are 0.

    Attributes:
        net: Product of the signs of the scored runs' and of the means' difference.
        untied_scored: Share of choices whose scored runs differ.
        untied_mean: Share of choices whose means differ.
    """

    net: Array
    untied_scored: Array
    untied_mean: Array

    @classmethod
    def of(cls, networks: Sequence[Array], averaged: int) -> Self:
        """Return the pairs of one run against the mean of `averaged` others."""
        scored, mean, network = _choices(networks, averaged)
        first = np.sign(np.subtract.outer(scored, scored))
        second = np.sign(np.subtract.outer(mean, mean))
        matrices = (first * second, np.abs(first), np.abs(second))
        return cls(*(_mean_over_choices(values, network) for values in matrices))

    def drawn(self, counts: Counts) -> tuple[Array, Array]:
        """Return net pairs and tau-b's denominator in each resample, (resamples,) each."""
        weights = counts.astype(np.float64)
        net, untied_scored, untied_mean = (
            np.einsum("rn,rn->r", weights @ values, weights)
            for values in (self.net, self.untied_scored, self.untied_mean)
        )
        return net, np.sqrt(untied_scored * untied_mean)


def _choices(networks: Sequence[Array], averaged: int) -> tuple[Array, Array, NDArray[np.intp]]:
    """Return every scored run, the mean of every set of others, and their network's index."""
    rows = [
        (float(runs[run]), float(runs[list(others)].mean()), index)
        for index, runs in enumerate(networks)
        for run in range(len(runs))
        for others in combinations([i for i in range(len(runs)) if i != run], averaged)
    ]
    scored, means, indices = zip(*rows, strict=True)
    return np.array(scored), np.array(means), np.array(indices, dtype=np.intp)


def _mean_over_choices(values: Array, network: NDArray[np.intp]) -> Array:
    """Return the mean value of each pair of networks, 0 for each with itself.

    Args:
        values: Of each pair of choices, (choices, choices).
        network: Of each choice, rising.
    """
    choices = np.bincount(network)
    member = np.equal.outer(np.arange(len(choices)), network).astype(np.float64)
    means: Array = member @ values @ member.T / np.multiply.outer(choices, choices)
    np.fill_diagonal(means, 0.0)
    return means
