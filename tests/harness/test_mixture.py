"""Normal scores, the Gaussian process of groups, and mixtures, on cases whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import kendalltau, norm

from harness.features.ngrams import fit_ngrams
from harness.predictors.mixture.gaussian_process import KERNELS, GroupedProcess, _loss
from harness.predictors.mixture.members import MEMBERS
from harness.predictors.mixture.normal_scores import ScoreScale, normal_scores
from harness.predictors.mixture.predictor import SHRINKAGE, Mixture, _weigh
from harness.protocol import Array
from tests.toys.runs import EPOCHS, toy_runs

RUNS = toy_runs(60)


def test_normal_scores_by_hand() -> None:
    scores = normal_scores(np.array([[0.2, 5.0], [0.9, 5.0], [0.2, 5.0], [0.3, 5.0]]))
    expected = norm.ppf([0.25, 0.875, 0.25, 0.625])  # ranks 1.5, 4, 1.5, 3 of 4
    assert scores[:, 0] == pytest.approx(expected)
    assert scores[:, 1] == pytest.approx(0.0)


def drawn(seed: int, number: int, noise: float) -> tuple[Array, Array]:
    """Return accuracies, of which a quarter are at chance, and scores predicted for them."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=(number, 2))
    accuracies = np.where(quality < -0.67, 0.1 + 0.01 * quality, 0.9 + 0.03 * quality)
    return accuracies, 2 * quality + noise * rng.normal(size=quality.shape)


def test_scores_become_unbiased_accuracies_with_intervals_that_cover() -> None:
    scale = ScoreScale.fit(*drawn(0, 2000, 1.0))
    accuracies, predicted = drawn(1, 5000, 1.0)
    mean, std = scale.moments(predicted)
    assert mean.mean() == pytest.approx(accuracies.mean(), abs=0.01)
    for low in (-2.0, 0.0, 2.0):  # also given the score
        near = abs(predicted[:, 0] - low) < 0.3
        assert mean[near, 0].mean() == pytest.approx(accuracies[near, 0].mean(), abs=0.04)
    assert (abs(accuracies - mean) <= 1.645 * std).mean() == pytest.approx(0.9, abs=0.02)
    assert kendalltau(mean[:, 0], predicted[:, 0]).statistic > 0.999


def test_an_accuracy_by_hand() -> None:
    """The accuracies are a line in the scores, and one of two residuals is the largest score."""
    known = np.asarray(norm.ppf([0.25, 0.75]))
    accuracies, residuals = np.array([[0.2], [0.6]]), np.array([[0.0], [known[1]]])
    scale = ScoreScale(accuracies, np.array([0.5]), residuals, np.array([2.0]))
    mean, std = scale.moments(np.array([[0.0], [2 * known[0]]]))
    assert mean[:, 0] == pytest.approx([(0.4 + 0.6) / 2, (0.2 + 0.4) / 2])
    assert std[:, 0] == pytest.approx([0.2, 0.2])


def test_scores_that_tell_nothing_give_the_mean_curve() -> None:
    accuracies, _ = drawn(0, 50, 1.0)
    mean, _ = ScoreScale.fit(accuracies, np.zeros_like(accuracies)).moments(np.ones((3, 2)))
    assert mean == pytest.approx(np.tile(accuracies.mean(axis=0), (3, 1)))


def groups(seed: int, number: int) -> tuple[tuple[Array, Array, Array], Array]:
    """Return a group that decides the target, one that does not, and one of constants."""
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(-1, 1, (number, 2)), rng.normal(size=(number, 8))
    target = np.sin(3 * first[:, :1]) + first[:, 1:] * np.array([0.5, 1.0])
    return (first, second, np.ones((number, 4))), target


def test_the_gradient_of_the_process_is_that_of_its_loss() -> None:
    (first, second, _), target = groups(0, 25)
    process = GroupedProcess().fit((first, second), target)
    squares = process._squares(process._train)
    for seed in range(3):
        at = np.random.default_rng(seed).normal(0, 0.7, 2 * KERNELS + KERNELS + 1)
        _, gradient = _loss(at, squares, target[:, -1], -0.7)

        def value(parameters: Array) -> float:
            return _loss(parameters, squares, target[:, -1], -0.7)[0]

        assert approx_fprime(at, value, 1e-6) == pytest.approx(gradient, rel=1e-3, abs=1e-3)


def test_the_process_finds_the_group_that_decides() -> None:
    features, target = groups(0, 150)
    process = GroupedProcess().fit(features, target)
    others, expected = groups(1, 100)
    error = np.square(process.predict(others) - expected).mean(axis=0)
    assert (error < 0.03 * expected.var(axis=0)).all()
    alone = GroupedProcess().fit(features[1:2], target)  # the counter-example
    assert np.square(alone.predict(others[1:2]) - expected).mean() > 0.5 * expected.var()


def test_better_members_have_more_weight_and_equal_ones_the_same() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=4000)
    held_out = target + np.array([[0.5], [0.5], [3.0]]) * rng.normal(size=(3, 4000))
    weights = _weigh(held_out, target)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == pytest.approx(weights[1], abs=0.02)
    assert 0 < weights[2] < weights[0] / 2
    # by hand: one member that is the target, one that is 0; w = (1 + s / 2, s / 2) / (1 + s, s)
    two = _weigh(np.stack([np.ones(10), np.zeros(10)]), np.ones(10))
    raw = np.array([(1 + SHRINKAGE / 2) / (1 + SHRINKAGE), 0.5])
    assert two == pytest.approx(raw / raw.sum())
    assert _weigh(-held_out, target) == pytest.approx(np.full(3, 1 / 3), abs=0.2)


def test_sequences_are_counted_by_hand() -> None:
    rows = RUNS.layer_rows[0][:4]  # conv3x3, bn, relu of the stem, and the first of a block
    queries = replace(RUNS.take(np.arange(3)).observe(0), layer_rows=(rows, rows * 2, rows[:3]))
    one, three, five = fit_ngrams(queries)(queries)
    assert sorted(np.square(one[0]).round(9)) == [1, 1, 1, 1]
    assert np.square(one).sum(axis=1) == pytest.approx([4, 8, 3])
    assert np.square(three).sum(axis=1) == pytest.approx([2, 4, 1])  # two are in one network alone
    assert five.shape == (3, 0)


@pytest.mark.parametrize("name", MEMBERS)
def test_members_learn_a_smooth_family_of_scores(name: str) -> None:
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, (300, 3))
    scores = np.sin(2 * features[:, :1]) + features[:, 1:2] * np.linspace(0, 1, 6)
    member = MEMBERS[name](50, 100, 0)
    member.fit((features[:250, :1], features[:250, 1:]), scores[:250])
    predicted = member.predict((features[250:, :1], features[250:, 1:]))
    assert np.square(predicted - scores[250:]).mean() < 0.15 * scores.var()


def test_a_mixture_of_one_later_epoch_and_of_two_networks() -> None:
    mixture = Mixture(trees=10, rounds=5)
    mixture.fit(RUNS, RUNS, observed=EPOCHS - 1, seed=0)
    assert mixture.predict(RUNS.observe(EPOCHS - 1)).mean.shape == (60, 1)
    few = RUNS.take(np.arange(2))
    mixture.fit(few, few, observed=0, seed=0)
    assert np.isfinite(mixture.predict(RUNS.observe(0)).mean).all()


def test_a_member_is_given_by_name_or_by_the_function_that_makes_it() -> None:
    predicted = []
    for member in ("process", MEMBERS["process"]):
        mixture = Mixture(members=(member,))
        mixture.fit(RUNS.take(np.arange(40)), RUNS, observed=1, seed=0)
        predicted.append(mixture.predict(RUNS.observe(1)).mean)
    assert np.array_equal(predicted[0], predicted[1])
