"""Commands that compare predictors, simulate early selection and predict a user's network."""

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
    SEED,
    echo_lines,
    needs,
    picture_option,
)

if TYPE_CHECKING:
    from benchmark.release import Release
    from benchmark.tasks import Task


@click.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="PREDICTOR PREDICTOR...", required=True)
@click.option("--task", "name", required=True, help="Frozen task on which all have results.")
@click.option("--metric", default="tau", show_default=True, help="Metric to compare.")
@click.option("--stratum", default="test", show_default=True, help="Networks to score.")
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
    """Test which predictors are significantly better, pair by pair, on the same resamples.

    Each fit, with a seed of its own, is scored alone; a score is the mean over seeds, as on the
    board. P-values are corrected for all pairs of predictors with a result on the task
    (Romano-Wolf), so the board says the same.
    """
    from harness.results.folder import folders_to_read
    from harness.score_text import difference_lines, json_lines
    from harness.studies.compare import compare as compare_pairs

    task = release.task(name)
    folders = folders_to_read(results)
    differences = compare_pairs(
        task, predictors, folders, metric=metric, stratum=stratum, release=release
    )
    if not as_json:
        click.echo(f"{metric} on {stratum} of {task.name}")
    echo_lines(json_lines(differences) if as_json else difference_lines(differences, metric))


@click.command(context_settings=HELP)
@click.option("--images", help="Image set of the tasks [default: the first of the data].")
@click.option("--version", type=COUNT, help="Version of the tasks [default: the latest].")
@click.option("--plot", type=FILE, help="SVG to draw.")
@RESULTS_OPTION
@DATA_OPTION
@JSON_OPTION
def watch(
    *,
    images: str | None,
    version: int | None,
    plot: Path | None,
    results: Path | None,
    release: "Release",
    as_json: bool,
) -> None:
    """Show how many epochs of watching a network the best prediction equals.

    Watching means to predict the last observed accuracy. Beside it stand another whole training
    with another seed, and what is predicted of held-out skeletons before training.
    """
    from benchmark.util.atomic import write_atomically
    from harness.results.folder import folders_to_read
    from harness.score_text import json_lines
    from harness.studies.watching import compare_with_watching, watching_lines
    from harness.studies.watching_plot import THEMES, draw_watching

    if plot is not None and plot.suffix.lower() != ".svg":
        raise ValueError(f"`plot` (={str(plot)!r}) must end in .svg")
    tasks = _tasks_of(images or release.default_images(), version, release)
    watching = compare_with_watching(tasks, folders_to_read(results), release)
    echo_lines(json_lines([watching]) if as_json else watching_lines(watching))
    if plot is not None:
        write_atomically(plot, draw_watching(watching, THEMES["light"]))


def _tasks_of(images: str, version: int | None, release: "Release") -> "list[Task]":
    """Return the tasks of an image set with one version, by default the latest."""
    from benchmark.space.imagesets import get_images

    pattern = re.compile(rf"{get_images(images).name}-k\d+-v(\d+)")
    matches = [pattern.fullmatch(name) for name in release.task_names()]
    versions = {match[0]: int(match[1]) for match in matches if match}
    wanted = version or max(versions.values(), default=1)
    tasks = [release.task(name) for name, number in versions.items() if number == wanted]
    if not tasks:
        advice = f"; `peephole task freeze {images}` makes them"
        which = f" with version {version}" if version else advice
        raise ValueError(f"there is no task of {images!r}{which}")
    return tasks


@click.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="[PREDICTOR]...")
@click.option("--images", help="Image set of the tasks [default: the first of the data].")
@click.option("--version", type=COUNT, help="Version of the tasks [default: the latest].")
@click.option(
    "--candidates", default=100, show_default=True, type=COUNT, help="Networks to select from."
)
@picture_option("--plot")
@RESULTS_OPTION
@DATA_OPTION
@JSON_OPTION
def select(
    predictors: tuple[str, ...],
    *,
    images: str | None,
    version: int | None,
    candidates: int,
    plot: Path | None,
    results: Path | None,
    release: "Release",
    as_json: bool,
) -> None:
    """Simulate selecting the best of N networks early: epochs spent and regret.

    The strategies are: stopping all networks after some epochs, successive halving, and the
    predictors that are named, or else all that have results. Networks that a strategy keeps are
    trained to the end. The column `training` counts the epochs of the networks that a predictor is
    fitted on, apart from those of the candidates.
    """
    from harness.results.folder import folders_to_read
    from harness.score_text import json_lines, strategy_lines
    from harness.studies.early_selection import simulate_selection
    from harness.studies.early_selection_plot import draw

    images = images or release.default_images()
    tasks = _tasks_of(images, version, release)
    folders = folders_to_read(results)
    outcomes = simulate_selection(
        tasks, predictors, folders, candidates=candidates, release=release
    )
    echo_lines(json_lines(outcomes) if as_json else strategy_lines(outcomes))
    if plot is not None:
        draw(outcomes, plot, f"{images}: selecting the best of {candidates} test networks")


@click.command(context_settings=HELP)
@click.argument("network")
@click.option("--images", help="Image set to train on [default: the first of the data].")
@click.option("--predictor", default="arc", show_default=True, help="As for `evaluate`.")
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of the predictor.")
@click.option("--layers", is_flag=True, help="Only show the traced layers.")
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@needs("predictors", "torch")
def predict(
    network: str,
    *,
    images: str | None,
    predictor: str,
    seed: int,
    layers: bool,
    release: "Release",
    as_json: bool,
) -> None:
    """Predict the learning curve of your own torch module before it is trained.

    NETWORK is path/to/file.py:Class or package.module:Class: a torch module, or a class or function
    that returns one when called without arguments. It is traced into layers and compared with the
    released networks. The prediction is for training with the released recipe.
    """
    from dataclasses import asdict

    from benchmark.space.imagesets import get_images
    from harness.running.find_predictor import find
    from harness.score_text import json_lines
    from harness.studies.find_network import find_network
    from harness.studies.predict_module import check_reads_networks, check_released, predict_network
    from harness.studies.predict_module_text import layer_lines, prediction_lines
    from harness.tracing.trace import trace_module

    images = images or release.default_images()
    image_set, candidate = get_images(images), find(predictor)
    if not layers:
        check_released(images, release)
        check_reads_networks(candidate)
    trace = trace_module(find_network(network), image_set)
    if layers:
        echo_lines(json_lines(trace.rows) if as_json else layer_lines(trace.rows))
        return
    click.echo(f"fitting {candidate.name} on the training networks of {images}", err=True)
    prediction = predict_network(trace.rows, images, candidate, seed=seed, release=release)
    if as_json:
        counts = {"module_parameters": trace.parameters.network, "notes": trace.notes}
        click.echo(json.dumps({"network": network} | counts | asdict(prediction)))
        return
    echo_lines(prediction_lines(prediction, network, trace))
