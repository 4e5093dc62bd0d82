"""Stored results: what would be lost is replaced on request alone, and refused before any fit."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.evaluate_cli import evaluate
from harness.results.replacing import OR_ELSE
from harness.results.store import read_result, result_path, write_json
from harness.running import evaluate_many as module
from peephole_command import Root
from tests.toys.data import toy_release

ROOT = Root("peephole", commands={"evaluate": evaluate})
TASK = "digits-k0-v1"
MINE = """
import numpy as np

from harness.protocol import Prediction


class Mine:
    value = 0.5

    def fit(self, train, validation, *, observed, seed):
        if self.value is None:
            raise RuntimeError("no value")

    def predict(self, queries):
        sizes = np.array([len(rows) for rows in queries.layer_rows])
        return Prediction(self.value * sizes[:, None] / sizes.max(), (queries.recipe.epochs,))
"""
FORK = """
import no_such_fork


class Fork: ...
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (0,))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, where fits run in this process."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    monkeypatch.setattr(
        module, "run_in_processes", lambda calls, _: enumerate(call() for call in calls)
    )
    return tmp_path


@pytest.fixture
def run(folder: Path, place: Path) -> Callable[..., Result]:
    def invoke(*words: str) -> Result:
        given = ["evaluate", *words, "--task", TASK, "--folder", str(folder)]
        return CliRunner().invoke(ROOT, given, prog_name="peephole")

    return invoke


def refusal(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("peephole: error: ")
    return result.stderr.removeprefix("peephole: error: ").rstrip()


def contents(path: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_result_that_is_worth_more_is_replaced_on_request_only(
    run: Callable[..., Result], place: Path
) -> None:
    words = ("mine.py:Mine", "--results", "kept", "--seeds")
    assert run(*words, "2").exit_code == 0
    path = result_path(Path("kept"), TASK, "mine")
    stored = read_result(path)
    reasons = {"1": "has 2 seeds, the new one would have 1"}
    for seeds, reason in reasons.items():
        before = contents(Path("kept"))
        found = refusal(run(*words, seeds))
        assert found == f"{path}: the stored result {reason}; {OR_ELSE}"
        assert contents(Path("kept")) == before
    write_json(path, replace(stored, verification="rescored"))
    reason = "is rescored, the new one would be self-reported"
    assert refusal(run(*words, "2")) == f"{path}: the stored result {reason}; {OR_ELSE}"
    write_json(path, stored)
    (place / "submissions" / "mine").mkdir(parents=True)
    reason = "is that of a submission"
    assert refusal(run(*words, "2")) == f"{path}: the stored result {reason}; {OR_ELSE}"
    path.write_text("<<<<<<< HEAD\n")
    assert refusal(run(*words, "2")).endswith(f"; {OR_ELSE}")
    assert path.read_text() == "<<<<<<< HEAD\n"
    assert run(*words, "1", "--replace").exit_code == 0
    assert read_result(path).seeds == (0,)


def test_a_failure_does_not_replace_scores(run: Callable[..., Result], place: Path) -> None:
    assert run("mine.py:Mine", "--seeds", "1").exit_code == 0
    before = contents(Path("results"))
    assert any(name.endswith("mine.json") for name in before)
    Path("mine.py").write_text(MINE.replace("0.5", "None"))
    result = run("mine.py:Mine", "--seeds", "1")
    assert result.exit_code == 1
    assert result.stdout.endswith("failed: RuntimeError: no value (mine.py:12 in fit)\n")
    path = result_path(Path("results"), TASK, "mine")
    assert f"{path}: the earlier scores are kept; --replace replaces them\n" in result.stderr
    assert contents(Path("results")) == before
    assert run("mine.py:Mine", "--seeds", "1", "--replace").exit_code == 1
    assert read_result(result_path(Path("results"), TASK, "mine")).status == "failed"
    assert run("mine.py:Mine", "--seeds", "1").exit_code == 1  # a failure replaces a failure


def test_two_versions_of_a_class_stand_side_by_side(
    run: Callable[..., Result], place: Path
) -> None:
    Path("other.py").write_text(MINE.replace("0.5", "0.25"))
    for file, name in (("mine.py", "v1"), ("other.py", "v2")):
        result = run(f"{file}:Mine", "--name", name, "--seeds", "1", "--json")
        assert (result.exit_code, json.loads(result.stdout)["predictor"]) == (0, name)
        assert "are replaced" not in result.stderr
    note = "v2: earlier results on 1 task are replaced; --name keeps both\n"
    assert run("mine.py:Mine", "--name", "v2", "--seeds", "1").stderr.startswith(note)
    assert run("other.py:Mine", "--name", "v2", "--seeds", "1").exit_code == 0
    first, second = (read_result(result_path(Path("results"), TASK, n)) for n in ("v1", "v2"))
    assert first.scores["test"]["mse"] != second.scores["test"]["mse"]
    message = "--name 'v3' needs a single predictor, not 2"
    assert refusal(run("mine.py:Mine", "other.py:Mine", "--name", "v3")) == message
    message = "--name 'v3' is for a predictor of your own, not for 'macs'"
    assert refusal(run("macs", "--name", "v3")) == message


def test_published_results_are_reused_and_never_written(
    run: Callable[..., Result], place: Path
) -> None:
    published = Path("leaderboard/results")
    assert run("last-value", "--results", str(published)).exit_code == 0
    before = contents(Path("leaderboard"))
    reused = run("last-value", "--json")
    assert reused.exit_code == 0
    assert json.loads(reused.stdout)["predictor"] == "last-value"
    assert reused.stderr == "0 results in results, 1 in leaderboard/results\n"
    assert not Path("results").exists()
    assert run("mine.py:Mine", "last-value", "--seeds", "1").exit_code == 0
    assert [path.name for path in Path("results", TASK).glob("*.json")] == ["mine.json"]
    assert contents(Path("leaderboard")) == before


def test_what_can_be_refused_is_refused_before_a_fit(
    run: Callable[..., Result], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run", None)  # whoever fits fails
    Path("results").write_text("a file, so that no folder can be there")
    message = "'results/digits-k0-v1/mine.json' cannot be written: "
    assert refusal(run("mine.py:Mine", "--results", "results/a/..")).startswith("'results/a/")
    Path("results").unlink()
    Path("results").mkdir()
    Path("results", TASK).write_text("a file")
    assert refusal(run("mine.py:Mine")).startswith(message)
    Path("fork.py").write_text(FORK)
    message = (
        "predictor 'fork.py:Fork' cannot be imported: ModuleNotFoundError: No module named "
        "'no_such_fork' (fork.py:2)"
    )
    assert refusal(run("mine.py:Mine", "fork.py:Fork", "--results", "new")) == message
    assert refusal(run("mine.py:Mine", "--name", "Größe", "--results", "new")).startswith(
        "`name` (='Größe') must be of a-z"
    )
    assert refusal(run("mine.py:Mine", "--task", "digits-k9-v1", "--results", "new")).startswith(
        "unknown task 'digits-k9-v1'"
    )
    words = ("last-value", "--train-size", "10", "--output", "mine.py/fits.jsonl")
    assert refusal(run(*words)) == (
        "'mine.py/fits.jsonl' cannot be written: Not a directory; choose another place"
    )
    assert not Path("new").exists()


def test_a_package_that_is_missing_in_a_fit_leaves_no_result(
    run: Callable[..., Result], place: Path
) -> None:
    Path("late.py").write_text(
        MINE.replace("if self.value", "import no_such_extra\n        if self.value")
    )
    message = (
        "predictor 'mine' cannot be fitted: ModuleNotFoundError: No module named 'no_such_extra' "
        "(late.py:11 in fit)"
    )
    found = run("late.py:Mine")
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.splitlines()[-1] == f"peephole: error: {message}"
    assert not Path("results").exists()


def test_a_traceback_and_prints_are_on_stderr(run: Callable[..., Result], place: Path) -> None:
    text = MINE.replace("0.5", "None").replace("        if", "        print('fitting')\n        if")
    Path("mine.py").write_text(f"print('importing')\n{text}")
    for words in ((), ("--traceback",)):
        result = run("mine.py:Mine", "--seeds", "1", "--json", *words)
        assert json.loads(result.stdout)["failure"].startswith("RuntimeError: no value (mine.py:")
        assert re.findall("importing|fitting", result.stderr) == [
            "importing",
            "importing",
            "fitting",
        ]
        assert ('raise RuntimeError("no value")' in result.stderr) is bool(words)
    Path("mine.py").write_text("def f():\n    raise KeyError('x')\nf()\n")
    for words in ((), ("--traceback",)):
        result = run("mine.py:Mine", *words)
        assert result.stderr.splitlines()[-1] == (
            "peephole: error: predictor 'mine.py:Mine' cannot be imported: KeyError: 'x' "
            "(mine.py:3, mine.py:2 in f)"
        )
        assert ("    raise KeyError('x')" in result.stderr) is bool(words)
