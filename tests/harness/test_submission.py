"""Reading `submission.yaml`: errors name the field and the rule."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.running.submission import (
    FILE,
    Submission,
    find_submission,
    read_submission,
    submission_names,
    submissions_folder,
    to_yaml,
)
from harness.running.submitted_files import code_digest

ROOT = Path(__file__).parents[2]
CODE = """
name: ours
title: 'A title: with a colon'
authors: Ann and Bob
kind: code
predictor: predictor.py:Net
seeds: 5
tasks: [digits-k0-v3, digits-k1-v3]
"""
PREDICTIONS = """
name: ours
title: A title
authors: Ann
kind: predictions
tasks: [digits-k0-v3]
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(text)
    (folder / "predictor.py").write_text("class Net: ...\n")
    return folder


def test_a_submission_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found = read_submission(write(tmp_path / "ours", CODE))
    assert found == Submission(
        name="ours",
        title="A title: with a colon",
        authors="Ann and Bob",
        kind="code",
        tasks=("digits-k0-v3", "digits-k1-v3"),
        predictor="predictor.py:Net",
        seeds=5,
    )
    assert found.file == "predictor.py"
    assert read_submission(write(tmp_path / "ours", to_yaml(found))) == found


def test_code_in_a_package_needs_no_file(tmp_path: Path) -> None:
    text = CODE.replace("predictor.py:Net", "my.package:Net\nrequirement: my-package==1.0")
    assert read_submission(write(tmp_path / "ours", text)).file is None


def test_submissions_lie_beside_results(tmp_path: Path) -> None:
    place = submissions_folder(tmp_path / "results")
    assert place == tmp_path / "submissions"
    assert submission_names(place) == []
    place.mkdir()
    write(place / "ours", CODE)
    write(place / "theirs", CODE)
    assert submission_names(place) == ["ours", "theirs"]
    assert find_submission(place, "ours").name == "ours"
    message = f"{place / 'theirs' / FILE}: `name` (='ours') must be the name of the folder"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find_submission(place, "theirs")


def test_the_digest_is_of_every_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "ours", CODE)
    first = code_digest(folder)
    (folder / "README.md").write_text("words")
    assert code_digest(folder) == first
    (folder / "more.py").write_text("")
    digests = [first, code_digest(folder)]
    for name in ("predictor.py", "parts/more.py", "parts/w.npz", "parts/v.npz"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("changed")
        digests.append(code_digest(folder))
    (folder / "parts/w.npz").write_text("changed again")
    digests.append(code_digest(folder))
    (folder / "parts").rename(folder / "other")
    digests.append(code_digest(folder))
    assert len(set(digests)) == 8


def line(name: str, text: str) -> str:
    """Return the submission of code with the line of a field replaced."""
    return re.sub(rf"^{name}:.*$", lambda _: text, CODE, flags=re.MULTILINE)


OFFENCES = [
    (line("name", "name: Ours"), "`name` (='Ours') must be 1 to 60 of a-z, 0-9 and '-', not "
     "starting with '-'"),
    (line("name", "name: gru"), "`name` (='gru') must be different from the names of "
     "reference predictors"),
    (line("name", ""), "field `name` is missing"),
    (line("name", "name: no"), "`name` (=False) must be text"),  # YAML reads `no` as false
    (line("title", "title: ' '"), "`title` (=' ') must be one non-empty line of at most "
     "200 printable characters"),
    (line("authors", 'authors: "a\\nb"'), "`authors` (='a\\nb') must be one non-empty "
     "line of at most 1000 printable characters"),
    (line("kind", "kind: codes"), "`kind` (='codes') must be one of predictions, code"),
    (line("tasks", "tasks: []"), "`tasks` (=()) must be at least one, all different"),
    (line("tasks", "tasks: [a, a]"), "`tasks` (=('a', 'a')) must be at least one, all different"),
    (line("tasks", "tasks: a"), "`tasks` (='a') must be a list"),
    (line("seeds", "seeds: 0"), "`seeds` (=0) must be in 1..100"),
    (line("seeds", "seeds: 1.5"), "`seeds` (=1.5) must be a whole number"),
    (line("seeds", "url: ftp://a"), "`url` (='ftp://a') must be a URL that starts with "
     "https:// or http://"),
    (line("seeds", "date: 31/1/2026"), "`date` (='31/1/2026') must be a day as YYYY-MM-DD"),
    (line("seeds", "sed: 1"), "unknown field 'sed'; did you mean 'seeds'? Known: name, title, "
     "authors, kind, tasks, predictor, requirement, seeds, fit_seconds, predict_seconds, hardware, "
     "contact, url, date"),
    (line("predictor", ""), "`predictor` (=None) must be given for code and only for code"),
    (line("predictor", "predictor: a/b.py:Net"), "`predictor` (='a/b.py:Net') must be a class in a "
     ".py file of the submission's folder"),
    (line("predictor", "predictor: net.py:Net"), "`predictor` (='net.py:Net') must be in the "
     "folder"),
    (CODE + "fit_seconds: 1.0", "`fit_seconds` (=1.0) must be at least 0 and given only "
     "for predictions; code is timed"),
    (PREDICTIONS + "requirement: a", "`requirement` (='a') must be given only for code"),
    (PREDICTIONS + "predictor: a", "`predictor` (='a') must be given for code and only for code"),
    (PREDICTIONS + "predict_seconds: -1", "`predict_seconds` (=-1.0) must be at least 0 and given "
     "only for predictions; code is timed"),
    (PREDICTIONS + "fit_seconds: .inf", "`fit_seconds` (=inf) must be a finite number"),
    (PREDICTIONS + "fit_seconds: 1", "`fit_seconds` and `predict_seconds` must be given "
     "together"),
    (CODE + "seeds: 3", "field `seeds` must be given once, not twice"),
    ("a: &x 1\nb: *x", "aliases (`*name`) are not allowed"),
    (line("seeds", "seeds: !!int ''"), "tags are not allowed, as 'tag:yaml.org,2002:int'"),
    (line("seeds", "seeds: !!bool x"), "tags are not allowed, as 'tag:yaml.org,2002:bool'"),
    (line("seeds", "seeds: ! 1"), "tags are not allowed, as '!'"),
    (line("tasks", "tasks: !!set {a}"), "tags are not allowed, as 'tag:yaml.org,2002:set'"),
    (CODE + "<<: {title: b}", "merged keys (`<<`) are not allowed"),
    (CODE + "1: 2", "unknown field '1'. Known: name, title, authors, kind, tasks, predictor, "
     "requirement, seeds, fit_seconds, predict_seconds, hardware, contact, url, date"),
    *(
        (line("seeds", f"seeds: {text}"), f"number {text:.100} must be written in decimal digits; "
         "if it is text, put it in quotes")
        for text in ("1:" * 700 + "1.5", "0x_", "0x10", "010", "0b1", "1_0", "1:30", "2:20.5")
    ),
    (line("title", "title: 12:30"), "number 12:30 must be written in decimal digits; if it is "
     "text, put it in quotes"),
    (line("seeds", "seeds: " + "9" * 5000), "Exceeds the limit (4300 digits) for integer string "
     "conversion: value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit"),
    (line("seeds", "seeds: 101"), "`seeds` (=101) must be in 1..100"),
    (line("title", r'title: "\e[31mred"'), r"`title` (='\x1b[31mred') must be one non-empty line "
     "of at most 200 printable characters"),
    (CODE + r'contact: "\u202ea"', r"`contact` (='\u202ea') must be one non-empty line of at most "
     "200 printable characters"),
    (line("tasks", r'tasks: ["a\eb"]'), r"`tasks[0]` (='a\x1bb') must be one non-empty line of at "
     "most 200 printable characters"),
    ("[1, 2]", "`file` (=[1, 2]) must be an object"),
    ("", "it is empty; template/submission.yaml has the fields"),
    ("# nothing", "it is empty; template/submission.yaml has the fields"),
    ("[" * 3000, "its brackets must be nested less deeply"),
    ("x" * 70_000, "70,000 bytes must be at most 65,536"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), OFFENCES, ids=[m for _, m in OFFENCES])
def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path, text: str, message: str) -> None:
    folder = write(tmp_path / "ours", text)
    expected = f"^{re.escape(f'{folder / FILE}: {message}')}$"
    with pytest.raises(ValueError, match=expected):
        read_submission(folder)


@pytest.mark.parametrize("text", ["name: [", "a: !!python/object:os.system x", "\t- a", "\x00"])
def test_what_is_no_plain_yaml_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path / "ours", text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{folder / FILE}: ')}.+$"):
        read_submission(folder)


@pytest.mark.parametrize("name", ["con", "nul", "com1"])
def test_a_name_that_windows_cannot_store_is_refused(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "ours", line("name", f"name: {name}"))
    rule = "must be another name: this is a device of Windows, not a file"
    message = f"{folder / FILE}: `name` (={name!r}) {rule}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_submission(folder)


def test_code_as_large_as_data_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "ours", CODE)
    (folder / "more.py").write_text("#" * 70_000)
    message = f"{folder / 'more.py'}: 70,000 bytes must be at most 65,536"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_submission(folder)


@pytest.mark.parametrize("places", [["leaderboard"], ["leaderboard/submissions", "leaderboard"]])
def test_pytest_never_runs_what_was_submitted(tmp_path: Path, places: list[str]) -> None:
    """It collects the doctests of all modules, but must not import submitted ones."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    own = tmp_path / "leaderboard" / "own.py"
    for folder in ("submissions/theirs", "submissions/theirs/inner", "results/theirs"):
        for name in ("net.py", "conftest.py", "test_net.py"):
            path = own.parent / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("import pathlib\npathlib.Path(__file__ + '.ran').touch()\n")
    own.write_text('"""Ours.\n\n>>> 1 + 1\n2\n"""\n')
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *places]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert list(tmp_path.rglob("*.ran")) == []
