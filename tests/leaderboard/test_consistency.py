"""Board, tables, page and `compare` say the same of the same random results."""

import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from benchmark.release import Release
from harness.protocol import Prediction
from harness.results.store import write_result
from harness.running.evaluate import ResultHeader, score_outcome
from harness.studies.compare import compare
from harness.studies.early_selection import random_sets, select_by_scores
from harness.task_data import load_targets
from leaderboard.board import TaskBoard, read_board
from leaderboard.networks import load_networks
from leaderboard.page.task_part import task_part
from leaderboard.readme.table import leaderboard_text, readme_table
from tests.toys.data import toy_release

NAME = "digits-k0-v1"
NOISES = {"a": 0.02, "b": 0.03, "c": 0.1, "d": 0.12, "e": 0.3, "f": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("data"))


def write_random(folder: Path, results: Path, seed: int) -> TaskBoard:
    """Write results of predictors with random errors, two seeds each; return their board."""
    task = Release(folder).task(NAME)
    targets, rng = load_targets(task, Release(folder)), np.random.default_rng(seed)
    final = targets.valid_accuracy.curves[:, -1:]
    for name, noise in NOISES.items():
        drawn = [(final + noise * rng.normal(size=final.shape)).clip(0, 1) for _ in range(2)]
        predictions = [Prediction(mean, (20,)) for mean in drawn]
        header = ResultHeader(task, name, name, (0, 1))
        write_result(results, *score_outcome(header, predictions, targets))
    return read_board(results).tasks[0]


@pytest.mark.parametrize("seed", range(3))
def test_everything_says_the_same(folder: Path, tmp_path: Path, seed: int) -> None:
    task = write_random(folder, tmp_path, seed)
    board = read_board(tmp_path)
    names = [row.result.predictor for row in task.rows]
    ranks = {row.result.predictor: row.rank for row in task.rows}
    # `compare` of any predictors gives the ranks of the board
    found = compare(Release(folder).task(NAME), names, [tmp_path], release=Release(folder))
    better = {(d.better, d.other if d.better == d.one else d.one) for d in found if d.better}
    for name in names:
        losses = sum((other, name) in better for other in names)
        wins = sum((name, other) in better for other in names)
        assert ranks[name] == (1 + losses, len(names) - wins)
    pair = compare(Release(folder).task(NAME), names[1:3], [tmp_path], release=Release(folder))
    assert pair[0] in found
    values = {(d.one, d.other): d.value for d in found}
    for one, other in permutations(names, 2):
        row, column = names.index(one), names.index(other)
        if (one, other) in values:
            assert task.differences.value[row, column] == values[one, other]
    # Bold in the tables: nobody is significantly better
    first = {name for name, rank in ranks.items() if rank is not None and rank[0] == 1}
    for text in (readme_table(board), leaderboard_text(board)):
        assert set(re.findall(r"^\| (\w) \| \*\*", text, re.M)) == first
    record, _ = task_part(board, task, load_networks(NAME, Release(folder)))
    rows: object = record["rows"]
    assert isinstance(rows, list)
    assert {row["predictor"]: row["rank"] for row in rows} == ranks
    for name, rank in ranks.items():
        assert rank is not None
        shown = f"{rank[0]}" if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"  # noqa: RUF001
        assert f"| {shown} | {name} |" in leaderboard_text(board)


def test_selecting_scores_single_fits_like_the_board() -> None:
    rng = np.random.default_rng(0)
    curves, scores, sets = rng.random((40, 5)), rng.random((3, 40)), random_sets(40, 15)
    alone = [select_by_scores("a", one[None], 0, 1, curves, sets).regret for one in scores]
    assert select_by_scores("a", scores, 0, 1, curves, sets).regret == pytest.approx(np.mean(alone))
