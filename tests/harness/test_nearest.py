import numpy as np
import pytest

from harness.predictors.nearest import (
    Blocks,
    Settings,
    blended,
    chosen,
    moments,
    nearest,
    squared_distances,
    standardised,
    weights_of,
)
from harness.protocol import Array


def blocks(rng: np.random.Generator, networks: int, curve: int) -> Blocks:
    return Blocks(rng.normal(size=(networks, 5)), rng.normal(size=(networks, curve)))


def test_weights_and_moments_by_hand() -> None:
    weights = weights_of(np.array([[1.0, 4.0]]), 1.0)
    assert weights == pytest.approx(np.array([[2 / 3, 1 / 3]]))
    found = np.array([[[0.0], [3.0]]])
    # mean 1, variance 2/3 x 1 + 1/3 x 4 = 2; they count as 1 / (4/9 + 1/9) = 1.8
    means, variances = moments(weights, found, np.array([5.0]))
    assert means == pytest.approx(np.array([[1.0]]))
    assert variances == pytest.approx(np.array([[(1.8 * 2 + 5) / 2.8]]))


def test_neighbours_that_agree_by_chance_leave_some_doubt() -> None:
    """Their own spread alone, 0 here, would be sure of what it cannot know."""
    weights, found = np.full((1, 4), 0.25), np.full((1, 4, 1), -2.0)
    assert moments(weights, found, np.array([1.0]))[1] == pytest.approx(np.array([[0.2]]))


def test_among_equally_near_the_earlier_counts() -> None:
    index, squares = nearest(np.array([[2.0, 1.0, 1.0, 0.0]]), 2)
    assert index.tolist() == [[3, 1]]
    assert squares.tolist() == [[0.0, 1.0]]


def test_the_nearest_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    known, asked = blocks(rng, 30, 3), blocks(rng, 7, 3)
    targets = rng.normal(size=(30, 2))
    index, squares = nearest(blended(squared_distances(asked, known), 0.7), 4)
    means, _ = moments(weights_of(squares, 2.0), targets[index], np.zeros(2))
    for i in range(7):
        distances = []
        for j in range(30):
            one = np.mean((asked.architecture[i] - known.architecture[j]) ** 2)
            two = np.mean((asked.curve[i] - known.curve[j]) ** 2)
            distances.append(float(0.3 * one + 0.7 * two) ** 0.5)
        best = sorted(range(30), key=distances.__getitem__)[:4]
        weights = np.array([distances[j] ** -2 for j in best])
        expected = weights @ targets[best] / weights.sum()
        np.testing.assert_allclose(means[i], expected)


def test_a_copy_outweighs_all_others_and_its_weight_is_finite() -> None:
    weights = weights_of(np.array([[0.0, 1.0, 1.0]]), 2.0)
    assert weights == pytest.approx(np.array([[1.0, 1e-12, 1e-12]]))


def test_what_never_varies_in_training_counts_nothing() -> None:
    known = Blocks(np.array([[1.0, 7.0], [3.0, 7.0]]), np.zeros((2, 0)))
    asked = Blocks(np.array([[3.0, 1e9]]), np.zeros((1, 0)))
    one, other = standardised(known, asked)
    assert one.architecture.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert other.architecture.tolist() == [[1.0, 0.0]]
    architecture, curve = squared_distances(other, one)
    assert architecture.tolist() == [[2.0, 0.0]]
    assert curve.tolist() == [[0.0, 0.0]]


def test_without_a_share_the_many_features_drown_the_curve() -> None:
    """The curve alone says how networks end; counted feature by feature, it is hardly seen."""
    rng = np.random.default_rng(1)
    curve = rng.normal(size=(120, 1))
    raw = Blocks(rng.normal(size=(120, 40)), curve)
    settings, _ = chosen(raw, curve)
    assert settings.curve_share == 0.95
    errors = [leave_one_out(raw, curve, settings, share) for share in (1 / 41, 0.95)]
    assert errors[1] < 0.1 * errors[0]


def leave_one_out(raw: Blocks, targets: Array, settings: Settings, share: float) -> float:
    scaled, _ = standardised(raw, raw)
    squares = blended(squared_distances(scaled, scaled), share)
    np.fill_diagonal(squares, np.inf)
    index, squares = nearest(squares, settings.neighbours)
    means, _ = moments(weights_of(squares, settings.power), targets[index], np.zeros(1))
    return float(np.square(means - targets).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_rule_is_answered_by_the_closest_and_noise_by_many_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = Blocks(rng.uniform(size=(200, 1)), np.zeros((200, 0)))
    rule, small = chosen(raw, np.sin(12 * raw.architecture))
    noise, large = chosen(raw, rng.normal(size=(200, 1)))
    assert rule.power >= 2
    assert noise.power <= 1
    assert small[0] < 0.01
    assert large[0] > 0.7
    assert noise.neighbours >= 18
