"""Commands about how results are shown."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from leaderboard.board import Board

HELP = {"help_option_names": ["-h", "--help"]}
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
COUNT = click.IntRange(min=1)


@click.group(context_settings=HELP)
def board() -> None:
    """Show all results beside each other."""


@board.command(context_settings=HELP)
@click.option("--results", type=FOLDER, help="Folder of results [default: the package's own].")
@click.option(
    "--output", type=FILE, default="board.html", show_default=True, help="The page to write."
)
@click.option("--readme", type=FILE, help="Markdown file whose table is brought up to date.")
@click.option("--check", is_flag=True, help="Write nothing; fail if the table is out of date.")
@click.pass_context
def build(
    ctx: click.Context, results: Path | None, output: Path, readme: Path | None, check: bool
) -> None:
    """Check all results against each other and write the page that shows them.

    The page holds its data and opens from a disk, without a network. The table of --readme stands
    between the lines <!-- board --> and <!-- /board -->.
    """
    from benchmark.atomic import write_whole
    from leaderboard.board import RESULTS, load_truth, read_board
    from leaderboard.page import render
    from leaderboard.table import check_readme, readme_table, update_readme

    if check and readme is None:
        raise click.UsageError("--check compares a table: name its file with --readme")
    found = read_board(results or RESULTS)
    if check and readme is not None:
        if not check_readme(readme, readme_table(found)):
            command = f"peephole board build --readme {readme}"
            click.echo(f"peephole: error: the table of {readme} is not that of the results; "
                       f"bring it up to date with: {command}", err=True)  # fmt: skip
            ctx.exit(1)
        click.echo(f"{readme}  up to date  {_counts(found)}")
        return
    write_whole(output, render(found, {task.name: load_truth(task.name) for task in found.tasks}))
    click.echo(f"{output}  {output.stat().st_size:,} bytes  {_counts(found)}")
    if readme is not None:
        changed = update_readme(readme, readme_table(found))
        click.echo(f"{readme}  {'updated' if changed else 'up to date'}")


@board.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="[PREDICTOR]...")
@click.option("--results", type=FOLDER, help="Folder of results [default: the package's own].")
@click.option("--folder", type=FOLDER, help="Another copy of the data than the installed one.")
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
    folder: Path | None,
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
    from harness.verification import Request, parse_shard, raise_levels, rerun_all, verify
    from leaderboard.board import RESULTS

    if run_again and (check or not predictors):
        raise click.UsageError("--rerun names PREDICTORS to run again, and goes without --check")
    place = results or RESULTS
    request = Request(place, predictors, parse_shard(shard), folder, processes)
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
