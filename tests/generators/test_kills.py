"""Campaigns, merges and boards that are killed at random times leave valid files and can resume."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import generators.workers.scheduler
from benchmark.publish.verify import verify_release
from benchmark.release import INSTALLED
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge
from generators.campaign.run_campaign import run_campaign
from generators.workers.worker import prepare, train_run
from leaderboard.board import read_board
from leaderboard.page.page import render
from leaderboard.readme.sync import bring_up_to_date, readme_files
from leaderboard.readme.table import END, START
from tests.conftest import in_threads
from tests.toys.campaign import (
    job_of,
    options_of,
    release_plan,
    tiny_plan,
    toy_campaign,
    toy_row,
    visible_files,
    without_times,
)
from tests.toys.results import toy_networks, write_toy, write_toy_board

KILLS = 3  # of one campaign or merge, before it may finish
PATIENCE = 60.0  # seconds until the first file of a merge
PLAN = release_plan()


def make_all(folder: Path) -> None:
    """Train a campaign's runs, on a thread so that no other process has to start."""
    generators.workers.scheduler.local_pool = in_threads
    run_campaign(Campaign(folder), options_of())


def merge_all(folder: Path) -> None:
    merge([Campaign(folder / "campaign")], folder / "data", "1.2.3")


def board_files(folder: Path, results: str) -> dict[Path, str]:
    """Return the content of page, README and pictures for one of two folders of results."""
    board = read_board(folder / results)
    page = render(board, {task.name: toy_networks() for task in board.tasks})
    return {
        folder / "board.html": page,
        **readme_files(board, folder / "README.md", folder, INSTALLED),
    }


def build_boards(folder: Path) -> None:
    """Update the files from one folder and the other in turn, forever."""
    made = [board_files(folder, results) for results in ("fewer", "more")]
    while True:
        for files in made:
            bring_up_to_date(files)


def killed(
    work: Callable[[Path], None], folder: Path, begun: Callable[[], bool], pause: float
) -> bool:
    """Run work in a process and kill it some time after it began; return whether it had ended."""
    server = get_context("forkserver")  # torch is loaded once
    server.set_forkserver_preload(["tests.toys.campaign", "tests.generators.test_kills"])
    process = server.Process(target=work, args=(folder,))
    process.start()
    end = time.monotonic() + PATIENCE
    while not begun() and process.is_alive() and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(pause)
    process.kill()
    process.join()
    assert process.exitcode in (0, -9)
    return process.exitcode == 0


@pytest.mark.slow
def test_a_campaign_killed_repeatedly_gives_the_same_rows(tmp_path: Path) -> None:
    plan, rng = tiny_plan(12), np.random.default_rng()
    campaign = toy_campaign(tmp_path, plan)
    kept: dict[Path, bytes] = {}
    for _ in range(KILLS):
        count = len(campaign.done())
        killed(make_all, tmp_path, lambda n=count: len(campaign.done()) > n, rng.uniform(0, 0.1))  # type: ignore[misc]
        assert len(list(campaign.rows())) == len(campaign.done())  # every file is complete
        assert {path: path.read_bytes() for path in kept} == kept
        kept = {path: path.read_bytes() for path in campaign.runs.glob("*.json")}
    assert kept
    while not killed(make_all, tmp_path, lambda: False, 0.0):
        pass
    with ThreadPoolExecutor(1, initializer=prepare) as pool:
        expected = [without_times(row) for row in pool.map(train_run, map(job_of, plan))]
    by_id = sorted(expected, key=lambda row: str(row["run_id"]))
    assert [without_times(row) for row in campaign.rows()] == by_id


@pytest.mark.parametrize("seed", range(2))
def test_a_merge_killed_repeatedly_gives_the_same_bytes(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    toy_campaign(tmp_path / "campaign", PLAN, [toy_row(run) for run in PLAN])
    merge([Campaign(tmp_path / "campaign")], tmp_path / "expected", "1.2.3")
    expected = visible_files(tmp_path / "expected")
    data = tmp_path / "data"
    for _ in range(KILLS):
        killed(merge_all, tmp_path, data.exists, rng.uniform(0, 0.5))
        found = visible_files(data)
        parts = {name: text for name, text in found.items() if name.endswith(".parquet")}
        assert parts.items() <= expected.items()  # each is complete or missing
    merge_all(tmp_path)
    assert visible_files(data) == expected
    assert verify_release(data) == []


def test_a_killed_board_leaves_every_file_old_or_new(tmp_path: Path) -> None:
    rng = np.random.default_rng()
    readme = tmp_path / "README.md"
    readme.write_text(f"# Ours\n\n{START}\n{END}\n\nMore.\n")
    for results in ("fewer", "more"):
        write_toy_board(tmp_path / results)
    write_toy(tmp_path / "more", "another", 0.1)
    before, after = (board_files(tmp_path, results) for results in ("fewer", "more"))
    assert all(before[path] != after[path] for path in before)
    bring_up_to_date(before)
    for _ in range(KILLS):
        killed(
            build_boards,
            tmp_path,
            lambda: readme.read_text() == after[readme],
            rng.uniform(0, 0.02),
        )
        assert all(path.read_text() in (before[path], after[path]) for path in before)
        bring_up_to_date(before)
