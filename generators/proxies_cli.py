"""The command that computes zero-cost proxies."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    DEVICE_OPTION,
    HELP,
    IMAGES_FOLDER_OPTION,
    PARALLEL,
    VERSION_OPTION,
    WRITTEN_DATA_OPTION,
    needs,
)

if TYPE_CHECKING:
    from benchmark.release import Release


@click.command(context_settings=HELP)
@click.option("--images", "name", help="Image set [default: the first of the data].")
@WRITTEN_DATA_OPTION
@IMAGES_FOLDER_OPTION
@DEVICE_OPTION
@click.option(
    "--processes", default=2, show_default=True, type=PARALLEL,
    help="Networks to measure at the same time.",
)  # fmt: skip
@VERSION_OPTION
@needs("generate")
def proxies(
    name: str | None,
    release: "Release",
    images_folder: Path,
    device: str,
    processes: int,
    version: str | None,
) -> None:
    """Compute the missing zero-cost proxies of a release.

    Safe to interrupt: run the same command to resume.
    """
    from benchmark.util.text import quantity
    from generators.proxies.compute import add_proxies
    from generators.workers.run_options import RunOptions

    options = RunOptions(images_folder, device, processes)
    count = add_proxies(name or release.default_images(), release.folder, options, version)
    current = release.manifest().version
    click.echo(f"{quantity(count, 'network')} computed; release {current} in {release.folder}")
