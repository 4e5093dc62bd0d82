"""A release copied elsewhere: whole, the same bytes every time, and never over something else."""

import errno
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark.manifest import read_manifest
from benchmark.publish.export import content, export_archive, export_folder, replacing_folder
from benchmark.publish.verify import verify_release
from benchmark.runs import data_folder
from peephole_command import peephole as main
from tests.toys.campaign import toy_release, visible_files

ARCHIVE = "peephole-bench-data-1.2.3.zip"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


def left_in(folder: Path) -> list[str]:
    """Return all that lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_copy_is_the_release_with_licence_and_citation(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = export_folder(original, tmp_path / "new" / "copy")
    assert content(copy) == content(original)
    assert verify_release(copy) == []
    assert {"LICENSE", "CITATION.cff", "README.md", "croissant.json"} <= set(left_in(copy))
    assert left_in(copy.parent) == ["copy"]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export_folder(original, Path())
    assert content(tmp_path / "here") == content(original)


def test_hidden_files_stay_behind(original: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(original, tmp_path / "source"))
    (source / "digits" / ".proxies.jsonl").write_text("half")
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("")
    (source / ".gitattributes").write_text("")
    copy = export_folder(source, tmp_path / "copy")
    assert content(copy) == content(original)
    assert sum(path.is_file() for path in copy.rglob("*")) == len(content(original))


def test_an_archive_unpacks_to_the_release(original: Path, tmp_path: Path) -> None:
    path = export_archive(original, tmp_path)
    assert path == tmp_path / ARCHIVE
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    folder = tmp_path / ARCHIVE.removesuffix(".zip")
    assert verify_release(folder) == []
    assert content(folder) == content(original)


def test_an_archive_s_bytes_depend_on_the_release_alone(original: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(original, tmp_path / "source"))
    for place, path in enumerate(sorted(source.rglob("*"))):
        os.utime(path, (1_000_000_000 + place, 1_000_000_000 + place))
        path.chmod(0o700 if path.is_dir() else 0o600)
    first, second = export_archive(original, tmp_path / "a"), export_archive(source, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        entries = archive.infolist()
    year, month, day = map(int, read_manifest(original).date.split("-"))
    assert {entry.date_time for entry in entries} == {(year, month, day, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("archive", [False, True])
def test_exporting_again_changes_nothing(original: Path, tmp_path: Path, archive: bool) -> None:
    export = export_archive if archive else export_folder
    path = export(original, tmp_path / "out")
    before = visible_files(tmp_path)
    assert export(original, tmp_path / "out") == path
    assert visible_files(tmp_path) == before


def test_an_empty_folder_is_filled(original: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    assert verify_release(export_folder(original, tmp_path / "copy")) == []


@pytest.mark.parametrize("there", ["notes.txt", "digits/train.parquet"])
def test_a_folder_with_something_else_is_left_alone(
    original: Path, tmp_path: Path, there: str
) -> None:
    target = tmp_path / "copy"
    path = target / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    message = f"{str(target)!r} exists and is not this release; it was not changed"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        export_folder(original, target)
    assert path.read_text() == "mine"
    assert left_in(tmp_path) == ["copy"]


@pytest.mark.parametrize("archive", [False, True])
def test_a_file_with_the_name_is_left_alone(original: Path, tmp_path: Path, archive: bool) -> None:
    path = tmp_path / ARCHIVE
    path.write_text("mine")
    message = f"{str(path)!r} exists and is not this release; it was not changed"
    export, target = (export_archive, tmp_path) if archive else (export_folder, path)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        export(original, target)
    assert path.read_text() == "mine"
    assert left_in(tmp_path) == [ARCHIVE]


@pytest.mark.parametrize("archive", [False, True])
def test_a_damaged_release_is_not_exported(original: Path, tmp_path: Path, archive: bool) -> None:
    source = Path(shutil.copytree(original, tmp_path / "source"))
    (source / "recipes.json").unlink()
    (source / "environments.json").unlink()
    message = f"{str(source)!r} is not a valid release: environments.json is missing, and 1 more"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        (export_archive if archive else export_folder)(source, tmp_path / "out")
    assert left_in(tmp_path / "out") == []


@pytest.mark.parametrize("inner", ["copy", "digits/copy", ""])
@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("itself", [False, True])
def test_a_release_is_not_exported_into_a_release(
    original: Path, tmp_path: Path, inner: str, archive: bool, itself: bool
) -> None:
    release = original if itself else export_folder(original, tmp_path / "mine")
    if not (archive or inner or itself):
        assert export_folder(original, release) == release  # it is the copy already
        return
    message = f"{str(release)!r} is a release, and a file more would spoil it; export to another "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}folder$"):
        (export_archive if archive else export_folder)(original, release / inner)
    assert verify_release(release) == []


def test_a_full_disk_leaves_no_half_copy(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Path] = []

    def copy(source: Path, target: Path) -> None:
        if len(copied) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        target.write_bytes(source.read_bytes())
        copied.append(target)

    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.raises(OSError, match="No space left on device"):
        export_folder(original, tmp_path / "copy")
    assert len(copied) == 3
    assert left_in(tmp_path) == []


def test_a_full_disk_leaves_no_half_archive(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    class Full(zipfile.ZipFile):
        def writestr(self, entry: zipfile.ZipInfo, data: bytes) -> None:  # type: ignore[override]
            if len(written) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(entry.filename)
            super().writestr(entry, data)

    monkeypatch.setattr(zipfile, "ZipFile", Full)
    with pytest.raises(OSError, match="No space left on device"):
        export_archive(original, tmp_path)
    assert len(written) == 3
    assert left_in(tmp_path) == []


def test_what_is_written_wrongly_is_found(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(zipfile.ZipFile):
        def writestr(self, entry: zipfile.ZipInfo, data: bytes) -> None:  # type: ignore[override]
            super().writestr(entry, data[:-1] if entry.filename.endswith("LICENSE") else data)

    monkeypatch.setattr(zipfile, "ZipFile", Forgetful)
    draft = re.escape(f"{tmp_path / ARCHIVE}.") + r"[0-9a-f]{16}\.part"
    rest = re.escape(f" differs from {str(original)!r} after writing")
    with pytest.raises(ValueError, match=f"^'{draft}'{rest}$"):
        export_archive(original, tmp_path)
    assert left_in(tmp_path) == []


def test_a_staged_folder_replaces_the_old_one_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    for text, whole in (("old", True), ("new", False), ("newer", True)):
        try:
            with replacing_folder(target) as draft:
                (draft / "file").write_text(text)
                if not whole:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert (target / "file").read_text() == "old"
    assert (target / "file").read_text() == "newer"
    assert left_in(tmp_path) == ["kept"]


def test_the_command_exports_the_installed_release(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["data", "export", str(tmp_path), "--archive"])
    name = f"peephole-bench-data-{read_manifest(data_folder()).version}"
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / name}.zip\n")
    unpack = [sys.executable, "-m", "zipfile", "-e", f"{tmp_path / name}.zip", str(tmp_path)]
    subprocess.run(unpack, check=True)
    verified = CliRunner().invoke(main, ["data", "verify", "--folder", str(tmp_path / name)])
    assert verified.exit_code == 0
    again = CliRunner().invoke(main, ["data", "export", str(tmp_path)])
    assert again.exit_code == 2
    rule = "exists and is not this release; it was not changed"
    assert again.stderr == f"peephole: error: {str(tmp_path)!r} {rule}\n"
