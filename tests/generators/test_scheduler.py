"""Workers of a campaign that run out of time or memory, fail or die, and their runs."""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import generators.workers.job_queue
import generators.workers.scheduler
import generators.workers.worker
from benchmark.schema import check_row
from benchmark.util.progress import Progress
from generators.campaign.campaign import Campaign
from generators.campaign.run_campaign import run_campaign
from generators.training.train import Curves
from generators.workers.job_queue import JobQueue
from generators.workers.planned_run import Job
from generators.workers.run_options import RunOptions
from generators.workers.scheduler import Scheduler, run_jobs
from generators.workers.worker import failed_row, train_run
from tests.toys.campaign import (
    Row,
    bits,
    die,
    die_on_the_first,
    die_once,
    job_of,
    options_of,
    tiny_plan,
    toy_campaign,
    toy_row,
)

PLAN = tiny_plan(8)
Held = dict[Future[Row], object]


def work(campaign: Campaign, train: Callable[[Job], Row], options: RunOptions) -> int:
    jobs = [replace(job_of(run), folder=campaign.folder) for run in campaign.plan()]
    return run_jobs(jobs, options, campaign.store, campaign.note_failure, train)


def refuse(job: Job, reason: str) -> None:
    """Stand in for giving up a job where none may be."""
    raise AssertionError(f"{job.run.run_id}: {reason}")


class Clockwork:
    """A clock, and a pool that runs one job at a time, each for its cost in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.jobs: dict[Future[Row], Job] = {}

    def monotonic(self) -> float:
        return self.now

    def __enter__(self) -> "Clockwork":
        return self

    def __exit__(self, *_: object) -> None:
        assert not any(not future.done() for future in self.jobs)

    def submit(self, _: object, job: Job) -> Future[Row]:
        future: Future[Row] = Future()
        self.jobs[future] = job
        return future

    def wait(self, held: Held, **_: object) -> tuple[set[Future[Row]], set[Future[Row]]]:
        first = next(iter(held))
        self.now += self.jobs[first].run.cost
        first.set_result(toy_row(self.jobs[first].run))
        return {first}, set(held) - {first}


def finished_in(
    minutes: float | None, costs: list[int], folder: Path, patch: pytest.MonkeyPatch
) -> tuple[int, float]:
    """Return how many runs finish within a budget, and the minutes they take."""
    clock = Clockwork()
    patch.setattr(generators.workers.scheduler, "time", clock)
    patch.setattr(generators.workers.job_queue, "time", clock)
    patch.setattr(generators.workers.scheduler, "wait", clock.wait)
    plan = [replace(run, cost=c) for run, c in zip(tiny_plan(len(costs)), costs, strict=True)]
    campaign = toy_campaign(folder, plan)
    jobs = [job_of(run) for run in plan]
    progress = Progress("networks", len(jobs))
    queue = JobQueue(campaign.store, refuse, progress, minutes, jobs[::-1], started=0)
    scheduler = Scheduler(queue, options_of(minutes=minutes), start=lambda _: clock)  # type: ignore[arg-type,return-value]
    scheduler.drain()
    finished = scheduler.finished
    assert finished == len(campaign.done())
    return finished, clock.now / 60


@pytest.mark.parametrize(
    ("minutes", "costs", "finished"),
    [
        (None, [60] * 8, 8),
        (5.0, [60] * 8, 4),  # one minute is left after 4, and a run may take 1.3
        (9.0, [60] * 8, 8),
        (5.0, [60, 60, 180, 60], 2),  # 3 minutes are left, and the next may take 3.9
        (6.0, [60, 60, 180, 60], 3),
    ],
)
def test_a_budget_starts_no_run_that_it_cannot_finish(
    minutes: float | None,
    costs: list[int],
    finished: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, used = finished_in(minutes, costs, tmp_path, monkeypatch)
    assert found == finished
    assert minutes is None or used <= minutes


def test_a_run_of_which_nothing_tells_the_time_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finished_in(1.0, [180] * 3, tmp_path, monkeypatch) == (1, 3.0)


def test_a_run_whose_worker_dies_is_retried_once(tmp_path: Path, forks: None) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:2])
    assert work(campaign, die_once, options_of()) == 2
    assert {row["status"] for row in campaign.rows()} == {"completed"}


def test_a_run_whose_worker_dies_twice_is_noted_and_has_no_row(tmp_path: Path, forks: None) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:1])
    assert work(campaign, die, options_of()) == 0
    assert list(campaign.rows()) == []
    failures = {PLAN[0].run_id: "the worker process died 2 times"}
    assert campaign.failures(campaign.files()) == failures


class DeadPool(ThreadPoolExecutor):
    """A pool whose worker dies with each of the first jobs."""

    deaths = 1

    def submit(self, *args: object, **kwargs: object) -> Future[object]:  # type: ignore[override]
        if DeadPool.deaths == 0:
            return super().submit(*args, **kwargs)  # type: ignore[arg-type]
        DeadPool.deaths -= 1
        future: Future[object] = Future()
        future.set_exception(BrokenProcessPool())
        return future


def test_a_death_and_an_error_are_not_an_error_that_came_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeadPool, "deaths", 1)
    monkeypatch.setattr(generators.workers.scheduler, "local_pool", lambda _: DeadPool(1))
    monkeypatch.setattr(generators.workers.worker, "train", FailingTrain(1))
    campaign = toy_campaign(tmp_path, PLAN[:1])
    assert work(campaign, train_run, options_of()) == 1
    assert [row["status"] for row in stored_rows(campaign)] == ["completed"]


def stored_rows(campaign: Campaign) -> list[Row]:
    return [json.loads(path.read_text()) for path in campaign.runs.glob("*.json")]


def test_a_failed_row_has_no_values() -> None:
    row = failed_row(job_of(PLAN[0]), "so")
    check_row(row)
    assert (row["status"], row["status_reason"]) == ("failed", "so")
    assert (row["epochs_planned"], row["epochs_done"]) == (2, 0)
    assert row["valid_accuracy"] == row["train_loss_tenths"] == []
    assert row["initial_valid_accuracy"] is row["final_train_accuracy"] is None
    assert not bits(row).any()


def test_a_run_beside_one_whose_worker_dies_is_not_lost(tmp_path: Path, forks: None) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:6])
    assert work(campaign, die_on_the_first, options_of(workers=2)) == 5
    statuses = {row["draw_index"]: row["status"] for row in campaign.rows()}
    assert statuses == dict.fromkeys(range(1, 6), "completed")
    assert list(campaign.failures(campaign.files())) == [PLAN[0].run_id]


def test_a_pool_that_breaks_before_a_run_starts_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = iter([BrokenPool(), ThreadPoolExecutor(1)])
    monkeypatch.setattr(generators.workers.scheduler, "local_pool", lambda _: next(pools))
    campaign = toy_campaign(tmp_path, PLAN[:2])
    assert work(campaign, toy_row_of, options_of()) == 2


class BrokenPool(ThreadPoolExecutor):
    """A pool whose worker died while it was idle."""

    def submit(self, *_: object, **__: object) -> Future[object]:  # type: ignore[override]
        raise BrokenProcessPool


def toy_row_of(job: Job) -> Row:
    return toy_row(job.run)


def test_out_of_memory_gives_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore\nlines")

    monkeypatch.setattr(generators.workers.worker, "train", full)
    row = train_run(job_of(PLAN[0]))
    check_row(row)
    assert row["status"] == "out_of_memory"
    assert row["status_reason"] == "CUDA out of memory. Tried to allocate 2 GiB."
    assert (row["epochs_done"], row["test_accuracy"]) == (0, [])
    assert json.loads(json.dumps(row, allow_nan=False)) == row


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (-1, 1), (1, 0)])
def test_a_shard_out_of_range_is_refused(shard: tuple[int, int]) -> None:
    message = f"`shard` (={shard[0]}/{shard[1]}) must be i/n with 1 <= i <= n"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        options_of(shard=shard)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("workers", 0, "at least 1"),
        ("limit", -1000, "at least 1"),
        ("limit", 0, "at least 1"),
        ("minutes", -1.0, "above 0 and finite"),
        ("minutes", 0.0, "above 0 and finite"),
        ("minutes", float("nan"), "above 0 and finite"),
        ("minutes", float("inf"), "above 0 and finite"),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: float, rule: str) -> None:
    message = f"`{name}` (={value}) must be {rule}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        options_of(**{name: value})


class FailingTrain:
    """Stands in for a training that raises an error the first few times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, *_: object, **__: object) -> Curves:
        self.left -= 1
        if self.left >= 0:
            raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED\x1b[0m\nmore lines")
        return Curves(correct=np.zeros(700, bool))


@pytest.mark.parametrize(("times", "status"), [(1, "completed"), (2, "failed")])
def test_a_failed_training_is_retried_once_and_then_stored(
    tmp_path: Path, threads: None, monkeypatch: pytest.MonkeyPatch, times: int, status: str
) -> None:
    monkeypatch.setattr(generators.workers.worker, "train", FailingTrain(times))
    campaign = toy_campaign(tmp_path, PLAN[:1])
    stored: list[Row] = []
    jobs = [job_of(run) for run in campaign.plan()]
    assert run_jobs(jobs, options_of(), stored.append, refuse) == 1
    assert [row["status"] for row in stored] == [status]
    if status == "failed":
        check_row(stored[0])
        assert stored[0]["status_reason"] == r"RuntimeError: CUDNN_STATUS_EXECUTION_FAILED\x1b[0m"


class MistakenTrain:
    """Stands in for a training with a mistake in the code that some calls meet."""

    def __init__(self, *met: int) -> None:
        self.met, self.calls = met, -1

    def __call__(self, *_: object, **__: object) -> Curves:
        self.calls += 1
        if self.calls in self.met:
            raise KeyError("a mistake\nin the code")
        return Curves(correct=np.zeros(700, bool))


def test_a_mistake_in_the_code_costs_one_run(
    tmp_path: Path, threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators.workers.worker, "train", MistakenTrain(0, 1, 3, 4))
    campaign = toy_campaign(tmp_path, PLAN[:6])
    outcome = run_campaign(campaign, options_of(workers=1))
    names = [run.run_id for run in campaign.plan()]
    lost = [names[place] for place in (0, 1, 3, 4)]
    reason = r"KeyError: 'a mistake\nin the code'"
    assert outcome == (2, 4, dict.fromkeys(lost, reason))
    assert campaign.done() == {names[2], names[5]}
    monkeypatch.setattr(generators.workers.worker, "train", MistakenTrain())
    assert run_campaign(campaign, options_of(workers=1)) == (4, 0, {})


def test_the_third_mistake_in_a_row_ends_the_campaign(
    tmp_path: Path, threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = MistakenTrain(*range(6))
    monkeypatch.setattr(generators.workers.worker, "train", train)
    campaign = toy_campaign(tmp_path, PLAN[:6])
    with pytest.raises(KeyError, match=r"^'a mistake\\nin the code'$"):
        run_campaign(campaign, options_of(workers=1))
    assert train.calls == 2
    names = [run.run_id for run in campaign.plan()]
    assert campaign.done() == set()
    assert set(campaign.failures(campaign.files(names))) == set(names[:2])


def test_what_runs_beside_the_last_mistake_is_stored(
    tmp_path: Path, threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Barrier(2)

    def train(architecture: object, *_: object, seed: int, **__: object) -> Curves:
        started.wait()
        if architecture == PLAN[0].architecture and seed == PLAN[0].seed:
            raise KeyError("a mistake")
        time.sleep(0.3)
        return Curves(correct=np.zeros(700, bool))

    monkeypatch.setattr(generators.workers.worker, "train", train)
    campaign = toy_campaign(tmp_path, PLAN[:2])
    with pytest.raises(KeyError, match=r"^'a mistake'$"):
        work(campaign, train_run, options_of(workers=2))
    assert campaign.done() == {PLAN[1].run_id}


@pytest.mark.parametrize("runs", [1, 3])
def test_missing_images_are_no_mistake_of_a_run(
    tmp_path: Path, threads: None, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    def missing(*_: object) -> None:
        raise FileNotFoundError("fetch them with `peephole images download`")

    monkeypatch.setattr(generators.workers.worker, "_pixels", missing)
    campaign = toy_campaign(tmp_path, PLAN[:runs])
    with pytest.raises(FileNotFoundError, match=r"^fetch them with"):
        run_campaign(campaign, options_of(workers=1))
    assert campaign.failures(campaign.files(run.run_id for run in campaign.plan())) == {}


def test_a_lost_device_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    ended: list[int] = []
    monkeypatch.setattr(generators.workers.worker, "train", FailingTrain(1))
    monkeypatch.setattr(generators.workers.worker, "_pixels", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    monkeypatch.setattr(generators.workers.worker, "device_name", lambda _: "made up")
    monkeypatch.setattr(os, "_exit", ended.append)
    train_run(replace(job_of(PLAN[0]), device="cuda:0"))
    assert ended == [1]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_a_machine_without_memory_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """So the run is tried again, not published as one that failed."""
    ended: list[int] = []

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(generators.workers.worker, "train", full)
    monkeypatch.setattr(os, "_exit", ended.append)
    train_run(job_of(PLAN[0]))
    assert ended == [1]
