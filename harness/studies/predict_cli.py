"""The command that predicts a network of one's own."""

import json
from pathlib import Path

import click

HELP = {"help_option_names": ["-h", "--help"]}


@click.command(context_settings=HELP)
@click.argument("network")
@click.option("--images", default="digits", show_default=True, help="What it would be trained on.")
@click.option("--predictor", default="arc", show_default=True, help="As for `evaluate`.")
@click.option("--seed", default=0, show_default=True, type=int, help="The predictor's.")
@click.option("--layers", is_flag=True, help="Show how the network is understood; predict nothing.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Another copy of the data than the installed one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def predict(
    network: str,
    *,
    images: str,
    predictor: str,
    seed: int,
    layers: bool,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Predict the learning curve of a torch module of one's own, before it is trained.

    NETWORK is path/to/file.py:Class or package.module:Class: a torch module, or what makes one
    without arguments. It is traced into layers and compared with the release's networks, all
    trained with the release's recipe.
    """
    from dataclasses import asdict

    from benchmark.space.imagesets import get_images
    from harness.running.find_predictor import find
    from harness.studies.predict_module import check_released, find_network, predict_network
    from harness.studies.predict_module_text import layer_lines, outlook_lines
    from harness.tracing.trace import layer_rows

    image_set, candidate = get_images(images), find(predictor)
    module = find_network(network)
    rows = layer_rows(module, image_set)
    if layers:
        found = [json.dumps(asdict(row)) for row in rows] if as_json else layer_lines(rows)
        click.echo("\n".join(found))
        return
    check_released(images, folder)
    own = sum(p.numel() for p in module.parameters() if p.requires_grad)
    click.echo(f"fitting {candidate.name} on the training networks of {images}", err=True)
    outlook = predict_network(rows, images, candidate, seed=seed, folder=folder)
    if as_json:
        record = {"network": network, "module_parameters": own} | asdict(outlook)
        click.echo(json.dumps(record))
        return
    click.echo("\n".join(outlook_lines(outlook, network, own)))
