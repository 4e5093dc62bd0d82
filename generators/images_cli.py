"""Commands for the images that networks are trained on."""

from pathlib import Path

import click

from benchmark.options import HELP, IMAGES_FOLDER, needs

FOLDER_OPTION = IMAGES_FOLDER("--folder", "images_folder")


@click.group(context_settings=HELP)
def images() -> None:
    """Download and check the images that networks are trained on."""


@images.command(context_settings=HELP)
@click.argument("name")
@FOLDER_OPTION
@needs("generate", "torchvision", "sklearn")
def download(name: str, images_folder: Path) -> None:
    """Download an image set (cifar10, mnist) with torchvision."""
    from generators.training.images import download_images

    download_images(name, images_folder)
    _report(name, images_folder)


@images.command(context_settings=HELP)
@click.argument("name")
@FOLDER_OPTION
@needs("generate", "torchvision", "sklearn")
def check(name: str, images_folder: Path) -> None:
    """Check that an image set is complete and gives the published splits."""
    from generators.training.images import make_published_file, published_file

    if make_published_file(name, images_folder) != published_file(name):
        raise click.ClickException(
            f"{name} in {str(images_folder)!r} does not give the published splits"
        )
    _report(name, images_folder)


def _report(name: str, folder: Path) -> None:
    from generators.training.images import load_images

    pixels = load_images(name, folder)
    for split in ("train", "valid", "test"):
        shape = getattr(pixels, split).images.shape
        click.echo(f"{name} {split}: {shape[0]} images of {shape[1]}x{shape[2]}x{shape[3]}")
