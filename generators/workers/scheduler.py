"""Gives jobs to one pool of workers, and decides what becomes of a job when a worker dies."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.util.progress import Progress
from benchmark.util.unknown_name import unknown_name
from generators.workers.admission import device_room, predicted_memory
from generators.workers.gpu_process import GpuProcess
from generators.workers.job_queue import FAULTS_ALLOWED, LOSSES_ALLOWED, JobQueue
from generators.workers.worker import Job, Row, failed_row, make_run, prepare, prepare_gpu

Engine = Literal["local", "ray"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to work on a campaign.

    Attributes:
        images_folder: Where the images are.
        device: Torch device of the workers.
        workers: Networks in flight: a process each on a CPU, threads of one process on a GPU.
        shard: (i, n): take every n-th run from the i-th on, from 1.
        minutes: Budget; a run that would outlast it is not started. None: no end.
        limit: Runs to make at most. None: all.
        engine: What starts workers: this machine, or a Ray cluster, on which `workers` is the
            networks in flight for each GPU, or the processes of each group on the CPUs.
        address: Of the Ray cluster; "auto" finds the one that runs here, "local" starts one.
    """

    images_folder: Path
    device: str = "cpu"
    workers: int = 2
    shard: tuple[int, int] = (1, 1)
    minutes: float | None = None
    limit: int | None = None
    engine: Engine = "local"
    address: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges."""
        index, count = self.shard
        if not 1 <= index <= count:
            raise ValueError(f"`shard` (={index}/{count}) must be i/n with 1 <= i <= n")
        if self.workers < 1:
            raise ValueError(f"`workers` (={self.workers}) must be at least 1")
        if self.engine not in ENGINES:
            raise ValueError(unknown_name("engine", self.engine, ENGINES))


def local_pool(options: RunOptions) -> Executor:
    """Return workers on this machine: a process of threads on a GPU, processes on a CPU."""
    if options.device.startswith("cuda"):
        return GpuProcess(options.workers, prepare_gpu)
    pool = ProcessPoolExecutor(options.workers, get_context("spawn"), initializer=prepare)
    start_processes(pool, options.workers)
    return pool


def start_processes(pool: ProcessPoolExecutor, workers: int) -> None:
    """Start all processes of a pool now, rather than as they are needed.

    A process started while the pool is breaking never receives the shutdown signal, and the pool
    hangs.
    """
    for _ in range(workers):
        pool.submit(time.sleep, 0.0)


def job_memory(job: Job) -> float:
    """Return the bytes of a device that a job is predicted to take."""
    images = get_images(job.run.images)
    return predicted_memory(walk(job.run.architecture, images), images, job.recipe)


def run_jobs(
    jobs: list[Job],
    options: RunOptions,
    store: Callable[[Row], None],
    train: Callable[[Job], Row] = make_run,
) -> int:
    """Make jobs on this machine until none is left or the budget ends; return how many were made.

    Args:
        jobs: In their order.
        options: How to work.
        store: Keeps a row.
        train: Makes a row; a function at a module's top, since it is sent to processes.
    """
    if not jobs:
        return 0  # without starting a pool
    progress = Progress("networks", len(jobs))
    queue = JobQueue(store, progress, options.minutes, jobs[::-1])
    room = device_room(options.device)
    scheduler = Scheduler(queue, options, train, local_pool, room=room)
    scheduler.drain()
    return scheduler.made


JobsInHand = dict[Future[Row], tuple[Job, float]]  # with the time at which a worker got the job


@dataclass(slots=True)
class Scheduler:
    """One pool of workers and the jobs that they have in hand.

    When a worker dies, any job in hand may be the cause, so each is made again alone. So is a run
    that failed, and one that ran out of memory beside others. After a failure a job is made without
    CUDA graphs. When the machine itself is lost, no job is to blame, and those in hand wait again.

    Attributes:
        queue: Where jobs come from and rows go.
        options: How to work.
        train: Makes a row.
        start: Starts the pool of workers.
        fail: Makes the row of a job that its worker could not make.
        room: Bytes of the device that jobs in hand may take together. None: no limit.
        retries: Jobs to be made again alone.
        made: Rows stored.
    """

    queue: JobQueue
    options: RunOptions
    train: Callable[[Job], Row] = make_run
    start: Callable[[RunOptions], Executor] = local_pool
    fail: Callable[[Job, str], Row] = failed_row
    room: float | None = None
    retries: list[Job] = field(default_factory=list)
    made: int = 0

    def drain(self) -> None:
        """Make jobs until none is left or the budget ends.

        Raises:
            ConnectionError: If the machine of the workers is lost.
        """
        in_hand: JobsInHand = {}
        idle = False
        while not idle:
            try:
                with self.start(self.options) as pool:
                    while self._fill(pool, in_hand):
                        self._collect(in_hand)
                idle = True
            except BrokenProcessPool:
                self._retry_all(in_hand)
            except ConnectionError:
                self._put_back(in_hand)
                raise

    def _fill(self, pool: Executor, in_hand: JobsInHand) -> bool:
        """Give idle workers what still fits the budget; return whether anything is in hand."""
        width, jobs = self.options.workers, self.queue.waiting
        if self.retries:
            width, jobs = 1, self.retries
        with self.queue.lock:
            while jobs and len(in_hand) < width and self._may_start(jobs[-1], in_hand):
                future = pool.submit(self.train, jobs[-1])
                in_hand[future] = jobs.pop(), time.monotonic()
        return bool(in_hand)

    def _may_start(self, job: Job, in_hand: JobsInHand) -> bool:
        """Return whether the budget has time for a job and the device room beside the others."""
        if not self.queue.has_time_for(job):
            return False
        if self.room is None or not in_hand:
            return True
        taken = sum(job_memory(other) for other, _ in in_hand.values())
        return taken + job_memory(job) <= self.room

    def _collect(self, in_hand: JobsInHand) -> None:
        """Wait for jobs to end, and store their rows."""
        alone = len(in_hand) == 1
        ended, _ = wait(in_hand, return_when=FIRST_COMPLETED)
        for future in ended:
            row = future.result()
            job, began = in_hand.pop(future)
            if self._is_retried(row, job, alone=alone):
                self.retries.append(replace(job, graphs=row["status"] != "failed"))
                continue
            self.queue.pace.add(job.run.cost, time.monotonic() - began)
            self._finish(row)

    def _is_retried(self, row: Row, job: Job, *, alone: bool) -> bool:
        """Return whether a job is to be made again alone."""
        if row["status"] == "out_of_memory":
            return not alone
        return row["status"] == "failed" and self.queue.count_fault(job) <= FAULTS_ALLOWED

    def _finish(self, row: Row) -> None:
        self.queue.finish(row)
        self.made += 1

    def _retry_all(self, in_hand: JobsInHand) -> None:
        """After a worker died, retry all jobs in hand or store those that died too often."""
        for job, _ in in_hand.values():
            count = self.queue.count_fault(job)
            if count <= FAULTS_ALLOWED:
                self.retries.append(replace(job, graphs=False))
            else:
                self._finish(self.fail(job, f"the worker process died {count} times"))
        in_hand.clear()

    def _put_back(self, in_hand: JobsInHand) -> None:
        """After the loss of the machine, let the jobs in hand wait again; a retry stays one."""
        for job, _ in in_hand.values():
            lost = self.queue.count_loss(job)
            if lost > LOSSES_ALLOWED:
                self._finish(self.fail(job, f"the machine was lost {lost} times"))
            elif job.run.run_id in self.queue.faults:
                self.retries.append(job)
            else:
                with self.queue.lock:
                    self.queue.waiting.append(job)
        in_hand.clear()
