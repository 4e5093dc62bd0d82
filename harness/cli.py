"""Commands that evaluate, check, score and submit predictors."""

import json
from collections.abc import Sequence
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
@RESULTS_OPTION
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
    help="Store the fits of these three in FILE; those that are there are not made again.",
)
@click.option("--processes", default=2, show_default=True, type=COUNT, help="Parallel processes.")
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
    results: Path | None,
    external: Path | None,
    leave_out: bool,
    train_sizes: tuple[int, ...],
    output: Path | None,
    processes: int,
    release: "Release",
    as_json: bool,
) -> None:
    """Fit predictors, predict test and held-out networks, and score the predictions.

    A PREDICTOR is a name in the registry, package.module:Class or path/to/file.py:Class. Existing
    results of the registry's predictors are reused; your own class always runs. The noise ceiling
    of each image set with repeated runs is written too. --all skips predictors that need zero-cost
    proxies where the data has none. Exits with code 1 if a predictor failed.
    """
    from harness.predictors.registry import PREDICTORS
    from harness.results.ceiling import write_ceilings
    from harness.results.folder import results_folder
    from harness.running.evaluate_many import Setting, evaluate_many
    from harness.running.trials import applicable
    from harness.running.try_many import try_many

    if every == bool(predictors):
        raise click.UsageError("give either predictors or --all")
    task_names = tasks or release.task_names()
    if not task_names:
        raise click.UsageError("there is no frozen task; `peephole task freeze` creates them")
    frozen = [release.task(name) for name in task_names]
    trials = _select_trials(frozen[0], external, leave_out, train_sizes, output, release)
    folder, names = results_folder(results), predictors or applicable(tuple(PREDICTORS), trials)
    setting = Setting(folder, release, seeds, processes)
    if trials:
        scores = try_many(names, trials, [task.observed for task in frozen], setting, output)
        print_trials(scores, as_json)
        failed = any(score.failures for score in scores)
    else:
        evaluated = evaluate_many(names, task_names, setting)
        write_ceilings(list(dict.fromkeys(result.images for result in evaluated)), folder, release)
        print_results(evaluated, as_json)
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


@click.command(context_settings=HELP)
@click.argument("predictor")
@click.option("--images", default="digits", show_default=True, help="Image set of the runs.")
@DATA_OPTION
@JSON_OPTION
@click.pass_context
def check(
    ctx: click.Context, predictor: str, images: str, release: "Release", as_json: bool
) -> None:
    """Check whether a predictor follows each rule, on a few released training runs.

    PREDICTOR is as for `evaluate`. Exits with code 1 if a rule is broken.
    """
    from harness.running.find_predictor import find
    from harness.score_text import finding_lines, json_lines
    from harness.task_data import training_runs
    from harness.verification.predictor_rules import CHECK_RUNS, check_predictor

    candidate = find(predictor)
    findings = check_predictor(candidate.make, training_runs(images, CHECK_RUNS, release))
    echo_lines(json_lines(findings) if as_json else finding_lines(findings))
    if not all(finding.passed for finding in findings):
        ctx.exit(1)


@click.command(context_settings=HELP)
@click.argument("predictions", type=FILE)
@click.option("--task", "name", required=True, help="Frozen task that is predicted.")
@DATA_OPTION
@JSON_OPTION
def score(predictions: Path, name: str, release: "Release", as_json: bool) -> None:
    """Score a Parquet file of PREDICTIONS; nothing in it is executed.

    Its columns are run_id, epoch, mean and, optionally, std, with one row for every test and
    held-out run of the task and every epoch after the observed ones, or only the last epoch.
    """
    from harness.verification.prediction_file import score_predictions

    task = release.task(name)
    result, _ = score_predictions(predictions, task, release=release)
    print_results([result], as_json)


@click.command(context_settings=HELP)
@click.argument("what")
@click.option("--name", help="Name of the submission: a-z, 0-9 and '-'.")
@click.option("--title", help="The predictor in words, on one line.")
@click.option("--authors", help="Who submits it.")
@click.option("--task", "tasks", multiple=True, help="Frozen task; repeatable.")
@click.option("--seeds", type=COUNT, help="Number of seeds to fit with [default: 1].")
@click.option("--replace", "again", is_flag=True, help="Replace an earlier submission.")
@click.option("--processes", default=2, show_default=True, type=COUNT, help="Parallel processes.")
@RESULTS_OPTION
@DATA_OPTION
@JSON_OPTION
def submit(
    what: str,
    *,
    again: bool,
    processes: int,
    results: Path | None,
    release: "Release",
    as_json: bool,
    **fields: str | int | tuple[str, ...] | None,
) -> None:
    """Check and score a submission, and write its files for a pull request.

    WHAT is a folder with a submission.yaml (copy template/), a Parquet file of predictions, or a
    predictor as for `evaluate`. Without a folder, give --name, --title, --authors and --task. Code
    is checked against the rules, fitted and scored; predictions are scored and nothing is executed.
    The submission is written beside the folder of results.
    """
    from harness.results.folder import results_folder
    from harness.running.evaluate_many import Setting
    from harness.running.submission import FILE as SUBMISSION
    from harness.verification.submit import (
        make_submission_files,
        read_submission_files,
        submit_files,
    )

    given = {name: value for name, value in fields.items() if value}
    if (Path(what) / SUBMISSION).is_file():
        if given:
            raise click.UsageError(f"`{next(iter(given))}` is set in {SUBMISSION}; change it there")
        files = read_submission_files(Path(what))
    else:
        files = make_submission_files(what, given)
    setting = Setting(results_folder(results), release, 1, processes)
    print_results(submit_files(files, setting, replace_existing=again), as_json)


def print_results(results: "Sequence[Result]", as_json: bool) -> None:
    """Print results as a table, or one JSON object a line."""
    from benchmark.util.strict_json import encode
    from harness.score_text import result_lines

    echo_lines([json.dumps(encode(r)) for r in results] if as_json else result_lines(results))


def print_trials(scores: "Sequence[TrialScore]", as_json: bool) -> None:
    """Print scores on trials as a table, or one JSON object a line."""
    from harness.score_text import json_lines, trial_lines

    echo_lines(json_lines(scores) if as_json else trial_lines(scores))
