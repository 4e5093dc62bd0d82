"""Campaigns that are broken off at each of their calls: nothing finished is lost or damaged."""

import shutil
import threading
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import generators.workers.scheduler
from benchmark.util.progress import Progress
from generators.campaign.campaign import Campaign
from generators.campaign.run_campaign import run_campaign
from generators.workers.job_queue import JobQueue
from generators.workers.planned_run import Job, Row
from generators.workers.scheduler import Scheduler, run_jobs
from tests.generators.test_scheduler import refuse
from tests.toys.campaign import (
    RECIPE,
    ToyPool,
    job_of,
    options_of,
    tiny_plan,
    toy_campaign,
    toy_row,
)
from tests.toys.faults import every_fault

PLAN = tiny_plan(3)
DIED = "the worker process died 2 times"
DIES = pytest.mark.parametrize("dies", [False, True], ids=["full disk", "death"])


def run_toys(campaign: Campaign, deadly: int | None, patch: pytest.MonkeyPatch) -> None:
    """Run a campaign with made-up rows; the worker dies with the run of one index."""
    patch.setattr(generators.workers.scheduler, "local_pool", lambda _: ToyPool(deadly))
    run_campaign(campaign, options_of())


def run_contents(campaign: Campaign) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in campaign.runs.glob("*.json")}


@DIES
@pytest.mark.parametrize("deadly", [None, 1])
def test_a_run_broken_off_anywhere_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: bool, deadly: int | None
) -> None:
    folder = tmp_path / "campaign"
    for fault in every_fault(folder, dies=dies):
        shutil.rmtree(folder, ignore_errors=True)
        campaign = toy_campaign(folder, PLAN, [toy_row(PLAN[2])])
        kept = run_contents(campaign)
        with fault:
            run_toys(campaign, deadly, monkeypatch)
        found = run_contents(campaign)
        assert kept.items() <= found.items()
        assert {path.removesuffix(".json") for path in found} == campaign.done()
        assert len(list(campaign.rows())) == len(found)  # every file is complete
        failures = campaign.failures(campaign.files())
        assert failures in ({}, {PLAN[1].run_id: DIED})
        if fault.error is None:
            assert len(failures) == (deadly is not None)
        if isinstance(fault.error, OSError):
            assert str(fault.error).startswith("[Errno 28] No space left on device: '")
            assert ".part'" not in str(fault.error)
        run_toys(campaign, None, monkeypatch)
        expected = sorted(map(toy_row, PLAN), key=lambda row: str(row["run_id"]))
        assert list(campaign.rows()) == expected
        assert campaign.failures(campaign.files()) == {}


@DIES
def test_a_plan_broken_off_anywhere_is_whole_or_missing(tmp_path: Path, dies: bool) -> None:
    folder = tmp_path / "campaign"
    campaign, recipes = Campaign(folder), {RECIPE.recipe_id: RECIPE}
    states = set()
    for fault in every_fault(folder, dies=dies):
        shutil.rmtree(folder, ignore_errors=True)
        with fault:
            campaign.create(PLAN, recipes)
        made = (folder / "plan.jsonl").exists()
        states.add(made)
        if made:
            assert (campaign.plan(), campaign.recipes()) == (PLAN, recipes)
        campaign.create(PLAN, recipes)
        assert (campaign.plan(), campaign.recipes()) == (PLAN, recipes)
    assert states == {False, True}


def test_what_ended_well_beside_an_error_of_the_machine_is_stored(
    tmp_path: Path, threads: None
) -> None:
    started = threading.Barrier(2)

    def train(job: Job) -> Row:
        started.wait()
        if job.run == PLAN[0]:
            raise OSError(28, "full")
        time.sleep(0.3)
        return toy_row(job.run)

    campaign = toy_campaign(tmp_path, PLAN[:2])
    with pytest.raises(OSError, match="full"):
        run_jobs([*map(job_of, PLAN[:2])], options_of(workers=2), campaign.store, refuse, train)
    assert campaign.done() == {PLAN[1].run_id}


def test_rows_that_came_with_a_death_are_stored(tmp_path: Path) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    queue = JobQueue(campaign.store, refuse, Progress("networks", len(PLAN)))
    scheduler, futures = Scheduler(queue, options_of()), [Future[Row]() for _ in PLAN]
    futures[0].set_exception(BrokenProcessPool())
    for future, run in zip(futures[1:], PLAN[1:], strict=True):
        future.set_result(toy_row(run))
    running = {f: (job_of(run), 0.0) for f, run in zip(futures, PLAN, strict=True)}
    with pytest.raises(BrokenProcessPool):
        scheduler._collect(running)
    assert campaign.done() == {run.run_id for run in PLAN[1:]}
    assert [job.run for job, _ in running.values()] == PLAN[:1]
