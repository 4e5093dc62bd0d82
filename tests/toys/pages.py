"""A page of made-up results on two image sets, with every kind of row and hostile texts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.results.store import read_with_predictions, result_path, write_result
from leaderboard.board import read_board
from leaderboard.networks import TaskNetworks
from leaderboard.page.page import render
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
    return {**all_networks, "cifar10-k0-v1": toy_networks()}


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
