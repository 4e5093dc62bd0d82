"""A row at level `rerun` shows what the code gave, not what was submitted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from benchmark.release import Release
from harness.results.result import Seconds
from harness.results.store import (
    read_result,
    read_with_predictions,
    result_path,
    write_json,
    write_result,
)
from harness.running.drafts import make_submission_files
from harness.running.evaluate_many import Setting
from harness.running.submission import submissions_folder
from harness.task_data import load_targets
from harness.verification.audit import Request, rerun_all, verify
from harness.verification.prediction_file import score_predictions
from harness.verification.rerun import read_reruns
from harness.verification.submit import submit_files
from leaderboard.board import verified_board
from tests.toys.data import toy_release
from tests.toys.results import predictions_of
from tests.toys.submissions import CODE, TASK, toy_task

CALM = CODE.replace("sizes[:, None] / 200", "np.full((len(sizes), 1), 0.5)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (1,))


def submit_calm(folder: Path, place: Path) -> Path:
    """Submit code that predicts one accuracy for every network; return the folder of results."""
    (place / "net.py").write_text(CALM)
    fields = {"name": "calm", "title": "Calm", "authors": "Us", "tasks": (TASK,)}
    files = make_submission_files(f"{place / 'net.py'}:Sizes", fields)
    submit_files(files, Setting(place / "results", Release(folder)))
    return place / "results"


def forge(folder: Path, results: Path) -> Path:
    """Store predictions in the order of the truth, each within the tolerance of the code's."""
    path = result_path(results, TASK, "calm")
    result, table = read_with_predictions(path)
    assert table is not None
    targets = load_targets(toy_task(folder), Release(folder)).valid_accuracy
    ranks = dict(zip(targets.run_ids, rankdata(targets.curves[:, -1]), strict=True))
    order = np.array([ranks[run_id] for run_id in table["run_id"].to_pylist()])
    mean = pa.array(0.5 + 2.0**-14 * np.round(order / len(order) * 15))
    field = table.schema.field("mean")
    forged = table.set_column(table.column_names.index("mean"), field, mean)
    write_result(results, replace(result, predictions_sha256=None), forged)
    again, _ = score_predictions(predictions_of(path), toy_task(folder), release=Release(folder))
    named = replace(again, predictor="calm", title=result.title, seconds=Seconds(1.0, 1.0))
    write_result(results, named, forged)
    return path


def test_a_forged_order_within_the_tolerance_is_not_shown_after_a_rerun(
    folder: Path, tmp_path: Path
) -> None:
    results, release = submit_calm(folder, tmp_path), Release(folder)
    path = forge(folder, results)
    tau = read_result(path).scores["test"]["tau"].value
    assert tau is not None
    assert tau > 0.9
    request = Request(results, release=release, processes=1)
    assert verify(request).problems == ()  # the scores do follow from the forged predictions
    (entry,) = rerun_all(request, [path], minutes=5)
    assert 0 < entry.largest_difference < 1e-3
    (row,) = verified_board(results, release).tasks[0].rows
    assert (row.result.verification, row.result.flags) == ("rerun", ("constant",))
    assert row.result.scores["test"]["tau"].value == 0.0
    assert read_reruns(results).reruns == (entry,)
    assert verify(request).problems == ()
    # The forged predictions under the level of the rerun, or of another version of the harness
    forge(folder, results)
    write_json(path, replace(read_result(path), verification="rerun"))
    (problem,) = verify(request).problems
    assert problem.endswith("no entry for these predictions and this version of the harness")


def test_code_of_a_package_is_run_only_in_the_version_that_is_required(
    folder: Path, tmp_path: Path
) -> None:
    results, release = submit_calm(folder, tmp_path), Release(folder)
    file = submissions_folder(results) / "calm" / "submission.yaml"
    path = result_path(results, TASK, "calm")
    text = file.read_text()
    for requirement, rule in (
        ("numpy", "must be NAME==VERSION to be run again"),
        ("numpy==0.0", f"must be installed; it is {np.__version__}"),
        ("no-such-package==1.0", "must be installed; it is not installed"),
    ):
        file.write_text(f"{text}requirement: {requirement}\n")
        with pytest.raises(ValueError, match=f"`requirement` .*{requirement}.* {rule}$"):
            rerun_all(Request(results, release=release), [path], minutes=5)
