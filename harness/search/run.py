"""Runs search algorithms many times each, in parallel."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.progress import Progress
from benchmark.util.strict_json import refuse
from harness.search.find import FoundAlgorithm, find_algorithm
from harness.search.registry import PREDICTOR, Track
from harness.search.session import Algorithm
from harness.user_code import user_code

REPEATS, PROCESSES = 50, 2
CHUNK = 5  # repeats of a process
Made = TypeVar("Made")
Result = TypeVar("Result", covariant=True)


class Setting(Protocol[Made, Result]):
    """What is searched, and with which budget; it can be pickled."""

    @property
    def track(self) -> Track: ...  # noqa: D102

    def search(self, make: Callable[[], Algorithm], seed: int) -> Made:
        """Return what a new algorithm chooses with a seed.

        Raises:
            ValueError: If it breaks a rule of the session, or chooses nothing.
            Exception: Any exception that the algorithm raises.
        """
        ...

    def score(self, algorithm: FoundAlgorithm, repeats: Sequence[Made]) -> Result:
        """Return the result of the repeats of an algorithm, by seed."""
        ...


def search_all(
    setting: Setting[Made, Result],
    algorithms: Sequence[str],
    *,
    repeats: int = REPEATS,
    predictor: str = PREDICTOR,
    processes: int = PROCESSES,
) -> Iterator[Result]:
    """Yield the result of each algorithm, in the given order, as soon as it is complete.

    Args:
        setting: What is searched.
        algorithms: What `find_algorithm` takes.
        repeats: Number of searches of each algorithm.
        predictor: Name of the predictor of the guided algorithms.
        processes: Number of parallel processes.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a name is unknown or that of two algorithms, a number below 1, a predictor's
            package is missing, or an algorithm raises an exception, breaks a rule or ends its
            process.
    """
    for name, number in (("repeats", repeats), ("processes", processes)):
        if number < 1:
            refuse(name, number, "at least 1")
    found = find_algorithms(algorithms, predictor, setting.track)
    chunks = [
        (index, range(start, min(start + CHUNK, repeats)))
        for index in range(len(found))
        for start in range(0, repeats, CHUNK)
    ]
    calls = [
        partial(_search_chunk, setting, found[index].text, predictor, seeds)
        for index, seeds in chunks
    ]
    progress = Progress("searches", len(found) * repeats)
    made: list[dict[int, Made]] = [{} for _ in found]
    complete = 0
    for number, returned in run_in_processes(calls, processes):
        index, seeds = chunks[number]
        if isinstance(returned, EndedEarlyError):
            raise ValueError(f"algorithm {found[index].name!r}: {returned}")
        made[index] |= dict(zip(seeds, returned, strict=True))
        progress.advance(len(seeds))
        while complete < len(found) and len(made[complete]) == repeats:
            done = [made[complete][seed] for seed in range(repeats)]
            yield setting.score(found[complete], done)
            complete += 1


def find_algorithms(texts: Sequence[str], predictor: str, track: Track) -> list[FoundAlgorithm]:
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


def _search_chunk(
    setting: Setting[Made, object], text: str, predictor: str, seeds: range
) -> list[Made]:
    return search_seeds(setting, find_algorithm(text, predictor, setting.track), seeds)


def search_seeds(setting: Setting[Made, object], found: FoundAlgorithm, seeds: range) -> list[Made]:
    """Return the searches of an algorithm with some seeds.

    Raises:
        ValueError: If it raises an exception or breaks a rule.
    """
    repeats = []
    for seed in seeds:
        with user_code(f"algorithm {found.name!r} with seed {seed}: "):
            repeats.append(setting.search(found.make, seed))
    return repeats
