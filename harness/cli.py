"""Commands about how predictors are judged."""

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
    from harness.running.custom_splits import Trial


@click.command(context_settings=HELP)
@click.argument("predictors", nargs=-1, metavar="[PREDICTOR]...")
@click.option("--all", "every", is_flag=True, help="All predictors of the registry.")
@click.option("--task", "tasks", multiple=True, help="A frozen task; all of them by default.")
@click.option("--seeds", default=5, show_default=True, type=COUNT, help="Of a stochastic one.")
@RESULTS_OPTION
@click.option(
    "--external",
    nargs=2,
    metavar="ORIGIN FILE",
    help="Score on data of another origin instead: `metaqnn` and its CSV file.",
)
@click.option(
    "--leave-one-skeleton-out",
    "leave_out",
    is_flag=True,
    help="Fit on all seen skeletons but one, and ask for its train and validation networks.",
)
@click.option(
    "--train-size",
    "train_sizes",
    multiple=True,
    type=int,
    help="Fit on so many training networks; may be given more than once.",
)
@click.option("--processes", default=2, show_default=True, type=COUNT, help="At a time.")
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
    external: tuple[str, str] | None,
    leave_out: bool,
    train_sizes: tuple[int, ...],
    processes: int,
    release: "Release",
    as_json: bool,
) -> None:
    """Fit predictors, ask them about test and held-out networks, and score their answers.

    A PREDICTOR is a name in the registry, package.module:Class or path/to/file.py:Class. Results
    that are there already are taken over, but one's own class always runs. The noise ceiling of
    each image set is written, too, where networks were trained repeatedly. Ends with exit code 1 if
    a predictor failed. On data without zero-cost proxies, --all leaves out those that need them.
    """
    from harness.predictors.registry import PREDICTORS
    from harness.results.ceiling import write_ceilings
    from harness.results.folder import results_folder
    from harness.running.custom_splits import applicable
    from harness.running.evaluate_many import Setting, evaluate_many, try_many
    from harness.score_text import json_lines, trial_lines

    if every == bool(predictors):
        raise click.UsageError("name predictors, or give --all, and not both")
    asked = tasks or release.task_names()
    if not asked:
        raise click.UsageError("there is no frozen task yet; `peephole task freeze` makes them")
    read = [release.task(name) for name in asked]
    trials = _select_trials(read[0], external, leave_out, train_sizes, release)
    place, names = results_folder(results), predictors or applicable(tuple(PREDICTORS), trials)
    setting = Setting(place, release, seeds, processes)
    if trials:
        observed = sorted({task.observed for task in read})
        scores = try_many(names, trials, observed, setting)
        echo_lines(json_lines(scores) if as_json else trial_lines(scores))
        if any(score.failures for score in scores):
            ctx.exit(1)
        return
    found = evaluate_many(names, asked, setting)
    write_ceilings(list(dict.fromkeys(result.images for result in found)), place, release)
    print_results(found, as_json)
    if any(result.status == "failed" for result in found):
        ctx.exit(1)


def _select_trials(
    task: "Task",
    external: tuple[str, str] | None,
    leave_out: bool,
    train_sizes: tuple[int, ...],
    release: "Release",
) -> "list[Trial]":
    """Return the trials that options ask for, on the runs of a task; none if none is asked for."""
    from benchmark.util.unknown_name import unknown_name
    from harness.running.custom_splits import ladder_trials, skeleton_trials
    from harness.studies.metaqnn import metaqnn_trials

    if (external is not None) + leave_out + bool(train_sizes) > 1:
        raise click.UsageError("give one of --external, --leave-one-skeleton-out, --train-size")
    if external is not None:
        origin, file = external
        if origin != "metaqnn":
            raise ValueError(unknown_name("origin", origin, ["metaqnn"]))
        return metaqnn_trials(Path(file))
    if leave_out:
        return skeleton_trials(task, release)
    return ladder_trials(task, train_sizes, release) if train_sizes else []


@click.command(context_settings=HELP)
@click.argument("predictor")
@click.option("--images", default="digits", show_default=True, help="Whose training runs to use.")
@DATA_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one finding a line.")
@click.pass_context
def check(
    ctx: click.Context, predictor: str, images: str, release: "Release", as_json: bool
) -> None:
    """Say whether a predictor keeps the rules, rule by rule.

    It is tried on a few released training runs. PREDICTOR as for `evaluate`. Ends with exit code 1
    if a rule is broken.
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
@click.option("--task", "name", required=True, help="The frozen task that they answer.")
@DATA_OPTION
@JSON_OPTION
def score(predictions: Path, name: str, release: "Release", as_json: bool) -> None:
    """Score a Parquet file of PREDICTIONS; nothing in it is executed.

    Its columns: run_id, epoch, mean and, if wanted, std. One row for every test and held-out run of
    the task and every epoch after the observed ones, or the last epoch alone.
    """
    from harness.verification.prediction_file import score_predictions

    task = release.task(name)
    result, _ = score_predictions(predictions, task, release=release)
    print_results([result], as_json)


@click.command(context_settings=HELP)
@click.argument("what")
@click.option("--name", help="Of the submission: a-z, 0-9 and '-'.")
@click.option("--title", help="What the predictor does, on one line.")
@click.option("--authors", help="Who submits it.")
@click.option("--task", "tasks", multiple=True, help="A frozen task that is answered.")
@click.option("--seeds", type=COUNT, help="How many it is fitted with [default: 1].")
@click.option("--replace", "again", is_flag=True, help="Replace an earlier submission.")
@click.option("--processes", default=2, show_default=True, type=COUNT, help="At a time.")
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
    """Check and score a submission, and lay it out for a pull request.

    WHAT is a folder with a submission.yaml (copy template/), or a Parquet file of predictions or a
    predictor as for `evaluate`; then --name, --title, --authors and --task say what the file would.
    Code is tried against the rules, fitted and asked; predictions are scored and nothing is
    executed. The submission goes beside the folder of results.
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
            raise click.UsageError(f"`{next(iter(given))}` stands in {SUBMISSION}; change it there")
        files = read_submission_files(Path(what))
    else:
        files = make_submission_files(what, given)
    place = results_folder(results)
    print_results(
        submit_files(files, Setting(place, release, 1, processes), replace_existing=again), as_json
    )


def print_results(results: "Sequence[Result]", as_json: bool) -> None:
    """Print results as a table, or one JSON object a line."""
    from benchmark.util.strict_json import encode
    from harness.score_text import result_lines

    echo_lines([json.dumps(encode(r)) for r in results] if as_json else result_lines(results))
