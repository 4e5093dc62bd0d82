"""The command that compares search algorithms."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import COUNT, DATA_OPTION, FOLDER, HELP, JSON_OPTION, FiniteRange, echo_lines

if TYPE_CHECKING:
    from benchmark.release import Release


@click.command(context_settings=HELP)
@click.option(
    "--images", default="digits", show_default=True,
    help="Image set, whose test networks are the pool.",
)  # fmt: skip
@click.option(
    "--algorithm", "algorithms", multiple=True,
    help="Name, file.py:Class or package.module:Class; repeatable [default: all by name].",
)  # fmt: skip
@click.option(
    "--budget", type=FiniteRange(min=0, max=1e12, min_open=True),
    help="What each search may spend [default: a fifth of the epochs of all networks].",
)  # fmt: skip
@click.option(
    "--unit", type=click.Choice(["epochs", "seconds"]), default="epochs", show_default=True,
    help="Unit of the budget; seconds are those measured in training.",
)  # fmt: skip
@click.option("--repeats", default=50, show_default=True, type=COUNT, help="Searches of each.")
@click.option(
    "--predictor", default="gaussian-process", show_default=True,
    help="Predictor of the guided algorithms.",
)  # fmt: skip
@click.option("--processes", default=2, show_default=True, type=COUNT, help="Parallel processes.")
@click.option(
    "--results", type=FOLDER, default="results", show_default=True, help="Folder to write to."
)
@DATA_OPTION
@JSON_OPTION
def search(
    *,
    images: str,
    algorithms: tuple[str, ...],
    budget: float | None,
    unit: str,
    repeats: int,
    predictor: str,
    processes: int,
    results: Path,
    release: "Release",
    as_json: bool,
) -> None:
    """Compare algorithms that search for the best network, by regret against budget.

    Nothing is trained: an algorithm gets the stored curves of the networks that it spends epochs
    on. Each is run many times, with a random order of the networks each time. Regret is the best
    final validation accuracy of the pool minus that of the network which is chosen. The column
    `own s` is the time of the algorithm itself, which a budget does not count.
    """
    from benchmark.util.strict_json import encode
    from harness.search.budget import Budget
    from harness.search.pool import load_pool
    from harness.search.registry import ALGORITHMS
    from harness.search.result import write_search
    from harness.search.run import search_pool
    from harness.search.text import header_lines, search_line

    if budget is None and unit == "seconds":
        raise click.UsageError("--unit seconds needs a --budget")
    if budget is None:
        pool = load_pool(images, release)
        budget = max(1, len(pool) * pool.epochs // 5)
    limit = Budget(budget, unit)  # type: ignore[arg-type]
    found = search_pool(
        images,
        algorithms or tuple(ALGORITHMS),
        limit,
        repeats=repeats,
        predictor=predictor,
        processes=processes,
        release=release,
    )
    for number, result in enumerate(found):
        write_search(results, result)
        if as_json:
            echo_lines([json.dumps(encode(result))])
        else:
            echo_lines([*(header_lines(result) if not number else ()), search_line(result)])
