"""The board: ranks and bands, what results of a task share, the page and the command."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import leaderboard.board
from benchmark.architectures import from_record
from benchmark.files import load_runs, read_table, rows_to_table, split_path, write_table
from benchmark.imagesets import get_images
from benchmark.tasks import read_task
from benchmark.walk import walk
from harness.invariants import SeedScore
from harness.results import Result, Seconds, read_result, result_path, write_result
from harness.stored_predictions import matrix, predictions_table
from leaderboard.board import Board, TaskTruth, bands, check_agreement, rank_results, ranks
from leaderboard.board import read_board as read
from leaderboard.cli import board as command
from leaderboard.page import PLACE, drawing, page_data, render
from leaderboard.table import END, START
from tests.toy_data import toy_release
from tests.toy_results import EPOCHS, toy_result, toy_truth, write_toy_board


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy_board(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def truths() -> dict[str, TaskTruth]:
    return {name: toy_truth() for name in ("digits-k0-v1", "digits-k1-v1")}


def with_tau(predictor: str, low: float, value: float, high: float) -> Result:
    scores = {"test": {"tau": SeedScore(value, low, high, None)}}
    seconds = Seconds(1, 1)
    return replace(
        toy_result(predictor), status="scored", failure=None, scores=scores, seconds=seconds
    )


# By hand, intervals of tau:
#   a  .70 ====== .90
#   b     .65 === .75         overlaps a
#   c  .55 == .68             below a, so a new band; overlaps b, so their ranks overlap
#   d     .50 = .58           overlaps c
#   e  .10 = .20
FIVE = [
    with_tau("c", 0.55, 0.6, 0.68),
    with_tau("a", 0.70, 0.8, 0.9),
    with_tau("e", 0.10, 0.15, 0.2),
    with_tau("b", 0.65, 0.7, 0.75),
    with_tau("d", 0.50, 0.55, 0.58),
]


def test_ranks_and_bands_of_five_predictors_by_hand() -> None:
    found = [(result.predictor, band, rank) for result, band, rank in rank_results(FIVE)]
    assert found == [
        ("a", 1, (1, 2)),
        ("b", 1, (1, 3)),
        ("c", 2, (2, 4)),
        ("d", 2, (3, 4)),
        ("e", 3, (5, 5)),
    ]


def test_a_chain_of_overlaps_is_not_one_band() -> None:
    # Counter-example to comparing neighbours, which would tie the first with the last
    assert bands([(0.6, 0.7, 0.8), (0.5, 0.6, 0.7), (0.4, 0.5, 0.59)]) == [1, 1, 2]


def test_the_order_of_the_results_does_not_matter() -> None:
    assert rank_results(FIVE) == rank_results(FIVE[::-1])


def test_dropping_a_predictor_moves_no_rank_of_those_above_it() -> None:
    full = {result.predictor: rank for result, _, rank in rank_results(FIVE)}
    fewer = {r.predictor: rank for r, _, rank in rank_results(FIVE) if r.predictor != "e"}
    assert all(full[name] == rank for name, rank in fewer.items())


def test_the_rank_holds_the_place_in_the_sorted_rows() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.random(30))[::-1]
    intervals = [(v - d, v, v + d) for v, d in zip(values, rng.random(30) / 10, strict=True)]
    for place, (first, last) in enumerate(ranks(intervals), start=1):
        assert first <= place <= last


def test_a_failed_predictor_comes_last_without_rank() -> None:
    assert rank_results([toy_result("aaa"), *FIVE])[-1] == (toy_result("aaa"), None, None)


def test_a_board_has_every_task_and_every_predictor(folder: Path) -> None:
    board = read(folder)
    found = {task.name: [row.result.predictor for row in task.rows] for task in board.tasks}
    assert found["digits-k0-v1"] == ["good", "bad", "constant", "broken"]
    assert found["digits-k1-v1"] == ["good", "bad"]
    assert list(board.ceilings) == ["digits"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"task_digest": "0" * 64}, "task_digest"),
        ({"images": "mnist"}, "images"),
        ({"observed": 3}, "observed"),
        ({"networks": {"test": 1, "heldout": 1}}, "networks"),
    ],
)
def test_results_of_one_task_must_share_what_the_task_fixes(
    change: dict[str, Any], field: str
) -> None:
    one, two = with_tau("one", 0, 0.5, 1), replace(with_tau("two", 0, 0.5, 1), **change)
    message = (
        f"task 'digits-k0-v1': `{field}` of 'one' (={getattr(one, field)!r}) and of 'two' "
        f"(={getattr(two, field)!r}) must be the same"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_agreement([one, two])


def test_scores_that_imply_another_truth_are_refused(folder: Path) -> None:
    path = result_path(folder, "digits-k0-v1", "bad")
    record = json.loads(path.read_text())
    record["scores"]["test"]["mse"]["value"] *= 0.5
    path.write_text(json.dumps(record))
    read_result(path)  # nothing is wrong with it by itself
    message = (
        r"^task 'digits-k0-v1': `scores\.test` of 'constant' implies a variance mse / \(1 - r2\) "
        r"of [0-9.]+, that of 'bad' [0-9.]+; the truth has one$"
    )
    with pytest.raises(ValueError, match=message):
        read(folder)


def test_predictions_of_other_networks_are_refused(folder: Path) -> None:
    result = read_result(result_path(folder, "digits-k1-v1", "good"))
    ids = [f"other-{i}" for i in range(36)]
    write_result(folder, result, predictions_table(ids, [EPOCHS], np.full((36, 1), 0.5)))
    message = (
        "task 'digits-k1-v1': predictions of 'good' and of 'bad' must be of the same networks and "
        "end with the same epoch"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(folder)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    message = f"no results in {str(tmp_path)!r}: results are <task>/<predictor>.json"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(FileNotFoundError, match=f"^no folder of results {str(missing)!r}$"):
        read(missing)


def test_a_truth_without_layers_is_refused() -> None:
    message = "layer_rows (=0 networks) must have one entry per run (36)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TaskTruth(toy_truth().truth, ())


def test_the_truth_of_a_task_comes_from_its_runs_alone(tmp_path: Path) -> None:
    task = read_task("digits-k1-v1", toy_release(tmp_path) / "tasks")
    found = leaderboard.board.load_truth(task.name, tmp_path)
    asked = (*task.parts["test"], *task.parts["heldout"])
    rows = {
        row["run_id"]: row
        for split in ("test", "heldout")
        for row in load_runs("digits", split, folder=tmp_path).to_pylist()
    }
    assert len(rows) > len(asked)  # repeats, which a task leaves out
    assert found.truth.run_ids == asked
    assert found.truth.parts == ("test",) * 14 + ("heldout",) * 10
    curves = [rows[name]["valid_accuracy"] for name in asked]
    assert found.truth.curves.tolist() == curves
    networks = [from_record(rows[name]["architecture"]) for name in asked]
    assert found.layer_rows == tuple(walk(n, get_images("digits")) for n in networks)


def test_a_truth_of_changed_runs_is_refused(tmp_path: Path) -> None:
    path = split_path("digits", "heldout", toy_release(tmp_path))
    rows = read_table(path).to_pylist()
    for row in rows:
        row["valid_accuracy"][-1] /= 2
        row["started_at"] = 0
    write_table(rows_to_table(rows), path)
    with pytest.raises(ValueError, match=r"^the rows of task 'digits-k1-v1' have digest "):
        leaderboard.board.load_truth("digits-k1-v1", tmp_path)


class Scripts(HTMLParser):
    """Collects the scripts of a page and the addresses it names."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.addresses: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts.append(data)


def parsed(board: Board, truths: dict[str, TaskTruth]) -> Scripts:
    page = Scripts()
    page.feed(render(board, truths))
    return page


def test_the_page_holds_its_data_whatever_a_title_says(
    folder: Path, truths: dict[str, TaskTruth]
) -> None:
    board = read(folder)
    scripts = parsed(board, truths).scripts
    assert len(scripts) == 2  # the title with </script> has not ended the first
    assert json.loads(scripts[0]) == json.loads(json.dumps(page_data(board, truths)))
    assert "Broken </script> | <b>" in [
        r["title"] for r in json.loads(scripts[0])["tasks"][0]["rows"]
    ]


def test_the_page_needs_no_network(folder: Path, truths: dict[str, TaskTruth]) -> None:
    page = render(read(folder), truths)
    assert parsed(read(folder), truths).addresses == ["data:,"]
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", page)
    assert "default-src 'none'" in page


def test_the_template_takes_the_data_in_one_place() -> None:
    template = Path(leaderboard.board.__file__).with_name("page.html").read_text(encoding="utf-8")
    assert template.count(PLACE) == 1


def test_predictions_on_the_page_are_those_of_the_file(
    folder: Path, truths: dict[str, TaskTruth]
) -> None:
    board = read(folder)
    row = board.tasks[1].rows[0]
    record: Any = page_data(board, truths)["tasks"]
    shown = record[1]["rows"][0]
    assert shown["epochs"] == list(range(2, EPOCHS + 1))
    packed = np.frombuffer(base64.b64decode(shown["mean"]), "<u2") / 10_000
    expected = matrix(row.predictions, "mean", toy_truth().truth.run_ids)
    assert np.abs(packed - expected.ravel()).max() <= 0.5e-4 + 1e-12


def test_true_curves_of_an_image_set_are_stored_once(
    folder: Path, truths: dict[str, TaskTruth]
) -> None:
    data: Any = page_data(read(folder), truths)
    assert [task["set"] for task in data["tasks"]] == [0, 0]
    assert len(data["sets"]) == 1
    packed = np.frombuffer(base64.b64decode(data["sets"][0]["curves"]), "<u2") / 10_000
    assert np.array_equal(packed, toy_truth().truth.curves.ravel())


def test_a_task_without_truth_is_refused(folder: Path, truths: dict[str, TaskTruth]) -> None:
    del truths["digits-k1-v1"]
    with pytest.raises(ValueError, match=r"^task 'digits-k1-v1' of the board must have a truth$"):
        render(read(folder), truths)


def test_a_drawing_names_every_layer_in_order() -> None:
    rows = toy_truth().layer_rows[0]
    text = drawing(rows)
    groups = text.split(";")
    assert groups[0] == "stem=conv3x3:8 bn relu"
    assert groups[-1] == "head=mean linear:10"
    assert "transition=max2x2/2" in groups
    assert sum(len(group.split("=")[1].split()) for group in groups) == len(rows)


def test_the_same_results_give_the_same_page(folder: Path, truths: dict[str, TaskTruth]) -> None:
    assert render(read(folder), truths) == render(read(folder), truths)


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(leaderboard.board, "load_truth", lambda name: toy_truth())

    def invoke(*arguments: str) -> tuple[int, str, str]:
        given = ["build", "--results", str(folder), *arguments]
        found = CliRunner().invoke(command, given, catch_exceptions=False)
        return found.exit_code, found.stdout, found.stderr

    return invoke


def test_the_command_writes_the_page_and_the_table(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    page, readme = tmp_path / "out" / "page.html", tmp_path / "README.md"
    readme.write_text(f"{START}\n{END}\n")
    code, out, _ = run("--output", str(page), "--readme", str(readme))
    size = page.stat().st_size
    assert (code, out) == (
        0,
        f"{page}  {size:,} bytes  2 tasks, 6 results, 1 failed\n{readme}  updated\n",
    )
    assert run("--check", "--readme", str(readme))[:2] == (
        0,
        f"{readme}  up to date  2 tasks, 6 results, 1 failed\n",
    )


def test_the_check_fails_and_writes_nothing_if_the_table_is_old(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    page, readme = tmp_path / "page.html", tmp_path / "README.md"
    readme.write_text(f"{START}\nold\n{END}\n")
    code, out, error = run("--check", "--readme", str(readme), "--output", str(page))
    assert (code, out) == (1, "")
    assert error == (
        f"peephole: error: the table of {readme} is not that of the results; "
        f"bring it up to date with: peephole board build --readme {readme}\n"
    )
    assert readme.read_text() == f"{START}\nold\n{END}\n"
    assert not page.exists()


def test_a_check_without_a_readme_is_wrong_input(run: Callable[..., tuple[int, str, str]]) -> None:
    code, _, error = run("--check")
    assert code == 2
    assert error.endswith("Error: --check compares a table: name its file with --readme\n")
