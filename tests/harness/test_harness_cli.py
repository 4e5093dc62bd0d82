"""`peephole evaluate`, `check` and `score`, and the processes behind them."""

import json
import os
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from benchmark.release import Release
from benchmark.util import processes
from benchmark.util.processes import ONE_THREAD
from benchmark.util.unknown_name import unknown_name
from harness.cli import check, score
from harness.evaluate_cli import evaluate
from harness.predictors.encoders.gru import Gru
from harness.predictors.registry import PREDICTORS
from harness.results.result import HARNESS_VERSION
from harness.results.store import predictions_path, read_result, result_path
from harness.running.evaluate_many import Setting, evaluate_many
from harness.running.find_predictor import Candidate, find
from peephole_command import Root
from tests.toys.data import toy_release

ROOT = Root("peephole", commands={"evaluate": evaluate, "check": check, "score": score})
OWN = '''
"""Predictors of a user."""
import os
import sys

import numpy as np

from harness.protocol import Prediction


class MyNet:
    """Half of everything.

    More words.
    """

    def fit(self, train, validation, *, observed, seed):
        self.seed = seed

    def predict(self, queries):
        self.counts = {"threads": int(os.environ.get("OMP_NUM_THREADS", "0"))}
        sizes = np.array([float(len(rows)) for rows in queries.layer_rows])
        return Prediction(sizes[:, None] / 200, (queries.recipe.epochs,))


class Broken(MyNet):
    def fit(self, train, validation, *, observed, seed):
        raise RuntimeError("no luck\\ntoday")


class Killed(MyNet):
    def fit(self, train, validation, *, observed, seed):
        os._exit(9)


class Leaving(MyNet):
    def fit(self, train, validation, *, observed, seed):
        sys.exit(3)


class Gru(MyNet):
    pass


class NoPredict:
    def fit(self, train, validation, *, observed, seed):
        pass


number = 3
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (0, 1))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "my_model.py"
    path.write_text(OWN)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(ROOT, [str(a) for a in arguments], prog_name="peephole")


@pytest.fixture(scope="module")
def everything(folder: Path, own: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Evaluate a reference predictor and two user classes, one of which fails, on all tasks."""
    results = tmp_path_factory.mktemp("results")
    return run(
        "evaluate", "mean-curve", f"{own}:MyNet", f"{own}:Broken", "--seeds", "2",
        "--folder", folder, "--results", results,
    )  # fmt: skip


NUMBER = r"(-?\d+\.\d+|-)"
PART = rf" *{NUMBER} \[-?\d\.\d\d, -?\d\.\d\d\] +{NUMBER} +\d\.\d{{5}}"


def test_evaluate_prints_a_row_for_each_task_and_predictor(everything: Result) -> None:
    assert everything.exit_code == 1, everything.output  # because one failed
    head, names, *rows = everything.stdout.splitlines()
    assert head.split() == ["test", "heldout"]
    assert names.split() == [
        "task", "predictor", *["tau", "(95", "%)", "R2", "MSE"] * 2, "seconds",
    ]  # fmt: skip
    asked = [(task, name) for task in ("digits-k0-v1", "digits-k1-v1")
             for name in ("mean-curve", "my-net", "broken")]  # fmt: skip
    assert [tuple(row.split()[:2]) for row in rows] == asked
    for row, (_, name) in zip(rows, asked, strict=True):
        if name == "broken":
            assert row.endswith(" failed: RuntimeError: no luck; today (my_model.py:28 in fit)")
        else:
            assert re.fullmatch(rf"\S+ +\S+ {PART} +{PART} +\d+\.\d", row), row
    assert "6/6 results" in everything.stderr


def test_what_evaluate_writes_is_read_back(
    folder: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("evaluate", f"{own}:MyNet", "--task", "digits-k1-v1", "--seeds", "1",
                 "--folder", folder, "--json")  # fmt: skip
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    printed = json.loads(line)
    path = tmp_path / "results/digits-k1-v1/my-net.json"
    assert printed == json.loads(path.read_text())
    result = read_result(path)
    assert (result.title, result.counts) == ("Half of everything.", {"threads": 1})
    assert (tmp_path / "results/ceiling-digits.json").exists()
    predictions = predictions_path(path, result)
    assert pq.read_table(predictions).num_rows == 24
    rescored = run("score", predictions, "--task", "digits-k1-v1", "--folder", folder, "--json")
    assert rescored.exit_code == 0, rescored.output
    again = json.loads(rescored.stdout)
    assert again["scores"] == printed["scores"]
    assert again["verification"] == "rescored"
    table = run("score", predictions, "--task", "digits-k1-v1", "--folder", folder)
    row = table.stdout.splitlines()[2]
    assert re.fullmatch(rf"digits-k1-v1 +my-net\S+ +{PART} +{PART} +-", row)


def test_a_process_that_ends_early_is_a_failure_and_takes_no_other_with_it(
    folder: Path, own: Path, tmp_path: Path
) -> None:
    names = [f"{own}:Killed", f"{own}:Leaving", f"{own}:MyNet"]
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    setting = Setting(tmp_path, Release(folder), seeds=1)
    killed, leaving, fine = evaluate_many(names, ["digits-k0-v1"], setting)
    assert killed.failure == "the process ended early: exit code 9"
    assert leaving.failure == "SystemExit: 3 (my_model.py:38 in fit)"
    assert fine.status == "scored"
    assert read_result(result_path(tmp_path, "digits-k0-v1", "killed")) == killed
    assert {name: os.environ.get(name) for name in ONE_THREAD} == before


def evaluated_here(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """Run jobs in this process; return a list that receives each predictor and its tasks."""
    ran: list[tuple[str, tuple[str, ...]]] = []

    def run_here(call: partial[list[object]], _: object) -> list[object]:
        job = call.args[1]
        ran.append((job.predictor, tuple(task.name for task in job.tasks)))
        return call()

    monkeypatch.setattr(processes, "call_in_process", run_here)
    return ran


def test_an_existing_result_is_reused_unless_it_is_out_of_date(
    folder: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = evaluated_here(monkeypatch)
    names, tasks = ["mean-curve", f"{own}:MyNet"], ["digits-k1-v1", "digits-k0-v1"]
    setting = Setting(tmp_path, Release(folder), seeds=1)
    first = evaluate_many(names, tasks, setting)
    assert sorted(ran) == [
        (f"{own}:MyNet", ("digits-k0-v1",)),
        (f"{own}:MyNet", ("digits-k1-v1",)),
        ("mean-curve", ("digits-k1-v1", "digits-k0-v1")),  # one fit for both: it uses no curve
    ]
    ran.clear()
    again = evaluate_many(names, tasks, setting)
    assert [(r.task, r.predictor) for r in again] == [(r.task, r.predictor) for r in first]
    assert [name for name, _ in ran] == [f"{own}:MyNet"] * 2  # the user's code may have changed
    assert again[0] == first[0]
    for spoil in (
        f'"harness_version": "{HARNESS_VERSION}"',
        f'"task_digest": "{setting.release.task("digits-k0-v1").digest}"',
    ):
        ran.clear()
        path = result_path(tmp_path, "digits-k0-v1", "mean-curve")
        text = path.read_text()
        assert spoil in text
        path.write_text(text.replace(spoil, spoil[:-4] + '000"'))
        evaluate_many(["mean-curve"], tasks, setting)
        assert ran == [("mean-curve", ("digits-k0-v1",))]
    ran.clear()
    path.write_text("edited by hand")
    evaluate_many(["mean-curve"], tasks, replace(setting, replace_existing=True))
    assert ran == [("mean-curve", ("digits-k0-v1",))]


def test_two_predictors_of_one_name_are_refused(own: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(OWN)
    first, second = f"{own}:MyNet", f"{other}:MyNet"
    message = (
        f"predictors {first!r} and {second!r} have the same name 'my-net'; "
        "evaluate them one by one, each with its --name"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        evaluate_many([first, second], [], Setting(tmp_path))


@pytest.mark.parametrize("name", ["seeds", "processes"])
def test_a_setting_out_of_range_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^`{name}` \(=0\) must be at least 1$"):
        Setting(tmp_path, **{name: 0})  # type: ignore[arg-type]


def test_evaluate_needs_predictors_or_all_of_them(folder: Path, tmp_path: Path) -> None:
    message = "Error: give either predictors or --all\n"
    for arguments in ((), ("gru", "--all")):
        done = run("evaluate", *arguments, "--folder", folder)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.endswith(message)
    done = run("evaluate", "--all", "--folder", tmp_path)
    assert done.exit_code == 2
    message = "there is no frozen task; `peephole task freeze` creates them"
    assert done.stderr == f"peephole: error: {message}\n"


def test_unknown_names_are_refused_with_the_nearest(folder: Path, tmp_path: Path) -> None:
    known = Release(folder).task_names()
    cases = [
        (("evaluate", "guru"), unknown_name("predictor", "guru", PREDICTORS)),
        (("evaluate", "gru", "--task", "digits-k9"), unknown_name("task", "digits-k9", known)),
        (("score", __file__, "--task", "digits-k9"), unknown_name("task", "digits-k9", known)),
        (("check", "guru"), unknown_name("predictor", "guru", PREDICTORS)),
    ]
    for arguments, message in cases:
        done = run(*arguments, "--folder", folder)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"peephole: error: {message}\n"


def test_check_says_of_every_rule_whether_it_is_kept(folder: Path, own: Path) -> None:
    done = run("check", "mean-curve", "--folder", folder)
    assert done.exit_code == 0, done.output
    assert all(line.startswith("ok      ") for line in done.stdout.splitlines())
    done = run("check", f"{own}:Broken", "--folder", folder, "--json")
    assert done.exit_code == 1
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert findings[0] == {"rule": "files", "passed": True, "seen": "my_model.py; 980 bytes"}
    assert findings[1] == {
        "rule": "works with 0 epochs observed",
        "passed": False,
        "seen": "RuntimeError: no luck; today (my_model.py:28 in fit)",
    }


def test_check_without_data_says_what_is_there(tmp_path: Path) -> None:
    done = run("check", "mean-curve", "--folder", tmp_path)
    assert done.exit_code == 2
    path = tmp_path / "cifar10/train.parquet"
    assert done.stderr == f"peephole: error: no runs at {str(path)!r}; files: none\n"


def test_a_predictor_is_found_by_name_class_or_file(own: Path) -> None:
    gru = find("gru")
    assert (gru.name, gru.uses_curve, gru.stochastic) == ("gru", False, True)
    assert isinstance(gru.make(), Gru)
    assert find("harness.predictors.encoders.gru:Gru") == find("gru") or (
        find("harness.predictors.encoders.gru:Gru").name == "gru"
    )
    mine = find(f"{own}:MyNet")
    assert (mine.name, mine.title) == ("my-net", "Half of everything.")
    assert (mine.uses_curve, mine.stochastic) == (True, True)
    assert type(mine.make()).__name__ == "MyNet"


def test_a_module_in_the_current_folder_is_found(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_package_of_nets.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    assert find("my_package_of_nets:MyNet").name == "my-net"


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        ("{own}:MyNt", "predictor {given!r}: unknown class 'MyNt'; did you mean 'MyNet'? Known: "
         "MyNet, Broken, Killed, Leaving, Gru"),
        ("{own}:NoPredict", "predictor {given!r} must have a method `predict`"),
        ("{own}:number", "predictor {given!r} must be a class, not 3"),
        ("{own}:Gru", "predictor {given!r} has the name 'gru' of a predictor of the registry; "
         "rename its class or give another --name"),
        ("nowhere.at_all:Net", "predictor {given!r} cannot be imported: ModuleNotFoundError: No "
         "module named 'nowhere'"),
    ],
)  # fmt: skip
def test_a_predictor_that_cannot_be_found_is_refused(
    own: Path, predictor: str, message: str
) -> None:
    given = predictor.format(own=own)
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(given=given))}$"):
        find(given)


def test_a_file_that_is_missing_or_no_python_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    message = f"no file {str(path)!r} for the predictor {f'{path}:Net'!r}"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        find(f"{path}:Net")
    path.write_text("def f(:\n")
    start = re.escape(
        f"predictor {f'{path}:Net'!r} cannot be imported: SyntaxError: invalid syntax"
    )
    with pytest.raises(ValueError, match=rf"^{start} \(a\.py, line 1\)$"):
        find(f"{path}:Net")
    path = tmp_path / "a.txt"
    path.write_text("")
    start = f"predictor {f'{path}:Net'!r} cannot be imported: ImportError: "
    message = f"{start}{str(path)!r} is not a Python file"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find(f"{path}:Net")


def test_seeds_are_several_for_stochastic_predictors_alone() -> None:
    assert Candidate("a", "A", Gru).seeds() == (0, 1, 2, 3, 4)
    assert Candidate("a", "A", Gru).seeds(2) == (0, 1)
    assert Candidate("a", "A", Gru, stochastic=False).seeds(2) == (0,)


def test_every_task_of_the_toy_release_is_read(folder: Path) -> None:
    for name in Release(folder).task_names():
        assert Release(folder).task(name).name == name
