"""What may lie in the folders of results and submissions, and who asks before reading them."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import harness.results.contents
from benchmark.util.locks import LOCK
from harness.results.contents import DRAFT_SECONDS, FILES, check_contents, require_contents
from harness.results.store import result_path
from harness.running.find_predictor import find
from harness.verification.audit import Request, verify
from leaderboard.board import read_board
from tests.toys.submissions import CODE

YAML = "name: mine\ntitle: Mine\nauthors: Me\nkind: code\npredictor: mine.py:Sizes\ntasks:\n- t\n"
JSON_FILES = "results/<task>/<predictor>.json or results/<task>/<predictor>.<digest>.parquet"
TOP_FILES = (
    "results/ceiling-<images>.json or results/references.json or results/reruns.json or "
    "results/.lock"
)
INNER_FILES = (
    "submissions/<name>/<folders>/<module>.py or "
    "submissions/<name>/<folders>/<data>.<csv|json|npy|npz|safetensors>"
)
CODE_FILES = f"submissions/<name>/submission.yaml or {INNER_FILES}"
IMPORTABLE = (
    "a Python file must have a name that can be imported, of A-Z, a-z, 0-9 and '_'; rename it, "
    "for example"
)
PICKLE = "a pickle can run code that no review sees; store numbers as npy, npz or safetensors"
DEVICE = "this is the name of a device on Windows; rename it"
PLAIN = "only plain files and folders may lie here, not"
HEX = "0123456789abcdef"


@pytest.fixture
def place(board_results: Path) -> Path:
    """Return a folder with the results of the toy board and a submission."""
    folder = board_results.parent / "submissions" / "mine"
    folder.mkdir(parents=True)
    (folder / "submission.yaml").write_text(YAML)
    (folder / "mine.py").write_text(CODE)
    return board_results.parent


def problems(place: Path) -> list[str]:
    found = check_contents(place / "results", place / "submissions")
    return [problem.removeprefix(f"{place}/") for problem in found]


def write(text: str = "") -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def age(path: Path) -> None:
    path.write_text("")
    os.utime(path, (0, 0))


def test_what_the_commands_write_may_lie_there(place: Path) -> None:
    (place / "results" / "reruns.json").write_text("{}")
    assert (place / "results" / LOCK).is_file()
    assert problems(place) == []
    require_contents(place / "results", place / "submissions")
    assert check_contents(place / "none", place / "neither") == []


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("results/notes.txt", write(), f"a file here must be {TOP_FILES}"),
        ("results/.lock", write("x"), "1 bytes must be at most 0"),
        ("results/ceiling-digits.json.part", write(), f"a file here must be {TOP_FILES}"),
        ("results/digits-k0-v1/good.parquet", write(), f"a file here must be {JSON_FILES}"),
        ("results/digits-k0-v1/good.json\n", write(), f"a file here must be {JSON_FILES}"),
        ("results/digits-k0-v1/Evil.json", write(), f"a file here must be {JSON_FILES}"),
        ("results/digits-k0-v1/evil.py", write(), f"a file here must be {JSON_FILES}"),
        ("results/digits-k0-v1/\x1b[31m.json", write(), f"a file here must be {JSON_FILES}"),
        ("results/digits-k0-v1/\u202egood.json", write(), f"a file here must be {JSON_FILES}"),
        ("results/digits-k0-v1/big.json", write("x" * 1_000_001),
         "1,000,001 bytes must be at most 1,000,000"),
        ("results/digits-k0-v1/good.json.part", link("good.json"), f"{PLAIN} a link"),
        (f"results/digits-k0-v1/a.json.{HEX}.part", link("good.json"), f"{PLAIN} a link"),
        (f"results/digits-k0-v1/a.json.{HEX}.part", age,
         "this draft is of a command that was killed; delete it"),
        (f"results/digits-k0-v1/a.py.{HEX}.part", age, f"a file here must be {JSON_FILES}"),
        ("results/digits-k0-v1/a.json", link("/etc/hostname"), f"{PLAIN} a link"),
        ("results/digits-k0-v1/a.json", link("nowhere"), f"{PLAIN} a link"),
        ("results/digits-k0-v1/a.json", os.mkfifo, f"{PLAIN} a device, pipe or socket"),
        ("results/digits-k0-v1/a.json", make_socket, f"{PLAIN} a device, pipe or socket"),
        ("results/digits-k0-v1/a.json", Path.mkdir, "no folder may lie here"),
        ("results/digits-k9-v1", link("digits-k0-v1"), f"{PLAIN} a link"),
        ("results/.git", Path.mkdir, "a folder here must be results/<task>"),
        ("submissions/evil.py", write(), "no file may lie here"),
        ("submissions/conftest.py", write(),
         "conftest.py must not lie here: pytest runs it without being asked"),
        ("submissions/Mine", Path.mkdir, "a folder here must be submissions/<name>"),
        ("submissions/other", link("mine"), f"{PLAIN} a link"),
        ("submissions/mine/a.bin", write(), f"a file here must be {CODE_FILES}"),
        ("submissions/mine/a.so", write(), f"a file here must be {CODE_FILES}"),
        ("submissions/mine/a-b.py", write(), f"{IMPORTABLE} a_b.py"),
        ("submissions/mine/parts/2net.py", write(), f"{IMPORTABLE} _2net.py"),
        ("submissions/mine/conftest.py", write(),
         "conftest.py must not lie here: pytest runs it without being asked"),
        ("submissions/mine/Conftest.py", write(),
         "Conftest.py must not lie here: pytest runs it without being asked"),
        ("submissions/mine/sitecustomize.py", write(),
         "sitecustomize.py must not lie here: Python runs it without being asked"),
        ("submissions/mine/__init__.py", write(),
         "__init__.py must not lie here: Python runs it when it looks for modules; only folders of "
         "the submission may have one"),
        ("submissions/mine/__pycache__", Path.mkdir,
         "__pycache__ must not lie here: it is compiled code, which may differ from the code "
         "beside it; delete it"),
        ("submissions/mine/parts/__pycache__", Path.mkdir,
         "__pycache__ must not lie here: it is compiled code, which may differ from the code "
         "beside it; delete it"),
        ("submissions/mine/a b", Path.mkdir,
         "a folder here must be submissions/<name>/<folders>"),
        ("submissions/mine/parts/x.exe", write(), f"a file here must be {INNER_FILES}"),
        ("submissions/mine/parts/conftest.py", write(),
         "conftest.py must not lie here: pytest runs it without being asked"),
        ("submissions/mine/net.pt", write(), PICKLE),
        ("submissions/mine/parts/forest.PKL", write(), PICKLE),
        ("submissions/mine/big.csv", write("x" * 10_000_001),
         "10,000,001 bytes must be at most 10,000,000"),
        ("submissions/mine/nul.py", write(), DEVICE),
        ("submissions/mine/Com7.json", write(), DEVICE),
        ("results/digits-k0-v1/aux.json", write(), DEVICE),
        ("submissions/con", Path.mkdir, DEVICE),
        ("results/digits-k0-v1/._good.json", write(),
         "macOS adds such a file to copies; delete it"),
        ("submissions/mine/big.py", write("#" * 65_537), "65,537 bytes must be at most 65,536"),
    ],
)  # fmt: skip
def test_everything_else_is_named_with_its_rule(
    place: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    (place / name).parent.mkdir(exist_ok=True)
    make(place / name)
    path = str(place / name)
    found = check_contents(place / "results", place / "submissions")
    assert found == [f"{path if path.isprintable() else ascii(path)}: {message}"]


@pytest.mark.parametrize("name", ["results", "submissions"])
def test_a_folder_that_is_itself_a_link_is_refused(place: Path, name: str) -> None:
    (place / name).rename(place / "moved")
    (place / name).symlink_to("moved")
    assert problems(place) == [f"{name}: {PLAIN} a link"]


def test_a_draft_of_a_running_command_may_lie_there(place: Path) -> None:
    path = place / "results" / "digits-k0-v1" / f"a.json.{HEX}.part"
    path.touch()
    assert problems(place) == []
    now = path.stat().st_mtime
    os.utime(path, (now, now - DRAFT_SECONDS - 1))
    assert len(problems(place)) == 1


def test_a_file_that_is_moved_meanwhile_is_passed_over(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listed(path), "gone"])
    assert problems(place) == []


def test_folders_with_too_many_files_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.results.contents, "MOST_ENTRIES", 2)
    rule = "there must be at most 2 files and folders"
    assert problems(place) == [f"results: {rule}", f"submissions: {rule}"]


def test_code_may_lie_in_folders_with_its_data(place: Path) -> None:
    mine = place / "submissions" / "mine"
    for name in ("a/__init__.py", "a/b/c/net.py", "my-data/w-1.npz", "a/t.csv", "v.safetensors"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).touch()
    assert problems(place) == []
    (mine / "a/b/c/d").mkdir()
    (mine / "a/b/c/d/net.py").touch()
    deep = "folders have names of letters, digits, '_' and '-', and are at most 3 deep"
    assert problems(place) == [f"submissions/mine/a/b/c/d: no folder may lie here: {deep}"]


def test_the_files_of_a_submission_are_bounded_together(place: Path) -> None:
    mine = place / "submissions" / "mine"
    for number in range(3):
        with (mine / f"w{number}.npz").open("wb") as file:
            file.truncate(7_000_000)
    size = 21_000_000 + sum(map(len, (YAML, CODE)))
    rule = "bytes and may have at most 20,000,000"
    assert problems(place) == [f"submissions/mine: all files together have {size:,} {rule}"]
    for number in range(3, 99):
        (mine / f"w{number}.npz").touch()
    rule = "there are 101 files and there may be at most 100"
    assert problems(place) == [f"submissions/mine: {rule}"]


def test_several_problems_are_counted(place: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (place / "results" / name).touch()
    rule = f"{place / 'results' / 'a.txt'}: a file here must be {TOP_FILES} (and 2 more)"
    with pytest.raises(ValueError, match=f"^{re.escape(rule)}$"):
        require_contents(place / "results", place / "submissions")


def test_a_link_is_refused_before_anything_is_read(place: Path) -> None:
    path = result_path(place / "results", "digits-k0-v1", "good")
    path.rename(place / "good.json")
    path.symlink_to(place / "good.json")
    message = f"{path}: {PLAIN} a link"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_board(place / "results")
    report = verify(Request(place / "results"))
    assert report.problems == (message,)
    assert report.proven == report.values == report.unproven == ()


def test_running_a_submission_leaves_no_compiled_code(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (place / "submissions" / "mine" / "beside_it.py").write_text("")
    (place / "submissions" / "mine" / "mine.py").write_text(f"{CODE}\nimport beside_it\n")
    find(str(place / "submissions" / "mine"))
    assert problems(place) == []


def test_every_size_is_bounded() -> None:
    assert all(0 <= size <= 20_000_000 for size in FILES.values())
