"""Commands that check the engine: its speed, and whether published runs can be reproduced."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    BUDGET_OPTION,
    COUNT,
    COUNT_OR_NONE,
    DATA_OPTION,
    DEVICE_OPTION,
    HELP,
    IMAGES_FOLDER_OPTION,
    PARALLEL,
    SEED,
    WORKERS_OPTION,
    echo_lines,
    needs,
)

if TYPE_CHECKING:
    from benchmark.release import Release


@click.command(context_settings=HELP)
@click.option("--images", "name", default="cifar10", show_default=True, help="Image set.")
@click.option("--networks", default=8, show_default=True, type=COUNT, help="Networks to train.")
@IMAGES_FOLDER_OPTION
@DEVICE_OPTION
@click.option(
    "--workers",
    "widths",
    multiple=True,
    default=(2,),
    show_default=True,
    type=PARALLEL,
    help="Networks to train at the same time; the engine runs once with each number given.",
)
@click.option("--epochs", type=click.IntRange(2, 10_000), help="Epochs [default: the recipe's].")
@click.option(
    "--baseline-networks",
    type=COUNT_OR_NONE,
    help="Networks for N0, N1 and N2; 0 leaves them out [default: all].",
)
@click.option("--baseline-epochs", type=COUNT, help="Epochs of N0 and N1 [default: all].")
@click.option(
    "--audit",
    default=0,
    show_default=True,
    type=COUNT_OR_NONE,
    help="Networks that the engine trains again in fp32.",
)
@needs("generate")
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
    """Compare the engine's speed with three simpler loops.

    All train the same networks, from cheap to expensive ones. N0 is a textbook loop, N1 the same in
    bf16 and channels_last, and N2 the engine without CUDA graphs, one network at a time. If N0 and
    N1 train fewer epochs, their time is scaled to all. Accuracies are compared network by network.
    """
    from dataclasses import replace

    import torch

    from benchmark.recipes import RECIPES
    from benchmark.space.imagesets import get_images
    from generators.checks.bench import Ways
    from generators.checks.bench import bench as compare
    from generators.checks.device_limits import limits
    from generators.checks.speed_table import report
    from generators.workers.run_options import RunOptions

    released = RECIPES[get_images(name).name]
    recipe = replace(released, epochs=epochs or released.epochs)
    ways = Ways(networks, widths, baseline_networks, baseline_epochs, audit)
    speeds = list(compare(name, recipe, RunOptions(images_folder, device), ways))
    echo_lines(report(speeds, limits(torch.device(device), recipe.precision)))


@click.command(context_settings=HELP)
@click.option("--images", "name", help="Image set [default: the first of the data].")
@click.option("--networks", default=21, show_default=True, type=COUNT, help="Networks to retrain.")
@IMAGES_FOLDER_OPTION
@DEVICE_OPTION
@WORKERS_OPTION
@BUDGET_OPTION
@click.option(
    "--sample", "seed", default=0, show_default=True, type=SEED, help="Seed of the sample."
)
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
@needs("generate")
def verify(
    ctx: click.Context,
    *,
    name: str | None,
    networks: int,
    images_folder: Path,
    device: str,
    workers: int,
    minutes: float | None,
    seed: int,
    release: "Release",
    as_json: bool,
) -> None:
    """Retrain published runs and test whether they agree.

    Differences are compared with those between seeds. Networks are taken from each skeleton in
    turn. Exit code 1 means that some runs do not agree, 3 that the budget ended before any run
    could be compared.
    """
    from dataclasses import asdict

    from generators.checks.retrain import report
    from generators.checks.retrain import verify as retrain
    from generators.workers.run_options import RunOptions

    options = RunOptions(images_folder, device, workers, minutes=minutes)
    name = name or release.default_images()
    result = retrain(name, networks, options, seed=seed, release=release)
    echo_lines([json.dumps(asdict(result))] if as_json else report(result))
    if not result.comparisons:
        ctx.exit(3)
    if not all(verdict.agrees for verdict in result.verdicts):
        ctx.exit(1)
