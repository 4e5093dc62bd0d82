"""Commands that show the frozen tasks, or freeze new ones."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    COUNT_OR_NONE,
    DATA_OPTION,
    HELP,
    JSON_OPTION,
    WRITTEN_DATA_OPTION,
    echo_lines,
)

if TYPE_CHECKING:
    from benchmark.release import Release


@click.group(context_settings=HELP)
def task() -> None:
    """Show the frozen tasks, or freeze new ones."""


@task.command("list", context_settings=HELP)
@DATA_OPTION
@JSON_OPTION
def list_tasks(release: "Release", as_json: bool) -> None:
    """List the frozen tasks."""
    names = release.task_names()
    if not names:
        click.echo("there is no frozen task; `peephole task freeze` creates them", err=True)
    for name in names:
        frozen = release.task(name)
        sizes = {split: len(ids) for split, ids in frozen.parts.items()}
        if as_json:
            record = {"name": name, "images": frozen.images, "observed": frozen.observed}
            click.echo(json.dumps(record | {"epochs": frozen.epochs, "runs": sizes}))
            continue
        counts = ", ".join(f"{split} {size}" for split, size in sizes.items())
        click.echo(f"{name:16} {frozen.observed} of {frozen.epochs} epochs observed; {counts}")


@task.command(context_settings=HELP)
@click.argument("name")
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON, run ids included.")
def show(name: str, release: "Release", as_json: bool) -> None:
    """Show a task, and check that its data is unchanged since it was frozen."""
    from benchmark.util.text import quantity

    frozen = release.task(name)
    release.task_tables(frozen)
    if as_json:
        click.echo(json.dumps(asdict(frozen)))
        return
    click.echo(
        f"{frozen.name}: predict {frozen.target} (and {frozen.second_target}) on {frozen.images}"
    )
    if frozen.fitted_on != frozen.images:
        click.echo(f"fitted on: {frozen.fitted_on}; only the order of the networks is scored")
    click.echo(f"observed: {frozen.observed} of {frozen.epochs} epochs")
    for split, ids in frozen.parts.items():
        click.echo(f"{split:10} {quantity(len(ids), 'run'):>10}")
    click.echo(f"digest: {frozen.digest} (agrees with the data)")


@task.command("freeze", context_settings=HELP)
@click.argument("images")
@click.option(
    "--fitted-on", help="Image set to fit on, for transfer tasks [default: IMAGES itself]."
)
@click.option(
    "--observed",
    multiple=True,
    type=COUNT_OR_NONE,
    help="Observed epochs [default: 0 1 2 3 5, and 0 alone for transfer tasks].",
)
@click.option("--version", type=COUNT, help="Version [default: the next one if rows changed].")
@WRITTEN_DATA_OPTION
def freeze_tasks(
    images: str,
    *,
    fitted_on: str | None,
    observed: tuple[int, ...],
    version: int | None,
    release: "Release",
) -> None:
    """Write the tasks of an image set for its released runs. A frozen task never changes.

    A transfer task has the training and validation runs of one image set, and asks for the order
    of the networks of another.
    """
    from benchmark.publish.finish import changing_release
    from benchmark.publish.freeze import freeze, write_task
    from benchmark.release import Release
    from benchmark.tasks import OBSERVED

    transfer = fitted_on not in (None, images)
    names = []
    with changing_release(release.folder) as draft:
        for epochs in observed or (OBSERVED[:1] if transfer else OBSERVED):
            data = Release(draft)
            frozen = freeze(images, epochs, data, fitted_on=fitted_on, version=version)
            names.append(write_task(frozen, Release(draft)).name)
    echo_lines(str(release.tasks_folder / name) for name in names)
