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

Bias of tau against tau-b of the expected accuracies and 20,000 single runs, and coverage of its
95 % interval, in simulations of networks with 3 runs (80 repetitions; standard error in brackets).
Noise differs between networks (lognormal, as on digits), accuracies saturate on a grid of 1/350:

- 15 % fail at random, 4 % always; 200, 100, 25 networks: +.011 (.004), +.021 (.006), +.017 (.014);
  coverage .97, .89, .78;
- none fails; 150, 25 networks: +.002 (.003), -.006 (.011); coverage .95, .89;
- nearly alike (R2 .54); 150, 25 networks: -.005 (.004), -.001 (.011); coverage .97, .99.

R2 has biases of -.01 to +.03 and coverages of .84 (25 networks) to .96. In an outside simulation of
other networks with failures by chance, tau was biased by -.02 to -.04. The sign thus depends on how
networks fail, which three runs do not tell: a ceiling of tau is known to about .03 beyond its
interval, and below 100 networks the interval is indicative. Failed networks with the same expected
accuracy, around which their runs scatter, are another limit: a predictor that ties them can exceed
the ceiling by .01 to .04, because ties in a prediction raise tau-b.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import RESAMPLES, Array, Counts, sample_counts

TAU_RUNS = 3  # runs of a network needed for tau: one scored, two averaged
NO_VARIANCE = 1e-16  # squared accuracy; a difference of 1 in 100,000 images gives more


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedNetwork:
    """A network that was trained with several seeds.

    Attributes:
        architecture_id: Its architecture; all different in a sample.
        finals: Final value of each run, (runs,) with at least 2 runs, each in [0, 1].
        learned: Whether each run learned, (runs,).
    """

    architecture_id: str
    finals: Array
    learned: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check shapes and values."""
        if self.finals.ndim != 1 or len(self.finals) < 2 or self.learned.shape != self.finals.shape:
            raise ValueError(
                f"finals of network {self.architecture_id!r} of shape {self.finals.shape} must be "
                "(runs,) with at least 2 runs"
            )
        wrong = self.finals[~((self.finals >= 0) & (self.finals <= 1))]
        if len(wrong):
            raise ValueError(
                f"final of network {self.architecture_id!r} (={wrong[0]}) must be in [0, 1]"
            )


def keep_learned(networks: Sequence[RepeatedNetwork]) -> list[RepeatedNetwork]:
    """Return the networks without the runs that did not learn, if at least two runs are left."""
    return [
        RepeatedNetwork(n.architecture_id, n.finals[n.learned], n.learned[n.learned])
        for n in networks
        if n.learned.sum() > 1
    ]


def ceiling_samples(*skeletons: Sequence[RepeatedNetwork]) -> dict[str, Array]:
    """Return the ceilings of `r2` and `tau`, each followed by those of the bootstrap resamples.

    Over several skeletons, tau is the mean of those that have one, and R2 is 1 - within / total of
    the sums of variances over skeletons, each with the same weight. Networks with two runs are used
    for R2 but not for tau. A ceiling is undefined (NaN) for fewer than two networks, or if all runs
    are equal. The order of the networks has no effect.

    >>> finals = [np.array([0.1, 0.1, 0.1]), np.array([0.5, 0.6, 0.5]), np.array([0.9, 0.8, 0.9])]
    >>> networks = [RepeatedNetwork(str(i), runs, runs > 0.2) for i, runs in enumerate(finals)]
    >>> samples = ceiling_samples(networks)
    >>> round(float(samples["r2"][0]), 4), float(samples["tau"][0])
    (0.9851, 1.0)
    """
    ordered = [sorted(of, key=lambda network: network.architecture_id) for of in skeletons]
    taus = [_tau([n for n in networks if len(n.finals) >= TAU_RUNS]) for networks in ordered]
    defined = [tau for tau in taus if np.isfinite(tau[0])] or taus
    noise, total = np.sum([_variances(networks) for networks in ordered], axis=0)
    known = total > NO_VARIANCE
    r2 = np.where(known, 1.0 - noise / np.where(known, total, 1.0), np.nan)
    return {"r2": r2, "tau": np.mean(defined, axis=0)}


def tau_of_another_run(networks: Sequence[RepeatedNetwork]) -> Array:
    """Return tau between one run and another of each network, then in each resample.

    It is the mean over all choices of the two, and NaN if all runs are equal.
    """
    ordered = sorted(networks, key=lambda network: network.architecture_id)
    net, scale = _PairMeans.of([n.finals for n in ordered], 1).resample(_counts(ordered))
    return np.where(scale > 0, _ratio(net, scale), np.nan)


def _counts(networks: Sequence[RepeatedNetwork]) -> Counts:
    """Return a count of 1 for each network, then the resamples, (1 + resamples, networks)."""
    return sample_counts([network.architecture_id for network in networks])


def _variances(networks: Sequence[RepeatedNetwork]) -> Array:
    """Return the variance within networks and the total one in each resample, (2, resamples).

    Both are 0 if only one network is drawn.
    """
    if not networks:
        return np.zeros((2, 1 + RESAMPLES))
    finals, counts = [network.finals for network in networks], _counts(networks)
    means = np.array([runs.mean() for runs in finals])
    within = np.array([runs.var(ddof=1) for runs in finals])
    of_means = within / np.array([len(runs) for runs in finals])
    draws = counts.sum(axis=1)
    centred = means - means.mean()
    columns = np.stack([centred, centred**2, within, of_means], axis=1)
    first, second, noise, noise_of_means = (counts @ columns / draws[:, None]).T
    # Subtract the noise variance that the variance of the means contains
    between = (second - first**2) * draws / np.maximum(draws - 1, 1) - noise_of_means
    variances: Array = np.stack([noise, np.maximum(between, 0.0) + noise]) * (draws > 1)
    return variances


def _tau(networks: Sequence[RepeatedNetwork]) -> Array:
    """Return the extrapolated tau in each resample, NaN where all runs are equal."""
    if not networks:
        return np.full(1 + RESAMPLES, np.nan)
    counts = _counts(networks)
    learned = np.array([network.learned.all() for network in networks])
    finals = [np.sort(network.finals) for network in networks]
    single, double = _PairMeans.of(finals, 1), _PairMeans.of(finals, 2)
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
