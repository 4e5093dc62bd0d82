"""Commands that show a network, the runs of an image set, or a predictor and its features."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    DATA_OPTION,
    FILE,
    FOLDER,
    HELP,
    JSON_OPTION,
    RESULTS_OPTION,
    SEED,
    echo_lines,
    needs,
    picture_option,
)

if TYPE_CHECKING:
    from benchmark.release import Release
    from leaderboard.show.network import Network

OUTPUT_OPTION = picture_option("--output")


def _needs_onnx(_: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    from benchmark.extras import check_extra

    if path is not None:
        check_extra(option.opts[0], "onnx")
    return path


@click.group(context_settings=HELP)
def show() -> None:
    """Show a network, the runs of an image set, or a predictor, in the terminal or as a picture."""


@show.command("network", context_settings=HELP)
@click.argument("name", metavar="ID")
@click.option("--images", help="Image set [default: the first that has the network].")
@click.option(
    "--text", "form", flag_value="text", help="Print a line for each layer, and nothing else."
)
@click.option(
    "--torch",
    "form",
    flag_value="torch",
    help="Print the code of a torch module, which imports torch alone.",
)
@click.option(
    "--onnx",
    type=FILE,
    callback=_needs_onnx,
    help="File for an ONNX model, whose weights are inputs. Needs the extra `onnx`.",
)
@OUTPUT_OPTION
@DATA_OPTION
@JSON_OPTION
def show_network(
    name: str, *, images: str | None, form: str | None, onnx: Path | None, output: Path | None,
    release: "Release", as_json: bool,
) -> None:  # fmt: skip
    """Show the layers of a network and the curves of all its runs.

    ID is an architecture id, an unambiguous prefix of one, or a run id. `conv3x5:24` is a
    convolution with a kernel 3 high and 5 wide and 24 output channels; `/2` at the end is a stride.
    """
    from leaderboard.show.network import load_network, network_lines, network_record
    from leaderboard.show.network_plot import draw_network

    network = load_network(name, images, release)
    if form is not None:
        click.echo(_text(network, form), nl=False)
    elif as_json:
        click.echo(json.dumps(network_record(network)))
    else:
        click.echo("\n".join(network_lines(network)))  # with colours
    if onnx is not None:
        _write_onnx(network, onnx)
        click.echo(onnx, err=True)
    if output is not None:
        draw_network(network, output)
        click.echo(output, err=True)


def _text(network: "Network", form: str) -> str:
    """Return the lines of a network's layers, or the code of its torch module."""
    from leaderboard.show.network_code import layer_text, torch_text

    if form == "text":
        return f"{layer_text(network.rows)}\n"
    title = f"Network {network.architecture_id} of {network.images}."
    return torch_text(network.rows, network.recipe, title)


def _write_onnx(network: "Network", path: Path) -> None:
    from leaderboard.show.network_onnx import write_onnx

    write_onnx(network.rows, network.recipe, path)


@show.command("networks", context_settings=HELP)
@click.argument("images")
@click.option(
    "--text", "form", flag_value="text", help="Text: a line for each layer. This is the default."
)
@click.option(
    "--torch",
    "form",
    flag_value="torch",
    help="Text: the code of a torch module, which imports torch alone.",
)
@click.option(
    "--onnx",
    type=FOLDER,
    callback=_needs_onnx,
    help="Folder for an ONNX model of each network, ID.onnx. Needs the extra `onnx`.",
)
@DATA_OPTION
def show_networks(images: str, form: str | None, onnx: Path | None, release: "Release") -> None:
    """Print the text of all networks of an image set, as JSON Lines.

    Each line has a network's architecture_id, skeleton, images, split and text. The text and the
    ONNX model are those of `show network`.
    """
    from leaderboard.show.network import all_networks

    for network in all_networks(images, release):
        if onnx is not None:
            _write_onnx(network, onnx / f"{network.architecture_id}.onnx")
        names = ("architecture_id", "skeleton", "images", "split")
        record = {name: getattr(network, name) for name in names}
        click.echo(json.dumps(record | {"text": _text(network, form or "text")}))


@show.command("split", context_settings=HELP)
@click.argument("images")
@OUTPUT_OPTION
@DATA_OPTION
@JSON_OPTION
def show_split(images: str, output: Path | None, release: "Release", as_json: bool) -> None:
    """Show the number of networks in each split and skeleton, and their accuracies.

    IMAGES is an image set of the release. Accuracies are valid accuracies of seed 0.
    """
    from leaderboard.show.split import group_lines, group_record, load_groups
    from leaderboard.show.split_plot import draw_groups

    groups = load_groups(images, release)
    records = (json.dumps(group_record(group)) for group in groups)
    echo_lines(records if as_json else group_lines(images, groups))
    if output is not None:
        draw_groups(images, groups, output)
        click.echo(output, err=True)


@show.command("predictor", context_settings=HELP)
@click.argument("name")
@click.option("--task", "task_name", required=True, help="Frozen task with its result.")
@RESULTS_OPTION
@OUTPUT_OPTION
@DATA_OPTION
@JSON_OPTION
def show_predictor(
    name: str,
    *,
    task_name: str,
    results: Path | None,
    output: Path | None,
    release: "Release",
    as_json: bool,
) -> None:
    """Show a predictor, its scores by split and skeleton, and predicted against true accuracy."""
    from harness.results.folder import folders_to_read
    from leaderboard.show.predictor import load_predictor, predictor_lines, predictor_record
    from leaderboard.show.predictor_plot import draw_predictor

    shown = load_predictor(name, task_name, folders_to_read(results), release)
    lines = [json.dumps(predictor_record(shown))] if as_json else predictor_lines(shown)
    echo_lines(lines)
    if output is not None:
        draw_predictor(shown, output)
        click.echo(output, err=True)


@show.command("features", context_settings=HELP)
@click.option("--predictor", "name", required=True, help="Predictor to fit, as for `evaluate`.")
@click.option("--task", "task_name", required=True, help="Frozen task to fit it on.")
@click.option(
    "--neighbours", default=10, show_default=True, type=COUNT, help="Nearest networks to average."
)
@click.option("--network", help="Test network whose layers are shown [default: a median one].")
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of the fit.")
@OUTPUT_OPTION
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@needs("predictors", "sklearn")
def show_features(
    name: str,
    *,
    task_name: str,
    neighbours: int,
    network: str | None,
    seed: int,
    output: Path | None,
    release: "Release",
    as_json: bool,
) -> None:
    """Fit a predictor, and show what it makes of test networks and of their layers.

    The table says how well the mean accuracy of a network's nearest neighbours orders the networks,
    with neighbours by what the predictor makes of networks, and by features that nobody learned.
    Below it are the units whose values tell convolutions best from other layers; as the kind of a
    layer is an input, untrained units do so, too. The picture has a t-SNE of the features, and the
    values of these units along the layers of a network.
    """
    from harness.running.find_predictor import find
    from harness.studies.learned_features import make_with_features, study_features
    from leaderboard.show.features import features_lines, features_record
    from leaderboard.show.features_plot import draw_features

    task, candidate = release.task(task_name), find(name)
    make_with_features(candidate)  # or else an error, before it says that it fits
    click.echo(f"fitting {candidate.name} on {task.name}", err=True)
    study = study_features(
        candidate, task, neighbours=neighbours, network=network, seed=seed, release=release
    )
    echo_lines([json.dumps(features_record(study))] if as_json else features_lines(study))
    if output is not None:
        draw_features(study, output)
        click.echo(output, err=True)
