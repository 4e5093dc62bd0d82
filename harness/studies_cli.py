"""Commands that study predictors and results beyond a task's scores."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    DATA_OPTION,
    FILE,
    HELP,
    JSON_OPTION,
    RESULTS_OPTION,
    echo_lines,
)

if TYPE_CHECKING:
    from benchmark.release import Release


@click.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="PREDICTOR PREDICTOR...", required=True)
@click.option("--task", "name", required=True, help="A frozen task that all have answered.")
@click.option("--metric", default="tau", show_default=True, help="What is compared.")
@click.option("--stratum", default="test", show_default=True, help="Which networks.")
@RESULTS_OPTION
@DATA_OPTION
@JSON_OPTION
def compare(
    predictors: tuple[str, ...],
    *,
    name: str,
    metric: str,
    stratum: str,
    results: Path | None,
    release: "Release",
    as_json: bool,
) -> None:
    """Say which of some predictors are surely better, pair by pair, on the same resamples.

    P-values are corrected for the number of pairs (Holm).
    """
    from harness.results.folder import results_folder
    from harness.score_text import difference_lines, json_lines
    from harness.studies.compare import compare as differences

    task = release.task(name)
    found = differences(
        task, predictors, results_folder(results), metric=metric, stratum=stratum, release=release
    )
    if not as_json:
        click.echo(f"{metric} on {stratum} of {task.name}")
    echo_lines(json_lines(found) if as_json else difference_lines(found))


@click.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="[PREDICTOR]...")
@click.option("--images", default="digits", show_default=True, help="Whose test networks.")
@click.option("--version", type=COUNT, help="Of the tasks [default: the latest].")
@click.option("--candidates", default=100, show_default=True, type=COUNT, help="In each set.")
@click.option("--plot", type=FILE, help="PNG or SVG to draw.")
@RESULTS_OPTION
@DATA_OPTION
@JSON_OPTION
def select(
    predictors: tuple[str, ...],
    *,
    images: str,
    version: int | None,
    candidates: int,
    plot: Path | None,
    results: Path | None,
    release: "Release",
    as_json: bool,
) -> None:
    """Say what choosing the best of many networks early costs in epochs, and gives up.

    Ways to choose: stopping all after some epochs, successive halving, and every predictor that has
    results (or those named). What they keep is trained to the end.
    """
    from harness.predictors.registry import PREDICTORS
    from harness.results.folder import results_folder
    from harness.score_text import json_lines, strategy_lines
    from harness.studies.early_selection import simulate_selection
    from harness.studies.early_selection_plot import draw

    known = release.task_names()
    found_tasks = [re.fullmatch(rf"{images}-k\d+-v(\d+)", name) for name in known]
    versions = {match[0]: int(match[1]) for match in found_tasks if match}
    wanted = version or max(versions.values(), default=1)
    names = [name for name, of in versions.items() if of == wanted]
    if not names:
        raise ValueError(f"there is no task of {images!r} with version {wanted}")
    asked = predictors or tuple(PREDICTORS)
    tasks = [release.task(name) for name in names]
    found = simulate_selection(
        tasks, asked, results_folder(results), candidates=candidates, release=release
    )
    echo_lines(json_lines(found) if as_json else strategy_lines(found))
    if plot is not None:
        draw(found, plot, f"{images}: the best of {candidates} test networks")


@click.command(context_settings=HELP)
@click.argument("network")
@click.option("--images", default="digits", show_default=True, help="What it would be trained on.")
@click.option("--predictor", default="arc", show_default=True, help="As for `evaluate`.")
@click.option("--seed", default=0, show_default=True, type=int, help="The predictor's.")
@click.option("--layers", is_flag=True, help="Show how the network is understood; predict nothing.")
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def predict(
    network: str,
    *,
    images: str,
    predictor: str,
    seed: int,
    layers: bool,
    release: "Release",
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
    from harness.studies.predict_module_text import layer_lines, prediction_lines
    from harness.tracing.trace import layer_rows

    image_set, candidate = get_images(images), find(predictor)
    module = find_network(network)
    rows = layer_rows(module, image_set)
    if layers:
        found = [json.dumps(asdict(row)) for row in rows] if as_json else layer_lines(rows)
        click.echo("\n".join(found))
        return
    check_released(images, release)
    own = sum(p.numel() for p in module.parameters() if p.requires_grad)
    click.echo(f"fitting {candidate.name} on the training networks of {images}", err=True)
    outlook = predict_network(rows, images, candidate, seed=seed, release=release)
    if as_json:
        record = {"network": network, "module_parameters": own} | asdict(outlook)
        click.echo(json.dumps(record))
        return
    click.echo("\n".join(prediction_lines(outlook, network, own)))
