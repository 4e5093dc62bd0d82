"""The command that compares search algorithms."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.options import COUNT, DATA_OPTION, FOLDER, HELP, JSON_OPTION, FiniteRange, echo_lines

if TYPE_CHECKING:
    from benchmark.release import Release
    from harness.search.budget import Unit
    from harness.search.registry import Track


@click.command(context_settings=HELP)
@click.option("--images", help="Image set [default: the first of the data].")
@click.option(
    "--track", type=click.Choice(["pool", "open"]), default="pool", show_default=True,
    help="What is searched: the stored test networks, or all that the Markov chain can draw.",
)  # fmt: skip
@click.option(
    "--algorithm", "algorithms", multiple=True,
    help="Name, file.py:Class or package.module:Class; repeatable [default: all by name].",
)  # fmt: skip
@click.option(
    "--budget", type=FiniteRange(min=0, max=1e12, min_open=True, max_open=True),
    help="What each search may spend [default: a fifth of the epochs of all networks; in the open "
    "track, 200 trainings].",
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
@click.option(
    "--shortcuts", is_flag=True,
    help="In the open track, also search the skeleton with shortcuts around its blocks.",
)  # fmt: skip
@click.option("--processes", default=2, show_default=True, type=COUNT, help="Parallel processes.")
@click.option(
    "--results", type=FOLDER, default="results", show_default=True, help="Folder to write to."
)
@DATA_OPTION
@JSON_OPTION
def search(
    *,
    images: str | None,
    track: "Track",
    algorithms: tuple[str, ...],
    budget: float | None,
    unit: "Unit",
    repeats: int,
    predictor: str,
    shortcuts: bool,
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

    In the open track an algorithm builds architectures, and a surrogate, fitted to all stored runs,
    stands for their training. Regret then refers to the best of many random architectures.
    """
    from benchmark.util.strict_json import encode
    from harness.search.budget import Budget
    from harness.search.open.setting import open_setting
    from harness.search.open.text import open_header, open_line
    from harness.search.pool_setting import pool_setting
    from harness.search.registry import TRACKS
    from harness.search.result import write_search
    from harness.search.run import find_algorithms, search_all
    from harness.search.text import header_lines, search_line

    if budget is None and unit == "seconds":
        raise click.UsageError("--unit seconds needs a --budget")
    if shortcuts and track == "pool":
        raise click.UsageError("--shortcuts needs --track open")
    limit = None if budget is None else Budget(budget, unit)
    images = images or release.default_images()
    names = algorithms or tuple(TRACKS[track])
    find_algorithms(names, predictor, track)  # what is wrong with them is told at once
    setting: Any
    header: Callable[[Any], Iterable[str]]
    line: Callable[[Any], str]
    if track == "pool":
        setting, header, line = pool_setting(images, limit, release), header_lines, search_line
    else:
        setting = open_setting(images, limit, shortcuts=shortcuts, release=release)
        header, line = open_header, open_line
    found = search_all(setting, names, repeats=repeats, predictor=predictor, processes=processes)
    for number, result in enumerate(found):
        write_search(results, result)
        if as_json:
            echo_lines([json.dumps(encode(result))])
        else:
            echo_lines([*(header(result) if not number else ()), line(result)])
