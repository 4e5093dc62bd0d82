"""The command that evaluates predictors, and the tables of results."""

import json
from collections.abc import Sequence
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
    TRACEBACK_OPTION,
    echo_lines,
)

if TYPE_CHECKING:
    from benchmark.release import Release
    from benchmark.tasks import Task
    from harness.results.result import Result
    from harness.running.trials import Trial, TrialScore


@click.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="[PREDICTOR]...")
@click.option("--all", "every", is_flag=True, help="Evaluate all predictors of the registry.")
@click.option("--task", "tasks", multiple=True, help="Frozen task; repeatable [default: all].")
@click.option(
    "--seeds", default=5, show_default=True, type=COUNT, help="Seeds per stochastic predictor."
)
@click.option(
    "--name", help="Name of your own predictor [default: its class, in lower case, with hyphens]."
)
@click.option(
    "--results", type=FOLDER, default="results", show_default=True, help="Folder to write to."
)
@click.option(
    "--replace", "replace_existing", is_flag=True, help="Also replace the results named above."
)
@click.option(
    "--external",
    type=FILE,
    metavar="FILE",
    help="Score on data of another origin instead, in the format of docs/external_data.md.",
)
@click.option(
    "--leave-one-skeleton-out",
    "leave_out",
    is_flag=True,
    help="Leave out each seen skeleton in turn, and predict its train and validation networks.",
)
@click.option(
    "--train-size",
    "train_sizes",
    multiple=True,
    type=COUNT,
    help="Fit on this many training networks; repeatable.",
)
@click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="Store the fits of the three options above in FILE; stored ones are not made again.",
)
@click.option("--processes", default=2, show_default=True, type=COUNT, help="Parallel processes.")
@TRACEBACK_OPTION
@DATA_OPTION
@JSON_OPTION
@click.pass_context
def evaluate(
    ctx: click.Context,
    predictors: tuple[str, ...],
    *,
    every: bool,
    tasks: tuple[str, ...],
    seeds: int,
    name: str | None,
    results: Path,
    replace_existing: bool,
    external: Path | None,
    leave_out: bool,
    train_sizes: tuple[int, ...],
    output: Path | None,
    processes: int,
    traceback: bool,
    release: "Release",
    as_json: bool,
) -> None:
    """Fit predictors, predict test and held-out networks, and score the predictions.

    A PREDICTOR is a name in the registry, package.module:Class or path/to/file.py:Class. Results
    are written to a folder of your own; --name keeps two versions of a class side by side. Results
    of the registry's predictors are reused, also those in leaderboard/results; your own class
    always runs. A result that has more seeds, is verified, is that of a submission, or has scores
    where the predictor now fails, is replaced only with --replace. The noise ceiling of each image
    set with repeated runs is written too. --all skips predictors that need zero-cost proxies where
    the data has none, or pretrained weights that no environment variable names. Exits with code 1
    if a predictor failed.
    """
    from benchmark.util.text import quantity
    from harness.predictors.registry import PREDICTORS
    from harness.results.ceiling import write_ceilings
    from harness.results.folder import PUBLISHED
    from harness.results.store import result_path
    from harness.running.evaluate_many import Setting, evaluate_many
    from harness.running.trials import applicable
    from harness.running.try_many import try_many

    if every == bool(predictors):
        raise click.UsageError("give either predictors or --all")
    task_names = tasks or release.task_names()
    if not task_names:
        raise ValueError("there is no frozen task; `peephole task freeze` creates them")
    frozen = [release.task(name) for name in task_names]
    if leave_out or train_sizes:
        same = [task for task in frozen if task.rows_digest == frozen[0].rows_digest]
        if tasks and len(same) < len(frozen):
            raise click.UsageError(
                "--leave-one-skeleton-out and --train-size take tasks of the same runs"
            )
        frozen = same
    trials = _select_trials(frozen[0], external, leave_out, train_sizes, output, release)
    if trials:
        has_proxies = all(trial.train.proxies is not None for trial in trials)
    else:
        sets = {images for task in frozen for images in (task.fitted_on, task.images)}
        has_proxies = all(release.proxies(images) is not None for images in sets)
    names = predictors or applicable(tuple(PREDICTORS), has_proxies=has_proxies)
    setting = Setting(
        results, release, seeds, processes, PUBLISHED, name, replace_existing, traceback
    )
    if trials:
        scores = try_many(names, trials, [task.observed for task in frozen], setting, output)
        print_trials(scores, as_json)
        failed = any(score.failures for score in scores)
    else:
        evaluated = evaluate_many(names, task_names, setting)
        here = [r for r in evaluated if result_path(results, r.task, r.predictor).exists()]
        write_ceilings(list(dict.fromkeys(result.images for result in here)), results, release)
        print_results(evaluated, as_json)
        reused = f", {len(evaluated) - len(here)} in {PUBLISHED}" if here != evaluated else ""
        click.echo(f"{quantity(len(here), 'result')} in {results}{reused}", err=True)
        failed = any(result.status == "failed" for result in evaluated)
    if failed:
        ctx.exit(1)


def _select_trials(
    task: "Task",
    external: Path | None,
    leave_out: bool,
    train_sizes: tuple[int, ...],
    output: Path | None,
    release: "Release",
) -> "list[Trial]":
    """Return the trials that the options select on the runs of a task; empty without options."""
    from harness.running.custom_splits import ladder_trials, skeleton_trials
    from harness.studies.external import external_trials

    options = "--external, --leave-one-skeleton-out, --train-size"
    if (external is not None) + leave_out + bool(train_sizes) > 1:
        raise click.UsageError(f"give one of {options}")
    if external is not None:
        return external_trials(external)
    if leave_out:
        return skeleton_trials(task, release)
    if train_sizes:
        return ladder_trials(task, train_sizes, release)
    if output is not None:
        raise click.UsageError(f"--output goes with one of {options}; results go to --results")
    return []


def print_results(results: "Sequence[Result]", as_json: bool) -> None:
    """Print results as a table, or one JSON object a line."""
    from benchmark.util.strict_json import encode
    from harness.score_text import result_lines

    echo_lines([json.dumps(encode(r)) for r in results] if as_json else result_lines(results))


def print_trials(scores: "Sequence[TrialScore]", as_json: bool) -> None:
    """Print scores on trials as a table, or one JSON object a line."""
    from harness.score_text import json_lines, trial_lines

    echo_lines(json_lines(scores) if as_json else trial_lines(scores))
