"""The result of a search of a pool.

*Regret* is the best final validation accuracy of the pool minus that of the chosen network, whose
stored run is the one that the search trained. Before a search has chosen, it is the mean of the
pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchmark.util.strict_json import refuse
from harness.metrics.bootstrap import Array
from harness.scoring.scores import Score
from harness.search.budget import Budget
from harness.search.pool import Pool
from harness.search.registry import Track
from harness.search.result import (
    SearchResult,
    check_choices,
    check_scores,
    common_fields,
    mean_score,
)
from harness.search.session import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolResult(SearchResult):
    """The result of an algorithm on a pool; each repeat has an order of the pool of its own.

    Attributes:
        networks: Number of networks in the pool.
        test_regret: The best final test accuracy of the pool minus that of the last choice.
        spent_seconds: Mean measured seconds of the epochs spent.
        choices: The choices of each repeat; networks are numbered by architecture id.
    """

    track: ClassVar[Track] = "pool"

    networks: int
    test_regret: Score
    spent_seconds: float
    choices: tuple[tuple[Choice, ...], ...]


def score_pool(
    pool: Pool,
    algorithm: str,
    title: str,
    budget: Budget,
    choices: Sequence[Sequence[Choice]],
    spent: Array,
) -> PoolResult:
    """Return the result of the repeats of an algorithm.

    Args:
        pool: The networks.
        algorithm: Name of the algorithm.
        title: What it does.
        budget: The budget of each repeat.
        choices: The choices of each repeat.
        spent: Epochs, their seconds, and the algorithm's own seconds of each repeat, (repeats, 3).
    """
    regret = pool.regret
    steps = [[(getattr(c, budget.unit), regret[c.network]) for c in made] for made in choices]
    last = np.array([made[-1].network for made in choices])
    epochs, seconds, own = spent.mean(axis=0).tolist()
    return PoolResult(
        **common_fields(steps, float(regret.mean()), budget),
        images=pool.images,
        algorithm=algorithm,
        title=title,
        networks=len(pool),
        test_regret=mean_score(pool.test_accuracy.max() - pool.test_accuracy[last]),
        spent_epochs=epochs,
        spent_seconds=seconds,
        own_seconds=own,
        choices=tuple(map(tuple, choices)),
    )


def check_pool_result(stored: PoolResult, pool: Pool) -> None:
    """Compute the scores of a result again from its choices and the pool.

    Raises:
        ValueError: If a field breaks a rule or does not follow.
    """
    for field, value in (("images", pool.images), ("networks", len(pool))):
        if getattr(stored, field) != value:
            refuse(field, getattr(stored, field), f"{value!r}, that of the pool")
    check_choices(stored.choices, stored.budget)
    for choice in (choice for made in stored.choices for choice in made):
        if not 0 <= choice.network < len(pool):
            refuse("choices", choice, f"of a network in 0..{len(pool) - 1}")
    spent = np.array([[stored.spent_epochs, stored.spent_seconds, stored.own_seconds]])
    again = score_pool(pool, stored.algorithm, stored.title, stored.budget, stored.choices, spent)
    check_scores(stored, again, "test_regret")
