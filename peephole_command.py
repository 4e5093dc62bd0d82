"""The command `peephole`, which collects the commands of the four folders.

Run it as `peephole`, or as `python -m peephole` in a source tree. Exit codes: 0 success, 1 failure,
2 wrong input, 3 budget reached with work left.
"""

import sys
import traceback
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from benchmark.cli import data, sample
from benchmark.options import COUNT, FOLDER, TRACEBACK, needs
from benchmark.tasks_cli import task
from benchmark.util.text import escape, quantity
from generators.checks_cli import bench, verify
from generators.cli import generate
from generators.images_cli import images
from generators.proxies_cli import proxies
from harness.cli import check, score, submit
from harness.evaluate_cli import evaluate, print_results
from harness.search_cli import search
from harness.studies_cli import compare, predict, select, watch
from leaderboard.cli import board
from leaderboard.show.cli import show
from peephole import __version__

DEMO_TASK, DEMO_IMAGES = "cifar10-k3-v1", "digits"
DEMO_PREDICTORS = ("last-value", "extrapolation", "peephole", "gru")
WRONG_INPUT = (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError)


class CommandError(click.ClickException):
    """An error that is shown to the user on one line."""

    def __init__(self, error: Exception) -> None:
        """Take the message of an error of the library or the operating system."""
        message = str(error)
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            message = f"{error.strerror}: {str(error.filename)!r}"
        super().__init__(escape("; ".join(message.splitlines())))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line to stderr."""
        click.echo(f"peephole: error: {self.format_message()}", file=file, err=True)


class InputError(CommandError):
    """An error caused by wrong input."""

    exit_code = 2


class Root(click.Group):
    """The group of all commands; it turns errors of the library into one-line messages."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command; what the terminal's encoding lacks is printed as a question mark."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click handles a broken pipe and exits quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except click.ClickException as error:
            if type(error) is not click.ClickException:  # such as a usage error, which click shows
                lines = map(escape, error.message.splitlines())
                error.message = "\n".join(lines)  # type: ignore[misc]
                raise
            raise CommandError(error) from error
        except WRONG_INPUT as error:
            if ctx.meta.get(TRACEBACK):
                traceback.print_exception(error)
            raise InputError(error) from error
        except OSError as error:
            raise CommandError(error) from error


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="peephole")
def peephole() -> None:
    """Predict how well neural networks will perform, before or early in their training."""


@peephole.command()
@click.option(
    "--output", type=FOLDER, default="peephole-demo", show_default=True, help="Output folder."
)
@click.option("--task", "task_name", default=DEMO_TASK, show_default=True, help="Frozen task.")
@click.option("--networks", default=4, show_default=True, type=COUNT, help="How many to train.")
@needs("generate", "torch", "sklearn")
def demo(output: Path, task_name: str, networks: int) -> None:
    """Run every step on a small scale, in about three minutes on two cores, without downloads.

    Samples and trains a few networks on `digits`, which is not downloaded. Fits Peephole, its GRU
    variant and curve extrapolation on the released runs of CIFAR-10, scores them on a frozen task,
    and writes a page.
    """
    from benchmark.release import INSTALLED
    from harness.running.evaluate_many import Setting, evaluate_many
    from leaderboard.board import read_board
    from leaderboard.networks import load_all_networks
    from leaderboard.page.page import render

    task = INSTALLED.task(task_name)
    click.echo(f"1. Sample and train {quantity(networks, 'network')} on {DEMO_IMAGES}")
    train_samples(output / f"campaign-{networks}", networks)
    click.echo(f"\n2. Fit and score predictors on {task.name} (one seed each)")
    results = evaluate_many(DEMO_PREDICTORS, [task.name], Setting(output / "results", seeds=1))
    print_results(results, as_json=False)
    page = output / "board.html"
    leaderboard = read_board(output / "results")
    page.write_text(
        render(leaderboard, load_all_networks(task.name for task in leaderboard.tasks)), "utf-8"
    )
    click.echo(f"\n3. The page: {page.resolve().as_uri()}")
    if any(result.status == "failed" for result in results):
        raise click.ClickException("a predictor failed")


def train_samples(folder: Path, networks: int) -> None:
    """Sample networks outside the dataset, train them with two workers, and print their curves."""
    from benchmark.recipes import RECIPES
    from benchmark.space.imagesets import get_images
    from benchmark.space.sampler import sequence
    from generators.campaign.campaign import Campaign, release_recipes
    from generators.campaign.plan import plan_run
    from generators.campaign.run_campaign import run_campaign
    from generators.workers.run_options import RunOptions

    images = get_images(DEMO_IMAGES)
    drawn = islice(sequence("shallow-3x1", images, purpose="demo"), networks)
    plan = [plan_run(network, images, RECIPES[DEMO_IMAGES], 0) for network in drawn]
    campaign = Campaign(folder)
    campaign.create(plan, release_recipes())
    for name, reason in run_campaign(campaign, RunOptions(Path("images"))).failures.items():
        raise click.ClickException(f"run {name!r} failed: {reason}")
    click.echo(f"{'network':18}{'parameters':>11}  valid accuracy after epoch 1, 2, 3, 5, 10, 20")
    for row in campaign.rows():
        curve = row["valid_accuracy"]
        assert isinstance(curve, list)
        shown = "  ".join(f"{curve[epoch - 1]:.3f}" for epoch in (1, 2, 3, 5, 10, 20))
        click.echo(f"{row['architecture_id']!s:18}{row['parameters']:>11,}  {shown}")


generate.add_command(bench)
generate.add_command(proxies)
generate.add_command(verify)
for command in (
    sample, data, task, images, generate, evaluate, check, score, compare, select, search, watch,
    predict, show, submit, board,
):  # fmt: skip
    peephole.add_command(command)
