"""Transfer tasks: fitted on one image set, asked on another, scored by their order alone."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.publish.freeze import freeze, write_task
from benchmark.release import INSTALLED, Release
from benchmark.runs import read_table, rows_to_table, split_path, write_table
from benchmark.tasks import Task, group_of
from benchmark.tasks_cli import task as command
from harness.metrics.registry import RANKING
from harness.protocol import Prediction, Queries, Runs
from harness.results.predictions import mean_table
from harness.results.store import read_with_predictions, write_result
from harness.running.custom_splits import skeleton_trials
from harness.running.evaluate import evaluate
from harness.running.find_predictor import candidate_of, find
from harness.task_data import TaskData, load_task_data
from harness.verification.rescore import Rescoring, find_problems
from leaderboard.board import read_board
from leaderboard.readme.table import leaderboard_text
from tests.toys.campaign import published_rows

NAME = "cifar10-to-mnist-k0-v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the release with a transfer task."""
    copy = tmp_path_factory.mktemp("release") / "data"
    shutil.copytree(INSTALLED.folder, copy)
    data = Release(copy)
    write_task(freeze("mnist", 0, data, fitted_on="cifar10"), data)
    return copy


@pytest.fixture(scope="module")
def task(folder: Path) -> Task:
    return Release(folder).task(NAME)


@pytest.fixture(scope="module")
def data(folder: Path, task: Task) -> TaskData:
    return load_task_data(task, Release(folder))


def test_parts_are_of_two_image_sets(folder: Path, task: Task) -> None:
    assert (task.fitted_on, task.images) == ("cifar10", "mnist")
    starts = {split: {run.split("-")[0] for run in ids} for split, ids in task.parts.items()}
    assert starts == {
        "train": {"cifar10"}, "validation": {"cifar10"}, "test": {"mnist"}, "heldout": {"mnist"},
    }  # fmt: skip
    plain = Release(folder).task(NAME.removeprefix("cifar10-to-"))  # frozen on the same rows
    assert (plain.fitted_on, plain.images) == ("mnist", "mnist")
    assert task.parts["test"] == plain.parts["test"]


def test_predictors_fit_one_image_set_and_are_asked_for_another(data: TaskData) -> None:
    for runs in (data.train, data.validation):
        assert (runs.images, runs.layer_rows[0][0].in_channels) == ("cifar10", 3)
        assert runs.recipe.images == "cifar10"
    assert (data.queries.images, data.queries.layer_rows[0][0].in_channels) == ("mnist", 1)
    assert data.queries.recipe.images == "mnist"
    assert data.queries.architectures[0] not in data.train.architectures


def test_only_the_order_is_scored(folder: Path, task: Task, data: TaskData) -> None:
    class Doubled:
        """Predicts half of what the isotonic fit to parameters does: another scale."""

        def __init__(self) -> None:
            self.fitted = find("parameters").make()

        def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
            self.fitted.fit(train, validation, observed=observed, seed=seed)

        def predict(self, queries: Queries) -> Prediction:
            prediction = self.fitted.predict(queries)
            return Prediction(prediction.mean / 2, prediction.epochs)

    release = Release(folder)
    result, table = evaluate(find("parameters"), task, release=release)
    halved, other = evaluate(candidate_of(Doubled), task, seeds=1, release=release)
    assert table is not None
    assert other is not None
    assert not np.allclose(mean_table(table)["mean"], mean_table(other)["mean"])
    assert result.scores == halved.scores
    for field in ("scores", "scores_test_accuracy"):
        for stratum, scores in getattr(result, field).items():
            assert set(scores) <= set(RANKING), stratum
    assert {"tau", "somers_d", "regret_5"} <= set(result.scores["test"])


def test_a_result_is_rescored_and_shown_after_the_others(
    folder: Path, task: Task, tmp_path: Path
) -> None:
    release = Release(folder)
    plain = release.latest_task("digits", 0)
    for asked in (task, plain):
        write_result(tmp_path, *evaluate(find("parameters"), asked, release=release))
        path = tmp_path / asked.name / "parameters.json"
        assert find_problems([Rescoring(path, release=release)]) == [""]
    board = read_board(tmp_path)
    assert [group_of(of.name) for of in board.tasks] == ["digits", "cifar10-to-mnist"]
    lines = leaderboard_text(board).splitlines()
    assert "## cifar10-to-mnist" in lines
    result, _ = read_with_predictions(tmp_path / NAME / "parameters.json")
    tau = result.scores["test"]["tau"].value
    cells = [line for line in lines if line.startswith("| 1 | parameters | ")][-1].split(" | ")
    assert cells[2].startswith(f"{tau:.3f} [")
    assert cells[7:11] == ["–"] * 4  # noqa: RUF001


def test_the_command_freezes_and_shows_it(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(INSTALLED.folder, copy)
    runner = CliRunner()
    frozen = runner.invoke(
        command, ["freeze", "cifar10", "--fitted-on", "mnist", "--data", str(copy)]
    )
    assert frozen.exit_code == 0, frozen.output
    (line,) = frozen.output.splitlines()
    expected = freeze("cifar10", 0, INSTALLED, fitted_on="mnist")  # as a release's rows change
    name = Path(line).stem
    assert (name, name.startswith("mnist-to-cifar10-k0-v")) == (expected.name, True)
    assert (Path(line), Path(line).is_file()) == (copy / "tasks" / f"{name}.json", True)
    shown = runner.invoke(command, ["show", name, "--data", str(copy)])
    assert shown.output.splitlines()[:2] == [
        f"{name}: predict valid_accuracy (and test_accuracy) on cifar10",
        "fitted on: mnist; only the order of the networks is scored",
    ]


def test_a_network_to_predict_is_not_one_to_fit_on(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "data"))
    seen = read_table(split_path("cifar10", "train", copy))["architecture_id"][0].as_py()
    path = split_path("mnist", "test", copy)
    rows = published_rows(path)
    for row in rows[:2]:
        row["architecture_id"] = seen
    write_table(rows_to_table(rows), path)
    message = (
        f"1 network of 'test' of 'mnist' would be in 'train' of 'cifar10'; the first is {seen!r}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        freeze("mnist", 0, Release(copy), fitted_on="cifar10")


def test_other_epochs_cannot_be_asked_for(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "data"))
    for split in ("test", "heldout"):
        path = split_path("mnist", split, copy)
        write_table(rows_to_table([r | {"epochs_planned": 5} for r in published_rows(path)]), path)
    message = "'cifar10' has 20 epochs and 'mnist' 5; a transfer task needs the same number"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        freeze("mnist", 0, Release(copy), fitted_on="cifar10")


def test_an_unknown_image_set_gives_the_nearest(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^unknown images 'cifr10'; did you mean 'cifar10'\?"):
        freeze("mnist", 0, Release(folder), fitted_on="cifr10")


def test_other_splits_need_one_image_set(folder: Path, task: Task) -> None:
    message = (
        f"other splits need runs of one image set, but task {NAME!r} has those of 'cifar10' and "
        "'mnist'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        skeleton_trials(task, Release(folder))
