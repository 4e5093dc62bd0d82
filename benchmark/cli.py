"""Commands that show and check architectures and the released data."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    DATA_OPTION,
    HELP,
    JSON_OPTION,
    VERSION_OPTION,
    WRITTEN_DATA_OPTION,
    echo_lines,
    needs,
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(release: "Release", as_json: bool) -> None:
    """Check the checksum, schema and rows of every file, and name what does not belong there.

    A release of one's own can be valid, too: the last line says whether this is a published one.
    """
    from benchmark.manifest import released_proxies, released_splits
    from benchmark.publish.checksums import compare_with_published
    from benchmark.publish.verify import verify_release
    from benchmark.util.text import quantity

    folder = release.folder
    problems = verify_release(folder)
    verdict = None if problems else compare_with_published(folder)
    if as_json:
        record = {"folder": str(folder), "problems": problems, "verdict": verdict}
        click.echo(json.dumps(record))
    else:
        echo_lines(problems)
    if problems:
        raise click.ClickException(f"{quantity(len(problems), 'problem')} in {str(folder)!r}")
    if not as_json:
        files = f"{quantity(len(released_splits(folder)), 'file')} of runs"
        if released_proxies(folder):
            files += f" and {len(released_proxies(folder))} of proxies"
        click.echo(f"{files} in {folder}: {verdict}")


@data.command(context_settings=HELP)
@click.option("--images", default="cifar10", show_default=True, help="Name of an image set.")
@DATA_OPTION
@JSON_OPTION
def calibration(images: str, release: "Release", as_json: bool) -> None:
    """Show how well the released runs rank networks as longer and wider trainings do.

    Kendall's tau compares final valid accuracies of the same networks, with a 95 % interval over
    resamples of networks. The first line compares the released runs with those of another seed.
    """
    from benchmark.calibration import agreements

    found = agreements(images, release)
    if as_json:
        echo_lines(json.dumps(asdict(agreement)) for agreement in found)
        return
    if not found:
        raise click.ClickException(f"{str(release.folder)!r} has no calibration of {images!r}")
    titles = "training", "recipe", "networks", "accuracy", "tau", "interval"
    for cells in (titles, *(agreement.cells for agreement in found)):
        click.echo("{:22} {:12} {:>8} {:>8} {:>6}  {}".format(*cells))


@data.command("card", context_settings=HELP)
@WRITTEN_DATA_OPTION
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
@needs("hub", "huggingface_hub")
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
