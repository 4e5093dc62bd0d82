"""Runs search algorithms of the open track many times each, in parallel."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import cast

from benchmark.extras import check_extra
from benchmark.query import BudgetError
from benchmark.release import INSTALLED, Release
from benchmark.util.strict_json import refuse
from harness.search.budget import Budget
from harness.search.find import FoundAlgorithm, find_algorithm
from harness.search.open.result import OpenRepeat, OpenResult, draw_chain, score_open
from harness.search.open.session import OpenAlgorithm, OpenSession, Surrogate
from harness.search.open.space import Space, load_space
from harness.search.run import PROCESSES, REPEATS, find_algorithms, repeat_searches
from harness.user_code import user_code

TRAININGS = 200  # of the default budget


def search_open(
    images: str,
    algorithms: Sequence[str],
    budget: Budget | None = None,
    *,
    shortcuts: bool = False,
    repeats: int = REPEATS,
    processes: int = PROCESSES,
    release: Release = INSTALLED,
) -> Iterator[OpenResult]:
    """Yield the result of each algorithm, in the given order, as soon as it is complete.

    Args:
        images: Name of an image set.
        algorithms: Names of algorithms of the open track, and what else `find_algorithm` takes.
        budget: What each repeat may spend, in epochs; by default 200 trainings.
        shortcuts: Whether shortcuts around blocks are in the space, as in `load_space`.
        repeats: Number of searches of each algorithm.
        processes: Number of parallel processes.
        release: The data that the surrogate is fitted to.

    Raises:
        FileNotFoundError: If the release has no runs on the image set, or a file is missing.
        ValueError: If a name is unknown or that of two algorithms, a number out of range, a package
            is missing, an algorithm raises an exception or breaks a rule, the data is too small for
            a surrogate, or the budget is in seconds or does not buy a training.
    """
    check_extra("the surrogate of the open track", "predictors", ("sklearn",))
    from harness.search.open.surrogate import load_surrogate

    if budget is not None and budget.unit != "epochs":
        refuse("unit", budget.unit, "epochs, as a surrogate takes no measured seconds")
    space = load_space(images, shortcuts=shortcuts)
    found = find_algorithms(algorithms, track="open")
    surrogate = load_surrogate(images, release)
    budget = budget or Budget(TRAININGS * surrogate.epochs)
    if budget.amount < surrogate.epochs:
        refuse("budget", int(budget.amount), f"at least {surrogate.epochs} epochs, one training")
    draws = draw_chain(space, surrogate)

    def search_chunk(algorithm: FoundAlgorithm, seeds: range) -> Callable[[], list[OpenRepeat]]:
        return partial(_search_chunk, algorithm.text, space, surrogate, budget, seeds)

    made = repeat_searches(found, search_chunk, repeats=repeats, processes=processes)
    for algorithm, repeated in zip(found, made, strict=False):
        check, epochs = surrogate.check, surrogate.epochs
        yield score_open(space, check, draws, algorithm, budget, epochs, repeated)


def _search_chunk(
    text: str, space: Space, surrogate: Surrogate, budget: Budget, seeds: range
) -> list[OpenRepeat]:
    """Return some repeats of an algorithm."""
    found = find_algorithm(text, track="open")
    repeats = []
    for seed in seeds:
        with user_code(f"algorithm {found.name!r} with seed {seed}: "):
            session = OpenSession(space, surrogate, budget, seed)
            repeats.append(search_once(cast("OpenAlgorithm", found.make()), session, seed))
    return repeats


def search_once(algorithm: OpenAlgorithm, session: OpenSession, seed: int) -> OpenRepeat:
    """Return what an algorithm chooses until it returns or its budget is spent.

    Raises:
        ValueError: If it breaks a rule of the session, or chooses nothing.
        Exception: Any exception that the algorithm raises.
    """
    started = time.perf_counter()
    try:
        algorithm.search(session, seed=seed)
    except BudgetError:
        pass
    own = time.perf_counter() - started - session.training_seconds
    if not session.outcome():
        raise ValueError("no architecture was trained or chosen")
    return OpenRepeat(session.outcome(), session.accuracies(), own)
