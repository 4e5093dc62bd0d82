"""The workers of a campaign: what they are given, and what becomes of a run when one dies."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from benchmark.imagesets import get_images
from benchmark.progress import Progress
from benchmark.walk import walk
from generators.admission import Pace, device_room, predicted_memory
from generators.flight import Flight
from generators.worker import Job, Row, failed_row, make_run, prepare, prepare_gpu

FAULTS_ALLOWED = 1  # a run that fails or whose worker dies is tried once more, then stored


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
    """

    images_folder: Path
    device: str = "cpu"
    workers: int = 2
    shard: tuple[int, int] = (1, 1)
    minutes: float | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        index, count = self.shard
        if not 1 <= index <= count:
            raise ValueError(f"`shard` (={index}/{count}) must be i/n with 1 <= i <= n")
        if self.workers < 1:
            raise ValueError(f"`workers` (={self.workers}) must be at least 1")


def job_memory(job: Job) -> float:
    """Return the bytes of a device that a job is predicted to take."""
    images = get_images(job.run.images)
    return predicted_memory(walk(job.run.architecture, images), images, job.recipe)


InHand = dict[Future[Row], tuple[Job, float]]  # with when it was given to a worker


@dataclass(slots=True)
class Crew:
    """The workers of one process and what they have in hand.

    When a worker dies, every run in hand is a suspect; suspects are made again alone, so that
    the one to blame is known. So is a run that failed, and one out of memory beside others. What
    failed once is made without graphs.

    Attributes:
        store: What keeps a row.
        options: How to work.
        train: What makes a row; a function at a module's top, since it travels to workers.
        started: When the budget began, in seconds of the monotonic clock.
        pace: What runs took.
        room: Bytes of the device that runs in hand may take together. None: no end.
        made: Rows stored.
        waiting: Jobs not started, the next one last.
        suspects: Jobs to be made again alone.
        faults: Failures and deaths of workers, by the runs they had in hand.
    """

    store: Callable[[Row], None]
    options: RunOptions
    train: Callable[[Job], Row] = make_run
    started: float = field(default_factory=time.monotonic)
    pace: Pace = field(default_factory=Pace)
    room: float | None = None
    made: int = 0
    waiting: list[Job] = field(default_factory=list)
    suspects: list[Job] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def work(self, jobs: list[Job], progress: Progress) -> int:
        """Make runs until none is left or the budget ends; return how many were made."""
        self.waiting = list(reversed(jobs))
        self.room = device_room(self.options.device)
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
        return self.made

    def _pool(self) -> Executor:
        if self.options.device.startswith("cuda"):
            return Flight(self.options.workers, prepare_gpu)
        spawn = get_context("spawn")
        return ProcessPoolExecutor(self.options.workers, spawn, initializer=prepare)

    def _fill(self, pool: Executor, in_hand: InHand) -> bool:
        """Give idle workers what still fits the budget; return whether anything is in hand."""
        width, queue = self.options.workers, self.waiting
        if self.suspects:
            width, queue = 1, self.suspects
        while queue and len(in_hand) < width and self._may_start(queue[-1], in_hand):
            future = pool.submit(self.train, queue[-1])
            in_hand[future] = queue.pop(), time.monotonic()
        return bool(in_hand)

    def _may_start(self, job: Job, in_hand: InHand) -> bool:
        """Return whether the budget has time for a run, and the device room, unless it is alone."""
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
        progress.advance()

    def _blame(self, in_hand: InHand, progress: Progress) -> None:
        """After a death, note it for all runs in hand; store as failed what died too often."""
        for job, _ in in_hand.values():
            count = self._count_fault(job)
            if count <= FAULTS_ALLOWED:
                self.suspects.append(replace(job, graphs=False))
            else:
                self._store(failed_row(job, f"the worker process died {count} times"), progress)
        in_hand.clear()
