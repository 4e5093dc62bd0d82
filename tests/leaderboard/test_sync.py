"""Whether what was made of the results is still of them."""

from pathlib import Path

import pytest

from benchmark.release import INSTALLED
from harness.results.store import read_result, result_path, write_result
from harness.running.evaluate import evaluate
from harness.running.find_predictor import find
from harness.studies.watching import Watching
from leaderboard.board import read_board
from leaderboard.readme.sync import (
    LEADERBOARD,
    PICTURES,
    bring_up_to_date,
    outdated,
    readme_files,
    readme_watching,
)
from leaderboard.readme.table import END, START
from tests.toys.results import write_toy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Watching:
    """What a predictor is worth on a published task."""
    folder = tmp_path_factory.mktemp("results")
    task = INSTALLED.latest_task("digits", 1)
    write_result(folder, *evaluate(find("last-plus-gain"), task))
    found = readme_watching(read_board(folder), folder, INSTALLED)
    assert found is not None
    return found


def test_what_is_old_is_found_and_written_once(
    board_results: Path, tmp_path: Path, watching: Watching
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{START}\n{END}\n")
    files = readme_files(read_board(board_results), readme, watching)
    pictures = [tmp_path / path for path in PICTURES.values()]
    made = [readme, *pictures, tmp_path / LEADERBOARD]
    assert outdated(files) == bring_up_to_date(files) == made
    assert outdated(files) == bring_up_to_date(files) == []
    assert "as well as watching so many of 20 epochs: after 1 epoch **" in readme.read_text()
    pictures[0].write_text(pictures[0].read_text().replace("<circle", "<circle ", 1))
    assert outdated(files) == [pictures[0]]


def test_a_changed_score_makes_table_and_leaderboard_old(
    board_results: Path, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{START}\n{END}\n")
    bring_up_to_date(readme_files(read_board(board_results), readme))
    write_toy(board_results, "bad", 0.3)
    assert read_result(result_path(board_results, "digits-k0-v1", "bad")).status == "scored"
    assert len(outdated(readme_files(read_board(board_results), readme))) == 2


def test_tasks_that_the_data_lacks_have_no_picture(board_results: Path) -> None:
    assert readme_watching(read_board(board_results), board_results, INSTALLED) is None


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="not in an installed wheel")
def test_the_readme_shows_both_pictures_before_the_table() -> None:
    head = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert head.index("<picture>") < head.index(START)
    assert all(place in head for place in PICTURES.values())
