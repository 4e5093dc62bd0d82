"""Merges and proxies: broken off at each of their calls, and two at once."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import generators.campaign.merge
from benchmark.manifest import read_manifest
from benchmark.proxies import PROXIES, SEED, Proxies
from benchmark.publish.verify import verify_release
from benchmark.runs import write_table
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge
from generators.environment import GENERATOR_VERSION, environment, environment_id
from generators.proxies import compute
from generators.proxies.compute import add_proxies
from generators.proxies.measure import BATCH
from generators.workers.planned_run import Job, PlannedRun, Row
from tests.toys.campaign import options_of, release_plan, tiny_plan, toy_campaign, toy_row
from tests.toys.writers import check_faults

TRAIN = [run for run in tiny_plan(12) if run.split == "train"]
STEPS = pytest.mark.parametrize("step", [19, pytest.param(1, marks=pytest.mark.slow)])
DIES = pytest.mark.parametrize("dies", [True, False])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the syncs of what is done again after a fault."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def campaign_of(folder: Path, runs: list[PlannedRun]) -> Campaign:
    return toy_campaign(folder, runs, [toy_row(run) for run in runs])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return a release of two runs."""
    merge([campaign_of(tmp_path / "first", TRAIN[:2])], tmp_path / "base")
    return tmp_path / "base"


@DIES
@STEPS
def test_a_merge_broken_off_anywhere_is_completed_by_the_next(
    tmp_path: Path, base: Path, quick: None, dies: bool, step: int
) -> None:
    rest = campaign_of(tmp_path / "rest", [TRAIN[3], *tiny_plan(1, skeleton="stages-4x1")])
    check_faults(base, tmp_path / "data", lambda: merge([rest], tmp_path / "data"),
                 dies=dies, step=step)  # fmt: skip


@DIES
@STEPS
def test_a_first_merge_broken_off_anywhere_is_completed_by_the_next(
    tmp_path: Path, quick: None, dies: bool, step: int
) -> None:
    runs = campaign_of(tmp_path / "campaign", TRAIN[:2])
    (tmp_path / "base").mkdir()
    check_faults(tmp_path / "base", tmp_path / "data", lambda: merge([runs], tmp_path / "data"),
                 dies=dies, step=step)  # fmt: skip


def proxies_of(job: Job) -> Proxies:
    values: dict[str, float] = dict.fromkeys(PROXIES, 0.5)
    return Proxies(job.run.architecture_id, SEED, BATCH, **values, device="d",
                   environment_id=environment_id(environment()),
                   generator_version=GENERATOR_VERSION)  # fmt: skip


def measure_in_this_thread(
    jobs: list[Job], _: object, finish: Callable[[Row], None], *__: object
) -> None:
    for job in jobs:
        finish({"proxies": proxies_of(job)})


@DIES
@STEPS
def test_proxies_broken_off_anywhere_are_completed_by_the_next(
    tmp_path: Path, base: Path, quick: None, monkeypatch: pytest.MonkeyPatch, dies: bool, step: int
) -> None:
    monkeypatch.setattr(compute, "run_jobs", measure_in_this_thread)
    data = tmp_path / "data"
    check_faults(
        base, data, lambda: add_proxies("digits", data, options_of()), dies=dies, step=step
    )


def at_once(first: Callable[[], object], second: Callable[[], object],
            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Let a second merge begin when the first has read the release, and write before it."""

    def write(table: object, path: Path) -> None:
        if thread.ident is None:
            thread.start()
            assert asked.wait(60)
        write_table(table, path)

    def refused(_: float) -> None:
        asked.set()
        sleep(0.001)

    def work() -> None:
        second()
        asked.set()

    asked, thread = threading.Event(), threading.Thread(target=work)
    sleep = time.sleep
    monkeypatch.setattr(generators.campaign.merge, "write_table", write)
    monkeypatch.setattr(time, "sleep", refused)  # of a command that waits for the lock
    first()
    thread.join()


def test_two_merges_at_once_keep_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, data = release_plan(), tmp_path / "data"
    even, odd = (campaign_of(tmp_path / str(i), plan[i::2]) for i in range(2))
    at_once(lambda: merge([even], data), lambda: merge([odd], data), monkeypatch)
    found = sum(entry.runs for entry in read_manifest(data).splits)
    assert found == len(plan)
    assert read_manifest(data).version == "0.2.0"
    assert verify_release(data) == []
