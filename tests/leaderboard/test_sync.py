"""Whether what was made of the results is still of them."""

from pathlib import Path

import pytest

from benchmark.release import INSTALLED
from harness.results.store import read_result, result_path, write_result
from harness.running.evaluate import evaluate
from harness.running.find_predictor import find
from leaderboard.board import read_board
from leaderboard.readme.sync import LEADERBOARD, PICTURES, bring_up_to_date, outdated, readme_files
from leaderboard.readme.table import END, START
from tests.toys.results import write_toy

ROOT = Path(__file__).parents[2]


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(f"{START}\n{END}\n")
    return path


def files_of(readme: Path, results: Path) -> dict[Path, str]:
    return readme_files(read_board(results), readme, results, INSTALLED)


def test_what_is_old_is_found_and_written_once(readme: Path, tmp_path: Path) -> None:
    task = INSTALLED.latest_task("digits", 1)
    write_result(tmp_path / "results", *evaluate(find("last-plus-gain"), task))
    files = files_of(readme, tmp_path / "results")
    pictures = [tmp_path / path for path in PICTURES.values()]
    made = [readme, *pictures, tmp_path / LEADERBOARD]
    assert outdated(files) == bring_up_to_date(files) == made
    assert outdated(files) == bring_up_to_date(files) == []
    assert "as well as watching so many of 20 epochs: after 1 epoch **" in readme.read_text()
    pictures[0].write_text(pictures[0].read_text().replace("<circle", "<circle ", 1))
    assert outdated(files) == [pictures[0]]


def test_a_changed_score_makes_table_and_leaderboard_old(board_results: Path, readme: Path) -> None:
    bring_up_to_date(files_of(readme, board_results))
    write_toy(board_results, "bad", 0.3)
    assert read_result(result_path(board_results, "digits-k0-v1", "bad")).status == "scored"
    assert len(outdated(files_of(readme, board_results))) == 2


def test_tasks_that_the_data_lacks_have_no_picture(board_results: Path, readme: Path) -> None:
    assert not set(files_of(readme, board_results)) & {readme.parent / p for p in PICTURES.values()}


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="not in an installed wheel")
def test_the_readme_shows_both_pictures_before_the_table() -> None:
    head = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert head.index("<picture>") < head.index(START)
    assert all(place in head for place in PICTURES.values())
