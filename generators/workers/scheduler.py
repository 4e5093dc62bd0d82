"""Gives jobs to one pool of workers, and retries or gives up jobs whose worker died."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from benchmark.schema import TRAINED_STATUSES
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from benchmark.util.progress import Progress
from generators.workers.admission import device_room, predicted_memory
from generators.workers.gpu_process import GpuProcess
from generators.workers.job_queue import (
    DEATHS_ALLOWED,
    ERRORS_ALLOWED,
    LOSSES_ALLOWED,
    JobQueue,
    count,
)
from generators.workers.planned_run import Job, Row
from generators.workers.run_options import RunOptions
from generators.workers.worker import prepare, prepare_gpu, train_run


def local_pool(options: RunOptions) -> Executor:
    """Return a pool of workers on this machine: threads of one process for a GPU, or processes."""
    if options.device.startswith("cuda"):
        return GpuProcess(options.workers, prepare_gpu)
    pool = ProcessPoolExecutor(options.workers, get_context("spawn"), initializer=prepare)
    start_processes(pool, options.workers)
    return pool


def start_processes(pool: ProcessPoolExecutor, workers: int) -> None:
    """Start all processes of a pool at once.

    A process that is started later, while the pool breaks, never receives the shutdown signal, and
    the pool hangs.
    """
    for _ in range(workers):
        pool.submit(time.sleep, 0.0)


@contextmanager
def _killing_on_interrupt(before: set[BaseProcess]) -> Iterator[None]:
    """Kill all but earlier processes after an interrupt, as a pool would wait for its jobs."""
    try:
        yield
    except KeyboardInterrupt:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise


def job_memory(job: Job) -> float:
    """Return the bytes of device memory that a job is predicted to use."""
    run, images = job.run, get_images(job.run.images)
    return predicted_memory(walk(run.architecture, images), images, job.recipe)


def run_jobs(
    jobs: list[Job],
    options: RunOptions,
    store: Callable[[Row], None],
    give_up: Callable[[Job, str], None],
    train: Callable[[Job], Row] = train_run,
    mistakes_allowed: int = 0,
) -> int:
    """Run jobs on this machine until none is left or the budget ends; return how many finished.

    Args:
        jobs: Jobs in the order in which they are started.
        options: How to run them; the shard and the limit are ignored.
        store: Stores the row of a finished job.
        give_up: Called with a job that could not be run, and the reason.
        train: Runs a job and returns its row; a module-level function, as processes import it.
        mistakes_allowed: How many errors of our code, without a finished job in between, cost
            their jobs alone.

    Raises:
        Exception: The next such error, once nothing is running any more.
        OSError: If images are missing, or something else is wrong with the machine.
    """
    if not jobs:
        return 0  # without starting a pool
    progress = Progress("networks", len(jobs))
    queue = JobQueue(store, give_up, progress, options.minutes, jobs[::-1])
    queue.mistakes_allowed = mistakes_allowed
    scheduler = Scheduler(queue, options, train, local_pool, room=device_room(options.device))
    scheduler.drain()
    return scheduler.finished


RunningJobs = dict[Future[Row], tuple[Job, float]]  # the float: when the job was started


@dataclass(slots=True)
class Scheduler:
    """One pool of workers and its running jobs.

    When a worker dies, any running job may be the cause, so all are retried, one at a time. So are
    jobs that failed, or that ran out of memory beside others. A retry after a failure uses no CUDA
    graphs. When the machine is lost, running jobs return to the queue, as none is the likely cause.

    Attributes:
        queue: Source of jobs and destination of rows.
        options: How to run jobs.
        train: Runs a job and returns its row.
        start: Starts the pool of workers.
        room: Bytes of device memory that running jobs may use together. None: no limit.
        retries: Jobs to be retried one at a time.
        finished: Number of rows stored.
    """

    queue: JobQueue
    options: RunOptions
    train: Callable[[Job], Row] = train_run
    start: Callable[[RunOptions], Executor] = local_pool
    room: float | None = None
    retries: list[Job] = field(default_factory=list)
    finished: int = 0

    def drain(self) -> None:
        """Run jobs until none is left or the budget ends.

        Raises:
            ConnectionError: If the machine of the workers is lost.
            OSError: If something else is wrong with the machine, as missing images.
            Exception: The error of our code that ends the work.
        """
        running: RunningJobs = {}
        idle = False
        while not idle:
            before = set(multiprocessing.active_children())
            try:
                with self.start(self.options) as pool, _killing_on_interrupt(before):
                    while self._fill(pool, running):
                        self._collect(running)
                idle = True
            except BrokenProcessPool:
                self._retry_all(running)
            except ConnectionError:
                self._put_back(running)
                raise
            except OSError:
                self._keep_finished(running)
                raise
        if self.queue.mistake is not None:
            raise self.queue.mistake

    def _fill(self, pool: Executor, running: RunningJobs) -> bool:
        """Give idle workers the jobs that fit the budget; return whether any job is running."""
        width, jobs = self.options.workers, self.queue.waiting
        if self.retries:
            width, jobs = 1, self.retries
        with self.queue.lock:
            while jobs and len(running) < width and self._may_start(jobs[-1], running):
                future = pool.submit(self.train, jobs[-1])
                running[future] = jobs.pop(), time.monotonic()
        return bool(running)

    def _may_start(self, job: Job, running: RunningJobs) -> bool:
        """Return whether a job fits the time budget, and the device's memory beside the others."""
        if not self.queue.has_time_for(job):
            return False
        if self.room is None or not running:
            return True
        used = sum(job_memory(other) for other, _ in running.values())
        return used + job_memory(job) <= self.room

    def _collect(self, running: RunningJobs) -> None:
        """Wait until a job ends, and store the rows of all that have."""
        alone = len(running) == 1
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in sorted(ended, key=lambda future: future.exception() is not None):
            try:
                row = future.result()
            except (BrokenProcessPool, OSError):  # of the machine
                raise
            except Exception as error:
                self.queue.give_up_for(running.pop(future)[0], error)
                continue
            job, began = running.pop(future)
            if self._is_retried(row, job, alone=alone):
                self.retries.append(replace(job, graphs=row["status"] != "failed"))
                continue
            self.queue.pace.add(job.run.cost, time.monotonic() - began)
            self.queue.finish(row)
            self.finished += 1

    def _keep_finished(self, running: RunningJobs) -> None:
        """Store the rows of the jobs that ended well while an error was on its way."""
        for future in running:
            if future.done() and future.exception() is None:
                row = future.result()
                if row["status"] in TRAINED_STATUSES:
                    self.queue.finish(row)
                    self.finished += 1

    def _is_retried(self, row: Row, job: Job, *, alone: bool) -> bool:
        """Return whether a job is to be retried, from its row; `alone`: no other was running."""
        if row["status"] == "out_of_memory":
            return not alone
        return row["status"] == "failed" and count(self.queue.errors, job) <= ERRORS_ALLOWED

    def _retry_all(self, running: RunningJobs) -> None:
        """After a worker died, retry all running jobs, and give up those of too many deaths."""
        for job, _ in running.values():
            deaths = count(self.queue.deaths, job)
            if deaths <= DEATHS_ALLOWED:
                self.retries.append(replace(job, graphs=False))
            else:
                self.queue.fail(job, f"the worker process died {deaths} times")
        running.clear()

    def _put_back(self, running: RunningJobs) -> None:
        """After the machine was lost, return running jobs to the queue, retries to the retries."""
        for job, _ in running.values():
            lost = count(self.queue.losses, job)
            if lost > LOSSES_ALLOWED:
                self.queue.fail(job, f"the machine was lost {lost} times")
            elif self.queue.is_retry(job):
                self.retries.append(job)
            else:
                with self.queue.lock:
                    self.queue.waiting.append(job)
        running.clear()
