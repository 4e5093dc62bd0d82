"""Commands about how results are shown."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import COUNT, DATA_OPTION, FILE, HELP, SHOWN_RESULTS_OPTION

if TYPE_CHECKING:
    from benchmark.release import Release
    from leaderboard.board import Board


@click.group(context_settings=HELP)
def board() -> None:
    """Show all results beside each other."""


@board.command(context_settings=HELP)
@SHOWN_RESULTS_OPTION
@click.option(
    "--output", type=FILE, default="board.html", show_default=True, help="The page to write."
)
@click.option("--readme", type=FILE, help="Markdown file brought up to date with its pictures.")
def build(results: Path | None, output: Path, readme: Path | None) -> None:
    """Write the page that shows all results.

    Results are checked alone and against each other. The page holds its data and opens from a
    disk, without a network. The table of --readme stands between the lines <!-- board --> and
    <!-- /board -->; the pictures that it opens with are leaderboard/board-light.svg and
    leaderboard/board-dark.svg, from its folder.
    """
    from benchmark.util.atomic import write_atomically
    from leaderboard.board import load_all_networks, read_board, results_here
    from leaderboard.page.page import render
    from leaderboard.readme.sync import bring_up_to_date, readme_files

    found = read_board(results or results_here())
    files = {} if readme is None else readme_files(found, readme)
    write_atomically(output, render(found, load_all_networks(found)))
    click.echo(f"{output}  {output.stat().st_size:,} bytes  {_counts(found)}")
    written = bring_up_to_date(files)
    for path in files:
        click.echo(f"{path}  {'updated' if path in written else 'up to date'}")


@board.command(context_settings=HELP)
@SHOWN_RESULTS_OPTION
@click.option("--readme", type=FILE, help="Markdown file whose table and pictures are compared.")
@click.option("--page", type=FILE, help="Page that is compared.")
@click.pass_context
def check(ctx: click.Context, results: Path | None, readme: Path | None, page: Path | None) -> None:
    """Check all results and what was made of them.

    Results are checked alone, against each other and against the networks of the data. Nothing is
    written. Fails if --readme, its pictures or --page are not what `board build` makes.
    """
    from leaderboard.board import load_all_networks, read_board, results_here
    from leaderboard.page.page import render
    from leaderboard.readme.sync import outdated, readme_files

    found = read_board(results or results_here())
    made = render(found, load_all_networks(found))
    files = ({} if readme is None else readme_files(found, readme)) | ({page: made} if page else {})
    old = outdated(files)
    for path in old:
        option = f"--output {page}" if path == page else f"--readme {readme}"
        click.echo(f"peephole: error: {path} is not what the results make; bring it up to date "
                   f"with: peephole board build {option}", err=True)  # fmt: skip
    if old:
        ctx.exit(1)
    click.echo("  ".join([*(f"{path} up to date" for path in files), _counts(found)]))


@board.command(context_settings=HELP)
@SHOWN_RESULTS_OPTION
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65_535), help="0: any free."
)
def serve(results: Path | None, port: int) -> None:
    """Serve the page on this machine.

    It is built anew when it is asked for and results have changed. Ctrl-C ends it.
    """
    from leaderboard.board import results_here
    from leaderboard.page.server import Server, Site

    site = Site(results or results_here())
    site.page()  # what is wrong with the results is said at once
    with Server(site, port) as server:
        click.echo(f"{server.address}  of {site.results}; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


@board.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="[PREDICTOR]...")
@SHOWN_RESULTS_OPTION
@DATA_OPTION
@click.option("--check", is_flag=True, help="Write nothing; fail if a number does not follow.")
@click.option("--rerun", "run_again", is_flag=True, help="Also run the code again, apart.")
@click.option("--minutes", default=60.0, show_default=True, help="That code may take for a task.")
@click.option("--shard", default="1/1", show_default=True, help="i/n: intervals of which share.")
@click.option("--processes", default=2, show_default=True, type=COUNT, help="At a time.")
@click.pass_context
def rescore(
    ctx: click.Context,
    predictors: tuple[str, ...],
    *,
    results: Path | None,
    release: "Release",
    check: bool,
    run_again: bool,
    minutes: float,
    shard: str,
    processes: int,
) -> None:
    """Score all results again from their stored predictions, and demand the same numbers.

    Every value is computed, and every interval of a submission; intervals of reference predictors
    are computed for every n-th result from the i-th (--shard i/n). What is proven becomes
    `rescored`. With --rerun, which needs PREDICTORS, their code runs in a process whose data folder
    holds train and validation only, and what gives the same predictions becomes `rerun`.
    """
    from benchmark.util.shard import parse_shard
    from harness.verification.audit import Request, raise_levels, rerun_all, verify
    from leaderboard.board import results_here

    if run_again and (check or not predictors):
        raise click.UsageError("--rerun names PREDICTORS to run again, and goes without --check")
    place = results or results_here()
    request = Request(place, predictors, parse_shard(shard), release, processes)
    report = verify(request)
    for problem in report.problems:
        click.echo(f"peephole: error: {problem}", err=True)
    raised = [] if check else raise_levels(report)
    rerun = rerun_all(request, report.proven, minutes=minutes) if run_again else []
    click.echo(
        f"{place}  {len(report.proven)} rescored, {len(report.values)} but for their intervals, "
        f"{len(report.unproven)} cannot be, {len(report.problems)} wrong; "
        f"{len(raised)} raised to rescored, {len(rerun)} to rerun"
    )
    for entry in rerun:
        click.echo(f"{entry.task} {entry.predictor}  rerun within {entry.largest_difference:.2g}")
    if report.problems:
        ctx.exit(1)


def _counts(board: "Board") -> str:
    """Return how much is on the board, in words."""
    rows = [row for task in board.tasks for row in task.rows]
    failed = sum(row.rank is None for row in rows)
    return f"{len(board.tasks)} tasks, {len(rows)} results, {failed} failed"
