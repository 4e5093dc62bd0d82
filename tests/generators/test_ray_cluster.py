"""Campaigns on a Ray cluster whose machines are simulated on one, and may be lost."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmark.publish.verify import verify_release
from benchmark.util.progress import Progress
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge
from generators.workers.job_queue import JobQueue
from generators.workers.planned_run import Job, PlannedRun
from generators.workers.run_options import RunOptions
from generators.workers.scheduler import Scheduler
from generators.workers.worker import prepare, train_run
from tests.toys.campaign import (
    Row,
    die_on_the_first,
    job_of,
    options_of,
    release_plan,
    tiny_plan,
    toy_campaign,
    toy_row,
    without_times,
)

if TYPE_CHECKING:
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]
PLAN = tiny_plan(6)
PATIENCE = 300.0  # seconds without progress of a cluster until its test fails


def queue_of(store: Callable[[Row], None], runs: list[PlannedRun]) -> JobQueue:
    """Return a queue of runs, the first one next."""
    jobs = [job_of(run) for run in runs]
    return JobQueue(store, refuse, Progress("networks", len(jobs)), waiting=jobs[::-1])


def refuse(job: Job, reason: str) -> None:
    """Stand in for giving up a job where none may be."""
    raise AssertionError(f"{job.run.run_id}: {reason}")


def test_jobs_of_a_lost_machine_return_to_the_queue_without_a_fault() -> None:
    stored: list[Row] = []
    queue = queue_of(stored.append, PLAN)
    with pytest.raises(ConnectionError, match=r"^gone$"):
        Scheduler(queue, options_of(workers=2), toy_row_of, lambda _: LosingPool(2)).drain()
    assert (stored, queue.deaths) == ([], {})
    assert sorted(job.run.draw_index for job in queue.waiting) == list(range(6))
    other = Scheduler(queue, options_of(workers=2), toy_row_of, lambda _: ThreadPoolExecutor(2))
    other.drain()
    assert (other.finished, queue.waiting) == (6, [])
    assert {row["status"] for row in stored} == {"completed"}


@pytest.mark.parametrize("kind", ["deaths", "errors"])
def test_a_retry_on_a_lost_machine_stays_one(kind: str) -> None:
    queue = queue_of(lambda _: None, PLAN[1:2])
    getattr(queue, kind)[PLAN[0].run_id] = 1
    scheduler = Scheduler(queue, options_of(workers=2), toy_row_of, lambda _: LosingPool(2))
    scheduler.retries = [job_of(PLAN[0])]
    with pytest.raises(ConnectionError, match=r"^gone$"):
        scheduler.drain()
    assert [job.run for job in scheduler.retries] == [PLAN[0]]
    assert [job.run for job in queue.waiting] == [PLAN[1]]


def test_a_run_during_which_four_machines_are_lost_is_given_up(tmp_path: Path) -> None:
    campaign = toy_campaign(tmp_path, PLAN[:1])
    queue = queue_of(campaign.store, PLAN[:1])
    queue.give_up = campaign.note_failure
    scheduler = Scheduler(queue, options_of(), toy_row_of, lambda _: LosingPool(1))
    for _ in range(4):
        assert campaign.failures(campaign.files()) == {}
        with pytest.raises(ConnectionError, match=r"^gone$"):
            scheduler.drain()
    failures = {PLAN[0].run_id: "the machine was lost 4 times"}
    assert campaign.failures(campaign.files()) == failures
    assert queue.waiting == scheduler.retries == []
    assert list(campaign.rows()) == []


def toy_row_of(job: Job) -> Row:
    return toy_row(job.run)


class LosingPool(ThreadPoolExecutor):
    """A pool whose machine is lost while jobs are running."""

    def submit(self, *_: object, **__: object) -> Future[object]:  # type: ignore[override]
        future: Future[object] = Future()
        future.set_exception(ConnectionError("gone"))
        return future


def test_an_unknown_engine_is_refused() -> None:
    message = "unknown engine 'rya'; did you mean 'ray'? Known: local, ray"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        options_of(engine="rya")


def test_without_ray_its_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    message = "the engine 'ray' needs ray of the extra `ray`; install it with: pip install "
    with pytest.raises(ValueError, match=f"^{message}"):
        options_of(engine="ray")


@dataclass(frozen=True, slots=True)
class Machines:
    """A cluster whose head runs no actors."""

    cluster: "Cluster"

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> "Node":
        machine: Node = self.cluster.add_node(num_cpus=1, include_dashboard=False)
        return machine

    def kill(self, machine: "Node") -> None:
        self.cluster.remove_node(machine, allow_graceful=False)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """Start a cluster of a head and a machine of one CPU."""
    utilities = pytest.importorskip("ray.cluster_utils", reason="needs the extra `ray`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = utilities.Cluster(initialize_head=True, head_node_args=head)
        try:
            Machines(cluster).add()
            yield Machines(cluster)
        finally:
            cluster.shutdown()


@contextmanager
def command(campaign: Campaign, machines: Machines) -> "Iterator[subprocess.Popen[str]]":
    """Run a campaign's command on the cluster, and kill it at the end."""
    words = ["generate", "run", "--engine", "ray", "--address", machines.address, "--workers", "1"]
    with (
        campaign.folder.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "peephole", *words, "--campaign", str(campaign.folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()
            assert process.stdout is not None
            if not process.stdout.closed:  # wait for all processes that write to it
                process.communicate()


def wait_for_runs(campaign: Campaign, count: int, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE
    while len(campaign.done()) < count:
        assert process.poll() is None, campaign.folder.with_suffix(".log").read_text()
        assert time.monotonic() < end
        time.sleep(0.01)


def trained(plan: list[PlannedRun]) -> list[Row]:
    with ThreadPoolExecutor(1, initializer=prepare) as pool:
        return list(pool.map(train_run, map(job_of, plan)))


@pytest.mark.slow
def test_a_campaign_survives_the_loss_of_its_command_and_of_a_machine(
    machines: Machines, tmp_path: Path
) -> None:
    plan = release_plan()
    campaign = toy_campaign(tmp_path / "campaign", plan)
    lost = machines.add()
    with command(campaign, machines) as first:
        wait_for_runs(campaign, 3, first)
    before = len(campaign.done())
    assert before < len(plan)
    with command(campaign, machines) as second:
        wait_for_runs(campaign, before + 4, second)
        machines.kill(lost)
        at_death = len(campaign.done())
        printed = second.communicate(timeout=PATIENCE)[0]
    assert printed == f"{len(plan) - before} runs finished, 0 left\n"
    assert at_death < len(plan)
    found = {str(row["run_id"]): without_times(row) for row in campaign.rows()}
    assert found == {str(row["run_id"]): without_times(row) for row in trained(plan)}
    merged = merge([campaign], tmp_path / "data", "1.2.3")
    assert sum(merged.values()) == len(plan)
    assert verify_release(tmp_path / "data") == []


def work_on_ray(
    campaign: Campaign, jobs: list[Job], options: RunOptions, train: Callable[[Job], Row]
) -> int:
    from generators.workers.ray_cluster import RayCluster

    progress = Progress("networks", len(jobs))
    queue = JobQueue(campaign.store, campaign.note_failure, progress, options.minutes, jobs[::-1])
    return RayCluster(queue, options, campaign.note_environment, train).drain()


@pytest.mark.slow
def test_a_worker_that_dies_on_a_machine_is_treated_as_a_local_one(
    machines: Machines, tmp_path: Path
) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    options = options_of(engine="ray", address=machines.address)
    assert work_on_ray(campaign, [*map(job_of, PLAN)], options, die_on_the_first) == 5
    statuses = {row["draw_index"]: row["status"] for row in campaign.rows()}
    assert statuses == dict.fromkeys(range(1, 6), "completed")
    failures = {PLAN[0].run_id: "the worker process died 2 times"}
    assert campaign.failures(campaign.files()) == failures


@pytest.mark.slow
def test_a_machine_without_the_images_is_named(machines: Machines, tmp_path: Path) -> None:
    campaign = toy_campaign(tmp_path, PLAN)
    job = replace(job_of(PLAN[0]), run=replace(PLAN[0], images="mnist"), folder=tmp_path)
    options = options_of(engine="ray", address=machines.address)
    start = r"on the machine [\d.]+: mnist is missing or incomplete in "
    with pytest.raises(FileNotFoundError, match=f"^{start}.*`peephole images download mnist .*$"):
        work_on_ray(campaign, [job], options, toy_row_of)
    assert campaign.done() == set()


@pytest.mark.slow
def test_a_cluster_without_room_is_an_error(machines: Machines, tmp_path: Path) -> None:
    address = machines.address
    campaign = toy_campaign(tmp_path, PLAN)
    for fields, need in (({"workers": 64}, "64 CPUs"), ({"device": "cuda"}, "a GPU")):
        options = options_of(engine="ray", address=address, **fields)
        message = (
            f"no machine of the Ray cluster at {address!r} has {need}; 1 run left; add a "
            "machine and run the same command to resume"
        )
        with pytest.raises(ConnectionError, match=f"^{re.escape(message)}$"):
            work_on_ray(campaign, [job_of(PLAN[0])], options, toy_row_of)
    options = options_of(engine="ray", address=address, minutes=1e-9)
    assert work_on_ray(campaign, [job_of(PLAN[0])], options, toy_row_of) == 0


@pytest.mark.slow
def test_an_address_without_a_cluster_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra `ray`")
    campaign = toy_campaign(tmp_path, PLAN)
    options = options_of(engine="ray", address="nowhere")
    message = (
        "no Ray cluster at 'nowhere' (Invalid address format: nowhere); start one with `ray start "
        "--head`, or use --address local to start one for this command only"
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(message)}$"):
        work_on_ray(campaign, [job_of(PLAN[0])], options, toy_row_of)
