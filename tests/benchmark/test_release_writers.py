"""Commands that write to a release: they sign what they changed, one at a time, all or nothing."""

import errno
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark.manifest import read_manifest
from benchmark.publish import draft as drafts
from benchmark.publish.checksums import compare_with_published, published_line
from benchmark.publish.finish import changing_release, finish_release
from benchmark.publish.verify import verify_release
from benchmark.runs import data_folder
from benchmark.tasks_cli import task
from benchmark.util.locks import locked_folder
from peephole_command import peephole as main
from tests.toys.campaign import sign, toy_release, visible_files
from tests.toys.writers import check_faults

INPUTS = ("recipes.json", "environments.json", "tasks/digits-k0-v3.json", "images/digits.json",
          "digits/pilot.csv", "digits/test.parquet", "manifest.json")  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the syncs of what is done again after a fault."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, [*words])
    return done.exit_code, done.output


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the published release, in which every test mends what it damages."""
    return Path(shutil.copytree(data_folder(), tmp_path_factory.mktemp("published") / "data"))


@pytest.mark.parametrize("name", INPUTS)
def test_no_command_signs_a_file_that_it_did_not_write(published: Path, name: str) -> None:
    before = (published / name).read_bytes()
    flip(published / name, 8003)
    files = visible_files(published)
    problem = re.escape(f"{str(published)!r} is not as it was signed: {name} has SHA-256 ")
    remedy = re.escape(
        "; undo the change, or, if it is yours, sign it: `peephole data card --data FOLDER --sign "
        f"{name}`\n"
    )
    for words in (["data", "card"], ["task", "freeze", "digits", "--version", "9"]):
        code, text = invoke(*words, "--data", str(published))
        assert code == 2
        assert re.fullmatch(
            f"peephole: error: {problem}[0-9a-f]+, but SHA256SUMS says [0-9a-f]+{remedy}", text
        )
        assert visible_files(published) == files
    (published / name).write_bytes(before)


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "LICENSE", "CITATION.cff"])
def test_what_a_command_writes_anew_need_not_be_as_it_was(folder: Path, name: str) -> None:
    before = visible_files(folder)
    flip(folder / name, 99)
    finish_release(folder)
    assert visible_files(folder) == before
    (folder / name).unlink()
    finish_release(folder)
    assert visible_files(folder) == before


def test_a_file_is_signed_by_name(folder: Path) -> None:
    (folder / "digits" / "pilot.csv").write_text("rate\n")
    (folder / "environments.json").unlink()
    words = ["data", "card", "--data", str(folder)]
    code, text = invoke(*words)
    first = "digits/pilot.csv is not in SHA256SUMS (and 1 more)"
    assert (code, text.split("; ")[0]) == (
        2, f"peephole: error: {str(folder)!r} is not as it was signed: {first}"
    )  # fmt: skip
    code, text = invoke(*words, "--sign", "digits/pilot.csv")
    assert (code, text.count("environments.json is missing")) == (2, 1)
    both = ["--sign", "digits/pilot.csv", "--sign", "environments.json"]
    assert invoke(*words, *both) == (0, f"release 1.2.3 in {folder}\n")
    assert [problem.split(" lacks ")[0] for problem in verify_release(folder)] == [
        "environments.json"
    ]


def test_an_unknown_name_is_not_signed(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^unknown file 'recipe.json'; did you mean 'recipes.js"):
        finish_release(folder, signed=["recipe.json"])


@pytest.mark.parametrize("gone", ["SHA256SUMS", "digits"])
def test_a_folder_that_is_no_release_is_not_signed(folder: Path, gone: str) -> None:
    (folder / "SHA256SUMS").unlink()
    if gone == "digits":
        (folder / "manifest.json").unlink()
        shutil.rmtree(folder / "digits")
    message = f"{str(folder)!r} holds files but no SHA256SUMS, so it is not a release"
    before = visible_files(folder)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        finish_release(folder)
    assert visible_files(folder) == before
    with pytest.raises(FileNotFoundError, match=r"^there is no folder '.+/nowhere'$"):
        finish_release(folder / "nowhere")


@pytest.mark.parametrize("name", ["licence", "digits/more", ".draft", ".ready", ".lock"])
def test_links_are_neither_followed_nor_signed(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "SHA256SUMS").write_text("mine")
    (folder / ".lock").unlink()
    (folder / name).symlink_to(tmp_path / "mine")
    before = visible_files(folder)
    problem = {
        ".draft": f"{str(folder / name)!r} is not a folder; remove it",
        ".ready": f"{str(folder / name)!r} is not a folder; remove it",
        ".lock": f"{str(folder)!r} cannot be written to: {os.strerror(errno.ELOOP)}: "
        f"{str(folder / name)!r}",
    }
    link = f"{str(folder)!r} cannot be written to: {name} is a link, and a release holds none; "
    message = problem.get(name, f"{link}remove it")
    with pytest.raises((ValueError, OSError), match=f"^{re.escape(message)}$"):
        finish_release(folder)
    assert visible_files(folder) == before
    assert visible_files(tmp_path / "mine") == {"SHA256SUMS": b"mine"}


def test_a_folder_that_cannot_be_written_to_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: object, flags: int, *rest: object, **_: object) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags)  # type: ignore[arg-type]

    opened = os.open
    monkeypatch.setattr(os, "open", read_only)
    message = f"{str(folder)!r} cannot be written to: Read-only file system: '{folder}/.lock'"
    with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
        finish_release(folder)
    assert verify_release(folder) == []  # readers need no lock


def test_a_second_command_is_refused_when_it_waited_too_long(folder: Path) -> None:
    message = (
        f"another command has written to {str(folder)!r} for 0.01 seconds; run this one again when "
        "it has ended"
    )
    with (
        locked_folder(folder),
        pytest.raises(BlockingIOError, match=f"^{re.escape(message)}$"),
        locked_folder(folder, patience=0.01),
    ):
        pass
    with locked_folder(folder, patience=0.0):  # free again
        pass


def test_a_second_command_waits_and_sees_what_the_first_wrote(folder: Path) -> None:
    def second() -> None:
        with changing_release(folder) as draft:
            seen.update(visible_files(draft))

    seen: dict[str, bytes] = {}
    thread = threading.Thread(target=second)
    with changing_release(folder) as draft:
        thread.start()
        (draft / "tasks").mkdir()
        (draft / "tasks" / "new.json").write_text("{}")
    thread.join()
    assert seen["tasks/new.json"] == b"{}"
    assert seen == visible_files(folder)


def test_an_error_names_the_file_in_the_release(folder: Path) -> None:
    sums = (folder / "digits" / "test.parquet").read_bytes()
    (folder / "digits" / "test.parquet").write_bytes(sums[:-9])
    sign(folder)
    with pytest.raises(ValueError, match=rf"^{folder}/digits/test.parquet: the Parquet file is d"):
        finish_release(folder)


def freeze(folder: Path) -> Callable[[], object]:
    words = ["freeze", "digits", "--observed", "0", "--observed", "1", "--data", str(folder)]
    return lambda: task.main(words, standalone_mode=False)


def write_card(folder: Path) -> Callable[[], object]:
    (folder / "README.md").write_text("old")
    (folder / "croissant.json").unlink()
    sign(folder)
    return lambda: finish_release(folder, "1.3.0")


@pytest.mark.parametrize("command", [freeze, write_card])
@pytest.mark.parametrize("dies", [True, False])
@pytest.mark.parametrize("step", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_a_command_broken_off_anywhere_is_completed_by_the_next(
    original: Path,
    folder: Path,
    quick: None,
    command: Callable[[Path], Callable[[], object]],
    dies: bool,
    step: int,
) -> None:
    work = command(folder)
    base = folder.with_name("base")
    shutil.copytree(folder, base)
    check_faults(base, folder, work, dies=dies, step=step)


def test_what_is_ready_is_completed_by_any_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(drafts, "_move_ready_files", lambda _: None)  # as if killed
        finish_release(folder, "1.3.0")
    assert verify_release(folder) == [
        f"a command was killed while it wrote to {str(folder)!r}; `peephole data card --data "
        "FOLDER` completes its work"
    ]
    freeze(folder)()
    assert verify_release(folder) == []
    assert b"version: 1.3.0" in visible_files(folder)["README.md"]


def test_the_data_of_this_package_is_a_published_release() -> None:
    line = published_line(data_folder())
    path = Path(drafts.__file__).with_name("published.txt")
    assert line in path.read_text().splitlines(), f"add this line to {path}: {line}"


def test_verify_tells_a_published_release_from_others(published: Path) -> None:
    assert compare_with_published(published) == "all as published"
    copy = shutil.copytree(published, published.with_name("copy"))
    version = read_manifest(copy).version
    flip(copy / "digits" / "pilot.csv", 8003)
    finish_release(copy, signed=["digits/pilot.csv"])
    assert compare_with_published(copy) == f"valid, but not release {version} as published"
    finish_release(copy, "99.0.0")
    assert compare_with_published(copy) == "valid; release 99.0.0 is not a published one"


@pytest.mark.parametrize("field", ["recipe_id", "environment_id"])
def test_a_row_without_recipe_or_environment_is_found(folder: Path, field: str) -> None:
    name = f"{field.removesuffix('_id')}s.json"
    (known,) = json.loads((folder / name).read_text())
    (folder / name).write_text("{}")
    finish_release(folder, signed=(name,))
    assert verify_release(folder) == [f"{name} lacks {known!r}, the `{field}` of a row"]


def test_a_folder_without_checksums_is_no_release(tmp_path: Path) -> None:
    assert verify_release(tmp_path) == [
        f"{str(tmp_path)!r} has no SHA256SUMS, so it is not a release"
    ]


def test_a_folder_that_is_no_release_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "src" / "empty").mkdir(parents=True)
    (tmp_path / "src" / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to("src")
    assert verify_release(tmp_path) == [
        f"{str(tmp_path)!r} has no SHA256SUMS, so it is not a release"
    ]
    with pytest.raises(ValueError, match=r"holds files but no SHA256SUMS, so it is not a release$"):
        finish_release(tmp_path)
    assert visible_files(tmp_path).keys() == {"src/notes.txt"}
    assert not (tmp_path / ".lock").exists()
