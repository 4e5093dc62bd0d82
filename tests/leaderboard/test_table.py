"""The README's tables: the overview, one for each task, and how they get into the file."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.util.text import moment
from harness.results.store import read_result, result_path
from leaderboard.board import read_board as read
from leaderboard.readme.table import (
    END,
    SHOWN,
    START,
    best_first,
    leaderboard_text,
    readme_table,
    with_table,
)
from tests.toys.results import write_toy


def test_the_table_has_the_scores_of_the_files(board_results: Path) -> None:
    text = leaderboard_text(read(board_results))
    good = read_result(result_path(board_results, "digits-k0-v1", "good"))
    tau, r2 = good.scores["test"]["tau"], good.scores["heldout"]["r2"]
    assert tau.value is not None
    assert r2.value is not None
    line = next(line for line in text.splitlines() if line.startswith("| 1 | good"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:2] == ["1", "good (above the ceiling)"]
    assert cells[2] == f"{tau.value:.3f} [{tau.low:.3f}, {tau.high:.3f}]"
    assert cells[8] == f"{r2.value:.3f}"


def test_the_table_says_who_failed_and_who_is_constant(board_results: Path) -> None:
    text = leaderboard_text(read(board_results))
    assert "|  | broken | failed: Error: no &lt;b&gt; &#124; &#91;a&#93;(https&#58;//b) |" in text
    assert "| constant (constant) | 0.000 [0.000, 0.000] |" in text


def test_the_ceiling_stands_before_training_only(board_results: Path) -> None:
    before, after = leaderboard_text(read(board_results)).split("### digits, after 1 epoch")
    line = next(line for line in before.splitlines() if line.startswith("|  | *ceiling"))
    tau = "0.850 [0.750, 0.900]"
    assert cells_of(line)[2:9] == [tau, tau, "", "0.850", "", "0.900", "0.900"]
    assert "ceiling" not in after


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_line_of_a_table_has_as_many_cells_as_its_header(board_results: Path) -> None:
    lines = [
        line for line in leaderboard_text(read(board_results)).splitlines() if line.startswith("|")
    ]
    assert [len(cells_of(line)) for line in lines] == [3] * (2 + 5) + [12] * (2 * 2 + 5 + 2)


def test_the_overview_has_tau_of_every_task(board_results: Path) -> None:
    lines = readme_table(read(board_results)).splitlines()
    caption, _, head, _, *rows = lines[:9]
    assert caption.startswith("**digits: Kendall's tau of the final accuracy")
    assert cells_of(head) == ["predictor", "before training", "after 1 epoch"]
    found = {name: cells for name, *cells in map(cells_of, rows)}
    for name, cells in found.items():
        for k, cell in enumerate(cells):
            if name.startswith("*ceiling"):
                assert cell == ("0.850 / 0.850", "")[k]
            elif (board_results / f"digits-k{k}-v1" / f"{name}.json").exists():
                result = read_result(result_path(board_results, f"digits-k{k}-v1", name))
                if result.status == "failed":
                    assert cell == "failed"
                    continue
                taus = [result.scores[part]["tau"].value for part in ("test", "heldout")]
                assert cell.strip("*") == f"{taus[0]:.3f} / {taus[1]:.3f}"
            else:
                assert cell == "–"  # noqa: RUF001
    assert list(found) == [
        "good",
        "bad",
        "constant",
        "broken",
        "*ceiling: noise of seeds, 20 / 10 networks*",
    ]
    assert [cell.startswith("**") for cell in found["good"]] == [True, True]
    assert not found["constant"][0].startswith("**")


def test_every_task_stands_under_its_image_set(board_results: Path) -> None:
    board = read(board_results)
    other = replace(board.tasks[1], images="mnist", name="mnist-k1-v1")
    text = leaderboard_text(replace(board, tasks=(other, board.tasks[0])))
    assert f"### mnist, {moment(1)} (`mnist-k1-v1`, 24 test" in text
    assert text.index("## mnist") < text.index("mnist-k1-v1") < text.index("## digits")


def test_the_readme_has_the_best_predictors_of_the_first_image_set(board_results: Path) -> None:
    board = read(board_results)
    other = replace(board.tasks[1], images="mnist", name="mnist-k1-v1")
    table = readme_table(replace(board, tasks=(other, board.tasks[0])))
    assert table.startswith("**mnist: ")
    assert "digits" not in table
    for number in range(SHOWN):
        write_toy(board_results, f"better-{number:02}", 0.02)
    lines = readme_table(read(board_results)).splitlines()
    names = [cells_of(line)[0] for line in lines[4:]]
    assert len(names) == SHOWN + 1  # the ceiling is the last line
    assert names[:2] == ["good", "bad"]  # the others lack a task, and it counts as the worst
    assert "broken" not in names


def test_the_table_stands_between_the_markers_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    assert with_table(path, "new") == f"before\n{START}\nnew\n{END}\nafter\n"
    path.write_text(with_table(path, "new"))
    assert with_table(path, "new") == path.read_text()


@pytest.mark.parametrize("text", ["", START, f"{END}\n{START}", f"{START}{START}{END}"])
def test_a_readme_without_its_markers_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    message = f"{path}: must have the lines {START} and {END} once each, in this order"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        with_table(path, "new")
    assert path.read_text() == text


def test_a_new_result_changes_the_table(board_results: Path) -> None:
    before = readme_table(read(board_results))
    write_toy(board_results, "newer", 0.1)
    after = readme_table(read(board_results))
    assert "| newer |" in after
    assert "| newer |" not in before


def test_a_predictor_that_lacks_a_task_counts_as_the_worst_there(board_results: Path) -> None:
    board = read(board_results)
    first, second = board.tasks
    kept = tuple(row for row in second.rows if row.result.predictor != "good")
    assert best_first((first, second))[0] == "good"
    # Tau of about 1 and none is about 1 and -1, less than that of the bad one on both
    less = best_first((first, replace(second, rows=kept)))
    assert less.index("bad") < less.index("good")
    assert set(less) == set(best_first((first, second)))
