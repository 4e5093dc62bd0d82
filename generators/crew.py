"""The workers of a campaign: what they are given, and what becomes of a run when one dies."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from benchmark.progress import Progress
from generators.worker import Job, Row, failed_row, make_run, prepare

FAULTS_ALLOWED = 1  # a run that fails or whose worker dies is tried once more, then stored
BUDGET_MARGIN = 1.3  # over the slowest seconds per cost seen, when asking if a run still fits


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to work on a campaign.

    Attributes:
        images_folder: Where the images are.
        device: Torch device of the workers.
        workers: Networks in flight, a process each.
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


InHand = dict[Future[Row], tuple[Job, float]]  # with when it was given to a worker


@dataclass(slots=True)
class Crew:
    """The workers of one process and what they have in hand.

    When a worker dies, every run in hand is a suspect; suspects are made again alone, so that
    the one to blame is known. So is a run that failed, and one out of memory beside others.

    Attributes:
        store: What keeps a row.
        options: How to work.
        train: What makes a row; a function at a module's top, since it travels to workers.
        started: When the budget began, in seconds of the monotonic clock.
        seconds_per_cost: Largest seen.
        made: Rows stored.
        waiting: Jobs not started, the next one last.
        suspects: Jobs to be made again alone.
        faults: Failures and deaths of workers, by the runs they had in hand.
    """

    store: Callable[[Row], None]
    options: RunOptions
    train: Callable[[Job], Row] = make_run
    started: float = field(default_factory=time.monotonic)
    seconds_per_cost: float = 0.0
    made: int = 0
    waiting: list[Job] = field(default_factory=list)
    suspects: list[Job] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def work(self, jobs: list[Job], progress: Progress) -> int:
        """Make runs until none is left or the budget ends; return how many were made."""
        self.waiting = list(reversed(jobs))
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
        spawn = get_context("spawn")
        return ProcessPoolExecutor(self.options.workers, spawn, initializer=prepare)

    def _fill(self, pool: Executor, in_hand: InHand) -> bool:
        """Give idle workers what still fits the budget; return whether anything is in hand."""
        width, queue = self.options.workers, self.waiting
        if self.suspects:
            width, queue = 1, self.suspects
        while queue and len(in_hand) < width and self._fits(queue[-1]):
            future = pool.submit(self.train, queue[-1])
            in_hand[future] = queue.pop(), time.monotonic()
        return bool(in_hand)

    def _fits(self, job: Job) -> bool:
        if self.options.minutes is None:
            return True
        left = self.started + 60 * self.options.minutes - time.monotonic()
        return left > max(0.0, job.run.cost * self.seconds_per_cost * BUDGET_MARGIN)

    def _collect(self, in_hand: InHand, progress: Progress) -> None:
        """Wait for a run to end, and store it."""
        alone = len(in_hand) == 1
        ended, _ = wait(in_hand, return_when=FIRST_COMPLETED)
        for future in ended:
            row = future.result()
            job, began = in_hand.pop(future)
            if self._is_suspect(row, job, alone=alone):
                self.suspects.append(job)
                continue
            rate = (time.monotonic() - began) / job.run.cost
            self.seconds_per_cost = max(self.seconds_per_cost, rate)
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
                self.suspects.append(job)
            else:
                self._store(failed_row(job, f"the worker process died {count} times"), progress)
        in_hand.clear()
