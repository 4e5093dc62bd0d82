"""Commands that check the engine: its speed, and whether published runs can be reproduced."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    DATA_OPTION,
    DEVICE_OPTION,
    HELP,
    IMAGES_FOLDER_OPTION,
    WORKERS_OPTION,
    echo_lines,
)

if TYPE_CHECKING:
    from benchmark.release import Release


@click.command(context_settings=HELP)
@click.option("--images", "name", default="digits", show_default=True, help="Trained on.")
@click.option("--networks", default=8, show_default=True, type=COUNT)
@IMAGES_FOLDER_OPTION
@DEVICE_OPTION
@click.option(
    "--workers",
    "widths",
    multiple=True,
    default=(2,),
    show_default=True,
    type=COUNT,
    help="Networks in flight; given more than once, the engine runs with each.",
)
@click.option("--epochs", type=click.IntRange(min=2), help="Of every way [default: the recipe's].")
@click.option(
    "--baseline-networks",
    type=click.IntRange(min=0),
    help="Of N0, N1 and N2; 0 leaves them out [default: all].",
)
@click.option("--baseline-epochs", type=COUNT, help="Of N0 and N1 [default: all].")
@click.option(
    "--audit",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Networks that the engine trains in fp32 as well.",
)
def bench(
    *,
    name: str,
    networks: int,
    images_folder: Path,
    device: str,
    widths: tuple[int, ...],
    epochs: int | None,
    baseline_networks: int | None,
    baseline_epochs: int | None,
    audit: int,
) -> None:
    """Time the engine beside three plainer loops on the same networks, of every cost.

    N0 is a textbook loop, N1 the same in bf16 and channels_last, N2 the engine without graphs, one
    network at a time. Fewer epochs of N0 and N1 are scaled to all of them. Accuracies are compared
    network by network.
    """
    from dataclasses import replace

    import torch

    from benchmark.recipes import RECIPES
    from generators.checks.bench import Ways
    from generators.checks.bench import bench as compare
    from generators.checks.device_limits import limits
    from generators.checks.speed_table import report
    from generators.workers.scheduler import RunOptions

    recipe = replace(RECIPES[name], epochs=epochs or RECIPES[name].epochs)
    ways = Ways(networks, widths, baseline_networks, baseline_epochs, audit)
    speeds = list(compare(name, recipe, RunOptions(images_folder, device), ways))
    echo_lines(report(speeds, limits(torch.device(device), recipe.precision)))


@click.command(context_settings=HELP)
@click.option("--images", "name", default="digits", show_default=True, help="Whose runs.")
@click.option("--networks", default=21, show_default=True, type=COUNT)
@IMAGES_FOLDER_OPTION
@DEVICE_OPTION
@WORKERS_OPTION
@click.option("--minutes", type=float, help="Budget; starts nothing that would outlast it.")
@click.option("--sample", "seed", default=0, show_default=True, help="Which networks: any number.")
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    name: str,
    networks: int,
    images_folder: Path,
    device: str,
    workers: int,
    minutes: float | None,
    seed: int,
    release: "Release",
    as_json: bool,
) -> None:
    """Train published runs again and say whether they agree within the spread of seeds.

    Networks are taken from every skeleton in turn. Exit code 1 means that some do not agree, 3 that
    the budget ended before any could be compared.
    """
    from dataclasses import asdict

    from generators.checks.retrain import report
    from generators.checks.retrain import verify as train_again
    from generators.workers.scheduler import RunOptions

    options = RunOptions(images_folder, device, workers, minutes=minutes)
    found = train_again(name, networks, options, seed=seed, release=release)
    echo_lines([json.dumps(asdict(found))] if as_json else report(found))
    if not found.comparisons:
        ctx.exit(3)
    if not all(verdict.agrees for verdict in found.verdicts):
        ctx.exit(1)
