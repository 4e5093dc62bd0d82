"""The workers of a campaign: what they are given, and what becomes of a run when one dies."""

import threading
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
from benchmark.util.unknown_name import nearest
from generators.workers.admission import Pace, device_room, predicted_memory
from generators.workers.gpu_process import Flight
from generators.workers.worker import Job, Row, failed_row, make_run, prepare, prepare_gpu

FAULTS_ALLOWED = 1  # a run that fails or whose worker dies is tried once more, then stored
LOSSES_ALLOWED = 3  # machines that may be lost with a run in hand before it is stored as failed
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
            raise ValueError(nearest("engine", self.engine, ENGINES))


def local_pool(options: RunOptions) -> Executor:
    """Return workers on this machine: a process of threads on a GPU, processes on a CPU."""
    if options.device.startswith("cuda"):
        return Flight(options.workers, prepare_gpu)
    spawn = get_context("spawn")
    return started(ProcessPoolExecutor(options.workers, spawn, initializer=prepare), options)


def started(pool: ProcessPoolExecutor, options: RunOptions) -> ProcessPoolExecutor:
    """Start all processes of a pool, which it would start as they are needed.

    One that is started just while another's death breaks the pool is never told to end, and the
    pool waits for it for ever.
    """
    for _ in range(options.workers):
        pool.submit(time.sleep, 0.0)
    return pool


def job_memory(job: Job) -> float:
    """Return the bytes of a device that a job is predicted to take."""
    images = get_images(job.run.images)
    return predicted_memory(walk(job.run.architecture, images), images, job.recipe)


InHand = dict[Future[Row], tuple[Job, float]]  # with when it was given to a worker


@dataclass(slots=True)
class Crew:
    """The workers of one pool and what they have in hand.

    When a worker dies, every run in hand is a suspect; suspects are made again alone, so that
    the one to blame is known. So is a run that failed, and one out of memory beside others. What
    failed once is made without graphs. When the machine itself is lost, which no run is to blame
    for, what was in hand goes back to those waiting. Copies of a crew share all but `room`, `made`
    and `suspects`, where these are given anew.

    Attributes:
        store: What keeps a row.
        options: How to work.
        train: What makes a row; a function at a module's top, since it travels to workers.
        started: When the budget began, in seconds of the monotonic clock.
        start: What starts the pool of workers.
        fail: What makes the row of a run that its worker could not make.
        pace: What runs took.
        room: Bytes of the device that runs in hand may take together. None: no end.
        made: Rows stored.
        waiting: Jobs not started, the next one last.
        suspects: Jobs to be made again alone.
        faults: Failures and deaths of workers, by the runs they had in hand.
        losses: Machines lost, by the runs they had in hand.
        lock: Held where crews change what they share.
        stopped: Whether nothing more is to be started.
    """

    store: Callable[[Row], None]
    options: RunOptions
    train: Callable[[Job], Row] = make_run
    started: float = field(default_factory=time.monotonic)
    start: Callable[[RunOptions], Executor] = local_pool
    fail: Callable[[Job, str], Row] = failed_row
    pace: Pace = field(default_factory=Pace)
    room: float | None = None
    made: int = 0
    waiting: list[Job] = field(default_factory=list)
    suspects: list[Job] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def work(self, jobs: list[Job], progress: Progress) -> int:
        """Make runs until none is left or the budget ends; return how many were made."""
        self.waiting.extend(reversed(jobs))
        self.room = device_room(self.options.device)
        self.work_off(progress)
        return self.made

    def work_off(self, progress: Progress) -> None:
        """Make what is waiting until nothing is left or the budget ends.

        Raises:
            ConnectionError: If the machine of the workers is lost.
        """
        in_hand: InHand = {}
        idle = False
        while not idle:
            try:
                with self._pool() as pool:
                    while self._fill(pool, in_hand):
                        self._collect(in_hand, progress)
                idle = True
            except BrokenProcessPool:
                self._blame(in_hand, progress)
            except ConnectionError:
                self._give_back(in_hand, progress)
                raise

    def _pool(self) -> Executor:
        return self.start(self.options)

    def _fill(self, pool: Executor, in_hand: InHand) -> bool:
        """Give idle workers what still fits the budget; return whether anything is in hand."""
        width, queue = self.options.workers, self.waiting
        if self.suspects:
            width, queue = 1, self.suspects
        with self.lock:
            while queue and len(in_hand) < width and self.may_start(queue[-1], in_hand):
                future = pool.submit(self.train, queue[-1])
                in_hand[future] = queue.pop(), time.monotonic()
        return bool(in_hand)

    def may_start(self, job: Job, in_hand: InHand) -> bool:
        """Return whether the budget has time for a run, and the device room, unless it is alone."""
        if self.stopped.is_set():
            return False
        if self.options.minutes is not None:
            left = self.started + 60 * self.options.minutes - time.monotonic()
            if left <= self.pace.bound(job.run.cost):
                return False
        if self.room is None or not in_hand:
            return True
        taken = sum(job_memory(other) for other, _ in in_hand.values())
        return taken + job_memory(job) <= self.room

    def _collect(self, in_hand: InHand, progress: Progress) -> None:
        """Wait for a run to end, and store it."""
        alone = len(in_hand) == 1
        ended, _ = wait(in_hand, return_when=FIRST_COMPLETED)
        for future in ended:
            row = future.result()
            job, began = in_hand.pop(future)
            if self._is_suspect(row, job, alone=alone):
                self.suspects.append(replace(job, graphs=row["status"] != "failed"))
                continue
            self.pace.add(job.run.cost, time.monotonic() - began)
            self._store(row, progress)

    def _is_suspect(self, row: Row, job: Job, *, alone: bool) -> bool:
        """Return whether a run is to be made again alone."""
        if row["status"] == "out_of_memory":
            return not alone
        return row["status"] == "failed" and self._count_fault(job) <= FAULTS_ALLOWED

    def _count_fault(self, job: Job) -> int:
        count = self.faults.get(job.run.run_id, 0) + 1
        self.faults[job.run.run_id] = count
        return count

    def _store(self, row: Row, progress: Progress) -> None:
        self.store(row)
        self.made += 1
        with self.lock:
            progress.advance()

    def _blame(self, in_hand: InHand, progress: Progress) -> None:
        """After a death, note it for all runs in hand; store as failed what died too often."""
        for job, _ in in_hand.values():
            count = self._count_fault(job)
            if count <= FAULTS_ALLOWED:
                self.suspects.append(replace(job, graphs=False))
            else:
                self._store(self.fail(job, f"the worker process died {count} times"), progress)
        in_hand.clear()

    def _give_back(self, in_hand: InHand, progress: Progress) -> None:
        """After the loss of the machine, put back what was in hand; a suspect stays one."""
        for job, _ in in_hand.values():
            name = job.run.run_id
            self.losses[name] = self.losses.get(name, 0) + 1
            if self.losses[name] > LOSSES_ALLOWED:
                reason = f"the machine was lost {self.losses[name]} times"
                self._store(self.fail(job, reason), progress)
            else:
                with self.lock:
                    (self.suspects if name in self.faults else self.waiting).append(job)
        in_hand.clear()
