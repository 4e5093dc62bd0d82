"""The README's picture, and whether what was made of the results is still of them."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.results.store import read_result, result_path, write_result
from leaderboard.board import Board, read_board
from leaderboard.readme.figure import ROWS, THEMES, picture
from leaderboard.readme.sync import LEADERBOARD, PICTURES, bring_up_to_date, outdated, readme_files
from leaderboard.readme.table import END, START
from tests.toys.results import toy_result, write_toy

ROOT = Path(__file__).parents[2]


@pytest.fixture
def board(board_results: Path) -> Board:
    return read_board(board_results)


def texts(board: Board) -> list[str]:
    root = ElementTree.fromstring(picture(board, THEMES["light"]))
    return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_names_every_predictor_the_best_first(board: Board) -> None:
    found = texts(board)
    names = [text for text in found if text in ("good", "bad", "constant", "broken")]
    assert names == ["good", "bad", "constant", "broken"]
    assert [text for text in found if "epoch" in text or "raining" in text] == [
        "Before training",
        "After 1 epoch",
    ]
    assert found.count("failed") == found.count("ceilings") == 1


def test_marks_lie_where_the_scores_are(board: Board) -> None:
    text = picture(board, THEMES["light"])
    places = {
        text: float(x) for x, text in re.findall(r'<text x="([\d.]+)"[^>]*>([\d.]+)</text>', text)
    }
    assert len(places) > 3
    colour = THEMES["light"].test
    circles = [float(x) for x in re.findall(rf'cx="([\d.]+)" [^>]*fill="{colour}"/>', text)]
    # The second panel's axis is the one found last
    unit = (places["0.8"] - places["0.2"]) / 0.6
    taus = [row.result.scores["test"]["tau"].value for row in board.tasks[1].rows]
    assert sorted(circles)[-2:] == pytest.approx(
        sorted(places["0.2"] + unit * (tau - 0.2) for tau in taus if tau is not None), abs=0.2
    )


def test_both_themes_draw_the_same(board: Board) -> None:
    light, dark = (re.sub(r"#[0-9a-f]{6}", "#", picture(board, THEMES[t])) for t in THEMES)
    assert light == dark
    assert picture(board, THEMES["light"]) != picture(board, THEMES["dark"])


def test_a_single_task_has_the_whole_width(board: Board) -> None:
    one = replace(board, tasks=board.tasks[:1])
    assert "Before training" in texts(one)
    assert not any("epoch" in text for text in texts(one))


def test_the_picture_shows_the_best_and_counts_the_others(board_results: Path) -> None:
    for place in range(ROWS):
        write_result(board_results, toy_result(f"failed-{place:02}"), None)
    found = texts(read_board(board_results))
    assert len([text for text in found if text.startswith("failed-")]) == ROWS - 4
    assert found[-1].endswith("on test, 4 more on the board")


def test_long_names_are_cut(board_results: Path) -> None:
    write_toy(board_results, "a-name-that-is-longer-than-its-place", 0.1)
    assert "a-name-that-is-longer…" in texts(read_board(board_results))


def test_what_is_old_is_found_and_written_once(board_results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{START}\n{END}\n")
    files = readme_files(read_board(board_results), readme)
    pictures = [tmp_path / path for path in PICTURES.values()]
    made = [readme, *pictures, tmp_path / LEADERBOARD]
    assert outdated(files) == bring_up_to_date(files) == made
    assert outdated(files) == bring_up_to_date(files) == []
    pictures[0].write_text(pictures[0].read_text().replace("<circle", "<circle ", 1))
    assert outdated(files) == [pictures[0]]


def test_a_changed_score_makes_table_and_pictures_old(board_results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{START}\n{END}\n")
    bring_up_to_date(readme_files(read_board(board_results), readme))
    write_toy(board_results, "bad", 0.3)
    assert read_result(result_path(board_results, "digits-k0-v1", "bad")).status == "scored"
    assert len(outdated(readme_files(read_board(board_results), readme))) == 4


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="not in an installed wheel")
def test_the_readme_opens_with_both_pictures() -> None:
    head = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert head.index("<picture>") < head.index(START)
    assert all(place in head for place in PICTURES.values())
