"""Commands that make the data: the group `generate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    BUDGET_OPTION,
    COUNT,
    DATA_OPTION,
    DEVICE_OPTION,
    FILE,
    HELP,
    IMAGES_FOLDER_OPTION,
    MERGED_DATA_OPTION,
    RATE,
    VERSION_OPTION,
    WORKERS_OPTION,
    needs,
)

if TYPE_CHECKING:
    from benchmark.release import Release

CAMPAIGN_OPTION = click.option(
    "--campaign", type=click.Path(path_type=Path), default=Path("campaigns/cifar10"),
    show_default=True, help="Folder of the plan and the finished runs.",
)  # fmt: skip


@click.group(context_settings=HELP)
def generate() -> None:
    """Train networks: plan a campaign, run it, and merge it into a dataset."""


@generate.command(context_settings=HELP)
@CAMPAIGN_OPTION
@click.option(
    "--images", "names", multiple=True,
    help="Image set; may be given more than once [default: cifar10].",
)  # fmt: skip
@click.option("--networks", type=COUNT, help="Number per image set [default: as in the release].")
@click.option("--pilot", is_flag=True, help="Plan the learning-rate pilot of one image set.")
@click.option(
    "--rate", "rates", multiple=True, type=RATE,
    help="Learning rate of the pilot; may be given more than once [default: 0.02 and 0.05].",
)  # fmt: skip
@click.option(
    "--calibration", is_flag=True, help="Plan the longer and wider trainings of one image set."
)
@click.option("--missing", is_flag=True, help="Leave out runs that the release already has.")
@click.option("--fresh", metavar="WORD", help="Plan networks of no release, from a secret word.")
@click.option("--ids", type=FILE, help="Plan exactly the runs whose ids a file lists, one a line.")
@DATA_OPTION
def plan(
    *,
    campaign: Path,
    names: tuple[str, ...],
    networks: int | None,
    pilot: bool,
    rates: tuple[float, ...],
    calibration: bool,
    missing: bool,
    fresh: str | None,
    ids: Path | None,
    release: "Release",
) -> None:
    """Plan the runs of a campaign, in a balanced order.

    With more networks than the release has, the plan has all networks of the release, and more.
    With --fresh, which needs --networks, it has networks of no release, to try submitted code on.
    With --ids, it has listed runs of the release or its plan, in the order of the file.
    """
    from benchmark.util.text import quantity
    from generators.campaign.calibration import calibration_plan, calibration_recipes
    from generators.campaign.campaign import Campaign, release_recipes
    from generators.campaign.fresh import make_fresh_plan
    from generators.campaign.learning_rate_pilot import pilot_plan, pilot_recipes
    from generators.campaign.listed import listed_runs
    from generators.campaign.plan import make_plan
    from generators.campaign.published import published_ids

    given = {"pilot": pilot, "calibration": calibration, "fresh": fresh, "ids": ids}
    kinds = [f"--{name}" for name, value in given.items() if value not in (None, False)]
    if len(kinds) > 1:
        raise click.UsageError(f"{kinds[0]} and {kinds[1]} cannot be combined")
    if kinds not in ([], ["--fresh"]) and networks is not None:
        raise click.UsageError(f"{kinds[0]} takes no --networks")
    if (ids is not None and names) or ((pilot or calibration) and len(names) > 1):
        raise click.UsageError(f"{kinds[0]} takes {'no --images' if ids else 'one image set'}")
    if rates and not pilot:
        raise click.UsageError("--rate needs --pilot")
    names, recipes, rates = names or ("cifar10",), release_recipes(), rates or (0.02, 0.05)
    if ids is not None:
        runs = listed_runs(ids, release)
        recipes |= {run.recipe_id: release.recipe(run.recipe_id) for run in runs}
    elif fresh is not None:
        if networks is None:
            raise click.UsageError("--fresh needs --networks")
        runs = make_fresh_plan(names, networks, fresh, release)
    elif calibration:
        runs, recipes = calibration_plan(names[0]), calibration_recipes(names[0])
    elif pilot:
        runs, recipes = pilot_plan(names[0], rates), pilot_recipes(names[0], rates)
    else:
        runs = make_plan(names, networks)
    if missing:
        published = published_ids({run.images for run in runs}, release)
        runs = [run for run in runs if run.run_id not in published]
    purpose = "pilot" if pilot else "calibration" if calibration else "release"
    Campaign(campaign).create(runs, recipes, purpose)
    cost = sum(run.cost for run in runs) / 1e12
    click.echo(
        f"{quantity(len(runs), 'run')} planned in {campaign}, {cost:,.1f} tera multiply-accumulates"
    )


@generate.command(context_settings=HELP)
@CAMPAIGN_OPTION
@IMAGES_FOLDER_OPTION
@DEVICE_OPTION
@WORKERS_OPTION
@click.option(
    "--shard", default="1/1", show_default=True, help="i/n: every n-th run from the i-th."
)
@BUDGET_OPTION
@click.option("--limit", type=COUNT, help="Maximum number of runs to train.")
@click.option(
    "--engine", default="local", show_default=True, is_eager=True,
    help="Where workers run: local (this machine) or ray (a Ray cluster).",
)  # fmt: skip
@click.option(
    "--address", default="auto", show_default=True,
    help="Ray cluster as host:port; auto finds the one on this machine, local starts one.",
)  # fmt: skip
@needs("generate")
def run(
    *,
    campaign: Path,
    images_folder: Path,
    device: str,
    workers: int,
    shard: str,
    minutes: float | None,
    limit: int | None,
    engine: str,
    address: str,
) -> None:
    """Train the unfinished runs of a campaign.

    Safe to interrupt: run the same command to resume. A run whose worker was killed twice, whose
    machine was lost four times, or that met a mistake in the code, has failed: it is named at the
    end, and the same command tries it again, after the others. The third mistake without a finished
    run in between ends the command.

    With --engine ray, workers run on all machines of a Ray cluster. With --device cuda, --workers
    networks are trained at the same time on each GPU. With --device cpu, there is a group of
    --workers processes for every --workers CPUs. Finished runs are sent to this machine, so only it
    needs the campaign's folder. Each machine needs this package, and the images at the same path.
    If a machine is lost, its unfinished runs are trained on the others. Machines that join are
    used.

    Exit code 1 means that runs failed, 3 that the budget ended with runs left.
    """
    from benchmark.util.shard import parse_shard
    from benchmark.util.text import quantity
    from generators.campaign.campaign import Campaign
    from generators.campaign.run_campaign import run_campaign
    from generators.workers.run_options import RunOptions

    values = images_folder, device, workers, parse_shard(shard), minutes, limit, engine, address
    options = RunOptions(*values)  # type: ignore[arg-type]
    finished, left, failures = run_campaign(Campaign(campaign), options)
    click.echo(f"{quantity(finished, 'run')} finished, {left} left")
    if failures:
        click.echo(
            f"{quantity(len(failures), 'run')} failed; the same command tries again:", err=True
        )
    for name, reason in failures.items():
        click.echo(f"  {name}: {reason}", err=True)
    reached = limit is not None and finished >= limit
    sys.exit(1 if failures else 3 if left and not reached else 0)


@generate.command(context_settings=HELP)
@CAMPAIGN_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(campaign: Path, as_json: bool) -> None:
    """Count finished, failed and planned runs by image set, skeleton and split.

    `generate run` tries failed runs again, and those whose files are damaged.
    """
    from generators.campaign.status import campaign_status, status_lines

    groups, damaged = campaign_status(campaign)
    for path in damaged:
        click.echo(f"{path} is damaged; `peephole generate run` trains its run again", err=True)
    if as_json:
        click.echo(json.dumps([{**group.__dict__} for group in groups], indent=1))
        return
    click.echo("\n".join(status_lines(groups)))


@generate.command(context_settings=HELP)
@click.option(
    "--campaign", "campaigns", type=click.Path(path_type=Path), multiple=True,
    default=(Path("campaigns/cifar10"),), show_default=True,
    help="Folder of a campaign; may be given more than once.",
)  # fmt: skip
@MERGED_DATA_OPTION
@click.option("--calibration", metavar="IMAGES", help="Add the calibration runs of an image set.")
@VERSION_OPTION
def merge(
    campaigns: tuple[Path, ...], release: "Release", calibration: str | None, version: str | None
) -> None:
    """Build a release from the finished runs of campaigns.

    With --calibration, the campaigns must have been planned so; their runs enter no split.
    """
    from benchmark.util.text import quantity
    from generators.campaign.calibration import add_calibration
    from generators.campaign.campaign import Campaign
    from generators.campaign.merge import merge as merge_campaigns

    merged = [Campaign(folder) for folder in campaigns]
    if calibration is None:
        counts = merge_campaigns(merged, release.folder, version)
    else:
        counts = add_calibration(merged, calibration, release.folder, version)
    for (name, split), count in counts.items():
        click.echo(f"{name} {split}: {quantity(count, 'run')}")


@generate.command(context_settings=HELP)
@CAMPAIGN_OPTION
@click.option("--images", "name", default="cifar10", show_default=True, help="Image set.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write the table to a file.")
def pilot(campaign: Path, name: str, output: Path | None) -> None:
    """Show the learning-rate pilot's results and the rate it chooses."""
    from benchmark.util.atomic import write_atomically
    from generators.campaign.campaign import Campaign
    from generators.campaign.learning_rate_pilot import pilot_csv, pilot_rates

    text = pilot_csv(pilot_rates(Campaign(campaign), name))
    if output is not None:
        write_atomically(output, text)
    click.echo(text, nl=False)
