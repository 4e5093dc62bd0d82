"""Code of users: what it raises says where, and what it prints is not the command's output."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.release import Release
from benchmark.tasks import Task
from harness.protocol import Prediction, Queries, Runs
from harness.running.evaluate import evaluate
from harness.running.find_predictor import Candidate, find
from harness.user_code import MissingPackageError, UserCodeError, user_code
from harness.verification.predictor_rules import check_predictor
from tests.toys.runs import toy_runs

NET = """
from helper import parse


class Net:
    def fit(self, train, validation, *, observed, seed):
        parse("a")

    def predict(self, queries): ...


class Late(Net):
    def __init__(self):
        import no_such_package
"""
HELPER = """
import json


def parse(text):
    return json.loads(text)
"""
PLACE = r"\(net\.py:7 in fit, helper\.py:6 in parse\)"


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def test_a_failure_names_the_last_calls_of_the_users_files(
    net: Path, task: Task, folder: Path
) -> None:
    """The last call of all is one of the standard library."""
    candidate = find(f"{net}:Net")
    result, _ = evaluate(candidate, task, release=Release(folder))
    assert re.fullmatch(rf"JSONDecodeError: Expecting value: .* {PLACE}", result.failure or "")
    findings = check_predictor(candidate.make, toy_runs(24))
    assert not findings[0].passed
    assert re.fullmatch(rf"JSONDecodeError: .* {PLACE}", findings[0].seen)


def test_installed_code_is_named_where_the_user_has_none(net: Path, tmp_path: Path) -> None:
    nets, other = tmp_path / "site-packages" / "nets", tmp_path / "site-packages" / "other"
    nets.mkdir(parents=True)
    other.mkdir()
    (other / "far.py").write_text("def far():\n    raise KeyError('x')\n")
    code = f"import sys\nsys.path.append({str(other)!r})\nfrom far import far\nfar()\n"
    (nets / "near.py").write_text(code)
    with pytest.raises(ValueError, match=r"cannot be imported: KeyError: 'x' \(near\.py:4\)$"):
        find(f"{nets}/near.py:Net")
    (tmp_path / "mine.py").write_text(f"import sys\nsys.path.append({str(nets)!r})\nimport near\n")
    with pytest.raises(ValueError, match=r"cannot be imported: KeyError: 'x' \(mine\.py:3\)$"):
        find(f"{tmp_path}/mine.py:Net")


def test_a_package_that_is_missing_is_no_result(net: Path, task: Task, folder: Path) -> None:
    candidate = find(f"{net}:Late")
    missing = "ModuleNotFoundError: No module named 'no_such_package' (net.py:14 in __init__)"
    message = f"predictor 'late' cannot be fitted: {missing}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        evaluate(candidate, task, release=Release(folder))
    with pytest.raises(MissingPackageError, match=f"^{re.escape(missing)}$"):
        check_predictor(candidate.make, toy_runs(24))


def test_what_code_prints_goes_to_stderr(
    task: Task, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Talking:
        def __init__(self) -> None:
            sys.stdout.write("made\n")

        def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
            sys.stdout.write("fitted\n")

        def predict(self, queries: Queries) -> Prediction:
            sys.stdout.write("predicted\n")
            return Prediction(np.full((len(queries), 1), 0.5), (queries.recipe.epochs,))

    talking = Candidate("talking", "Talks.", Talking)
    result, _ = evaluate(talking, task, seeds=1, release=Release(folder))
    assert result.status == "scored"
    assert capsys.readouterr() == ("", "made\nfitted\npredicted\n")
    assert all(finding.passed for finding in check_predictor(Talking, toy_runs(24)))
    assert capsys.readouterr().out == ""


def test_a_traceback_is_written_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    for show in (True, False):
        with pytest.raises(UserCodeError, match=r"^start: KeyError: 'x' \("), \
                user_code("start: ", show=show):  # fmt: skip
            raise KeyError("x")
        assert capsys.readouterr().err.startswith("Traceback (most recent") is show


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LookupError("x")])
def test_an_interrupt_and_what_shall_pass_are_raised_as_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, user_code(passing=(LookupError,)):
        raise error
    assert raised.value is error


def test_an_exit_and_a_stop_become_errors() -> None:
    for error in (SystemExit(3), StopIteration(), GeneratorExit()):
        with pytest.raises(UserCodeError, match=f"^{type(error).__name__}"), user_code():
            raise error


def test_a_cell_of_a_notebook_is_named_and_generated_code_is_not() -> None:
    namespace: dict[str, object] = {}
    exec(compile("def cell():\n    made()\n", "<ipython-input-3-ab>", "exec"), namespace)
    exec(compile("def made():\n    raise KeyError('x')\n", "<string>", "exec"), namespace)
    cell = namespace["cell"]
    assert callable(cell)
    with pytest.raises(UserCodeError, match=r"<ipython-input-3-ab>:2 in cell\)$"), user_code():
        cell()
