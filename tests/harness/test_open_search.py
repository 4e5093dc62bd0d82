"""The open track: sessions and algorithms worked by hand, and what every algorithm keeps to."""

import re
from collections.abc import Callable
from typing import ClassVar, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.query import BudgetError
from benchmark.space.architectures import Architecture
from harness.protocol import Prediction, Queries, Runs
from harness.search.open import evolution
from harness.search.open.algorithms import Grid, RandomDraws, grid
from harness.search.open.controller import Controller, Policy
from harness.search.open.evolution import Evolution, mutate
from harness.search.open.guided import OpenGuided
from harness.search.open.session import OpenAlgorithm, OpenSession
from harness.search.open.space import load_space
from harness.search.registry import OPEN_ALGORITHMS, load_algorithm
from tests.toys.open_search import EPOCHS, Spy, ToySurrogate, bn_share, searched

QUICK = settings(max_examples=10, deadline=None, derandomize=True, database=None)
SPACE = load_space("digits")
NAMES = pytest.mark.parametrize("name", OPEN_ALGORITHMS)


def draws(number: int) -> list[Architecture]:
    rng = np.random.default_rng(1)
    return [SPACE.sample(rng) for _ in range(number)]


def test_the_choice_is_the_most_accurate_run_or_a_chosen_architecture() -> None:
    one, two, three, four = drawn = draws(4)
    values = dict(zip(map(SPACE.identify, drawn), (0.6, 0.5, 0.9, 0.8), strict=True))
    toy = ToySurrogate(lambda a: values[SPACE.identify(a)], measured=[0.5, 0.7, 0.6])
    session = Spy(toy, trainings=3)
    assert [session.train(drawn[place]) for place in range(2)] == [0.5, 0.7]
    session.choose(four)
    assert session.train(three) == 0.6
    found = [(c.epochs, c.architecture, c.value) for c in session.outcome()]
    # The second one's run was lucky; the choice is by runs, and not by values
    assert found == [(20, one, 0.6), (40, two, 0.5), (40, four, 0.8), (60, two, 0.5)]
    assert session.accuracies() == (0.5, 0.7, 0.6)
    assert (session.known(two), session.known(four)) == (0.7, None)
    assert (session.spent_epochs, session.total_epochs) == (60, EPOCHS)


def test_what_a_session_refuses() -> None:
    one, two, three = draws(3)
    session = Spy(ToySurrogate(bn_share, measured=[0.25, 0.5]), trainings=2)
    session.train(one)
    name = SPACE.identify(one)
    message = f"architecture '{name}' was trained already and reached 0.2500; `known` tells"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        session.train(one)
    wrong = Architecture("deep-3x3", one.widths, one.blocks)
    for refused in (session.train, session.choose):
        with pytest.raises(ValueError, match=r"^`skeleton` \(='deep-3x3'\) must be one of "):
            refused(wrong)
    assert (session.spent_epochs, len(session.outcome())) == (20, 1)
    session.train(two)
    message = (
        "`budget` (=40 epochs) is not enough to train another architecture for 20; epochs spent: 40"
    )
    with pytest.raises(BudgetError, match=f"^{re.escape(message)}$"):
        session.train(three)
    assert (session.spent_epochs, len(session.accuracies())) == (40, 2)


def test_random_search_trains_draws_of_the_chain() -> None:
    rng = np.random.default_rng(3)
    assert searched(RandomDraws(), 5, seed=3).trained == [SPACE.sample(rng) for _ in range(5)]


def test_the_grid_is_trained_once_and_then_the_search_ends() -> None:
    points = [point.architecture(SPACE) for point in grid(SPACE)]
    by_hand = 3 * 3 * 3 * 2 * 3 * 3 * 3  # skeleton, kernel, ratio, bn, activation, depth, pooling
    assert len(points) == len(set(map(SPACE.identify, points))) == by_hand  # all within the limit
    session = searched(Grid(), by_hand + 1)
    assert session.spent_epochs == by_hand * EPOCHS
    assert set(map(SPACE.identify, session.trained)) == set(map(SPACE.identify, points))
    assert session.trained != points  # the order is random


def test_a_point_of_the_grid_has_equal_blocks() -> None:
    words = {
        str(
            [
                (la.kind, la.kernel_height, la.channels)
                for la in point.architecture(SPACE).blocks[0].layers
            ]
        )
        for point in grid(SPACE)
        if point.skeleton == "shallow-3x1"
    }
    assert (
        "[('conv', 3, 16), ('bn', 1, 16), ('tanh', 1, 16), ('conv', 3, 16), ('bn', 1, 16), "
        "('tanh', 1, 16), ('max_pool', 2, 16)]" in words
    )


def test_evolution_mutates_the_best_and_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = []

    def noted(parent: Architecture, *others: object) -> Architecture:
        parents.append(parent)
        return mutate(parent, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(evolution, "mutate", noted)
    measured = [0.9, 0.1, 0.2, 0.3, 0.1, 0.5]
    session = searched(Evolution(population=2, sample=2), 6, measured=measured)
    # By pairs of members: (.9, .1), (.1, .2) after the oldest died although it was best, ...
    assert parents[:4] == [session.trained[place] for place in (0, 2, 3, 3)]


@QUICK
@given(seed=st.integers(0, 2**32 - 1), images=st.sampled_from(["digits", "cifar10"]))
def test_a_mutant_differs_in_one_block_and_stays_in_the_space(seed: int, images: str) -> None:
    space, rng = load_space(images), np.random.default_rng(seed)
    parent = space.sample(rng)
    for _ in range(5):
        child = mutate(parent, space, rng)
        kinds = [
            [
                [(x.kind, x.kernel_height, x.kernel_width, x.ratio) for x in b.layers]
                for b in a.blocks
            ]
            for a in (parent, child)
        ]
        assert sum(one != other for one, other in zip(*kinds, strict=True)) == 1
        assert child.skeleton == parent.skeleton
        space.check(child)
        parent = child


def test_a_controller_draws_from_the_chain_before_it_learns() -> None:
    policy = Policy(SPACE, units=8)
    made, log_probability, entropy = policy.draw(4, torch.Generator().manual_seed(0))
    for child, found in zip(made, log_probability.tolist(), strict=True):
        again, by_hand = SPACE.begin(), 0.0
        architecture = child.architecture()
        for value in values_of(architecture):
            by_hand += np.log(again.options()[value])
            again.take(value)
        assert again.architecture() == architecture
        assert found == pytest.approx(by_hand, rel=1e-4)
    assert bool((entropy > 0).all())


def values_of(architecture: Architecture) -> list[str | int | float]:
    """Return the decisions of an architecture."""
    values: list[str | int | float] = [architecture.skeleton]
    for block in architecture.blocks:
        for layer in block.layers:
            values.append(layer.kind)
            if layer.kind in ("conv", "max_pool", "avg_pool"):
                values += [layer.kernel_height, layer.kernel_width]
            if layer.kind == "conv":
                values.append(layer.ratio)
        values.append("stop")
    return values


def test_a_controller_learns_what_is_rewarded() -> None:
    at_random = np.mean(searched(RandomDraws(), 200).accuracies())
    accuracies = searched(Controller(), 150).accuracies()
    assert np.mean(accuracies[:10]) == pytest.approx(at_random, abs=0.05)
    assert np.mean(accuracies[-30:]) > at_random + 0.1  # a block has at most 3 bn in 6 layers


def test_a_controller_may_learn_to_take_shortcuts() -> None:
    space = load_space("digits", shortcuts=True)
    value: Callable[[Architecture], float] = lambda a: float(a.skeleton == "residual-3x2")  # noqa: E731
    accuracies = searched(Controller(rate=0.05), 120, value=value, space=space).accuracies()
    assert np.mean(accuracies[:20]) < 0.6
    assert np.mean(accuracies[-20:]) > 0.9


def test_a_controller_that_draws_nothing_new_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Policy(SPACE, units=4).draw(2, torch.Generator().manual_seed(0))[0]
    draw = Policy.draw
    monkeypatch.setattr(Policy, "draw", lambda p, n, g: (made, *draw(p, n, g)[1:]))
    session = searched(Controller(children=2), 50)
    assert session.spent_epochs == 2 * EPOCHS


class Oracle:
    """Predicts the share of batch normalisation; notes the runs that it is fitted to, and asked."""

    fitted: ClassVar[list[Runs]] = []
    asked: ClassVar[list[Queries]] = []

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Note the runs."""
        self.fitted.append(train)

    def predict(self, queries: Queries) -> Prediction:
        """Return the shares after a single epoch."""
        self.asked.append(queries)
        shares = [bn_share(a) for a in queries.architectures if a is not None]
        return Prediction(np.array(shares)[:, None], (1,))


def test_a_guided_search_trains_the_candidates_that_rank_highest() -> None:
    Oracle.fitted, Oracle.asked = [], []
    session = searched(OpenGuided(Oracle), 46)
    assert [len(runs) for runs in Oracle.fitted] == [20, 30, 45]
    assert [
        len(queries) >= 10 * new for queries, new in zip(Oracle.asked, (10, 15, 22), strict=True)
    ]
    first = Oracle.fitted[0]
    assert first.final_accuracy.tolist() == list(session.accuracies()[:20])
    assert list(first.architectures) == session.trained[:20]  # digits trains all channels
    assert np.isnan(first.series.valid_loss).all()
    for queries, start, new in zip(Oracle.asked, (20, 30), (10, 15), strict=False):
        shares = sorted((bn_share(a) for a in queries.architectures if a), reverse=True)
        assert list(session.accuracies()[start : start + new]) == shares[:new]
        assert queries.series.valid_accuracy.shape == (len(queries), 0)


def test_a_guided_search_beats_draws_with_a_predictor_that_learns() -> None:
    at_random = np.mean(searched(RandomDraws(), 60).accuracies())
    for rank in ("mean", "improvement"):
        found = searched(OpenGuided("gaussian-process", rank=rank), 60).accuracies()
        assert np.mean(found[30:]) > at_random + 0.1


def load(name: str) -> OpenAlgorithm:
    return cast("OpenAlgorithm", load_algorithm(name, "nearest-neighbours", track="open"))


@NAMES
@QUICK
@given(epochs=st.integers(1, 30 * EPOCHS), seed=st.integers(0, 99))
def test_every_search_spends_its_budget_and_no_more(name: str, epochs: int, seed: int) -> None:
    session = searched(load(name), epochs / EPOCHS, seed=seed)
    assert session.spent_epochs == epochs // EPOCHS * EPOCHS
    assert len(set(map(SPACE.identify, session.trained))) == epochs // EPOCHS


@NAMES
def test_the_same_seed_trains_the_same(name: str) -> None:
    found = [searched(load(name), 40, seed=seed).trained for seed in (5, 5, 6)]
    assert found[0] == found[1] != found[2]


def test_an_algorithm_is_any_class_with_the_method() -> None:
    assert all(isinstance(load(name), OpenAlgorithm) for name in OPEN_ALGORITHMS)
    assert not isinstance(OpenSession, OpenAlgorithm)
