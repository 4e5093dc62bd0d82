"""The noise ceiling of simulated networks with known expected accuracies."""

import re
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from harness.metrics.bootstrap import Array, Counts
from harness.scoring import noise_ceiling as module
from harness.scoring.noise_ceiling import ceiling
from harness.scoring.scores import Score

CLASSES = 10


def simulate(
    rng: np.random.Generator, size: int, *, runs: int = 3, noise: float = 0.04, failed: float = 0.0
) -> tuple[Array, Array]:
    """Return expected accuracies (networks,) and those of runs (networks, runs).

    Args:
        rng: Source of randomness.
        size: Number of networks.
        runs: Of each network.
        noise: Standard deviation among runs; among networks it is .08.
        failed: Share of networks that always stay exactly at chance.
    """
    expected = 0.6 + 0.08 * rng.normal(size=size)
    accuracies = expected[:, None] + noise * rng.normal(size=(size, runs))
    fails = rng.random(size) < failed
    expected[fails], accuracies[fails] = 1 / CLASSES, 1 / CLASSES
    return expected, accuracies.clip(0, 1)


@cache
def targets(noise: float, failed: float) -> tuple[float, float]:
    """Return R2 and tau-b of expected accuracies against single runs, over 50,000 networks."""
    expected, accuracies = simulate(
        np.random.default_rng(0), 50_000, runs=1, noise=noise, failed=failed
    )
    scored = accuracies[:, 0]
    r2 = 1 - np.mean((scored - expected) ** 2) / scored.var()
    return float(r2), float(stats.kendalltau(expected, scored).statistic)


def ones(size: int) -> Counts:
    return np.ones((1, size), np.int32)


def tau_of(finals: list[Array]) -> float:
    return float(module._tau(finals, ones(len(finals)), 2 / CLASSES)[0])


@cache
def estimates(noise: float, failed: float, repeats: int = 24) -> Array:
    """Return R2 and tau of several simulated sets of 100 networks, (repeats, 2)."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(repeats):
        finals = list(simulate(rng, 100, noise=noise, failed=failed)[1])
        found.append([module._r2(finals, ones(100))[0], tau_of(finals)])
    return np.array(found)


@pytest.mark.parametrize("failed", [0.0, 0.12, 0.3])
@pytest.mark.parametrize("noise", [0.03, 0.08])
def test_the_ceiling_is_what_the_expected_accuracy_reaches(noise: float, failed: float) -> None:
    true_r2, true_tau = targets(noise, failed)
    found = estimates(noise, failed)
    error = found.std(axis=0) / np.sqrt(len(found))
    mean_r2, mean_tau = found.mean(axis=0)
    assert mean_r2 == pytest.approx(true_r2, abs=0.003 + 3 * error[0])
    assert mean_tau == pytest.approx(true_tau, abs=0.010 + 2 * error[1])
    assert error[1] < 0.013


def test_the_arcsine_formula_breaks_on_failed_networks() -> None:
    true_r2, true_tau = targets(0.08, 0.12)
    assert 2 / np.pi * np.arcsin(np.sqrt(true_r2)) > true_tau + 0.1
    assert estimates(0.08, 0.12)[:, 1].mean() == pytest.approx(true_tau, abs=0.025)


def test_using_the_scored_run_is_too_high_and_holding_it_out_is_too_low() -> None:
    _, true_tau = targets(0.08, 0.0)
    rng = np.random.default_rng(2)
    _, runs = simulate(rng, 3000, noise=0.08)
    with_itself = stats.kendalltau(runs.mean(axis=1), runs[:, 0]).statistic
    held_out = stats.kendalltau(runs[:, 1:].mean(axis=1), runs[:, 0]).statistic
    assert with_itself > true_tau + 0.05
    assert held_out < true_tau - 0.05
    assert estimates(0.08, 0.0)[:, 1].mean() == pytest.approx(true_tau, abs=0.015)


def test_networks_that_fail_at_random_count_by_their_expected_accuracy() -> None:
    rng = np.random.default_rng(4)

    def draw(size: int, runs: int) -> tuple[Array, Array]:
        expected, accuracies = simulate(rng, size, runs=runs)
        chance = np.where(rng.random(size) < 0.25, rng.random(size), 0.0)
        fails = rng.random((size, runs)) < chance[:, None]
        scattered = 0.1 + 0.002 * rng.normal(size=(size, runs))
        return (1 - chance) * expected + chance * 0.1, np.where(fails, scattered, accuracies)

    expected, scored = draw(50_000, 1)
    true_tau = stats.kendalltau(expected, scored[:, 0]).statistic
    found = [tau_of(list(draw(100, 3)[1])) for _ in range(30)]
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.015
    assert np.mean(found) == pytest.approx(true_tau, abs=0.015 + 2 * error)


def test_the_interval_covers_the_true_value() -> None:
    true_r2, true_tau = targets(0.04, 0.12)
    rng = np.random.default_rng(3)
    covered = np.zeros(2)
    for _ in range(20):
        found = ceiling(list(simulate(rng, 80, failed=0.12)[1]), classes=CLASSES)["all"]
        for index, (score, true) in enumerate(((found["r2"], true_r2), (found["tau"], true_tau))):
            assert score.low is not None
            assert score.high is not None
            covered[index] += score.low <= true <= score.high
    assert np.all(covered >= 16)  # of 20: fewer has a probability of .3 % at a coverage of 95 %


def test_learned_drops_runs_at_chance() -> None:
    rng = np.random.default_rng(5)
    _, good = simulate(rng, 40)
    mixed = [*good, np.array([0.1, 0.1, 0.1]), np.array([0.1, 0.15, 0.9])]
    found = ceiling(mixed, classes=CLASSES)
    assert found["learned"] == ceiling(list(good), classes=CLASSES)["all"]
    assert found["learned"] != found["all"]


def test_two_runs_count_for_r2_and_not_for_tau() -> None:
    rng = np.random.default_rng(6)
    _, three = simulate(rng, 20)
    _, two = simulate(rng, 20, runs=2)
    both = ceiling([*three, *two], classes=CLASSES)["all"]
    alone = ceiling(list(three), classes=CLASSES)["all"]
    assert both["tau"] == alone["tau"]
    assert both["r2"] != alone["r2"]
    assert ceiling(list(two), classes=CLASSES)["all"]["tau"] == Score(None, None, None)


def test_r2_by_hand() -> None:
    # Means .3, .7: variance .08; within (.02, .02) -> .02, of a mean of two .01
    # Between .08 - .01 = .07; ceiling 1 - .02 / .09
    finals = [np.array([0.2, 0.4]), np.array([0.6, 0.8])]
    assert ceiling(finals, classes=CLASSES)["all"]["r2"].value == pytest.approx(7 / 9)


def test_runs_without_noise_have_a_ceiling_of_one() -> None:
    finals = [np.full(3, accuracy) for accuracy in np.linspace(0.3, 0.9, 12)]
    found = ceiling(finals, classes=CLASSES)["all"]
    assert found["r2"].value == 1.0
    assert found["tau"].value == 1.0


def test_pure_noise_has_a_ceiling_near_zero() -> None:
    rng = np.random.default_rng(7)
    finals = list(0.6 + 0.05 * rng.normal(size=(300, 3)))
    assert module._r2(finals, ones(300))[0] < 0.1
    # The extrapolation of noise could reach 1; the square root of tau at m = 1 bounds it
    net, scale = module._PairMeans.of(finals, 1).resample(ones(300))
    assert tau_of(finals) <= np.sqrt(max(net[0] / scale[0], 0.0)) < 0.25
    assert module._extrapolate(np.array([0.01]), np.array([0.2]))[0] == pytest.approx(0.1)


def test_equal_runs_and_single_networks_have_no_ceiling() -> None:
    none = {"r2": Score(None, None, None), "tau": Score(None, None, None)}
    assert ceiling([np.full(3, 0.1)] * 5, classes=CLASSES) == {"all": none, "learned": none}
    assert ceiling([], classes=CLASSES) == {"all": none, "learned": none}
    assert ceiling([np.array([0.5, 0.6, 0.7])], classes=CLASSES)["all"] == none


def test_the_order_of_networks_and_of_runs_has_no_effect() -> None:
    rng = np.random.default_rng(8)
    _, runs = simulate(rng, 20, failed=0.2)
    shuffled = rng.permuted(runs[rng.permutation(20)], axis=1)
    assert ceiling(list(runs), classes=CLASSES) == ceiling(list(shuffled), classes=CLASSES)


@pytest.mark.parametrize("averaged", [1, 2])
def test_tau_over_all_choices_equals_a_loop_over_drawn_networks(averaged: int) -> None:
    rng = np.random.default_rng(9)
    finals = [rng.integers(1, 6, size=size) / 8 for size in (3, 4, 3, 3)]
    counts = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 1, 0]], np.int32)
    net_pairs, scales = module._PairMeans.of(finals, averaged).resample(counts)

    def choices(runs: Array) -> list[tuple[float, float]]:
        return [
            (runs[i], float(np.mean(runs[list(others)])))
            for i in range(len(runs))
            for others in combinations(sorted(set(range(len(runs))) - {i}), averaged)
        ]

    for row, drawn in zip(net_pairs / scales, counts, strict=True):
        index = np.repeat(np.arange(4), drawn)
        net = untied_scored = untied_mean = 0.0
        for one, other in product(index, index):
            if one == other:
                continue
            pairs = list(product(choices(finals[one]), choices(finals[other])))
            signs = np.array([np.sign([a[0] - b[0], a[1] - b[1]]) for a, b in pairs])
            net += signs.prod(axis=1).mean()
            untied_scored += np.abs(signs[:, 0]).mean()
            untied_mean += np.abs(signs[:, 1]).mean()
        assert row == pytest.approx(net / np.sqrt(untied_scored * untied_mean), abs=1e-12)


@pytest.mark.parametrize(
    ("finals", "message"),
    [
        (
            [np.array([0.5, 0.6]), np.array([0.5])],
            "finals of network 1 of shape (1,) must be (runs,) with at least 2 runs",
        ),
        (
            [np.full((2, 2), 0.5)],
            "finals of network 0 of shape (2, 2) must be (runs,) with at least 2 runs",
        ),
        ([np.array([0.5, 1.5])], "final accuracy of network 0 (=1.5) must be in [0, 1]"),
        ([np.array([0.5, np.nan])], "final accuracy of network 0 (=nan) must be in [0, 1]"),
    ],
)
def test_wrong_finals_are_refused(finals: list[Array], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ceiling(finals, classes=CLASSES)
