"""A page of made-up results on two image sets, with every kind of row and hostile texts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.results.result import environment
from harness.results.store import read_with_predictions, result_path, write_result
from harness.scoring.scores import Score
from harness.search.budget import Budget
from harness.search.find import find_algorithm
from harness.search.open.result import OpenResult, draw_chain
from harness.search.open.setting import OpenSetting
from harness.search.open.space import load_space
from harness.search.pool_result import PoolResult
from harness.search.result import write_search
from harness.search.session import Choice
from leaderboard.board import read_board
from leaderboard.networks import TaskNetworks
from leaderboard.page.page import render
from tests.toys.open_search import ToySurrogate, bn_share
from tests.toys.results import toy_networks, toy_result, write_toy, write_toy_board

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><b>bold</b> </script>"
FAILURE = "Error: <script>document.title='broken'</script>"


def write_toy_page(folder: Path) -> Path:
    """Write results and their page, and return the path of the page."""
    results = folder / "results"
    page = folder / "board.html"
    all_networks = write_browsed_board(results)
    page.write_text(render(read_board(results), all_networks), encoding="utf-8")
    return page


def write_browsed_board(results: Path) -> Mapping[str, TaskNetworks]:
    """Write the toy board with more rows, hostile texts and a second image set."""
    all_networks = write_toy_board(results)
    for observed in (0, 1):
        write_toy(results, "rescored-one", 0.05, observed=observed, curve=True)
        change(results, f"digits-k{observed}-v1", "rescored-one", verification="rescored")
    change(results, "digits-k0-v1", "bad", title=HOSTILE, flags=("<i>flag</i>",))
    change(results, "digits-k0-v1", "good", counts={"failed_fits": 2})
    write_result(results, replace(toy_result("hostile"), title=HOSTILE, failure=FAILURE), None)
    for name in ("good", "bad"):
        copy_to_cifar(results, name)
    for name, end in (("quick", 0.1), ("steady", 0.02)):
        write_search(results, toy_search(name, end))
    write_search(results, toy_open_search())
    return {**all_networks, "cifar10-k0-v1": toy_networks()}


def toy_search(name: str, end: float) -> PoolResult:
    """Return a result on digits whose mean regret falls evenly from .4 to `end`."""
    budget = Budget(40)
    values = np.linspace(0.4, end, len(budget.points())).tolist()
    scores = tuple(Score(value, value - 0.01, value + 0.01) for value in values)
    return PoolResult(
        schema_version=1, images="digits", algorithm=name, title=HOSTILE, budget=budget, repeats=50,
        networks=24, regret=scores, area=scores[10], found_best=0.5, test_regret=scores[-1],
        spent_epochs=39.5, spent_seconds=80.0, own_seconds=0.25,
        choices=((Choice(1, 2.0, 0),),) * 50, harness_version="0.1.0", environment=environment(),
    )  # fmt: skip


def toy_open_search() -> OpenResult:
    """Return three searches of four draws on digits; the value is the share of normalisation."""
    space, toy = load_space("digits"), ToySurrogate(bn_share)
    setting = OpenSetting(space, toy, draw_chain(space, toy, 20), Budget(80))
    found = find_algorithm("random", track="open")
    return setting.score(found, [setting.search(found.make, seed) for seed in range(3)])


def change(results: Path, task: str, predictor: str, **fields: object) -> None:
    """Change fields of a stored result; its predictions stay."""
    path = result_path(results, task, predictor)
    result, table = read_with_predictions(path)
    write_result(results, replace(result, **fields), table)  # type: ignore[arg-type]


def copy_to_cifar(results: Path, predictor: str) -> None:
    """Copy a result on digits to another image set."""
    path = result_path(results, "digits-k0-v1", predictor)
    result, table = read_with_predictions(path)
    digest = "c" * 64
    other = replace(result, task="cifar10-k0-v1", images="cifar10", task_digest=digest)
    write_result(results, other, table)
