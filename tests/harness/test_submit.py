"""Submissions: written, run in an isolated process, verified and refused."""

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmark.release import Release
from harness.cli import check, submit
from harness.results.folder import PUBLISHED
from harness.results.replacing import OR_ELSE
from harness.results.result import Seconds
from harness.results.store import predictions_path, read_result, result_path
from harness.running.drafts import make_submission_files, read_submission_files
from harness.running.evaluate_many import Setting
from harness.running.find_predictor import find
from harness.running.submission import FILE, Submission, submissions_folder
from harness.score_text import submitted_lines
from harness.verification.audit import Request, rerun_all, verify
from harness.verification.canaries import Canaries
from harness.verification.isolated_process import Code
from harness.verification.isolation.launch import find_way, isolation_text
from harness.verification.rerun import find_code, read_reruns, rerun
from harness.verification.rescore import Rescoring
from harness.verification.submit import submit_files
from leaderboard.cli import board
from peephole_command import Root
from tests.toys.data import toy_release
from tests.toys.submissions import CODE, TASK, submit_predictions, toy_predictions, toy_task

ROOT = Root("peephole", commands={"check": check, "submit": submit, "board": board})
TEMPLATE = Path(__file__).parents[2] / "template"
FIELDS = {"name": "ours", "title": "Ours", "authors": "Us", "tasks": (TASK,)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (0, 1))


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(ROOT, [str(a) for a in arguments], prog_name="peephole")
    return done.exit_code, done.stdout, done.stderr


def test_the_template_is_checked_submitted_and_rerun(folder: Path, tmp_path: Path) -> None:
    mine, results = tmp_path / "mine", tmp_path / "results"
    shutil.copytree(TEMPLATE, mine, ignore=shutil.ignore_patterns("__pycache__"))
    file = mine / FILE
    file.write_text(file.read_text().replace("cifar10-", "digits-"))
    given = ("--folder", folder)
    code, out, error = run("check", mine, *given)
    assert (code, out.count("ok  ")) == (0, len(out.splitlines())), out + error
    code, out, error = run("submit", mine, *given, "--results", results)
    assert code == 0, out + error
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [
        ["digits-k0-v1", "my-ridge"], ["digits-k1-v1", "my-ridge"],
    ]  # fmt: skip
    submitted = tmp_path / "submissions" / "my-ridge"
    assert error.splitlines()[-3:] == [
        f"{submitted / FILE} says who submits what: read it; the results are "
        f"{results}/*/my-ridge.*",
        "to run it again as maintainers do: peephole board rescore my-ridge --results "
        f"{results} --data {folder} --rerun",
        "for a pull request, submit in a checkout of the repository, from its main folder",
    ]
    assert sorted(path.name for path in submitted.iterdir()) == ["predictor.py", FILE]
    code, out, error = run("board", "rescore", "--rerun", "my-ridge", *given, "--results", results)
    assert (code, out.splitlines()[0]) == (
        0, f"{results}  2 rescored, 0 without intervals, 0 not rescorable, 0 wrong; "
        "2 raised to rescored, 2 to rerun",
    ), error  # fmt: skip
    first, second = out.splitlines()[1:]
    how = re.escape(isolation_text(find_way().measures))
    within = rf"my-ridge  rerun within \S+, in {how}"
    reversed_fit = r"; score (lost|kept) on reversed accuracies \(tau -?0\.\d+\)"
    assert re.fullmatch(f"digits-k0-v1 {within}{reversed_fit}", first)
    assert re.fullmatch(f"digits-k1-v1 {within}", second)
    k0, k1 = read_reruns(results).reruns
    assert k0.measures == k1.measures == find_way().measures
    assert k0.canaries is not None
    assert k0.canaries.reversed is not None
    assert k1.canaries == Canaries((), None)
    assert verify(Request(results, release=Release(folder), processes=1)).problems == ()
    code_file = submitted / "predictor.py"
    code_file.write_text(code_file.read_text() + "# changed\n")
    assert verify(Request(results, release=Release(folder), processes=1)).problems == tuple(
        f"{result_path(results, task, 'my-ridge')}: `verification` (='rerun') must be 'rescored' "
        "at most: the code has changed since" for task in ("digits-k0-v1", "digits-k1-v1")
    )  # fmt: skip


def test_what_comes_next_depends_on_kind_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = Submission("ours", "Ours", "Us", "predictions", (TASK,))
    assert [*submitted_lines(ours, PUBLISHED)] == [
        f"leaderboard/submissions/ours/{FILE} says who submits what: read it; the results are "
        "leaderboard/results/*/ours.*",
        "to check the scores: peephole board rescore ours --check; maintainers also run code again",
        "for the pull request: peephole board build --readme README.md; then add "
        "leaderboard/submissions/ours, leaderboard/results/*/ours.* and README.md",
    ]
    second = [*submitted_lines(ours, Path("results"))][1]
    assert second == "to check the scores: peephole board rescore ours"


def test_predictions_of_several_seeds_are_submitted(folder: Path, tmp_path: Path) -> None:
    result = submit_predictions(folder, tmp_path, seeds=2)
    assert (result.predictor, result.title, result.seeds) == ("ours", "Ours", (0, 1))
    assert (result.verification, result.seconds) == ("self-reported", None)
    path = result_path(tmp_path / "results", TASK, "ours")
    stored = pq.read_table(predictions_path(path, read_result(path)))
    assert stored.equals(toy_predictions(folder, toy_task(folder), 2))
    assert list((tmp_path / "submissions" / "ours").iterdir()) == [
        tmp_path / "submissions" / "ours" / FILE
    ]


def draft(mine: Path, folder: Path, extra: str = "", seeds: int = 1) -> Path:
    """Return a folder of a submission of predictions."""
    (mine / "predictions").mkdir(parents=True)
    text = f"name: ours\ntitle: Ours\nauthors: Us\nkind: predictions\ntasks: [{TASK}]\n{extra}"
    (mine / FILE).write_text(text)
    table = toy_predictions(folder, toy_task(folder), seeds)
    pq.write_table(table, mine / "predictions" / f"{TASK}.parquet")
    return mine


def test_a_folder_of_predictions_states_its_cost(folder: Path, tmp_path: Path) -> None:
    mine = draft(tmp_path / "mine", folder, "fit_seconds: 2\npredict_seconds: 0.5\n")
    (result,) = submit_files(
        read_submission_files(mine), Setting(tmp_path / "results", Release(folder))
    )
    assert result.seconds == Seconds(2.0, 0.5)
    kept = tmp_path / "submissions" / "ours" / FILE
    assert kept.read_text() == (mine / FILE).read_text()


def test_a_result_of_ones_own_is_not_lost_to_a_submission(folder: Path, tmp_path: Path) -> None:
    submit_files(
        read_submission_files(draft(tmp_path / "two", folder, "seeds: 2\n", seeds=2)),
        Setting(tmp_path / "results", Release(folder)),
    )
    shutil.rmtree(tmp_path / "submissions")  # what is left is as if it had been evaluated
    files = read_submission_files(draft(tmp_path / "one", folder))
    setting = Setting(tmp_path / "results", Release(folder))
    path = result_path(tmp_path / "results", TASK, "ours")
    reason = f"{path}: the stored result has 2 seeds, the new one would have 1; {OR_ELSE}"
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        submit_files(files, setting)
    assert read_result(path).seeds == (0, 1)
    submit_files(files, setting, replace_existing=True)
    assert read_result(path).seeds == (0,)


def test_results_on_other_tasks_stay_when_a_predictor_is_submitted(
    folder: Path, tmp_path: Path
) -> None:
    submit_predictions(folder, tmp_path)
    path = result_path(tmp_path / "results", TASK, "ours")
    (tmp_path / "submissions" / "ours" / FILE).unlink()
    mine = draft(tmp_path / "mine", folder)
    (mine / FILE).write_text((mine / FILE).read_text().replace(TASK, "digits-k0-v1"))
    other = toy_predictions(folder, toy_task(folder, "digits-k0-v1"), 1)
    pq.write_table(other, mine / "predictions" / "digits-k0-v1.parquet")
    setting = Setting(tmp_path / "results", Release(folder))
    submit_files(read_submission_files(mine), setting, replace_existing=True)
    assert read_result(path).predictor == "ours"


def test_a_submission_is_replaced_only_if_asked_for(folder: Path, tmp_path: Path) -> None:
    submit_predictions(folder, tmp_path)
    mine = draft(tmp_path / "mine", folder, "seeds: 2\n", seeds=2)
    setting = Setting(tmp_path / "results", Release(folder))
    message = "submission 'ours' exists already; --replace replaces it"
    with pytest.raises(ValueError, match=f"^{message}$"):
        submit_files(read_submission_files(mine), setting)
    submit_files(read_submission_files(mine), setting, replace_existing=True)
    path = result_path(tmp_path / "results", TASK, "ours")
    assert read_result(path).seeds == (0, 1)
    file = mine / FILE
    file.write_text(file.read_text().replace(TASK, "digits-k0-v1"))
    pq.write_table(
        toy_predictions(folder, toy_task(folder, "digits-k0-v1"), 2),
        mine / "predictions" / "digits-k0-v1.parquet",
    )
    submit_files(read_submission_files(mine), setting, replace_existing=True)
    assert list(path.parent.iterdir()) == []
    assert verify(Request(setting.results, release=Release(folder), processes=1)).problems == ()


def test_what_is_refused_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    mine = draft(tmp_path / "mine", folder, "seeds: 2\n")
    path = mine / "predictions" / f"{TASK}.parquet"
    message = f"{path}: there are predictions of 1 seed, but `seeds` of {FILE} is 2"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        submit_files(read_submission_files(mine), Setting(tmp_path / "results", Release(folder)))
    table = toy_predictions(folder, toy_task(folder), 2)
    pq.write_table(table.slice(1), path)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: seed 0: run .* must be given$"):
        submit_files(read_submission_files(mine), Setting(tmp_path / "results", Release(folder)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_seeds_of_other_epochs_are_refused(folder: Path, tmp_path: Path) -> None:
    mine = draft(tmp_path / "mine", folder, "seeds: 2\n", seeds=2)
    path = mine / "predictions" / f"{TASK}.parquet"
    table = pq.read_table(path)
    keep = [s == 0 or e == 20 for s, e in zip(*(table[n].to_pylist() for n in ("seed", "epoch")),
                                              strict=True)]  # fmt: skip
    pq.write_table(table.filter(pa.array(keep)), path)
    message = f"{path}: every seed must have the same epochs"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        submit_files(read_submission_files(mine), Setting(tmp_path / "results", Release(folder)))


def test_a_draft_without_what_it_names_is_refused(folder: Path, tmp_path: Path) -> None:
    mine = draft(tmp_path / "mine", folder)
    (mine / "code.py").write_text("")
    message = f"{mine / 'code.py'}: a submission of predictions must not contain code or its data"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_submission_files(mine)
    (mine / "code.py").unlink()
    path = mine / "predictions" / f"{TASK}.parquet"
    path.unlink()
    message = f"no predictions {str(path)!r} for the task {TASK!r}"
    setting = Setting(tmp_path / "results", Release(folder))
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        submit_files(read_submission_files(mine), setting)
    file = mine / FILE
    file.write_text(file.read_text().replace(TASK, "digits-k1-v2"))
    with pytest.raises(ValueError, match=r"^unknown task 'digits-k1-v2'; did you mean 'digits-k1-"):
        submit_files(read_submission_files(mine), setting)


@pytest.mark.parametrize(
    ("what", "fields", "message"),
    [
        ("a.parquet", {"tasks": ("a", "b")}, "a.parquet: a file holds the predictions of one task, "
         f"not 2; for more, make a folder with {FILE} as in template/"),
        ("no.py:Net", {}, "no file 'no.py' for the predictor 'no.py:Net'"),
        ("here.net:Net", {}, "module 'here.net' lies in this folder and is not installed, so it "
         "cannot be submitted; give a file beside here/ with `from here.net import Net`, or a "
         "folder with submission.yaml"),
        ("one:Net", {}, "module 'one' lies in this folder and is not installed, so it cannot be "
         "submitted; give one.py:Net, or a folder with submission.yaml"),
        ("far.net:Net", {}, "module 'far.net' lies in 'elsewhere' and is not installed, so it "
         "cannot be submitted; give a file beside elsewhere/far/ with `from far.net import Net`, "
         "or a folder with submission.yaml"),
    ],
)  # fmt: skip
def test_a_draft_from_options_keeps_the_same_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, fields: Mapping[str, object],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.parquet").touch()
    for name in ("here/net.py", "one.py", "elsewhere/far/net.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.syspath_prepend("elsewhere")
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{re.escape(message)}$"):
        make_submission_files(what, {**FIELDS, **fields})


@pytest.mark.parametrize("name", ["a.PARQUET", "a.parq", "a"])
def test_a_file_of_predictions_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    files = make_submission_files(str(path), FIELDS)
    assert (files.code, files.predictions) == ({}, {TASK: path})


def test_a_folder_without_a_submission_is_no_predictor(tmp_path: Path) -> None:
    message = f"folder {str(tmp_path)!r} has no {FILE}; template/ of the repository has one to copy"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        make_submission_files(str(tmp_path), FIELDS)


def test_missing_options_are_named_as_options() -> None:
    message = f"a.py:Net: give --authors, --task, or a folder with {FILE} as in template/"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_submission_files("a.py:Net", {"name": "ours", "title": "Ours"})


def coded(folder: Path, body: str = "") -> Path:
    """Return a file of code, with other lines before its prediction."""
    folder.mkdir(exist_ok=True)
    path = folder / "net.py"
    path.write_text(CODE.replace("        sizes =", f"{body}        sizes ="))
    return path


def test_code_that_breaks_a_rule_or_fails_is_refused(folder: Path, tmp_path: Path) -> None:
    setting = Setting(tmp_path / "results", Release(folder))
    path = coded(tmp_path / "code", "        return [0.5]\n")
    message = (
        "net.py:Sizes breaks the rule 'works with 0 epochs observed': `predict` must return a "
        "Prediction, not list"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        submit_files(make_submission_files(f"{path}:Sizes", FIELDS), setting)
    coded(tmp_path / "code", "        assert len(queries) < 20, 'too many'\n")
    message = f"net.py:Sizes failed on {TASK}: AssertionError: too many (net.py:17 in predict)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        submit_files(make_submission_files(f"{path}:Sizes", FIELDS), setting)
    assert [entry.name for entry in tmp_path.iterdir()] == ["code"]


def test_predictions_that_do_not_come_out_again_are_refused(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    path = coded(tmp_path / "code")
    submit_files(make_submission_files(f"{path}:Sizes", FIELDS), Setting(results, Release(folder)))
    stored = result_path(results, TASK, "ours")
    submissions = submissions_folder(results)
    kept = submissions / "ours" / "net.py"
    kept.write_text(kept.read_text().replace("/ 200", "/ 190"))
    with pytest.raises(ValueError, match=(
        rf"^{re.escape(str(stored))}: `mean` of run '\S+' at epoch 20 \(=0\.\d+\) is 0\.\d+ "
        r"when it is fitted again; they may differ by at most 0\.001$"
    )):  # fmt: skip
        rerun(Rescoring(stored, False, Release(folder)), submissions, minutes=5)
    assert read_reruns(results).reruns == ()
    kept.write_text(kept.read_text().replace("/ 190", "/ 200").replace("{}", '{"fits": 1}'))
    message = f"{stored}: `counts` (={{}}) is {{'fits': 1}} in the rerun"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rerun_all(Request(results, release=Release(folder)), [stored], minutes=5)
    assert read_result(stored).verification == "self-reported"


def test_predictions_have_no_code_to_run(folder: Path, tmp_path: Path) -> None:
    submit_predictions(folder, tmp_path)
    submissions = submissions_folder(tmp_path / "results")
    message = "submission 'ours' has only predictions, no code to run"
    with pytest.raises(ValueError, match=f"^{message}$"):
        find_code("ours", submissions)
    message = "submission 'ours' has predictions and no code; it cannot be run"
    with pytest.raises(ValueError, match=f"^{message}$"):
        find(str(submissions / "ours"))
    assert find_code("gru", submissions) == (Code("gru"), None, None)


def test_an_installed_package_offers_predictors_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_package.py").write_text(CODE)
    (tmp_path / "broken_package.py").write_text("raise ImportError('not today')\n")
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[peephole.predictors]\ntheir-sizes = their_package:Sizes\nother = broken_package:Net\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"^unknown predictor 'their-size'; did you mean "
                       r"'their-sizes\'\? Known: mean-curve, .*, other, their-sizes$"):  # fmt: skip
        find("their-size")
    assert not {"their_package", "broken_package"} & set(sys.modules)
    found = find("their-sizes")
    assert (found.name, found.title) == (
        "their-sizes", "A two hundredth of the number of layers.",
    )  # fmt: skip
    assert "broken_package" not in sys.modules
    message = "predictor 'other' cannot be imported: ImportError: not today (broken_package.py:1)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find("other")


def test_a_name_that_two_packages_offer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[peephole.predictors]\nnet = {name}_module:Net\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    message = (
        "predictor 'net' is an entry point more than once: 'one_module:Net' of 'one' and "
        "'other_module:Net' of 'other'; give the class instead, as package.module:Class"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find("net")


def test_fields_of_a_folder_are_not_given_twice(folder: Path, tmp_path: Path) -> None:
    mine = draft(tmp_path / "mine", folder)
    code, _, error = run("submit", mine, "--name", "theirs")
    assert (code, error.endswith("Error: `name` is set in submission.yaml; change it there\n")) == (
        2, True,
    )  # fmt: skip
