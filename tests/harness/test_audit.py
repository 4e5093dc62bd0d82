"""Verification of result folders: sources, claimed levels, and the command."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import leaderboard.folders
from benchmark.release import Release
from benchmark.util.shard import parse_shard
from harness.predictors.registry import PREDICTORS
from harness.results.result import HARNESS_VERSION, Seconds
from harness.results.store import read_result, result_path, write_result
from harness.running.evaluate_many import Setting, evaluate_many
from harness.running.submission import FILE
from harness.verification.audit import Request, raise_levels, verify
from harness.verification.references import write_references
from harness.verification.rerun import Rerun, Reruns, read_reruns, reruns_path, write_rerun
from harness.verification.rescore import raise_level
from leaderboard.board import verified_board
from leaderboard.cli import board
from peephole_command import Root
from tests.toys.data import toy_release
from tests.toys.results import predictions_of, toy_result, write_toy
from tests.toys.submissions import TASK, submit_predictions

ROOT = Root("peephole", commands={"board": board})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (1,))


@pytest.fixture(scope="module")
def submitted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    submitted = tmp_path_factory.mktemp("board")
    submit_predictions(folder, submitted)
    return submitted


@pytest.fixture
def results(submitted: Path, tmp_path: Path) -> Path:
    """Return a copy of a submission's results, with the submission beside it."""
    shutil.copytree(submitted, tmp_path / "copy")
    return tmp_path / "copy" / "results"


def problems(results: Path, folder: Path) -> tuple[str, ...]:
    return verify(Request(results, release=Release(folder), processes=1)).problems


def test_a_proven_result_is_raised_once(results: Path, folder: Path) -> None:
    path = result_path(results, TASK, "ours")
    assert read_result(path).verification == "self-reported"
    request = Request(results, release=Release(folder), processes=1)
    assert raise_levels(request, verify(request)) == [path]
    assert read_result(path).verification == "rescored"
    report = verify(request)
    assert (raise_levels(request, report), report.problems) == ([], ())


def test_a_raised_reference_stays_on_record(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    release = Release(folder)
    evaluate_many(["macs", "parameters"], [TASK], Setting(results, release, seeds=1, processes=1))
    request = Request(results, release=release, processes=1)
    write_references(results)
    result_path(results, TASK, "parameters").unlink()
    assert raise_levels(request, verify(request)) == [result_path(results, TASK, "macs")]
    (problem,) = problems(results, folder)
    assert problem.endswith("parameters.json: the recorded result is missing")


def test_a_level_that_cannot_be_shown_is_refused_by_all_who_read(
    results: Path, folder: Path
) -> None:
    path = result_path(results, TASK, "ours")
    raise_level(path, "rerun")
    message = (
        f"{path}: `verification` (='rerun') must be 'rescored' at most: reruns.json has no entry "
        "for these predictions and this version of the harness"
    )
    assert problems(results, folder) == (message,)
    with pytest.raises(ValueError, match=re.escape(message)):
        verified_board(results, Release(folder))
    digest = read_result(path).predictions_sha256
    assert digest is not None
    write_rerun(results, Rerun(TASK, "ours", digest, None, None, HARNESS_VERSION, 0.0))
    assert problems(results, folder) == ("submission 'ours' has only predictions, no code to run",)


def test_a_failed_predictor_claims_nothing(results: Path, folder: Path) -> None:
    failed = replace(
        toy_result("ours"), task=TASK, title="Ours", counts={}, verification="rescored"
    )
    write_result(results, failed, None)
    path = result_path(results, failed.task, "ours")
    assert problems(results, folder) == (
        f"{path}: `verification` (='rescored') must be 'self-reported' for a failed predictor",
    )


def test_a_result_from_nowhere_is_refused(results: Path, folder: Path) -> None:
    write_toy(results, "nobody", 0.1)
    path = result_path(results, "digits-k0-v1", "nobody")
    submissions = str((results.parent / "submissions").resolve())
    assert problems(results, folder) == (
        f"{path}: predictor 'nobody' must be a reference predictor or have a submission in "
        f"{submissions!r}",
    )


def test_a_result_of_a_task_that_is_not_there_is_refused(results: Path, folder: Path) -> None:
    write_toy(results, "macs", 0.1)
    path = result_path(results, "digits-k0-v1", "macs")
    rewrite(path, title=PREDICTORS["macs"].title)
    assert problems(results, folder) == (
        f"{path}: unknown task 'digits-k0-v1'; did you mean 'digits-k1-v1'? Known: digits-k1-v1",
    )


def test_a_result_that_is_missing_is_named(results: Path, folder: Path) -> None:
    path = result_path(results, TASK, "ours")
    for file in path.parent.iterdir():
        file.unlink()
    assert problems(results, folder) == (f"{path}: the result of submission 'ours' is missing",)


Change = Callable[[Path], None]


def retitle(path: Path) -> None:
    rewrite(path, title="Theirs")


def recount(path: Path) -> None:
    rewrite(path, counts={"failed_fits": 1})


def retime(path: Path) -> None:
    rewrite(path, seconds=Seconds(0.0, 0.0))


def rewrite(path: Path, **fields: object) -> None:
    result = read_result(path)
    write_result(path.parent.parent, replace(result, **fields), pq.read_table(predictions_of(path)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (retitle, "`title` (='Theirs') is 'Ours' in ours/submission.yaml"),
        (recount, "`counts` (={'failed_fits': 1}) is {} in ours/submission.yaml"),
        (retime, "`seconds` (=Seconds(fit=0.0, predict=0.0)) is None in ours/submission.yaml"),
    ],
)
def test_a_result_says_what_its_submission_says(
    results: Path, folder: Path, change: Change, message: str
) -> None:
    path = result_path(results, TASK, "ours")
    change(path)
    assert problems(results, folder) == (f"{path}: {message}",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TASK, "digits-k9", f"`task` (={TASK!r}) is None in ours/submission.yaml"),
        ("seeds: 1", "seeds: 2", "`seeds` (=(0,)) is (0, 1) in ours/submission.yaml"),
    ],
)
def test_a_submission_that_is_edited_is_refused(
    results: Path, folder: Path, old: str, new: str, message: str
) -> None:
    path = result_path(results, TASK, "ours")
    file = results.parent / "submissions" / "ours" / FILE
    file.write_text(file.read_text().replace(old, new))
    assert problems(results, folder)[0] == f"{path}: {message}"


def test_intervals_of_reference_results_are_taken_in_turns(results: Path, folder: Path) -> None:
    path = result_path(results, TASK, "ours")
    for name in ("gru", "macs", "arc"):
        table = pq.read_table(predictions_of(path))
        known = replace(read_result(path), predictor=name, title=PREDICTORS[name].title)
        write_result(results, known, table)
    seen = []
    for index in (1, 2):
        report = verify(Request(results, shard=(index, 2), release=Release(folder), processes=1))
        assert report.problems == ()
        assert path in report.proven  # submissions are never left out
        assert {*report.proven, *report.values} == set(path.parent.glob("*.json"))
        seen += [p for p in report.proven if p != path]
    assert sorted(seen) == sorted(set(path.parent.glob("*.json")) - {path})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "`shard` (='1') must be i/n, as 1/4"),
        ("a/b", "`shard` (='a/b') must be i/n, as 1/4"),
        ("0/2", "`shard` (=0/2) must be i/n with i from 1 to n"),
        ("3/2", "`shard` (=3/2) must be i/n with i from 1 to n"),
    ],
)
def test_a_shard_out_of_range_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Request(tmp_path, shard=parse_shard(text))


def test_the_record_of_reruns_holds_each_once(tmp_path: Path) -> None:
    assert read_reruns(tmp_path) == Reruns(1, ())
    one = Rerun("b", "x", "0" * 64, None, None, "0.1.0", 0.5)
    for rerun in (one, replace(one, task="a"), replace(one, largest_difference=0.25)):
        write_rerun(tmp_path, rerun)
    found = read_reruns(tmp_path)
    assert [(r.task, r.largest_difference) for r in found.reruns] == [("a", 0.5), ("b", 0.25)]
    path = reruns_path(tmp_path)
    text = path.read_text()
    path.write_text(text.replace('"task": "b"', '"task": "a"'))
    message = f"{path}: `reruns` must hold each task, predictor and predictions once"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_reruns(tmp_path)
    path.write_text(text.replace('"schema_version": 1', '"schema_version": 2'))
    message = f"{path}: `schema_version` (=2) must be 1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_reruns(tmp_path)


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(ROOT, [str(a) for a in arguments], prog_name="peephole")
    return done.exit_code, done.stdout, done.stderr


def test_the_command_says_what_is_wrong_and_writes_nothing_with_check(
    results: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard.folders, "RESULTS", results)
    monkeypatch.chdir(results)  # a folder without results of commands
    path = result_path(results, TASK, "ours")
    content = path.read_bytes()
    given = ("board", "rescore", "--folder", folder, "--processes", "1")
    counts = "1 rescored, 0 without intervals, 0 not rescorable, 0 wrong"
    assert run(*given, "--check")[:2] == (
        0, f"{results}  {counts}; 0 raised to rescored, 0 to rerun\n",
    )  # fmt: skip
    assert path.read_bytes() == content
    assert run(*given)[:2] == (0, f"{results}  {counts}; 1 raised to rescored, 0 to rerun\n")
    rewrite(path, title="Theirs")
    code, out, error = run(*given)
    assert code == 1
    assert out == (
        f"{results}  0 rescored, 0 without intervals, 0 not rescorable, 1 wrong; "
        "0 raised to rescored, 0 to rerun\n"
    )
    assert error.startswith(
        f"peephole: error: {path}: `title` (='Theirs') is 'Ours' in ours/submission.yaml\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rerun",), "--rerun needs PREDICTORS and cannot be combined with --check"),
        (("--fresh", "x"), "--fresh needs --rerun"),
        (("our",), "unknown predictor 'our'; did you mean 'ours'? Known: ours"),
    ],
)
def test_wrong_input_is_told(results: Path, arguments: tuple[str, ...], message: str) -> None:
    code, out, error = run("board", "rescore", *arguments, "--results", results)
    assert (code, out) == (2, "")
    assert error.endswith(f"rror: {message}\n")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "results"
    code, _, error = run("board", "rescore", "--results", missing)
    assert (code, error) == (2, f"peephole: error: no folder of results {str(missing)!r}\n")
