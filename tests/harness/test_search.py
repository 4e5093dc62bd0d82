"""Search: sessions, algorithms worked by hand, and what every algorithm keeps to."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.publish.freeze import write_task
from benchmark.query import BudgetError
from benchmark.release import Release
from harness.protocol import Prediction
from harness.search.algorithms import (
    EpochThenBest,
    FixedStop,
    Hyperband,
    MedianStop,
    RandomSearch,
    SuccessiveHalving,
)
from harness.search.budget import Budget
from harness.search.guided import FreezeThaw, Guided, expected_improvement
from harness.search.pool import Pool, load_pool
from harness.search.registry import ALGORITHMS, load_algorithm
from harness.search.session import Algorithm, Session, run_search
from tests.toys.data import EPOCHS, changed_task, toy_release
from tests.toys.pools import SECONDS, Spy, toy_pool, trainings

QUICK = settings(max_examples=25, deadline=None, derandomize=True, database=None)
NAMES = pytest.mark.parametrize("name", ALGORITHMS)
FAST = "nearest-neighbours"  # a predictor that needs no other package


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Return the 14 test networks of the toy release."""
    return load_pool("digits", Release(toy_release(tmp_path_factory.mktemp("release"))))


@pytest.fixture
def three(tmp_path: Path) -> Pool:
    """Return three networks: one learns early, one is mediocre, one learns late and best."""
    return toy_pool(tmp_path, [{1: 0.5, 20: 0.6}, {1: 0.4, 20: 0.5}, {1: 0.2, 3: 0.5, 20: 0.9}])


def test_a_session_hands_out_what_was_trained_and_adds_up_its_cost(three: Pool) -> None:
    session = Spy(three)
    assert session.train(2, 3) == pytest.approx([0.2, 0.35, 0.5])
    assert (session.spent_epochs, session.spent_seconds) == (3, 3 * SECONDS)
    assert session.train(2, 4)[-1] == pytest.approx(0.5 + 0.4 / 17)
    session.train(0, 1)
    assert (session.spent_epochs, session.trained.tolist()) == (5, [1, 0, 4])
    assert session.accuracies == pytest.approx([0.5, 0.0, 0.5 + 0.4 / 17])
    assert session.observe(np.array([2]), 4).series.valid_accuracy.shape == (1, 4)
    assert session.networks.series.valid_accuracy.shape == (3, 0)
    assert len(session.finished()) == 0
    session.train(0, EPOCHS)
    assert session.finished().final_accuracy == pytest.approx([0.6])
    assert session.unfinished.tolist() == [1, 2]


def test_the_choice_is_the_best_of_those_trained_furthest_or_a_chosen_one(three: Pool) -> None:
    session = Spy(three)
    for network, epochs in ((1, 1), (0, 1), (2, 2), (1, EPOCHS), (2, EPOCHS)):
        session.train(network, epochs)
    found = [(choice.epochs, choice.network) for choice in session.choices]
    assert found == [(1, 1), (2, 0), (4, 2), (23, 1), (41, 2)]
    session.choose(0)
    assert (session.choices[-1].network, session.choices[-1].seconds) == (0, 41 * SECONDS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s: s.train(3, 1), "`network` (=3) must be in 0..2"),
        (lambda s: s.train(-1, 1), "`network` (=-1) must be in 0..2"),
        (lambda s: s.train(0, 2), "`epochs` (=2) must be in 3..20: network 0 has 2 epochs"),
        (lambda s: s.train(0, 21), "`epochs` (=21) must be in 3..20: network 0 has 2 epochs"),
        (
            lambda s: s.observe(np.array([0]), 3),
            "`epochs` (=3) must be at most 2, those of network 0",
        ),
        (lambda s: s.choose(7), "`network` (=7) must be in 0..2"),
    ],
)
def test_what_a_session_refuses(
    three: Pool, wrong: Callable[[Session], object], message: str
) -> None:
    session = Spy(three)
    session.train(0, 2)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        wrong(session)
    assert (session.spent_epochs, len(session.choices)) == (2, 1)


@pytest.mark.parametrize(("amount", "unit"), [(5, "epochs"), (5.5 * SECONDS, "seconds")])
def test_a_training_beyond_the_budget_is_not_begun(three: Pool, amount: float, unit: str) -> None:
    session = Spy(three, amount, unit)  # type: ignore[arg-type]
    session.train(0, 4)
    with pytest.raises(BudgetError, match=rf"^`max_{unit}` \(={re.escape(f'{amount:g}')}"):
        session.train(1, 2)
    assert session.spent_epochs == 4
    session.train(1, 1)
    assert session.spent_epochs == 5


@pytest.mark.parametrize(
    ("amount", "unit", "message"),
    [
        (0, "epochs", "`budget` (=0) must be above 0 and finite"),
        (float("nan"), "seconds", "`budget` (=nan) must be above 0 and finite"),
        (1.5, "epochs", "`budget` (=1.5) must be a whole number of epochs"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(amount: float, unit: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Budget(amount, unit)  # type: ignore[arg-type]


def test_random_search_trains_one_after_the_other(three: Pool) -> None:
    assert trainings(RandomSearch(), three) == [(0, 20), (1, 20), (2, 20)]
    assert trainings(RandomSearch(), three, 45) == [(0, 20), (1, 20)]


def test_one_epoch_for_all_then_the_best(three: Pool) -> None:
    first = [(0, 1), (1, 1), (2, 1)]
    assert trainings(EpochThenBest(), three) == [*first, (0, 20), (1, 20), (2, 20)]
    assert trainings(EpochThenBest(epochs=3), three, 1000)[-3:] == [(0, 20), (2, 20), (1, 20)]
    assert trainings(EpochThenBest(), three, 4) == first[:2]  # half of the budget, and no more


def test_a_network_that_is_not_the_best_so_far_stops(three: Pool) -> None:
    early = trainings(FixedStop(after=1), three)
    assert early == [(0, 1), (0, 20), (1, 1), (2, 1), (1, 20), (2, 20)]
    late = trainings(FixedStop(after=5), three)  # by then the third one is the best
    assert late == [(0, 5), (0, 20), (1, 5), (2, 5), (2, 20), (1, 20)]


def test_the_median_rule_stops_below_the_median_of_means(tmp_path: Path) -> None:
    pool = toy_pool(tmp_path, [{1: 0.4, 20: 0.8}, {1: 0.3, 20: 0.35}, {1: 0.6, 20: 0.9}])
    found = trainings(MedianStop(grace=2), pool)
    assert found[:20] == [(0, epoch) for epoch in range(1, 21)]
    # After epoch 3, the first one's mean is .42 and the second one's best is .305
    assert found[20:23] == [(1, 1), (1, 2), (1, 3)]
    assert found[23:43] == [(2, epoch) for epoch in range(1, 21)]
    assert found[43:] == [(1, 20)]


def test_halving_keeps_a_third(tmp_path: Path) -> None:
    finals = [0.1, 0.9, 0.3, 0.4, 0.2, 0.7, 0.6, 0.5, 0.8]
    pool = toy_pool(tmp_path, [{20: final} for final in finals])
    cost = 9 * 1 + 3 * 2 + 1 * 6 + 1 * 11
    found = trainings(SuccessiveHalving(), pool, cost)
    assert found[:9] == [(network, 1) for network in range(9)]
    assert found[9:] == [(1, 3), (8, 3), (5, 3), (1, 9), (1, 20)]
    fewer = trainings(SuccessiveHalving(), pool, cost - 1)  # starts with eight
    assert [entry for entry in fewer if entry[1] == 1] == [(network, 1) for network in range(8)]


def test_hyperband_starts_brackets_with_more_epochs_and_fewer_networks(pool: Pool) -> None:
    found = trainings(Hyperband(), pool, 1000)
    first = [epochs for _, epochs in found[:14]]
    assert first == [1] * 14  # the first bracket would take 27
    small = Pool(
        pool.images, pool.runs.take(np.arange(4)), pool.architecture_ids[:4],
        pool.test_accuracy[:4], pool.release,
    )  # fmt: skip
    assert [network for network, epochs in trainings(Hyperband(), small) if epochs == 1] == [
        *range(4)
    ]


def test_expected_improvement_without_a_deviation_is_the_difference() -> None:
    mean = np.array([[0.2, 0.5], [0.1, 0.7]])
    found = expected_improvement(Prediction(mean, (19, 20)), 0.6)
    assert found == pytest.approx([-0.1, 0.1])


class Oracle:
    """Predicts the final accuracies of a toy pool by the number of parameters."""

    def __init__(self, known: dict[int, float]) -> None:
        self.known = known

    def fit(self, *_: object, **__: object) -> None:
        """Learn nothing."""

    def predict(self, queries: object) -> Prediction:
        """Return what is known of each network."""
        sizes = [sum(r.parameters for r in rows) for rows in queries.layer_rows]  # type: ignore[attr-defined]
        return Prediction(np.array([[self.known[size]] for size in sizes]), (EPOCHS,))


@pytest.mark.parametrize("observed", [0, 1])
def test_a_guided_search_trains_what_its_predictor_prefers(pool: Pool, observed: int) -> None:
    sizes = [sum(r.parameters for r in rows) for rows in pool.runs.layer_rows]
    known = dict(zip(sizes, pool.runs.final_accuracy.tolist(), strict=True))
    session = Spy(pool)
    run_search(Guided(lambda: Oracle(known), observed=observed), session, seed=0)
    finished = [network for network, epochs in session.trainings if epochs == EPOCHS]
    assert finished[:10] == list(range(10))
    rest = sorted(range(10, 14), key=lambda network: -pool.runs.final_accuracy[network])
    assert finished[10:] == rest
    begun = [network for network, epochs in session.trainings if epochs == 1]
    assert begun == [*range(10, 14)] * observed


def test_freeze_thaw_goes_from_level_to_level(pool: Pool) -> None:
    found = trainings(FreezeThaw(FAST), pool)
    for network in range(10, 14):
        assert [epochs for n, epochs in found if n == network] == [1, 3, 5, 20]


def searched(name: str, pool: Pool, budget: Budget, seed: int) -> Session:
    order = np.random.default_rng(seed).permutation(len(pool))
    session = Session(pool, order, budget)
    run_search(load_algorithm(name, FAST), session, seed)
    return session


@NAMES
@QUICK
@given(amount=st.integers(1, 300), unit=st.sampled_from(["epochs", "seconds"]))
def test_no_search_spends_more_than_its_budget(
    pool: Pool, name: str, amount: int, unit: str
) -> None:
    session = searched(name, pool, Budget(amount, unit), 0)  # type: ignore[arg-type]
    assert getattr(session, f"spent_{unit}") <= amount
    if unit == "epochs" and amount >= EPOCHS:
        assert session.spent_epochs > amount - EPOCHS or not len(session.unfinished)


@NAMES
def test_every_search_finds_the_best_with_an_unlimited_budget(pool: Pool, name: str) -> None:
    for seed in range(3):
        session = searched(name, pool, Budget(10**9), seed)
        assert pool.regret[session.choices[-1].network] == 0.0
        assert session.spent_epochs <= len(pool) * EPOCHS
        assert not len(session.unfinished)


@NAMES
def test_the_same_seed_makes_the_same_choices(pool: Pool, name: str) -> None:
    found = [searched(name, pool, Budget(150), 5).choices for _ in range(2)]
    assert found[0] == found[1]
    assert len(found[0]) > 0


def test_a_session_does_not_change_its_pool(pool: Pool) -> None:
    before = copy.deepcopy(pool.runs.series.valid_accuracy)
    session = Session(pool, np.arange(len(pool)), Budget(100))
    session.train(0, 5)[:] = 0.0
    session.observe(np.array([0]), 5).series.valid_accuracy[:] = 0.0
    session.trained[:] = 20
    assert np.array_equal(pool.runs.series.valid_accuracy, before)
    assert session.trained[0] == 5


def test_an_algorithm_is_any_class_with_the_method() -> None:
    assert isinstance(RandomSearch(), Algorithm)
    assert not isinstance(object(), Algorithm)


def test_the_pool_is_frozen_with_the_latest_task(tmp_path: Path) -> None:
    release = Release(toy_release(tmp_path))
    pool, task = load_pool("digits", release), release.latest_task("digits", 0)
    for fewer, version in ((1, 9), (2, 10)):
        parts = {**task.parts, "test": task.parts["test"][fewer:]}
        write_task(changed_task(task, name=f"digits-k0-v{version}", parts=parts), release)
    found = load_pool("digits", release)
    assert len(found) == len(pool) - 2
    assert set(found.architecture_ids) < set(pool.architecture_ids)
    for path in release.tasks_folder.iterdir():
        path.unlink()
    assert load_pool("digits", release).architecture_ids == pool.architecture_ids
