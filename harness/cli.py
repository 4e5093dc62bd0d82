"""Commands that check, score and submit predictors."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.options import (
    COUNT,
    DATA_OPTION,
    FILE,
    HELP,
    JSON_OPTION,
    PUBLISHED_OPTION,
    TRACEBACK_OPTION,
    echo_lines,
)

if TYPE_CHECKING:
    from benchmark.release import Release
    from harness.search.registry import Track


@click.command(context_settings=HELP)
@click.argument("predictor")
@click.option(
    "--images",
    help="Image set of the runs [default: those of the submission's tasks, else the data's first].",
)
@click.option(
    "--name", help="Name of your own predictor [default: its class, in lower case, with hyphens]."
)
@click.option(
    "--track", type=click.Choice(["pool", "open"]), default="pool", show_default=True,
    help="Track of a search algorithm.",
)  # fmt: skip
@TRACEBACK_OPTION
@DATA_OPTION
@JSON_OPTION
@click.pass_context
def check(
    ctx: click.Context,
    predictor: str,
    *,
    images: str | None,
    name: str | None,
    track: "Track",
    traceback: bool,
    release: "Release",
    as_json: bool,
) -> None:
    """Check whether a predictor follows each rule, on a few released training runs.

    PREDICTOR is as for `evaluate`, or a folder with a submission.yaml. It runs from a copy of the
    files that `submit` would take: all of the folder, or path/to/file.py with the modules beside it
    that it imports and the data that it names. Like a rerun, it can read no other file of yours. A
    Python file may have 64 KiB and a file of data (csv, json, npy, npz, safetensors) 10 MB; all
    together, at most 100 files, 20 MB. Exits with code 1 if a rule is broken.

    A class of a file that has `search` and no `fit` is checked as a search algorithm.
    """
    from harness.score_text import finding_lines, json_lines
    from harness.search.tracks.rules import check_algorithm, is_algorithm
    from harness.verification.predictor_rules import Finding
    from harness.verification.submit import check_code

    if is_algorithm(predictor):
        if name is not None:
            raise click.UsageError("--name is for predictors, and this is a search algorithm")
        rules = check_algorithm(predictor, images or release.default_images(), release, track)
        findings = [Finding(*rule) for rule in rules]
    else:
        if track == "open":
            raise click.UsageError("--track is for search algorithms, and this is a predictor")
        findings = check_code(predictor, release, images, name=name, traceback=traceback)
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
    from harness.evaluate_cli import print_results
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
@PUBLISHED_OPTION
@TRACEBACK_OPTION
@DATA_OPTION
@JSON_OPTION
def submit(
    what: str,
    *,
    again: bool,
    processes: int,
    results: Path | None,
    traceback: bool,
    release: "Release",
    as_json: bool,
    **fields: str | int | tuple[str, ...] | None,
) -> None:
    """Check and score a submission, and write its files for a pull request.

    WHAT is a folder with a submission.yaml (copy template/), a Parquet file of predictions, or a
    predictor as for `evaluate`. Without a folder, give --name, --title, --authors and --task. Code
    is checked against the rules, fitted and scored; predictions are scored and nothing is executed.
    The submission is written beside the folder of results; what comes next is printed.
    """
    from benchmark.release import INSTALLED
    from harness.evaluate_cli import print_results
    from harness.results.folder import published_folder
    from harness.running.drafts import make_submission_files, read_submission_files
    from harness.running.evaluate_many import Setting
    from harness.running.submission import FILE as SUBMISSION
    from harness.score_text import submitted_lines
    from harness.verification.submit import submit_files

    given = {name: value for name, value in fields.items() if value}
    if (Path(what) / SUBMISSION).is_file():
        if given:
            raise click.UsageError(f"`{next(iter(given))}` is set in {SUBMISSION}; change it there")
        files = read_submission_files(Path(what))
    else:
        files = make_submission_files(what, given)
    folder = results or published_folder()
    setting = Setting(folder, release, 1, processes, traceback=traceback)
    print_results(submit_files(files, setting, replace_existing=again), as_json)
    options = f" --results {results}" if results else ""
    options += "" if release is INSTALLED else f" --data {release.folder}"
    echo_lines(submitted_lines(files.submission, folder, options), err=True)
