"""Tests of differences: false positives in simulations, known effects, ranks by hand."""

from itertools import combinations

import numpy as np
import pytest

from harness.metrics.bootstrap import Array
from harness.scoring.differences import Differences, corrected_p_values, pairwise_differences

NETWORKS = 150


def simulate(rng: np.random.Generator, means: list[float], resamples: int = 400) -> list[Array]:
    """Return the samples of predictors with these mean scores, on shared networks."""
    scores = rng.normal(size=(len(means), NETWORKS)) + rng.normal(size=NETWORKS)
    scores += np.array(means)[:, None]
    counts = rng.multinomial(NETWORKS, np.full(NETWORKS, 1 / NETWORKS), size=resamples)
    drawn = scores @ counts.T / NETWORKS
    return list(np.concatenate([scores.mean(axis=1, keepdims=True), drawn], axis=1))


def named(samples: list[Array]) -> Differences:
    names = (f"p{index}" for index in range(len(samples)))
    return pairwise_differences(dict(zip(names, samples, strict=True)), higher=True)


def test_equally_good_predictors_are_rarely_significant() -> None:
    rng = np.random.default_rng(0)
    false = sum(bool(named(simulate(rng, [0.0] * 12)).significant.any()) for _ in range(100))
    assert false <= 11  # more has a probability of 1 % at 5 %


def test_a_clear_difference_is_found_among_24_predictors() -> None:
    """Holm's correction of a p-value of at least 1 / 1,000 could not find it among 276 pairs."""
    samples = simulate(np.random.default_rng(1), [0.6, *[0.0] * 23], resamples=1000)
    found = named(samples)
    assert found.significant[0, 1:].all()
    assert found.p_value[0, 1:].min() < 0.0011
    assert found.ranks()["p0"] == (1, 1)
    assert found.ranks()["p5"] == (2, 24)


def test_more_pairs_never_lower_a_p_value() -> None:
    samples = simulate(np.random.default_rng(2), [0.0, 0.2, 0.3, 0.1])
    few, many = named(samples[:3]), named(samples)
    assert (few.p_value <= many.p_value[:3, :3]).all()


def test_a_difference_and_its_mirror_agree() -> None:
    found = named(simulate(np.random.default_rng(3), [0.0, 0.4, 0.1]))
    assert np.array_equal(found.value, -found.value.T)
    assert np.array_equal(found.low, -found.high.T)
    assert np.array_equal(found.p_value, found.p_value.T)


def test_p_values_by_hand() -> None:
    # Centred resamples: +-1 and +-2, spreads sqrt 2.5; statistics 3 / 1.58 and 0.5 / 1.58
    resampled = np.array([-2.0, -1.0, 1.0, 2.0])
    large, small = (np.append(value, value + resampled) for value in (3.0, 0.5))
    # No resample reaches 3; all four reach .5
    assert corrected_p_values([large, small]) == pytest.approx([1 / 5, 5 / 5])
    assert corrected_p_values([]).tolist() == []


def test_a_copy_is_never_better() -> None:
    samples = simulate(np.random.default_rng(4), [0.0])[0]
    assert corrected_p_values([samples - samples]).tolist() == [1.0]


def test_ranks_count_significant_differences() -> None:
    value = np.array([[0.0, 0.1, 0.3], [-0.1, 0.0, 0.2], [-0.3, -0.2, 0.0]])
    p_value = np.array([[1.0, 0.2, 0.01], [0.2, 1.0, 0.3], [0.01, 0.3, 1.0]])
    nan = np.full((3, 3), np.nan)
    found = Differences(("a", "b", "c"), value, nan, nan, p_value, higher=True)
    assert found.ranks() == {"a": (1, 2), "b": (1, 3), "c": (2, 3)}
    lower = Differences(("a", "b", "c"), value, nan, nan, p_value, higher=False)
    assert lower.ranks() == {"a": (2, 3), "b": (1, 3), "c": (1, 2)}


def test_pairs_of_one_predictor_are_none() -> None:
    alone = named(simulate(np.random.default_rng(5), [0.0]))
    assert alone.ranks() == {"p0": (1, 1)}
    assert list(combinations(alone.names, 2)) == []
