"""The rules of a search algorithm, tried on a few networks in a process of its own."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmark.release import Release
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.text import quantity
from harness.search.budget import Budget
from harness.search.find import FoundAlgorithm, find_algorithm
from harness.search.pool import Pool, load_pool
from harness.search.run import Repeat, search_once
from harness.user_code import UserCodeError, user_code

NETWORKS = 20  # of the pool
Rule = tuple[str, bool, str]  # its name, whether it is kept, and what was seen


def is_algorithm(text: str) -> bool:
    """Return whether a text names a class in a file that has `search` and no `fit`.

    The file is parsed and not run.
    """
    source, _, attribute = text.rpartition(":")
    if not source.endswith(".py") or not Path(source).is_file():
        return False
    try:
        tree = ast.parse(Path(source).read_bytes())
    except (SyntaxError, ValueError):
        return False
    methods = {
        method.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == attribute
        for method in node.body
        if isinstance(method, ast.FunctionDef)
    }
    return "search" in methods and "fit" not in methods


def check_algorithm(text: str, images: str, release: Release) -> list[Rule]:
    """Return which rules an algorithm keeps; its code runs in a process of its own.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it cannot be found, as by `find_algorithm`.
    """
    ((_, found),) = run_in_processes([partial(_check_here, text, images, release)], 1)
    if isinstance(found, EndedEarlyError):
        return [("process", False, f"{found}; an algorithm must not end it")]
    return found


def _check_here(text: str, images: str, release: Release) -> list[Rule]:
    found, whole = find_algorithm(text), load_pool(images, release)
    index = np.arange(min(NETWORKS, len(whole)))
    pool = replace(
        whole,
        runs=whole.runs.take(index),
        architecture_ids=whole.architecture_ids[: len(index)],
        test_accuracy=whole.test_accuracy[index],
    )
    return list(_rules(found, pool))


def _rules(found: FoundAlgorithm, pool: Pool) -> Iterator[Rule]:
    """Yield every rule; those after a broken one are not tried."""
    most = len(pool) * pool.epochs
    repeats: list[Repeat] = []
    searches = {
        "one training": Budget(pool.epochs),
        "half the budget": Budget(most // 2),
        "same seed": Budget(most // 2),
        "no limit": Budget(10 * most),
    }
    for rule, budget in searches.items():
        try:
            with user_code(""):
                repeats.append(search_once(found.make, pool, budget, 0))
        except UserCodeError as error:
            yield rule, False, str(error)
            return
        if rule == "same seed" and repeats[-1].choices != repeats[-2].choices:
            yield rule, False, "two searches with one seed made different choices"
            return
        same = rule == "same seed"
        yield rule, True, "the same choices" if same else _spent(repeats[-1], pool)


def _spent(repeat: Repeat, pool: Pool) -> str:
    """Return what a search spent and chose."""
    choices = quantity(len(repeat.choices), "choice")
    regret = pool.regret[repeat.choices[-1].network]
    return f"{repeat.spent[0]} epochs spent; {choices}, the last with regret {regret:.4f}"
