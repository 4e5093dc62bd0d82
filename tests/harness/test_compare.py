"""Paired comparison: by hand, against scipy, and against two separate intervals."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from harness.protocol import Prediction
from harness.results.folder import HOW, find_result, folders_to_read
from harness.results.result import tau_samples
from harness.results.samples import score_samples, seed_predictions
from harness.results.store import read_result, result_path, write_result
from harness.running.evaluate import ResultHeader, score_outcome
from harness.studies.compare import compare
from harness.studies_cli import compare as command
from harness.task_data import TaskTargets, load_targets
from tests.toys.data import toy_release

NAME = "digits-k1-v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def task(folder: Path) -> Task:
    return Release(folder).task(NAME)


@pytest.fixture(scope="module")
def results(folder: Path, task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results of the targets, of targets with noise, and of a failed predictor."""
    results, targets = tmp_path_factory.mktemp("results"), load_targets(task, Release(folder))
    noise = np.random.default_rng(0).normal(0, 0.15, len(targets.valid_accuracy.run_ids))
    store(results, task, targets, "exact", np.zeros(len(noise)))
    store(results, task, targets, "noisy", noise)
    store(results, task, targets, "noisier", 1.05 * noise)
    header = ResultHeader(task, "broken", "Broken", (0,))
    write_result(results, header.fail("Error: no"), None)
    return results


def store(
    results: Path,
    task: Task,
    targets: TaskTargets,
    name: str,
    error: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> None:
    final = np.clip(targets.valid_accuracy.curves[:, -1] + error, 0, 1)[:, None]
    header = ResultHeader(task, name, name, (0,))
    write_result(results, *score_outcome(header, [Prediction(final, (20,))], targets))


def test_the_better_one_is_named_whatever_the_direction(
    task: Task, results: Path, folder: Path
) -> None:
    for metric, sign in (("tau", 1), ("mse", -1)):
        (found,) = compare(
            task, ["exact", "noisy"], [results], metric=metric, release=Release(folder)
        )
        assert found.better == "exact"
        assert np.sign(found.value) == sign
        (turned,) = compare(
            task, ["noisy", "exact"], [results], metric=metric, release=Release(folder)
        )
        assert turned.better == "exact"
        assert turned.value == -found.value


def test_paired_differences_are_significant_where_two_intervals_overlap(
    task: Task, results: Path, folder: Path
) -> None:
    """MSEs of errors that differ by 5 % have overlapping intervals, but a clear difference."""
    (found,) = compare(task, ["noisy", "noisier"], [results], metric="mse", release=Release(folder))
    assert found.better == "noisy"
    assert found.low is not None
    assert found.high is not None
    assert found.high < 0


def test_a_predictor_ties_with_its_copy(
    task: Task, results: Path, folder: Path, tmp_path: Path
) -> None:
    targets = load_targets(task, Release(folder))
    for name in ("one", "two"):
        store(tmp_path, task, targets, name, np.full(24, 0.01))
    (found,) = compare(task, ["one", "two"], [tmp_path], release=Release(folder))
    assert (found.value, found.p_value, found.better) == (0.0, 1.0, None)


def test_pairs_are_all_there_and_are_tested_among_all_results(
    task: Task, results: Path, folder: Path
) -> None:
    names = ["exact", "noisy", "noisier"]
    found = compare(
        task, names, [results], metric="mse", stratum="heldout", release=Release(folder)
    )
    assert [(d.one, d.other) for d in found] == [
        ("exact", "noisy"), ("exact", "noisier"), ("noisy", "noisier"),
    ]  # fmt: skip
    (alone,) = compare(
        task, names[:2], [results], metric="mse", stratum="heldout", release=Release(folder)
    )
    assert found[0] == alone


def test_stored_resamples_of_tau_are_those_of_the_predictions(
    task: Task, results: Path, folder: Path
) -> None:
    targets = load_targets(task, Release(folder)).valid_accuracy
    for name in ("noisy", "noisier"):
        stored = tau_samples(read_result(result_path(results, task.name, name)))
        again = score_samples(seed_predictions(result_path(results, task.name, name)), targets)
        assert stored == pytest.approx(again, abs=0.5e-4)


def test_what_cannot_be_compared_says_why(task: Task, results: Path, folder: Path) -> None:
    cases = [
        (
            ["exact", "exat"],
            {},
            f"no result of 'exat' on {NAME}; did you mean 'exact'? Known: "
            f"broken, exact, noisier, noisy; {HOW}",
        ),
        (["exact", "exact"], {}, "a comparison needs two different predictors"),
        (["exact", "broken"], {}, f"broken: predictor 'broken' failed on {NAME!r}: Error: no"),
        (["exact", "noisy"], {"metric": "taw"}, "unknown metric 'taw'; did you mean 'tau'?"),
        (["exact", "noisy"], {"metric": "nll"}, "exact: the predictions have no 'nll' in 'test'"),
        (
            ["exact", "noisy"],
            {"metric": "regret_1"},
            "metric 'regret_1' cannot be compared: it has",
        ),
        (["exact", "noisy"], {"stratum": "tests"}, "unknown stratum 'tests'; did you mean 'test'?"),
    ]
    for names, options, message in cases:
        with pytest.raises((ValueError, FileNotFoundError), match=f"^{re.escape(message)}"):
            compare(task, names, [results], release=Release(folder), **options)


def test_an_undefined_metric_and_a_damaged_result_are_named(
    task: Task, results: Path, folder: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(results, tmp_path / "results"))
    path = result_path(mine, task.name, "noisier")
    content = json.loads(path.read_text())
    content["scores"]["test"]["auc_learned"] = dict.fromkeys(content["scores"]["test"]["tau"])
    path.write_text(json.dumps(content))
    call = partial(compare, task, release=Release(folder), metric="auc_learned")
    assert [(d.one, d.other) for d in call(["exact", "noisy"], [mine])] == [("exact", "noisy")]
    with pytest.raises(ValueError, match=r"^noisier: the predictions have no 'auc_learned' in "):
        call(["exact", "noisier"], [mine])
    path.write_text("{")
    with pytest.raises(ValueError, match=re.escape(str(path))):
        call(["exact", "noisy"], [mine])


def test_only_ranking_metrics_of_transfer_tasks_are_compared() -> None:
    transfer = INSTALLED.task("mnist-to-cifar10-k0-v1")
    with pytest.raises(ValueError, match=r"^a transfer task has no 'mse'; its metrics are tau, "):
        compare(transfer, ["arc", "gru"], [], metric="mse")


def test_the_command_prints_a_line_for_each_pair(results: Path, folder: Path) -> None:
    arguments = ["exact", "noisy", "--task", NAME, "--metric", "mse", "--results", str(results),
                 "--folder", str(folder)]  # fmt: skip
    lines = CliRunner().invoke(command, arguments).stdout.splitlines()
    assert lines[0] == f"mse on test of {NAME}"
    assert re.fullmatch(
        r"exact minus noisy: -0\.\d{5} \[-0\.\d{5}, -0\.\d{5}\], p 0\.\d{3}, exact is better",
        lines[1],
    )
    (line,) = CliRunner().invoke(command, [*arguments, "--json"]).stdout.splitlines()
    assert json.loads(line)["better"] == "exact"


def test_own_results_are_compared_with_published_ones(
    task: Task, results: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = load_targets(task, Release(folder))
    own, published = Path("results"), Path("leaderboard/results")
    monkeypatch.chdir(tmp_path)
    assert folders_to_read() == (own,)
    with pytest.raises(
        FileNotFoundError, match=rf"^no result of 'mine' on {NAME}\. Known: none; {re.escape(HOW)}$"
    ):
        find_result(folders_to_read(), NAME, "mine")
    shutil.copytree(results, published)
    assert folders_to_read() == (published,)
    store(own, task, targets, "mine", np.zeros(24))
    store(own, task, targets, "noisy", np.zeros(24))
    assert folders_to_read(tmp_path) == (tmp_path,)
    found = compare(task, ["mine", "exact", "noisy"], folders_to_read(), release=Release(folder))
    assert [difference.value for difference in found] == [0.0, 0.0, 0.0]
    assert find_result(folders_to_read(), NAME, "noisy") == own / NAME / "noisy.json"
