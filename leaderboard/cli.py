"""Commands that build, check and serve the leaderboard, and rescore its results."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    DATA_OPTION,
    FILE,
    FOLDER,
    HELP,
    MINUTES,
    SHOWN_RESULTS_OPTION,
    echo_lines,
)

if TYPE_CHECKING:
    from benchmark.release import Release
    from leaderboard.board import Board


@click.group(context_settings=HELP)
def board() -> None:
    """Build, check and serve the leaderboard."""


@board.command(context_settings=HELP)
@SHOWN_RESULTS_OPTION
@click.option("--output", type=FILE, default="board.html", show_default=True, help="Page to write.")
@click.option("--readme", type=FILE, help="Markdown file whose table and pictures are updated.")
@DATA_OPTION
@click.pass_context
def build(
    ctx: click.Context, results: Path | None, output: Path, readme: Path | None, release: "Release"
) -> None:
    """Write the page that shows all results.

    Every value is computed again from the predictions, at first in a minute or two on two cores;
    later, results that were right before are not scored again. Wrong results are left out and
    named, with exit code 1. The page contains its data and needs no network connection. In a
    checkout, your own results in `results` are shown with the published ones, but not with
    --readme. The table of --readme is between the lines <!-- board --> and <!-- /board -->; its
    pictures are leaderboard/watching-light.svg and -dark.svg, relative to its folder.
    """
    from benchmark.util.atomic import write_atomically
    from harness.running.submission import submissions_folder
    from leaderboard.board import verified_board
    from leaderboard.folders import own_results, results_here
    from leaderboard.networks import load_all_networks
    from leaderboard.page.page import render
    from leaderboard.readme.sync import bring_up_to_date, readme_files

    folder = results or results_here()
    own = None if results or readme else own_results()
    results_board = verified_board(folder, release, own=own)
    files = readme_files(results_board, readme, folder, release) if readme else {}
    networks = load_all_networks((task.name for task in results_board.tasks), release)
    write_atomically(output, render(results_board, networks, submissions_folder(folder)))
    click.echo(f"{output}  {output.stat().st_size:,} bytes  {_counts(results_board)}")
    written = bring_up_to_date(files)
    for path in files:
        click.echo(f"{path}  {'updated' if path in written else 'up to date'}")
    _fail_if_left_out(ctx, results_board)


@board.command(context_settings=HELP)
@SHOWN_RESULTS_OPTION
@click.option("--readme", type=FILE, help="Markdown file whose table and pictures are checked.")
@click.option("--page", type=FILE, help="Page that is checked.")
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(
    ctx: click.Context,
    results: Path | None,
    readme: Path | None,
    page: Path | None,
    release: "Release",
    as_json: bool,
) -> None:
    """Check all results and the files built from them.

    Every value is computed again from the predictions. Nothing is written. Fails if a result is
    wrong, or if --readme, its pictures or --page differ from what `board build` writes.
    """
    from benchmark.release import INSTALLED
    from harness.running.submission import submissions_folder
    from leaderboard.board import verified_board
    from leaderboard.folders import results_here
    from leaderboard.networks import load_all_networks
    from leaderboard.page.page import render
    from leaderboard.readme.sync import outdated, readme_files

    folder = results or results_here()
    results_board = verified_board(folder, release)
    networks = load_all_networks((task.name for task in results_board.tasks), release)
    html = render(results_board, networks, submissions_folder(folder))
    files = readme_files(results_board, readme, folder, release) if readme else {}
    files |= {page: html} if page else {}
    old = outdated(files)
    if as_json:
        paths, left_out = [str(path) for path in old], results_board.left_out
        click.echo(json.dumps({"out_of_date": paths, "left_out": left_out}))
    places = f" --results {results}" if results else ""
    places += "" if release is INSTALLED else f" --data {release.folder}"
    for path in old:
        option = (f"--output {page}" if path == page else f"--readme {readme}") + places
        click.echo(f"peephole: error: {path} is out of date; update it with: "
                   f"peephole board build {option}", err=True)  # fmt: skip
    if old:
        ctx.exit(1)
    if not as_json:
        click.echo("  ".join([*(f"{path} up to date" for path in files), _counts(results_board)]))
    _fail_if_left_out(ctx, results_board)


@board.command(context_settings=HELP)
@SHOWN_RESULTS_OPTION
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65_535),
    help="Port; 0 chooses a free one.",
)  # fmt: skip
@DATA_OPTION
def serve(results: Path | None, port: int, release: "Release") -> None:
    """Serve the page on this machine, until Ctrl-C is pressed.

    The page is rebuilt on request when results have changed. It has your own results as in `build`.
    """
    from leaderboard.folders import own_results, results_here
    from leaderboard.page.server import Server, Site

    own = None if results else own_results()
    site = Site(results or results_here(), own, release=release)
    site.page()  # is slow the first time
    with Server(site, port) as server:
        click.echo(f"{server.address}  shows {site.results}; press Ctrl-C to stop")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


@board.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="[PREDICTOR]...")
@SHOWN_RESULTS_OPTION
@DATA_OPTION
@click.option("--check", is_flag=True, help="Write nothing; fail if a score differs.")
@click.option("--refit", "fit_again", is_flag=True, help="Fit deterministic references again.")
@click.option("--rerun", "run_again", is_flag=True, help="Also run the code again.")
@click.option("--minutes", default=60.0, show_default=True, type=MINUTES, help="Limit per task.")
@click.option("--fresh", type=FOLDER, help="Networks of no release, on which code is tried too.")
@click.option("--shard", default="1/1", show_default=True, help="i/n: share of the intervals.")
@click.option("--processes", default=2, show_default=True, type=COUNT, help="How many at once.")
@click.pass_context
def rescore(
    ctx: click.Context,
    predictors: tuple[str, ...],
    *,
    results: Path | None,
    release: "Release",
    check: bool,
    fit_again: bool,
    run_again: bool,
    minutes: float,
    fresh: Path | None,
    shard: str,
    processes: int,
) -> None:
    """Score all results again from their stored predictions, and check that scores are the same.

    All values are computed, and all intervals of submissions. Intervals of reference predictors are
    computed for every n-th result, starting with the i-th (--shard i/n). Results with the same
    scores become `rescored`. With --refit, the reference predictors without randomness among those
    with intervals are fitted again and must give their stored predictions. With --rerun, which
    needs PREDICTORS, their code runs in a process that gets the runs of train and validation only,
    as isolated as this system allows; what holds is printed. Results with the same predictions
    become `rerun`. docs/trust.md has the details, and how to make the folder of --fresh.
    """
    from benchmark.extras import check_extra
    from benchmark.release import Release
    from benchmark.util.shard import parse_shard
    from harness.verification.audit import Request, raise_levels, rerun_all, verify
    from harness.verification.canaries import outcome_text
    from harness.verification.references import refit_all
    from leaderboard.folders import results_here

    if fresh is not None and not run_again:
        raise click.UsageError("--fresh needs --rerun")
    if run_again and (check or not predictors):
        raise click.UsageError("--rerun needs PREDICTORS and cannot be combined with --check")
    if fit_again:
        check_extra("--refit", "predictors", ("sklearn",))
    folder = results or results_here()
    request = Request(folder, predictors, parse_shard(shard), release, processes=processes)
    report = verify(request)
    problems = [*report.problems, *(refit_all(report.proven, release) if fit_again else ())]
    echo_lines((f"peephole: error: {problem}" for problem in problems), err=True)
    raised = [] if check else raise_levels(request, report)
    networks = None if fresh is None else Release(fresh)
    proven = report.proven if run_again else ()
    rerun = rerun_all(request, proven, minutes=minutes, fresh=networks)
    click.echo(
        f"{folder}  {len(report.proven)} rescored, {len(report.values)} without intervals, "
        f"{len(report.unproven)} not rescorable, {len(problems)} wrong; "
        f"{len(raised)} raised to rescored, {len(rerun)} to rerun"
    )
    for entry in rerun:
        how = outcome_text(entry.measures, entry.canaries)
        within = f"rerun within {entry.largest_difference:.2g}"
        click.echo(f"{entry.task} {entry.predictor}  {within}, {how}")
    if problems:
        ctx.exit(1)


@board.command(context_settings=HELP)
@SHOWN_RESULTS_OPTION
@DATA_OPTION
def record(results: Path | None, release: "Release") -> None:
    """Record the results of all reference predictors in a folder, and write noise ceilings there.

    Run it after an evaluation that is to be published: `rescore` and `build` refuse the rows of
    reference predictors that are not recorded in references.json.
    """
    from harness.results.ceiling import write_ceilings
    from harness.verification.references import write_references
    from leaderboard.folders import results_here

    folder = results or results_here()
    path, images = write_references(folder)
    for written in (path, *write_ceilings(images, folder, release)):
        click.echo(written)


def _fail_if_left_out(ctx: click.Context, board: "Board") -> None:
    """Name the results that were left out, and exit with 1 if there are any."""
    for problem in board.left_out:
        click.echo(f"peephole: error: left out: {problem}", err=True)
    if board.left_out:
        ctx.exit(1)


def _counts(board: "Board") -> str:
    """Return the numbers of tasks and results as text."""
    from benchmark.util.text import quantity

    rows = [row for task in board.tasks for row in task.rows]
    failed = sum(row.rank is None for row in rows)
    return f"{quantity(len(board.tasks), 'task')}, {quantity(len(rows), 'result')}, {failed} failed"
