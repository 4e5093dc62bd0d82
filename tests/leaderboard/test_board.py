"""The board: ranks and tie bands, agreement of the results of a task, and networks."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leaderboard.board
from benchmark.release import Release, load_runs
from benchmark.runs import read_table, rows_to_table, split_path, write_table
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from harness.results.predictions import predictions_table
from harness.results.result import Result, Seconds, read_result, result_path, write_result
from harness.scoring.scores import SeedScore
from leaderboard.board import (
    TaskNetworks,
    bands,
    check_agreement,
    rank_results,
    ranks,
    results_here,
)
from leaderboard.board import read_board as read
from tests.toys.data import toy_release
from tests.toys.results import EPOCHS, toy_networks, toy_result


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
    # A comparison of neighbours alone would tie the first with the last
    assert bands([(0.6, 0.7, 0.8), (0.5, 0.6, 0.7), (0.4, 0.5, 0.59)]) == [1, 1, 2]


def test_the_order_of_the_results_does_not_matter() -> None:
    assert rank_results(FIVE) == rank_results(FIVE[::-1])


def test_dropping_a_predictor_moves_no_rank_of_those_above_it() -> None:
    full = {result.predictor: rank for result, _, rank in rank_results(FIVE)}
    fewer = {r.predictor: rank for r, _, rank in rank_results(FIVE) if r.predictor != "e"}
    assert all(full[name] == rank for name, rank in fewer.items())


def test_the_rank_includes_the_position_in_the_sorted_rows() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.random(30))[::-1]
    intervals = [(v - d, v, v + d) for v, d in zip(values, rng.random(30) / 10, strict=True)]
    for position, (first, last) in enumerate(ranks(intervals), start=1):
        assert first <= position <= last


def test_a_failed_predictor_comes_last_without_rank() -> None:
    assert rank_results([toy_result("aaa"), *FIVE])[-1] == (toy_result("aaa"), None, None)


def test_a_board_has_every_task_and_every_predictor(board_results: Path) -> None:
    board = read(board_results)
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


def test_scores_that_imply_another_variance_of_the_targets_are_refused(board_results: Path) -> None:
    path = result_path(board_results, "digits-k0-v1", "bad")
    record = json.loads(path.read_text())
    record["scores"]["test"]["mse"]["value"] *= 0.5
    path.write_text(json.dumps(record))
    read_result(path)  # valid on its own
    message = (
        r"^task 'digits-k0-v1': `scores\.test` of 'constant' implies targets with variance "
        r"mse / \(1 - r2\) = [0-9.]+, that of 'bad' [0-9.]+$"
    )
    with pytest.raises(ValueError, match=message):
        read(board_results)


def test_predictions_of_other_networks_are_refused(board_results: Path) -> None:
    result = read_result(result_path(board_results, "digits-k1-v1", "good"))
    ids = [f"other-{i}" for i in range(36)]
    write_result(board_results, result, predictions_table(ids, [EPOCHS], np.full((36, 1), 0.5)))
    message = (
        "task 'digits-k1-v1': predictions of 'good' and of 'bad' must be for the same networks and "
        "have the same last epoch"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(board_results)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    message = f"no result <task>/<predictor>.json in {str(tmp_path)!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(FileNotFoundError, match=f"^no folder of results {str(missing)!r}$"):
        read(missing)


def test_networks_without_layers_are_refused() -> None:
    message = "layer_rows (=0 networks) must have one entry per run (36)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TaskNetworks(toy_networks().targets, ())


def test_the_networks_of_a_task_are_those_of_its_runs(tmp_path: Path) -> None:
    task = Release(toy_release(tmp_path)).task("digits-k1-v1")
    found = leaderboard.board.load_networks(task.name, Release(tmp_path))
    asked = (*task.parts["test"], *task.parts["heldout"])
    rows = {
        row["run_id"]: row
        for split in ("test", "heldout")
        for row in load_runs("digits", split, release=Release(tmp_path)).to_pylist()
    }
    assert len(rows) > len(asked)  # repeats, which a task leaves out
    assert found.targets.run_ids == asked
    assert found.targets.splits == ("test",) * 14 + ("heldout",) * 10
    curves = [rows[name]["valid_accuracy"] for name in asked]
    assert found.targets.curves.tolist() == curves
    networks = [from_record(rows[name]["architecture"]) for name in asked]
    assert found.layer_rows == tuple(walk(n, get_images("digits")) for n in networks)


def test_networks_of_changed_runs_are_refused(tmp_path: Path) -> None:
    path = split_path("digits", "heldout", toy_release(tmp_path))
    rows = read_table(path).to_pylist()
    for row in rows:
        row["valid_accuracy"][-1] /= 2
        row["started_at"] = 0
    write_table(rows_to_table(rows), path)
    with pytest.raises(ValueError, match=r"^the rows of task 'digits-k1-v1' have digest "):
        leaderboard.board.load_networks("digits-k1-v1", Release(tmp_path))


def test_results_here_come_before_those_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert results_here() == leaderboard.board.RESULTS
    for name in ("results", "leaderboard/results"):
        (tmp_path / name).mkdir(parents=True)
        assert results_here() == Path(name)
