"""New rows need a new version, or `datasets` serves the old ones."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmark.manifest import read_manifest
from benchmark.publish.finish import finish_release
from benchmark.publish.verify import verify_release
from benchmark.publish.versions import agreed_version, next_version, numbers
from benchmark.release import Release, load_runs
from benchmark.runs import read_table, rows_to_table, split_path, write_table
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge
from peephole_command import peephole as main
from tests.toys.campaign import (
    edit,
    published_rows,
    release_plan,
    toy_campaign,
    toy_row,
    visible_files,
)

PLAN = release_plan()
ROWS = [toy_row(run) for run in PLAN]
LATE = [run.run_id for run in PLAN if run.split == "train"][:5]  # what the first release lacks


def campaign_without(folder: Path, names: list[str]) -> Campaign:
    runs = [run for run in PLAN if run.run_id not in names]
    return toy_campaign(folder, runs, [row for row in ROWS if row["run_id"] not in names])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release of all but a few runs."""
    folder = tmp_path_factory.mktemp("first")
    merge([campaign_without(folder / "campaign", LATE)], folder / "data", "1.0.0")
    return folder / "data"


@pytest.fixture
def folder(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "data"))


@pytest.fixture
def rest(tmp_path: Path) -> Campaign:
    return campaign_without(tmp_path / "rest", [])


@pytest.mark.parametrize(
    ("old", "asked", "changed", "agreed"),
    [
        (None, None, True, "0.1.0"),
        (None, "2.0.0", True, "2.0.0"),
        ("0.9.3", None, True, "0.10.0"),
        ("0.9.3", None, False, "0.9.3"),
        ("0.9.3", "0.9.3", False, "0.9.3"),
        ("0.9.3", "0.10.0", False, "0.10.0"),
        ("0.9.3", "0.9.4", True, "0.9.4"),
    ],
)
def test_the_version_from_now_on(
    old: str | None, asked: str | None, changed: bool, agreed: str
) -> None:
    assert agreed_version(old, asked, changed=changed) == agreed


def test_versions_are_compared_as_numbers() -> None:
    versions = ["1.0.0", "0.10.0", "0.9.12", "0.9.3"]
    assert sorted(versions, key=numbers) == versions[::-1]
    assert all(numbers(next_version(version)) > numbers(version) for version in versions)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("0.10", "version '0.10' must be three numbers, such as '0.3.0'"),
        ("0.10.0a", "version '0.10.0a' must be three numbers, such as '0.3.0'"),
        ("01.0.0", "version '01.0.0' must be three numbers, such as '0.3.0'"),
        ("0.9.12", "version '0.9.12' is lower than '0.10.0', the version of the release"),
        (
            "0.10.0",
            "version '0.10.0' already names other rows; the next is '0.11.0', because `datasets` "
            "caches rows by their version",
        ),
    ],
)
def test_a_version_that_cannot_be_is_refused(asked: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        agreed_version("0.10.0", asked, changed=True)


def test_a_merge_of_new_runs_raises_the_version_and_one_of_none_does_not(
    folder: Path, rest: Campaign
) -> None:
    merge([rest], folder)
    assert read_manifest(folder).version == "1.1.0"
    before = visible_files(folder)
    merge([rest], folder)
    assert visible_files(folder) == before


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("1.0.0", "version '1.0.0' already names other rows; "),
        ("0.9.0", "version '0.9.0' is lower than '1.0.0', "),
        ("1.1", "`version` (='1.1') must be three numbers, such as '0.3.0'"),
    ],
)
def test_a_merge_of_new_runs_under_an_old_version_changes_no_byte(
    folder: Path, rest: Campaign, asked: str, message: str
) -> None:
    before = visible_files(folder)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        merge([rest], folder, asked)
    assert visible_files(folder) == before


def test_a_card_of_changed_rows_under_their_old_version_is_refused(folder: Path) -> None:
    edit(folder, "train", 0, device="another")
    arguments = ["data", "card", "--folder", str(folder), "--sign", "digits/train.parquet"]
    refused = CliRunner().invoke(main, [*arguments, "--release", "1.0.0"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("peephole: error: version '1.0.0' already names other rows; ")
    assert read_manifest(folder).version == "1.0.0"
    written = CliRunner().invoke(main, arguments)
    assert written.stdout == f"release 1.1.0 in {folder}\n"
    assert verify_release(folder) == []


def test_the_day_of_a_release_stays_with_its_rows(folder: Path) -> None:
    manifest = folder / "manifest.json"
    day = read_manifest(folder).date
    manifest.write_text(manifest.read_text().replace(day, "2020-02-02"))
    assert finish_release(folder, signed=["manifest.json"]).date == "2020-02-02"
    edit(folder, "train", 0, device="another")
    assert finish_release(folder, signed=["digits/train.parquet"]).date >= day


def served(folder: Path, cache: Path) -> list[str]:
    """Return the runs of the training split that `load_dataset` gives."""
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(folder), "digits", cache_dir=str(cache))
    names: list[str] = found["train"]["run_id"][:]
    return names


def test_load_dataset_serves_the_rows_of_a_changed_release(
    folder: Path, rest: Campaign, tmp_path: Path
) -> None:
    old = served(folder, tmp_path / "cache")
    merge([rest], folder)
    new = load_runs("digits", "train", release=Release(folder)).column("run_id").to_pylist()
    assert len(new) == len(old) + len(LATE)
    assert served(folder, tmp_path / "cache") == new


def test_rows_changed_under_their_old_version_would_not_be_served(
    folder: Path, tmp_path: Path
) -> None:
    """Show what the version is for: writing the file alone leaves readers with the old rows."""
    old = served(folder, tmp_path / "cache")
    path = split_path("digits", "train", folder)
    write_table(rows_to_table(published_rows(path)[1:]), path)
    assert read_table(path).num_rows == len(old) - 1
    assert served(folder, tmp_path / "cache") == old
