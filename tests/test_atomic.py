"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from benchmark.atomic import whole, write_whole


def test_a_file_is_written_with_the_folders_on_its_way(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b.txt", "käse")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "käse".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_write_that_ends_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")

    def stop_half_way() -> None:
        with whole(path) as draft:
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
        write_whole(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
