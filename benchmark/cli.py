"""Commands that show and check architectures, the released data and the tasks."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    COUNT_OR_NONE,
    DATA_OPTION,
    HELP,
    JSON_OPTION,
    VERSION_OPTION,
    echo_lines,
)

if TYPE_CHECKING:
    from benchmark.release import Release
    from benchmark.space.imagesets import ImageSet
    from benchmark.space.sampler import Drawn


@click.command(context_settings=HELP)
@click.option("--skeleton", default="peephole-3x2", show_default=True, help="Name of a skeleton.")
@click.option("--images", default="cifar10", show_default=True, help="Name of an image set.")
@click.option("-n", "--number", default=5, show_default=True, type=COUNT, help="How many.")
@JSON_OPTION
def sample(skeleton: str, images: str, number: int, as_json: bool) -> None:
    """Show the first architectures of a skeleton, sampled as in the dataset.

    Each line is a stage, labelled with its width; `|` separates its blocks. `conv3x5:24` is a
    convolution with kernel height 3, kernel width 5 and 24 output channels.
    """
    from benchmark.space.imagesets import get_images
    from benchmark.space.sampler import sequence

    image_set = get_images(images)
    for drawn in islice(sequence(skeleton, image_set), number):
        record = _record(drawn, image_set)
        click.echo(json.dumps(record) if as_json else _drawing(drawn, record))


def _record(drawn: "Drawn", images: "ImageSet") -> dict[str, object]:
    """Return the columns of a run that follow from its architecture."""
    from benchmark.space.architectures import to_record
    from benchmark.space.layer_walk import macs, parameters, walk

    rows = walk(drawn.architecture, images)
    return {
        "architecture_id": drawn.architecture_id,
        "drawn_architecture_id": drawn.drawn_architecture_id,
        "draw_index": drawn.draw_index,
        "paired_architecture_id": drawn.paired_architecture_id,
        "skeleton": drawn.architecture.skeleton,
        "images": images.name,
        "split": drawn.split,
        "parameters": parameters(rows),
        "macs": macs(rows),
        "architecture": to_record(drawn.architecture),
    }


def _drawing(drawn: "Drawn", record: dict[str, object]) -> str:
    """Return a title, and a line for every stage: its width, and its blocks separated by bars."""
    from benchmark.space.layer_walk import layer_word

    title = (
        f"{drawn.architecture_id}  {drawn.split}  {record['parameters']:,} parameters  "
        f"{record['macs']:,} MACs"
    )
    blocks = [" ".join(map(layer_word, block.layers)) for block in drawn.architecture.blocks]
    widths = drawn.architecture.widths
    per_stage = len(blocks) // len(widths)
    stages = [
        f"{width:5}  " + " | ".join(blocks[stage * per_stage : (stage + 1) * per_stage])
        for stage, width in enumerate(widths)
    ]
    return "\n".join([title, *stages])


@click.group(context_settings=HELP)
def data() -> None:
    """Show, check and copy the released dataset."""


@data.command(context_settings=HELP)
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(release: "Release", as_json: bool) -> None:
    """Show what the release holds, as counted in its manifest."""
    manifest = release.manifest()
    if as_json:
        click.echo(json.dumps(asdict(manifest)))
        return
    click.echo(f"release {manifest.version} in {release.folder}")
    click.echo(f"{'images':8} {'split':10} {'networks':>8} {'runs':>6} {'diverged':>8} {'MB':>6}")
    for s in manifest.splits:
        diverged, size = s.statuses.get("diverged", 0), s.bytes / 1e6
        click.echo(f"{s.images:8} {s.split:10} {s.networks:8} {s.runs:6} {diverged:8} {size:6.2f}")
    for p in manifest.proxies:
        click.echo(f"{p.images:8} {'proxies':10} {p.networks:8} {'':6} {'':8} {p.bytes / 1e6:6.2f}")


@data.command(context_settings=HELP)
@DATA_OPTION
def verify(release: "Release") -> None:
    """Check the checksum, schema and rows of every file, and name what does not belong there.

    A release of one's own can be valid, too: the last line says whether this is a published one.
    """
    from benchmark.manifest import released_proxies, released_splits
    from benchmark.publish.checksums import compare_with_published
    from benchmark.publish.verify import verify_release

    folder = release.folder
    problems = verify_release(folder)
    echo_lines(problems)
    if problems:
        raise click.ClickException(f"{len(problems)} problems in {str(folder)!r}")
    files = f"{len(released_splits(folder))} files of runs"
    if released_proxies(folder):
        files += f" and {len(released_proxies(folder))} of proxies"
    click.echo(f"{files} in {folder}: {compare_with_published(folder)}")


@data.command("card", context_settings=HELP)
@DATA_OPTION
@VERSION_OPTION
@click.option(
    "--sign",
    "signed",
    multiple=True,
    metavar="FILE",
    help="File of the release that you changed, added or removed; may be given more than once.",
)
def write_card(release: "Release", version: str | None, signed: tuple[str, ...]) -> None:
    """Rewrite the descriptions of a release: card, manifest, Croissant, citation, checksums.

    All other files must be as they were signed.
    """
    from benchmark.publish.finish import finish_release

    manifest = finish_release(release.folder, version, signed)
    click.echo(f"release {manifest.version} in {release.folder}")


@data.command(context_settings=HELP)
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--archive", is_flag=True, help="Write a ZIP file, named after the version.")
@DATA_OPTION
def export(destination: Path, archive: bool, release: "Release") -> None:
    """Copy the release to a new folder, or as an archive into a folder, and verify the copy."""
    from benchmark.publish.export import export_archive, export_folder

    write = export_archive if archive else export_folder
    click.echo(write(release.folder, destination))


@data.command(context_settings=HELP)
@click.option(
    "--repository", required=True, metavar="OWNER/NAME", help="Dataset repository of the mirror."
)
@click.option(
    "--revision", default="main", show_default=True, help="Branch, tag or commit of the mirror."
)
@click.option(
    "--cache", type=click.Path(path_type=Path), help="Cache folder [default: the user's cache]."
)
@click.option("--endpoint", help="Address of a Hub other than huggingface.co.")
def download(repository: str, revision: str, cache: Path | None, endpoint: str | None) -> None:
    """Fetch a mirror of the release from the Hub, verify it, and print its folder.

    No mirror is published yet, so there is no default repository; the release itself is in this
    package. Pass the printed folder to `--data`.
    """
    from benchmark.publish.checksums import compare_with_published
    from benchmark.publish.mirror import Mirror, download_release

    folder = download_release(Mirror(repository, revision, endpoint), cache)
    click.echo(f"{repository} at {folder.name}: {compare_with_published(folder)}", err=True)
    click.echo(folder)


@click.group(context_settings=HELP)
def task() -> None:
    """Show the frozen tasks, or freeze new ones."""


@task.command("list", context_settings=HELP)
def list_tasks() -> None:
    """List the frozen tasks."""
    from benchmark.release import INSTALLED

    for name in INSTALLED.task_names():
        frozen = INSTALLED.task(name)
        sizes = ", ".join(f"{split} {len(ids)}" for split, ids in frozen.parts.items())
        click.echo(f"{name:16} {frozen.observed} of {frozen.epochs} epochs observed; {sizes}")


@task.command(context_settings=HELP)
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON, run ids included.")
def show(name: str, as_json: bool) -> None:
    """Show a task, and check that its data is unchanged since it was frozen."""
    from benchmark.release import INSTALLED

    frozen = INSTALLED.task(name)
    INSTALLED.task_tables(frozen)
    if as_json:
        click.echo(json.dumps(asdict(frozen)))
        return
    click.echo(
        f"{frozen.name}: predict {frozen.target} (and {frozen.second_target}) on {frozen.images}"
    )
    click.echo(f"observed: {frozen.observed} of {frozen.epochs} epochs")
    for split, ids in frozen.parts.items():
        click.echo(f"{split:10} {len(ids):5} runs")
    click.echo(f"digest: {frozen.digest} (agrees with the data)")


@task.command("freeze", context_settings=HELP)
@click.argument("images")
@click.option(
    "--observed", multiple=True, type=COUNT_OR_NONE, help="Observed epochs [default: 0 1 2 3 5]."
)
@click.option("--version", default=1, show_default=True, type=COUNT, help="Version of the tasks.")
@DATA_OPTION
def freeze_tasks(images: str, observed: tuple[int, ...], version: int, release: "Release") -> None:
    """Write the tasks of an image set for its released runs. A frozen task never changes."""
    from benchmark.publish.finish import changing_release
    from benchmark.publish.freeze import freeze, write_task
    from benchmark.release import Release
    from benchmark.tasks import OBSERVED

    names = []
    with changing_release(release.folder) as draft:
        for epochs in observed or OBSERVED:
            frozen = freeze(images, epochs, Release(draft), version=version)
            names.append(write_task(frozen, Release(draft)).name)
    echo_lines(str(release.tasks_folder / name) for name in names)
