"""The rules of a search algorithm, tried with small budgets in a process of its own."""

import ast
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.release import Release
from benchmark.util.processes import EndedEarlyError, run_in_processes
from benchmark.util.text import quantity
from harness.search.budget import Budget
from harness.search.find import find_algorithm
from harness.search.open.result import OpenResult
from harness.search.open.setting import OpenSetting, open_setting
from harness.search.pool_result import PoolResult
from harness.search.pool_setting import PoolSetting, pool_setting
from harness.search.registry import Track
from harness.user_code import UserCodeError, user_code

NETWORKS = 20  # of the pool, or trainings of the open track
HINTS = {  # texts in an error of an algorithm of the other track
    "'Session' object has no attribute": "; --track open checks algorithms of the open track",
    "'OpenSession' object has no attribute": "; --track pool checks algorithms of the pool",
}
SAME_SEED = "same seed"  # a rule
AnySetting = PoolSetting | OpenSetting
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


def check_algorithm(text: str, images: str, release: Release, track: Track = "pool") -> list[Rule]:
    """Return which rules an algorithm keeps; its code runs in a process of its own.

    Raises:
        FileNotFoundError: If the file or the data does not exist.
        ValueError: If it cannot be found, as by `find_algorithm`, or the image set is unknown.
    """
    setting: AnySetting
    if track == "pool":
        whole = pool_setting(images, release=release)
        setting = replace(whole, pool=whole.pool.take(NETWORKS))
        searches = budgets(setting.pool.epochs, len(setting.pool))
    else:
        setting = open_setting(images, release=release)
        searches = budgets(setting.surrogate.epochs)
    ((_, found),) = run_in_processes([partial(_try_all, text, setting, searches)], 1)
    if isinstance(found, EndedEarlyError):
        return [("process", False, f"{found}; an algorithm must not end it")]
    return found


def budgets(epochs: int, networks: int | None = None) -> dict[str, Budget]:
    """Return the budget of each trial.

    `networks` is the number of networks in the pool; None: the open track, which has no end.
    """
    most = (networks or NETWORKS) * epochs
    tried = {
        "one training": Budget(epochs),
        "half the budget": Budget(most // 2),
        SAME_SEED: Budget(most // 2),
    }
    return tried if networks is None else {**tried, "no limit": Budget(10 * most)}


def _try_all(text: str, setting: Any, searches: dict[str, Budget]) -> list[Rule]:
    """Return every rule; those after a broken one are not tried."""
    found = find_algorithm(text, track=setting.track)
    results: list[PoolResult | OpenResult] = []
    rules: list[Rule] = []
    for rule, budget in searches.items():
        tried = replace(setting, budget=budget)
        try:
            with user_code(""):
                results.append(tried.score(found, [tried.search(found.make, 0)]))
        except UserCodeError as error:
            hint = next((hint for text, hint in HINTS.items() if text in str(error)), "")
            return [*rules, (rule, False, f"{error}{hint}")]
        if rule == SAME_SEED and results[-1].choices != results[-2].choices:
            return [*rules, (rule, False, "two searches with one seed made different choices")]
        seen = "the same choices" if rule == SAME_SEED else _summary(results[-1])
        rules.append((rule, True, seen))
    return rules


def _summary(result: PoolResult | OpenResult) -> str:
    """Return what a search spent and chose."""
    choices, regret = quantity(len(result.choices[0]), "choice"), result.regret[-1].value
    return f"{result.spent_epochs:.0f} epochs spent; {choices}, the last with regret {regret:.4f}"
