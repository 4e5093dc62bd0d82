import numpy as np
import pytest

from harness.predictors.nearest import (
    Blocks,
    Settings,
    blend,
    choose_settings,
    find_nearest,
    neighbour_weights,
    squared_distances,
    standardise,
    weighted_moments,
)
from harness.protocol import Array


def blocks(rng: np.random.Generator, networks: int, curve: int) -> Blocks:
    return Blocks(rng.normal(size=(networks, 5)), rng.normal(size=(networks, curve)))


def test_weights_and_moments_by_hand() -> None:
    weights = neighbour_weights(np.array([[1.0, 4.0]]), 1.0)
    assert weights == pytest.approx(np.array([[2 / 3, 1 / 3]]))
    targets = np.array([[[0.0], [3.0]]])
    # mean 1, variance 2/3 x 1 + 1/3 x 4 = 2; they count as 1 / (4/9 + 1/9) = 1.8
    means, variances = weighted_moments(weights, targets, np.array([5.0]))
    assert means == pytest.approx(np.array([[1.0]]))
    assert variances == pytest.approx(np.array([[(1.8 * 2 + 5) / 2.8]]))


def test_the_variance_is_positive_where_neighbours_agree() -> None:
    """The variance of the neighbours alone would be 0."""
    weights, targets = np.full((1, 4), 0.25), np.full((1, 4, 1), -2.0)
    assert weighted_moments(weights, targets, np.array([1.0]))[1] == pytest.approx(
        np.array([[0.2]])
    )


def test_among_equal_distances_the_first_wins() -> None:
    index, squares = find_nearest(np.array([[2.0, 1.0, 1.0, 0.0]]), 2)
    assert index.tolist() == [[3, 1]]
    assert squares.tolist() == [[0.0, 1.0]]


def test_predictions_agree_with_brute_force() -> None:
    rng = np.random.default_rng(0)
    train, others = blocks(rng, 30, 3), blocks(rng, 7, 3)
    targets = rng.normal(size=(30, 2))
    index, squares = find_nearest(blend(squared_distances(others, train), 0.7), 4)
    means, _ = weighted_moments(neighbour_weights(squares, 2.0), targets[index], np.zeros(2))
    for i in range(7):
        distances = []
        for j in range(30):
            one = np.mean((others.architecture[i] - train.architecture[j]) ** 2)
            two = np.mean((others.curve[i] - train.curve[j]) ** 2)
            distances.append(float(0.3 * one + 0.7 * two) ** 0.5)
        best = sorted(range(30), key=distances.__getitem__)[:4]
        weights = np.array([distances[j] ** -2 for j in best])
        expected = weights @ targets[best] / weights.sum()
        np.testing.assert_allclose(means[i], expected)


def test_a_copy_outweighs_all_other_neighbours() -> None:
    weights = neighbour_weights(np.array([[0.0, 1.0, 1.0]]), 2.0)
    assert weights == pytest.approx(np.array([[1.0, 1e-12, 1e-12]]))


def test_features_constant_in_training_are_ignored() -> None:
    train = Blocks(np.array([[1.0, 7.0], [3.0, 7.0]]), np.zeros((2, 0)))
    others = Blocks(np.array([[3.0, 1e9]]), np.zeros((1, 0)))
    train, others = standardise(train, others, np.array([0.0, 1.0]))
    assert train.architecture.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert others.architecture.tolist() == [[1.0, 0.0]]
    architecture, curve = squared_distances(others, train)
    assert architecture.tolist() == [[2.0, 0.0]]
    assert curve.tolist() == [[0.0, 0.0]]


def test_features_of_the_curve_weigh_what_they_tell() -> None:
    """Three of equal size that correlate 1, 1/2 and 0 with the last logit."""
    curve = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, -1.0]])
    curve[:, 1] = [1, 0, 0, -1]
    blocks = Blocks(np.zeros((4, 0)), curve)
    train, _ = standardise(blocks, blocks, np.array([2.0, 2.0, 0.0, 0.0]))
    scales = train.curve.std(axis=0)
    assert scales / scales[0] == pytest.approx([1.0, np.sqrt(0.5), 0.0])
    assert np.square(scales).mean() == pytest.approx(1.0)


def test_cross_validation_chooses_the_share_of_the_curve() -> None:
    """Targets depend on the curve alone, which has 1 of 41 features."""
    rng = np.random.default_rng(1)
    curve = rng.normal(size=(120, 1))
    features = Blocks(rng.normal(size=(120, 40)), curve)
    settings, _ = choose_settings(features, curve)
    assert settings.curve_share == 0.95
    errors = [leave_one_out(features, curve, settings, share) for share in (1 / 41, 0.95)]
    assert errors[1] < 0.1 * errors[0]


def leave_one_out(features: Blocks, targets: Array, settings: Settings, share: float) -> float:
    scaled, _ = standardise(features, features, targets[:, -1])
    squares = blend(squared_distances(scaled, scaled), share)
    np.fill_diagonal(squares, np.inf)
    index, squares = find_nearest(squares, settings.neighbours)
    means, _ = weighted_moments(
        neighbour_weights(squares, settings.power), targets[index], np.zeros(1)
    )
    return float(np.square(means - targets).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_needs_more_neighbours_than_a_smooth_function(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = Blocks(rng.uniform(size=(200, 1)), np.zeros((200, 0)))
    rule, small = choose_settings(features, np.sin(12 * features.architecture))
    noise, large = choose_settings(features, rng.normal(size=(200, 1)))
    assert rule.power >= 2
    assert noise.power <= 1
    assert small[0] < 0.01
    assert large[0] > 0.7
    assert noise.neighbours >= 18
