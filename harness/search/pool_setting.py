"""A search of a pool with a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.util.rng import generator_for
from harness.search.budget import Budget
from harness.search.find import FoundAlgorithm
from harness.search.pool import Pool, load_pool
from harness.search.pool_result import PoolResult, score_pool
from harness.search.registry import Track
from harness.search.session import Algorithm, Choice, Session, run_search

DEFAULT_SHARE = 5  # the default budget trains one network of so many


@dataclass(frozen=True, slots=True)
class Repeat:
    """What one search chose, and its cost: epochs, their measured seconds, and its own seconds."""

    choices: tuple[Choice, ...]
    spent: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class PoolSetting:
    """The networks that can be trained, and what each search may spend."""

    track: ClassVar[Track] = "pool"

    pool: Pool
    budget: Budget

    def search(self, make: Callable[[], Algorithm], seed: int) -> Repeat:
        """Return what a new algorithm chooses with a seed, which also orders the pool.

        Raises:
            ValueError: If it breaks a rule of the session, or chooses nothing.
            Exception: Any exception that the algorithm raises.
        """
        pool, budget = self.pool, self.budget
        order = generator_for("search-order-v1", pool.images, seed).permutation(len(pool))
        session = Session(pool, order, budget)
        own = run_search(make(), session, seed)
        if not session.choices:
            raise ValueError(
                "no network was trained or chosen: the search did not do so, or a budget of "
                f"{budget.amount:g} {budget.unit} is too small"
            )
        return Repeat(tuple(session.choices), (session.spent_epochs, session.spent_seconds, own))

    def score(self, algorithm: FoundAlgorithm, repeats: Sequence[Repeat]) -> PoolResult:
        """Return the result of the repeats of an algorithm."""
        spent = np.array([repeat.spent for repeat in repeats])
        choices = [repeat.choices for repeat in repeats]
        return score_pool(self.pool, algorithm.name, algorithm.title, self.budget, choices, spent)


def pool_setting(
    images: str, budget: Budget | None = None, release: Release = INSTALLED
) -> PoolSetting:
    """Return the search of an image set's pool.

    Args:
        images: Name of the image set.
        budget: What each search may spend; by default a fifth of the epochs of all networks.
        release: The data.

    Raises:
        FileNotFoundError: If the release has no test runs on the image set.
        ValueError: If the image set is unknown.
    """
    pool = load_pool(images, release)
    default = max(1, len(pool) * pool.epochs // DEFAULT_SHARE)
    return PoolSetting(pool, budget or Budget(default))
