"""Metrics compared with references, hand-worked cases, extremes and explicit resamples."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import r2_score, roc_auc_score

from harness.metrics import errors, pair_counts, ranks, selection
from harness.metrics.bootstrap import Array, Counts, resample_counts
from harness.metrics.metric_input import MetricInput
from harness.metrics.registry import HEADLINE, METRICS, Direction, Metric

CLASSES = 10


def make_sample(
    target: Array,
    mean: Array,
    *,
    std: Array | None = None,
    paired: tuple[Array, Array] | None = None,
    counts: Counts | None = None,
) -> MetricInput:
    """Return a sample of every network once, unless counts are given."""
    target, mean = (values.reshape(len(values), -1) for values in (target, mean))
    drawn = np.ones((1, len(target)), np.int32) if counts is None else counts
    return MetricInput(
        target=target,
        mean=mean,
        std=std,
        learned=target[:, -1] > 2 / CLASSES,
        paired_target=None if paired is None else paired[0],
        paired_mean=None if paired is None else paired[1],
        seed_difference=0.05,
        counts=drawn,
        candidates=members(drawn),
    )


def members(drawn: Counts) -> NDArray[np.intp]:
    """Return the networks of each resample, -1 where it has fewer than others."""
    listed = [np.repeat(np.arange(len(row)), row) for row in drawn]
    size = max(map(len, listed))
    return np.stack([np.append(row, np.full(size - len(row), -1)) for row in listed])


def value(name: str, target: Array, mean: Array, std: Array | None = None) -> float:
    """Return a metric of the networks themselves."""
    return float(METRICS[name].compute(make_sample(target, mean, std=std))[0])


def networks(
    seed: int, size: int = 40, epochs: int = 3, *, decimals: int = 2, noise: float = 0.05
) -> tuple[Array, Array]:
    """Return true and predicted curves with ties and with networks that do not learn."""
    rng = np.random.default_rng(seed)
    final = np.where(rng.random(size) < 0.2, 0.1, 0.7 + 0.1 * rng.normal(size=size))
    curves = np.linspace(0.6, 1.0, epochs) * final[:, None] + 0.02 * rng.normal(size=(size, epochs))
    predicted = curves + noise * rng.normal(size=curves.shape)
    return curves.clip(0, 1).round(decimals), predicted.clip(0, 1).round(decimals)


def full_sample(
    seed: int, counts: Counts | None = None, size: int = 40, *, noise: float = 0.05
) -> MetricInput:
    """Return a sample on which every metric is defined."""
    target, mean = networks(seed, size, noise=noise)
    rng = np.random.default_rng(seed + 1)
    paired = np.where(rng.random(size) < 0.8, rng.normal(size=size).round(1), np.nan)
    guess = (paired + rng.normal(size=size)).round(1)
    std = rng.uniform(0.02, 0.1, size)
    return make_sample(target, mean, std=std, paired=(paired, guess), counts=counts)


REFERENCES: dict[str, Callable[[Array, Array], float]] = {
    "mse": lambda y, p: float(np.mean((y - p) ** 2)),
    "r2": lambda y, p: float(r2_score(y, p)),
    "tau": lambda y, p: float(stats.kendalltau(y, p).statistic),
    "somers_d": lambda y, p: float(stats.somersd(y, p).statistic),
    "squared_pearson": lambda y, p: float(stats.pearsonr(y, p).statistic ** 2),
    "auc_learned": lambda y, p: float(roc_auc_score(y > 0.2, p)),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("seed", range(5))
def test_a_final_metric_equals_its_reference(name: str, seed: int) -> None:
    target, mean = (curves[:, -1] for curves in networks(seed, size=300))
    assert value(name, target, mean) == pytest.approx(REFERENCES[name](target, mean), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "final"), [("curve_mse", "mse"), ("curve_tau", "tau"), ("curve_r2", "r2")]
)
def test_a_curve_metric_is_the_mean_over_epochs(name: str, final: str) -> None:
    target, mean = networks(7, size=60, epochs=6)
    expected = np.mean([REFERENCES[final](target[:, e], mean[:, e]) for e in range(6)])
    assert value(name, target, mean) == pytest.approx(expected, abs=1e-12)


def test_gaussian_scores_equal_scipy_and_a_numeric_integral() -> None:
    target, mean, std = np.array([0.7, 0.2, 0.55]), np.array([0.6, 0.3, 0.55]), np.full(3, 0.08)
    expected = -float(np.mean(stats.norm.logpdf(target, mean, std)))
    assert value("nll", target, mean, std) == pytest.approx(expected, abs=1e-12)
    # CRPS = integral of (F(x) - 1[x >= y])^2
    grid = np.linspace(-0.5, 1.5, 200_001)
    distribution = stats.norm.cdf(grid, mean[:, None], std[:, None])
    squared = (distribution - (grid >= target[:, None])) ** 2
    integral = float(squared.sum(axis=1).mean() * (grid[1] - grid[0]))
    assert value("crps", target, mean, std) == pytest.approx(integral, abs=1e-5)


def test_coverage_counts_the_central_90_percent() -> None:
    # 1.6448 std lies within, 1.6449 does not: 3 of 4
    errors = np.array([0.0, 1.6448, -1.6448, 1.6449])
    assert value("coverage_90", 0.5 + 0.1 * errors, np.full(4, 0.5), np.full(4, 0.1)) == 0.75


def test_tau_and_somers_d_by_hand() -> None:
    # y 1 2 2 3, p 1 2 3 2: of 6 pairs, tied in y (2,3), tied in p (2,4);
    # (1,2) (1,3) (1,4) concordant, (3,4) discordant: net 2, tau-b 2 / sqrt(5 * 5), D 2 / 5
    target, mean = np.array([0.1, 0.2, 0.2, 0.3]), np.array([0.1, 0.2, 0.3, 0.2])
    assert value("tau", target, mean) == pytest.approx(0.4)
    assert value("somers_d", target, mean) == pytest.approx(0.4)


def test_rounding_a_prediction_raises_tau_b_but_not_somers_d() -> None:
    # y 1 2 3 4, p 1 3 2 4 -> rounded 1 2 2 4: the wrong pair becomes a tie
    target = np.array([0.1, 0.2, 0.3, 0.4])
    sharp, rounded = np.array([0.1, 0.3, 0.29, 0.4]), np.array([0.1, 0.3, 0.3, 0.4])
    assert value("tau", target, rounded) == pytest.approx(5 / np.sqrt(6 * 5))
    assert value("tau", target, sharp) == pytest.approx(4 / 6)
    assert value("somers_d", target, rounded) == pytest.approx(5 / 6)
    # A random order of tied pairs has the expectation of D: (4 + 6) / 2 of 6
    swapped = np.array([0.1, 0.2, 0.3, 0.4])
    both = [value("tau", target, order) for order in (sharp, swapped)]
    assert value("somers_d", target, rounded) == pytest.approx(np.mean(both))


def test_r2_of_a_linear_map_is_not_a_squared_correlation() -> None:
    target = np.array([0.2, 0.4, 0.6, 0.8])
    assert value("squared_pearson", target, 1 - target) == pytest.approx(1.0)
    # SSE = .6^2 + .2^2 + .2^2 + .6^2 = .8, SST = .2: 1 - 4
    assert value("r2", target, 1 - target) == pytest.approx(-3.0)


def test_pooled_r2_rewards_the_mean_curve_and_curve_r2_does_not() -> None:
    target, _ = networks(3, size=200, epochs=10, decimals=4)
    nothing = np.tile(target.mean(axis=0), (200, 1))  # the mean curve for every network
    pooled = r2_score(target.ravel(), nothing.ravel())
    assert pooled > 0.1
    assert value("curve_r2", target, nothing) == pytest.approx(0.0, abs=1e-12)


def test_the_top_fifth_is_of_the_target() -> None:
    target = np.arange(10) / 10
    mean = target.copy()
    mean[:8] = mean[:8][::-1]  # wrong below the top two, right in them
    assert value("tau_top", target, mean) == 1.0
    mean[[8, 9]] = mean[[9, 8]]
    assert value("tau_top", target, mean) == -1.0


@pytest.mark.parametrize("size", [40, 41, 44, 45])
def test_the_top_fifth_is_rounded_up_and_equals_scipy(size: int) -> None:
    rng = np.random.default_rng(size)
    target, mean = rng.random(size), rng.random(size).round(1)
    top = np.argsort(-target)[: int(np.ceil(size / 5))]
    expected = stats.kendalltau(target[top], mean[top]).statistic
    assert value("tau_top", target, mean) == pytest.approx(expected, abs=1e-12)


def test_networks_tied_at_the_boundary_share_the_last_slots() -> None:
    # 10 networks, 2 slots: .9 is in, two networks of .8 share the other slot, half each.
    # Pairs with .9: weights 1/2 each, one concordant, one discordant: net 0.
    target = np.array([0.9, 0.8, 0.8, *np.linspace(0, 0.6, 7)])
    mean = np.array([0.5, 0.4, 0.6, *np.zeros(7)])
    assert value("tau_top", target, mean) == 0.0
    mean[2] = 0.3
    # Both concordant: net 1 of 1 untied in y; in p also (.4, .3): 1 + 1/4
    assert value("tau_top", target, mean) == pytest.approx(1 / np.sqrt(1.25))


def test_regret_by_hand() -> None:
    target = np.array([0.9, 0.5, 0.8, 0.1, 0.7, 0.2])
    mean = np.array([0.1, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert value("regret_1", target, mean) == pytest.approx(0.4)  # chose .5
    assert value("regret_5", target, mean) == pytest.approx(0.1)  # best chosen .8
    assert value("regret_10", target, mean) == 0.0  # fewer networks than slots


def test_regret_of_ties_is_the_mean_over_all_choices() -> None:
    target = np.array([0.9, 0.5, 0.8, 0.1, 0.7, 0.2, 0.8, 0.3])
    mean = np.array([0.4, 0.6, 0.4, 0.6, 0.4, 0.4, 0.1, 0.4])
    # Two are certain (.5, .1); 3 slots remain for the five tied at .4; .9 is the best
    chances = [max(0.5, *target[list(c)]) for c in combinations([0, 2, 4, 5, 7], 3)]
    assert value("regret_5", target, mean) == pytest.approx(0.9 - np.mean(chances))
    assert value("regret_1", target, mean) == pytest.approx(0.9 - (0.5 + 0.1) / 2)


@pytest.mark.parametrize("name", ["tau", "somers_d", "squared_pearson", "tau_top", "curve_tau"])
def test_a_constant_prediction_has_no_order(name: str) -> None:
    target, mean = networks(1)
    assert value(name, target, np.full_like(mean, 0.1 + 0.2)) == 0.0


def test_a_constant_prediction_at_the_mean_has_r2_0_and_auc_one_half() -> None:
    target, mean = networks(1)
    centre = np.broadcast_to(target.mean(axis=0), mean.shape)
    assert value("r2", target, centre) == pytest.approx(0.0, abs=1e-12)
    assert value("auc_learned", target, centre) == 0.5
    best, total = target[:, -1].max(), target[:, -1].mean()
    assert value("regret_1", target, centre) == pytest.approx(best - total)


@pytest.mark.parametrize(
    "name",
    ["tau", "somers_d", "r2", "squared_pearson", "tau_top", "curve_tau", "curve_r2", "auc_learned"],
)
def test_a_constant_target_is_undefined(name: str) -> None:
    target, mean = networks(1)
    assert np.isnan(value(name, np.full_like(target, 0.1 + 0.2), mean))


def test_curve_scores_are_undefined_if_one_epoch_has_a_constant_target() -> None:
    target, mean = networks(1)
    target[:, 0] = 0.1
    assert np.isnan(value("curve_r2", target, mean))
    assert np.isfinite(value("r2", target, mean))


def extremes(sample: MetricInput) -> tuple[MetricInput, MetricInput]:
    """Return the same networks with a perfect prediction and with the reverse order."""
    assert sample.paired_target is not None
    target, paired, std = sample.target, sample.paired_target, np.full(len(sample.target), 1e-3)
    perfect = make_sample(target, target, std=std, paired=(paired, paired))
    worst = make_sample(target, 1 - target, std=std, paired=(paired, -paired))
    return perfect, worst


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_is_in_range_and_improves_in_its_direction(metric: Metric) -> None:
    sample = full_sample(8, size=60, noise=0.6)
    perfect, worst = extremes(sample)
    values = [float(metric.compute(case)[0]) for case in (worst, sample, perfect)]
    low, high = metric.range
    assert all(low <= found <= high for found in values)
    bad, middle, good = values
    if metric.direction == "lower":
        assert good < middle < bad
    elif metric.direction == "target":
        assert metric.target is not None
        assert abs(middle - metric.target) < abs(bad - metric.target)
    elif metric.name == "squared_pearson":  # ignores the sign: the reverse order is perfect
        assert bad == pytest.approx(good)
        assert middle < good
    else:
        assert bad < middle < good


@pytest.mark.parametrize(
    "name",
    [name for name, m in METRICS.items() if np.isfinite(m.range[1]) and m.direction == "higher"],
)
def test_a_perfect_prediction_reaches_the_top_of_the_range(name: str) -> None:
    perfect, _ = extremes(full_sample(5))
    assert METRICS[name].compute(perfect)[0] == pytest.approx(METRICS[name].range[1], abs=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_vectorised_bootstrap_equals_explicit_resamples(metric: Metric) -> None:
    size = 23
    ids = [f"a{index // 2}" for index in range(size)]  # two runs of most architectures
    counts = resample_counts(ids, resamples=25)
    fast = metric.compute(full_sample(11, counts, size))
    full = full_sample(11, None, size)
    for drawn, found in zip(counts, fast, strict=True):
        rows = np.repeat(np.arange(size), drawn)
        assert full.std is not None
        assert full.paired_target is not None
        assert full.paired_mean is not None
        slow = make_sample(
            full.target[rows],
            full.mean[rows],
            std=full.std[rows],
            paired=(full.paired_target[rows], full.paired_mean[rows]),
        )
        assert found == pytest.approx(metric.compute(slow)[0], abs=1e-10, nan_ok=True)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_order_of_networks_has_no_effect(metric: Metric) -> None:
    sample = full_sample(13)
    order = np.random.default_rng(0).permutation(len(sample.target))
    assert sample.std is not None
    assert sample.paired_target is not None
    assert sample.paired_mean is not None
    other = make_sample(
        sample.target[order],
        sample.mean[order],
        std=sample.std[order],
        paired=(sample.paired_target[order], sample.paired_mean[order]),
    )
    assert metric.compute(other)[0] == pytest.approx(metric.compute(sample)[0], abs=1e-12)


def test_each_resample_has_its_own_top_set() -> None:
    target = np.arange(10) / 10
    mean = np.array([*np.zeros(4), 0.4, 0.3, 0.2, 0.1, 0.8, 0.9])
    counts = np.array([[1] * 10, [3, 3, 1, 1, 1, 1, 0, 0, 0, 0]], np.int32)
    # All: the top two (.8, .9) are in order; in the resample the top two (.4, .5) are not
    found = METRICS["tau_top"].compute(make_sample(target, mean, counts=counts))
    assert found.tolist() == [1.0, -1.0]


def test_tau_is_the_same_across_blocks_and_in_both_precisions() -> None:
    target, mean = networks(2, size=700, decimals=3)
    counts = resample_counts([str(index) for index in range(700)], resamples=3)
    target, mean = target[:, -1], mean[:, -1]
    from_integers = pair_counts.count_pairs(target, mean, counts)
    from_floats = pair_counts.count_pairs(target, mean, counts.astype(np.float64))
    for name in ("net", "untied_target", "untied_prediction"):
        assert np.array_equal(getattr(from_integers, name), getattr(from_floats, name))
    rows = np.repeat(np.arange(700), counts[0])
    expected = stats.kendalltau(target[rows], mean[rows]).statistic
    assert from_integers.tau_b()[0] == pytest.approx(expected, abs=1e-12)


def test_ranks_are_dense() -> None:
    values = np.random.default_rng(0).integers(5, size=50) / 5
    assert pair_counts.ranks(values).tolist() == (stats.rankdata(values, "dense") - 1).tolist()


def test_tau_of_distinct_pairs_by_hand() -> None:
    # Differences above .05: (1,3) (1,4) (2,3) (2,4) concordant but (2,4); (1,2) and (3,4) are noise
    target, mean = np.array([0.10, 0.12, 0.20, 0.24]), np.array([0.2, 0.4, 0.5, 0.3])
    assert value("tau_distinct", target, mean) == pytest.approx(2 / 4)
    assert np.isnan(value("tau_distinct", target / 10, mean))
    sample = replace(make_sample(target, mean), seed_difference=None)
    assert np.isnan(ranks.tau_distinct(sample)).all()


def test_r2_over_skeletons_is_of_the_sums_of_squares() -> None:
    # A skeleton of nearly equal accuracies cannot outweigh another one
    alike = make_sample(np.array([0.500, 0.501]), np.array([0.45, 0.55]))
    apart = make_sample(np.array([0.2, 0.8]), np.array([0.3, 0.8]))
    assert METRICS["r2"].compute(alike)[0] < -1000
    sse, sst = 0.05**2 + 0.049**2 + 0.1**2, 2 * 0.0005**2 + 2 * 0.3**2
    assert METRICS["r2"].compute(alike, apart)[0] == pytest.approx(1 - sse / sst, abs=1e-12)


def test_names_are_unique_and_every_metric_says_what_ties_and_constants_do() -> None:
    assert all(name == metric.name for name, metric in METRICS.items())
    assert all(m.label and m.formula and m.ties and m.constant for m in METRICS.values())
    assert set(HEADLINE) < set(METRICS)


def test_a_metric_checks_its_target_and_its_range() -> None:
    def build(direction: Direction, target: float | None, low: float) -> Metric:
        return replace(
            METRICS["mse"], name="x", direction=direction, range=(low, 1.0), target=target
        )

    message = (
        "metric 'x' with direction 'higher' has target 0.9; "
        "a target and the direction 'target' go together"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build("higher", 0.9, 0.0)
    with pytest.raises(ValueError, match=r"^metric 'x' has the empty range \(1\.0, 1\.0\)$"):
        build("higher", None, 1.0)


def test_a_gaussian_score_needs_std() -> None:
    target, mean = networks(1)
    message = r"^a sample without std has no nll, crps or coverage_90$"
    with pytest.raises(ValueError, match=message):
        errors.nll(make_sample(target, mean))


def test_a_sample_without_pairs_has_no_paired_tau() -> None:
    assert np.isnan(ranks.tau_paired(make_sample(*networks(1)))).all()


def test_regret_falls_with_the_number_chosen() -> None:
    sample = full_sample(17, resample_counts([str(index) for index in range(40)], resamples=30))
    found = [selection.regret(sample, chosen) for chosen in (1, 3, 10, 40)]
    assert all(np.all(more <= less + 1e-12) for less, more in pairwise(found))
    assert np.allclose(found[-1], 0.0, atol=1e-12)
