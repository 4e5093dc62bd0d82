"""Runs search algorithms many times each, in parallel."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from benchmark.util.rng import generator_for
from benchmark.util.strict_json import refuse
from harness.search.budget import Budget
from harness.search.find import FoundAlgorithm, find_algorithm
from harness.search.pool import Pool, load_pool
from harness.search.registry import PREDICTOR, Track
from harness.search.result import SearchResult, score_search
from harness.search.session import Algorithm, Choice, Session, run_search
from harness.user_code import user_code

REPEATS, PROCESSES = 50, 2
CHUNK = 5  # repeats of a process
Made = TypeVar("Made")  # what one search made


@dataclass(frozen=True, slots=True)
class Repeat:
    """What one search chose, and its cost: epochs, their measured seconds, and its own seconds."""

    choices: tuple[Choice, ...]
    spent: tuple[float, float, float]


def search_pool(
    images: str,
    algorithms: Sequence[str],
    budget: Budget,
    *,
    repeats: int = REPEATS,
    predictor: str = PREDICTOR,
    processes: int = PROCESSES,
    release: Release = INSTALLED,
) -> Iterator[SearchResult]:
    """Yield the result of each algorithm, in the given order, as soon as it is complete.

    Args:
        images: Name of an image set.
        algorithms: What `find_algorithm` takes.
        budget: What each repeat may spend.
        repeats: Number of searches of each algorithm.
        predictor: Name of the predictor of the guided algorithms.
        processes: Number of parallel processes.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If the release has no test runs on the image set, or a file is missing.
        ValueError: If a name is unknown or that of two algorithms, a number out of range, a
            predictor's package is missing, an algorithm raises an exception or breaks a rule, or
            the budget does not buy an epoch.
    """
    found = find_algorithms(algorithms, predictor=predictor)
    pool = load_pool(images, release)

    def search_chunk(algorithm: FoundAlgorithm, seeds: range) -> Callable[[], list[Repeat]]:
        return partial(_search_chunk, images, algorithm.text, predictor, budget, seeds, release)

    made = repeat_searches(found, search_chunk, repeats=repeats, processes=processes)
    for algorithm, repeated in zip(found, made, strict=False):
        yield result_of(pool, algorithm, budget, repeated)


def find_algorithms(
    texts: Sequence[str], *, predictor: str = PREDICTOR, track: Track = "pool"
) -> list[FoundAlgorithm]:
    """Return the algorithms that texts name, each once. Raises the errors of `find_algorithm`.

    Raises:
        ValueError: If two algorithms have one name.
    """
    found = [find_algorithm(text, predictor, track) for text in dict.fromkeys(texts)]
    names = [algorithm.name for algorithm in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two algorithms have the name {name!r}; search with one at a time")
    return found


def repeat_searches(
    found: Sequence[FoundAlgorithm],
    search_chunk: Callable[[FoundAlgorithm, range], Callable[[], list[Made]]],
    *,
    repeats: int,
    processes: int,
) -> Iterator[list[Made]]:
    """Yield the repeats of each algorithm, by seed, as soon as they are complete.

    Args:
        found: The algorithms.
        search_chunk: Returns what makes the repeats of an algorithm with some seeds, picklable.
        repeats: Number of searches of each algorithm.
        processes: Number of parallel processes.

    Raises:
        ValueError: If a number is below 1, or a process ends early.
        Exception: Any exception of a search.
    """
    for name, number in (("repeats", repeats), ("processes", processes)):
        if number < 1:
            refuse(name, number, "at least 1")
    chunks = [
        (place, range(start, min(start + CHUNK, repeats)))
        for place in range(len(found))
        for start in range(0, repeats, CHUNK)
    ]
    calls = [search_chunk(found[place], seeds) for place, seeds in chunks]
    progress = Progress("searches", len(found) * repeats)
    made: list[dict[int, Made]] = [{} for _ in found]
    complete = 0
    for number, returned in run_in_processes(calls, processes):
        place, seeds = chunks[number]
        if isinstance(returned, EndedEarlyError):
            raise ValueError(f"algorithm {found[place].name!r}: {returned}")
        made[place] |= dict(zip(seeds, returned, strict=True))
        progress.advance(len(seeds))
        while complete < len(found) and len(made[complete]) == repeats:
            yield [made[complete][seed] for seed in range(repeats)]
            complete += 1


def result_of(
    pool: Pool, algorithm: FoundAlgorithm, budget: Budget, repeats: Sequence[Repeat]
) -> SearchResult:
    """Return the result of some repeats."""
    spent = np.array([repeat.spent for repeat in repeats])
    choices = [repeat.choices for repeat in repeats]
    return score_search(pool, algorithm.name, algorithm.title, budget, choices, spent)


def _search_chunk(
    images: str, text: str, predictor: str, budget: Budget, seeds: range, release: Release
) -> list[Repeat]:
    """Return some repeats of an algorithm."""
    pool, found = load_pool(images, release), find_algorithm(text, predictor)
    repeats = []
    for seed in seeds:
        with user_code(f"algorithm {found.name!r} with seed {seed}: "):
            repeats.append(search_once(found.make, pool, budget, seed))
    return repeats


def search_once(make: Callable[[], Algorithm], pool: Pool, budget: Budget, seed: int) -> Repeat:
    """Return what a new algorithm chooses with a seed, which also orders the pool.

    Raises:
        ValueError: If it breaks a rule of the session, or chooses nothing.
        Exception: Any exception that the algorithm raises.
    """
    order = generator_for("search-order-v1", pool.images, seed).permutation(len(pool))
    session = Session(pool, order, budget)
    started = time.perf_counter()
    run_search(make(), session, seed)
    own = time.perf_counter() - started
    if not session.choices:
        raise ValueError(
            f"no network was trained or chosen; a budget of {budget.amount:g} {budget.unit} may be "
            "too small"
        )
    return Repeat(tuple(session.choices), (session.spent_epochs, session.spent_seconds, own))
