"""The noise ceiling of simulated networks with known expected accuracies."""

import re
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from benchmark.space.imagesets import IMAGES
from benchmark.space.skeletons import SKELETONS
from harness.metrics.bootstrap import Array, Counts
from harness.results.ceiling import Ceiling, build_ceiling, repeated_networks
from harness.results.result import SCHEMA_VERSION
from harness.scoring import noise_ceiling as module
from harness.scoring.noise_ceiling import RepeatedNetwork, ceiling_samples, keep_learned
from harness.scoring.scores import Score, score_of

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


def repeated(finals: list[Array]) -> list[RepeatedNetwork]:
    """Return networks with these final accuracies."""
    return [RepeatedNetwork(f"{i:04d}", runs, runs > 2 / CLASSES) for i, runs in enumerate(finals)]


def ceiling(finals: list[Array]) -> dict[str, Score]:
    """Return the ceilings of networks with these final accuracies."""
    return {name: score_of(s) for name, s in ceiling_samples(repeated(finals)).items()}


def ones(size: int) -> Counts:
    return np.ones((1, size), np.int32)


def values(finals: list[Array]) -> tuple[float, float]:
    """Return the ceilings of R2 and tau without intervals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_counts", lambda networks: ones(len(networks)))
        samples = ceiling_samples(repeated(finals))
    return float(samples["r2"][0]), float(samples["tau"][0])


def tau_of(finals: list[Array]) -> float:
    return values(finals)[1]


@cache
def estimates(noise: float, failed: float, repeats: int = 24) -> Array:
    """Return R2 and tau of several simulated sets of 100 networks, (repeats, 2)."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(repeats):
        found.append(values(list(simulate(rng, 100, noise=noise, failed=failed)[1])))
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
        found = ceiling(list(simulate(rng, 80, failed=0.12)[1]))
        for index, (score, true) in enumerate(((found["r2"], true_r2), (found["tau"], true_tau))):
            assert score.low is not None
            assert score.high is not None
            covered[index] += score.low <= true <= score.high
    assert np.all(covered >= 16)  # of 20: fewer has a probability of .3 % at a coverage of 95 %


@pytest.mark.slow
@pytest.mark.parametrize("failures", [0.0, 0.15])
def test_the_bias_on_networks_like_those_of_digits_is_small(failures: float) -> None:
    """Noise differs between networks, accuracies lie on a grid of 1/350, some fail at random."""
    rng = np.random.default_rng(11)

    def draw(size: int, runs: int) -> tuple[Array, Array]:
        level = (1 / (1 + np.exp(-2.4 - 0.8 * rng.normal(size=size)))).clip(0.3, 0.985)
        spread = np.minimum(0.012 * np.exp(1.3 * rng.normal(size=size)), 0.25)
        chance = np.where(rng.random(size) < failures, rng.random(size), 0.0)
        drawn = (level[:, None] + spread[:, None] * rng.normal(size=(size, runs))).clip(0.2, 1)
        failed = rng.random(drawn.shape) < chance[:, None]
        drawn = np.where(failed, 0.1 + 0.008 * rng.normal(size=drawn.shape), drawn)
        return drawn.mean(axis=1), np.round(drawn.clip(0, 1) * 350) / 350

    # The mean of 100 runs stands for the expected accuracy, the first run is scored
    expected, accuracies = draw(20_000, 101)
    true_tau = stats.kendalltau(expected, accuracies[:, 0]).statistic
    found = [tau_of(list(draw(150, 3)[1])) for _ in range(40)]
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.01
    assert np.mean(found) == pytest.approx(true_tau, abs=0.03 + 2 * error)


def test_learned_drops_runs_at_chance() -> None:
    rng = np.random.default_rng(5)
    _, good = simulate(rng, 40)
    mixed = [*good, np.array([0.1, 0.1, 0.1]), np.array([0.1, 0.15, 0.9])]
    kept = keep_learned(repeated(mixed))
    assert [n.finals.tolist() for n in kept] == [runs.tolist() for runs in good]
    assert kept[0].learned.all()


def test_two_runs_count_for_r2_and_not_for_tau() -> None:
    rng = np.random.default_rng(6)
    _, three = simulate(rng, 20)
    _, two = simulate(rng, 20, runs=2)
    both = ceiling([*three, *two])
    alone = ceiling(list(three))
    assert both["tau"] == alone["tau"]
    assert both["r2"] != alone["r2"]
    assert ceiling(list(two))["tau"] == Score(None, None, None)


def test_r2_by_hand() -> None:
    # Means .3, .7: variance .08; within (.02, .02) -> .02, of a mean of two .01
    # Between .08 - .01 = .07; ceiling 1 - .02 / .09
    finals = [np.array([0.2, 0.4]), np.array([0.6, 0.8])]
    assert ceiling(finals)["r2"].value == pytest.approx(7 / 9)


def test_runs_without_noise_have_a_ceiling_of_one() -> None:
    finals = [np.full(3, accuracy) for accuracy in np.linspace(0.3, 0.9, 12)]
    found = ceiling(finals)
    assert found["r2"].value == 1.0
    assert found["tau"].value == 1.0


def test_pure_noise_has_a_ceiling_near_zero() -> None:
    rng = np.random.default_rng(7)
    finals = list(0.6 + 0.05 * rng.normal(size=(300, 3)))
    assert values(finals)[0] < 0.1
    # The extrapolation of noise could reach 1; the square root of tau at m = 1 bounds it
    net, scale = module._PairMeans.of(finals, 1).resample(ones(300))
    assert tau_of(finals) <= np.sqrt(max(net[0] / scale[0], 0.0)) < 0.25
    assert module._extrapolate(np.array([0.01]), np.array([0.2]))[0] == pytest.approx(0.1)


def test_equal_runs_and_single_networks_have_no_ceiling() -> None:
    none = {"r2": Score(None, None, None), "tau": Score(None, None, None)}
    assert ceiling([np.full(3, 0.1)] * 5) == none
    assert ceiling([]) == none
    assert ceiling([np.array([0.5, 0.6, 0.7])]) == none


def test_the_order_of_networks_and_of_runs_has_no_effect() -> None:
    rng = np.random.default_rng(8)
    _, runs = simulate(rng, 20, failed=0.2)
    shuffled = repeated(list(rng.permuted(runs, axis=1)))
    found, expected = ceiling_samples(shuffled[::-1]), ceiling_samples(repeated(list(runs)))
    for name, samples in expected.items():
        assert found[name] == pytest.approx(samples, abs=1e-12, nan_ok=True)


def test_over_skeletons_tau_is_the_mean_and_r2_of_the_sums() -> None:
    rng = np.random.default_rng(9)
    steady, noisy = (list(simulate(rng, 30, noise=noise)[1]) for noise in (0.01, 0.1))
    pairs = [values(finals) for finals in (steady, noisy)]
    networks = [
        [RepeatedNetwork(f"{name}{i}", runs, runs > 0.2) for i, runs in enumerate(finals)]
        for name, finals in (("a", steady), ("b", noisy))
    ]
    found = ceiling_samples(*networks)
    assert found["tau"][0] == pytest.approx(np.mean([tau for _, tau in pairs]))
    noise = [np.mean([runs.var(ddof=1) for runs in finals]) for finals in (steady, noisy)]
    total = [n / (1 - r2) for n, (r2, _) in zip(noise, pairs, strict=True)]
    assert found["r2"][0] == pytest.approx(1 - sum(noise) / sum(total))
    # Without a ceiling in a skeleton, the mean is of the others
    equal = [RepeatedNetwork(f"c{i}", np.full(3, 0.1), np.zeros(3, bool)) for i in range(4)]
    assert ceiling_samples(*networks, equal)["tau"] == pytest.approx(found["tau"])


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
            np.array([0.5]),
            "finals of network 'a' of shape (1,) must be (runs,) with at least 2 runs",
        ),
        (
            np.full((2, 2), 0.5),
            "finals of network 'a' of shape (2, 2) must be (runs,) with at least 2 runs",
        ),
        (np.array([0.5, 1.5]), "final of network 'a' (=1.5) must be in [0, 1]"),
        (np.array([0.5, np.nan]), "final of network 'a' (=nan) must be in [0, 1]"),
    ],
)
def test_wrong_finals_are_refused(finals: Array, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RepeatedNetwork("a", finals, np.ones(finals.shape, bool))


@pytest.mark.parametrize(("images", "share"), [("digits", 0.005), ("cifar10", 0.3), ("mnist", 0.3)])
def test_the_seed_std_is_that_of_the_repeated_networks(images: str, share: float) -> None:
    """Of image sets that are still trained it is set at a freeze, and may then move a little."""
    (networks,) = repeated_networks(images)["test"].values()
    stds = [network.finals.std(ddof=1) for network in keep_learned(networks)]
    assert IMAGES[images].seed_std == pytest.approx(np.median(stds), rel=share)


def test_the_ceilings_of_digits_are_those_of_the_audit() -> None:
    """Test alone with the repeats of train .732, and by skeleton as measured from outside."""
    found = build_ceiling("digits")
    assert found is not None
    taus = {name.split("/")[-1]: scores["tau"].value for name, scores in found.scores.items()}
    assert {name: round(tau or 0, 3) for name, tau in taus.items() if name != "learned"} == {
        "test": 0.732, "heldout": 0.625, "deep-3x3": 0.803, "residual-3x2": 0.160,
        "stages-4x1": 0.756, "strided-3x2": 0.780,
    }  # fmt: skip
    assert [name for name in taus if name in SKELETONS and not found.is_rankable(name)] == [
        "residual-3x2"
    ]


def test_networks_that_one_ceiling_tells_apart_differ() -> None:
    """Six networks far apart, of which one has three runs: tau says nothing about them."""
    finals = [np.array([0.1 * n, 0.1 * n + 0.001]) for n in range(1, 7)]
    finals[0] = np.append(finals[0], 0.1)
    group = [RepeatedNetwork(str(n), runs, runs > 0.2) for n, runs in enumerate(finals)]
    scores = {name: score_of(values) for name, values in ceiling_samples(group).items()}
    assert scores["tau"].low is None
    assert (scores["r2"].low or 0) > 0.9
    of = {"skeleton/deep-3x3": scores}
    ceiling = Ceiling(
        SCHEMA_VERSION, "digits", "valid_accuracy", "0.0.0", {"skeleton/deep-3x3": 1}, of,
        {"skeleton/deep-3x3": {"tau": scores["tau"]}},
    )  # fmt: skip
    assert ceiling.is_rankable("deep-3x3")
    assert not ceiling.is_rankable("residual-3x2")
