"""Files are written whole or not at all."""

import re
import secrets
from pathlib import Path

import pytest

from benchmark.util.atomic import replacing, write_atomically


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
