"""Files are written whole or not at all."""

import errno
import os
import re
import secrets
import stat
from pathlib import Path

import pytest

from benchmark.util.atomic import check_writable, replacing, write_atomically


def test_a_file_is_written_with_the_folders_on_its_way(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.txt", "käse")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "käse".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_write_that_ends_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")

    def stop_half_way() -> None:
        with replacing(path) as draft:
            draft.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
    assert path.read_text() == "old"


def test_a_move_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.mkdir()
    with pytest.raises(OSError, match="kept"):
        write_atomically(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


def test_drafts_have_names_of_their_own(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        for draft in (one, other):
            assert re.fullmatch(r"a\.[0-9a-f]{16}\.part", draft.name)
            draft.write_text(draft.name)
    assert (tmp_path / "a").read_text() == one.name  # the outer is moved last


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "results" / "a"
    victim.write_text("mine")
    path.parent.mkdir()
    path.symlink_to(victim)
    write_atomically(path, "new")
    assert victim.read_text() == "mine"
    assert not path.is_symlink()
    assert path.read_text() == "new"


def test_a_link_in_the_place_of_a_draft_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    (tmp_path / "a.guessed.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "a", "new")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "a").exists()


def test_content_is_on_disk_before_the_move_and_names_are_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(source: Path, target: Path) -> None:
        move(source, target)
        events.append("moved")

    events: list[str | int] = []
    move = os.replace
    monkeypatch.setattr(os, "fsync", lambda number: events.append(os.fstat(number).st_ino))
    monkeypatch.setattr(os, "replace", replace)
    path = tmp_path / "new" / "a"
    write_atomically(path, "text")
    folders = [part.stat().st_ino for part in (tmp_path, path.parent)]
    assert events == [folders[0], path.stat().st_ino, "moved", folders[1]]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EIO])
def test_a_folder_is_synced_where_the_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def sync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    if number == errno.EIO:
        message = f"[Errno 5] Input/output error: {str(tmp_path)!r}"
        with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
            write_atomically(tmp_path / "a", "text")
    else:
        write_atomically(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


@pytest.mark.parametrize("other", ["", "elsewhere"])
def test_an_error_of_the_system_names_the_file_or_what_it_is_about(
    tmp_path: Path, other: str
) -> None:
    def fail() -> None:
        with replacing(tmp_path / "a") as draft:
            raise OSError(errno.ENOSPC, "of the system", other or str(draft))

    text = f"of the system: {other!r}" if other else f"No space left on device: '{tmp_path}/a'"
    with pytest.raises(OSError, match=f"^{re.escape(f'[Errno 28] {text}')}$"):
        fail()


def test_a_place_that_cannot_be_written_is_told_beforehand(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    check_writable(path)
    assert [*tmp_path.iterdir()] == []
    path.parent.mkdir()
    path.write_text("kept")
    check_writable(path)
    assert {p.name: p.read_text() for p in path.parent.iterdir()} == {"a.json": "kept"}
    for other, why in ((path / "b.json", "Not a directory"), (Path("/proc/a"), "No such file or")):
        message = (
            rf"^{re.escape(repr(str(other)))} cannot be written: {why}.*; choose another place$"
        )
        with pytest.raises(ValueError, match=message):
            check_writable(other)
