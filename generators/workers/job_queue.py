"""The jobs of a campaign that are still to be made, shared by all that work on them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmark.util.progress import Progress
from generators.workers.admission import Pace
from generators.workers.worker import Job, Row

FAULTS_ALLOWED = 1  # a run that fails or whose worker dies is tried once more, then stored
LOSSES_ALLOWED = 3  # machines that may be lost with a run in hand before it is stored as failed


@dataclass(slots=True)
class JobQueue:
    """Jobs that wait, and what is known of those that were tried.

    Methods may be called from several threads.

    Attributes:
        store: Keeps a row.
        progress: Counts the rows stored.
        minutes: Budget; a job that would outlast it is not started. None: no limit.
        waiting: Jobs not started, the next one last.
        retries: Jobs that failed and whose scheduler has ended, to be made again alone.
        pace: What runs took.
        started: When the budget began, in seconds of the monotonic clock.
        faults: Failures and deaths of workers, by the runs they had in hand.
        losses: Machines lost, by the runs they had in hand.
        stopped: Whether nothing more is to be started.
    """

    store: Callable[[Row], None]
    progress: Progress
    minutes: float | None = None
    waiting: list[Job] = field(default_factory=list)
    retries: list[Job] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    started: float = field(default_factory=time.monotonic)
    faults: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def has_time_for(self, job: Job) -> bool:
        """Return whether a job can still be finished within the budget."""
        if self.stopped.is_set():
            return False
        if self.minutes is None:
            return True
        left = self.started + 60 * self.minutes - time.monotonic()
        return left > self.pace.bound(job.run.cost)

    def has_work(self) -> bool:
        """Return whether the next job can still be finished within the budget."""
        with self.lock:
            jobs = self.retries or self.waiting
            return bool(jobs) and self.has_time_for(jobs[-1])

    def take_retries(self) -> list[Job]:
        """Remove and return the jobs to be made again alone."""
        with self.lock:
            jobs, self.retries = self.retries, []
        return jobs

    def leave_retries(self, jobs: list[Job]) -> None:
        """Keep the retries of a scheduler that ends."""
        with self.lock:
            self.retries += jobs

    def finish(self, row: Row) -> None:
        """Store the row of a job."""
        self.store(row)
        with self.lock:
            self.progress.advance()

    def count_fault(self, job: Job) -> int:
        """Count a failure of a job or a death of its worker; return how many there were."""
        name = job.run.run_id
        self.faults[name] = self.faults.get(name, 0) + 1
        return self.faults[name]

    def count_loss(self, job: Job) -> int:
        """Count a machine that was lost with a job in hand; return how many there were."""
        name = job.run.run_id
        self.losses[name] = self.losses.get(name, 0) + 1
        return self.losses[name]
