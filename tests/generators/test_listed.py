"""Plans of exactly the runs whose ids a file lists: which they are, and which lists are refused."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmark.recipes import RECIPES
from benchmark.release import Release
from benchmark.runs import split_path
from generators.campaign.campaign import Campaign
from generators.campaign.listed import listed_runs
from generators.campaign.merge import merge
from generators.campaign.plan import make_plan
from peephole_command import peephole
from tests.toys.campaign import (
    RECIPE,
    published_rows,
    release_plan,
    toy_release,
    toy_row,
    without_times,
)

PLAN = release_plan()
CHOSEN = [PLAN[i] for i in (29, 5, 3, 24)]  # of other splits and seeds, in no order


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release")))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(peephole, ["generate", "plan", *map(str, arguments)])


def test_listed_runs_are_planned_as_they_were_in_the_order_of_the_file(
    release: Release, tmp_path: Path
) -> None:
    lines = [f"  {run.run_id}\t\r\n" for run in CHOSEN]
    assert listed_runs(write(tmp_path / "ids.txt", "", *lines), release) == CHOSEN
    assert len({(run.split, run.seed) for run in CHOSEN}) > 2


def test_the_command_plans_them_with_the_recipe_that_they_had(
    release: Release, tmp_path: Path
) -> None:
    ids = write(tmp_path / "ids.txt", *(run.run_id for run in CHOSEN))
    given = ("--ids", ids, "--data", release.folder, "--campaign")
    done = run(*given, tmp_path / "c")
    assert (done.exit_code, done.output.split(" planned")[0]) == (0, "4 runs")
    campaign = Campaign(tmp_path / "c")
    assert campaign.plan() == CHOSEN
    assert RECIPE not in RECIPES.values()
    assert campaign.recipes()[RECIPE.recipe_id] == RECIPE
    done = run(*given, tmp_path / "none", "--missing")
    assert (done.exit_code, done.output.split(" planned")[0]) == (0, "0 runs")


def test_what_a_listed_plan_trains_is_merged_as_the_same_rows(
    release: Release, tmp_path: Path
) -> None:
    ids = write(tmp_path / "ids.txt", *(run.run_id for run in CHOSEN))
    assert run("--ids", ids, "--data", release.folder, "--campaign", tmp_path / "c").exit_code == 0
    campaign = Campaign(tmp_path / "c")
    for planned in campaign.plan():
        campaign.store(toy_row(planned))
    campaign.note_environment({"python": "3.11"})
    merge([campaign], tmp_path / "data")
    again = Release(tmp_path / "data")
    for split in {run.split for run in CHOSEN}:
        rows = [without_times(r) for r in published_rows(split_path("digits", split, again.folder))]
        old = published_rows(split_path("digits", split, release.folder))
        names = {row["run_id"] for row in rows}
        assert rows == [without_times(row) for row in old if row["run_id"] in names]
        assert names == {run.run_id for run in CHOSEN if run.split == split}


def test_runs_that_are_planned_and_not_published_may_be_listed(
    release: Release, tmp_path: Path
) -> None:
    planned = make_plan(["digits"])[-2:]
    ids = write(tmp_path / "ids.txt", planned[1].run_id, CHOSEN[0].run_id, planned[0].run_id)
    assert listed_runs(ids, release) == [planned[1], CHOSEN[0], planned[0]]


def test_a_published_run_is_planned_as_in_the_plan_of_its_image_set(tmp_path: Path) -> None:
    planned = {run.run_id: run for run in make_plan(["digits"])}
    names = Release().runs("digits", "heldout", columns=["run_id"])["run_id"].to_pylist()
    found = listed_runs(write(tmp_path / "ids.txt", *names), Release())
    assert found == [planned[name] for name in names]


FIRST, NEAR = CHOSEN[0].run_id, CHOSEN[0].run_id[:-1] + "8"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((FIRST, "", FIRST), f"{FIRST!r} is on line 1 and on line 3"),
        ((), "it lists no run; write one id in each line"),
        (("", "  "), "it lists no run; write one id in each line"),
        (("digist-1", FIRST), "line 1: no run is called 'digist-1'; the nearest is 'digits-"),
        ((FIRST, NEAR), f"line 2: no run is called {NEAR!r}; the nearest is '{NEAR[:-1]}"),
        (("x" * 999, "y", "z"),
         f"line 1: no run is called '{'x' * 100}...'; the nearest is 'digits-"),
        (("\x1b[31m",), "line 1: no run is called '\\x1b[31m'; the nearest is 'digits-"),
    ],
)  # fmt: skip
def test_a_list_with_an_unknown_or_a_double_id_is_refused(
    release: Release, tmp_path: Path, lines: tuple[str, ...], reason: str
) -> None:
    path = write(tmp_path / "ids.txt", *lines)
    id_and_more = r"[0-9a-f-]+'(; \d+ more ids? unknown)?" if "nearest" in reason else ""
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {reason}')}{id_and_more}$"):
        listed_runs(path, release)


def test_all_unknown_ids_are_counted(release: Release, tmp_path: Path) -> None:
    path = write(tmp_path / "ids.txt", FIRST, NEAR, "a", "b")
    with pytest.raises(ValueError, match=r"'; 2 more ids unknown$"):
        listed_runs(path, release)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "line 1 is not in UTF-8; save the file in UTF-8"),
        ("digits".encode("utf-16"), "it is in UTF-16; save it in UTF-8"),
    ],
)
def test_another_encoding_is_refused(
    release: Release, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {reason}')}$"):
        listed_runs(path, release)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("--images", "digits"), "--ids takes no --images"),
        (("--networks", "9"), "--ids takes no --networks"),
        (("--pilot",), "--pilot and --ids cannot be combined"),
        (("--calibration",), "--calibration and --ids cannot be combined"),
        (("--fresh", "a" * 16), "--fresh and --ids cannot be combined"),
    ],
)
def test_nothing_else_chooses_runs_beside_a_list(
    tmp_path: Path, other: tuple[str, ...], message: str
) -> None:
    done = run("--ids", tmp_path / "ids.txt", "--campaign", tmp_path / "c", *other)
    assert (done.exit_code, done.stderr.endswith(f"Error: {message}\n")) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("--ids", tmp_path / "ids.txt", "--campaign", tmp_path / "c")
    message = f"peephole: error: No such file or directory: {str(tmp_path / 'ids.txt')!r}\n"
    assert (done.exit_code, done.stderr) == (2, message)
