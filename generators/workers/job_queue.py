"""The queue of a campaign's unfinished jobs, which all its schedulers share."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmark.util.progress import Progress
from benchmark.util.text import LONGEST, describe
from generators.workers.admission import Pace
from generators.workers.planned_run import Job, Row

ERRORS_ALLOWED = 1  # a run in which torch raises an error is retried once, then stored as failed
DEATHS_ALLOWED = 1  # a run whose worker dies is retried once, then given up
MISTAKES_ALLOWED = 2  # errors of our code one after another that do not end a campaign
LOSSES_ALLOWED = 3  # machines that may be lost during a run before it is given up


@dataclass(slots=True)
class JobQueue:
    """Jobs that wait for a worker, and counts of what went wrong.

    Methods may be called from several threads.

    Attributes:
        store: Stores the row of a finished job.
        give_up: Called with a job that could not be run, and the reason.
        progress: Counts stored rows and jobs given up.
        minutes: Time budget; a job that would exceed it is not started. None: no limit.
        waiting: Jobs that have not started; the last one is next.
        retries: Failed jobs of schedulers that have ended, to be retried one at a time.
        pace: Predicts the time of jobs.
        started: Start of the budget, in seconds of the monotonic clock.
        errors: Number of errors in each run, by run id.
        deaths: Number of workers that died during each run, by run id.
        mistakes_allowed: Errors of our code one after another that do not end the work.
        mistakes: Number of such errors since a job last finished.
        mistake: The error that ends the work, once nothing is running any more.
        losses: Number of machines lost during each run, by run id.
        stopped: Set when no further job is to start.
        lock: Protects all of these.
    """

    store: Callable[[Row], None]
    give_up: Callable[[Job, str], None]
    progress: Progress
    minutes: float | None = None
    waiting: list[Job] = field(default_factory=list)
    retries: list[Job] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    started: float = field(default_factory=time.monotonic)
    errors: dict[str, int] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    mistakes_allowed: int = 0
    mistakes: int = 0
    mistake: Exception | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def has_time_for(self, job: Job) -> bool:
        """Return whether a job can finish within the budget."""
        if self.stopped.is_set():
            return False
        if self.minutes is None:
            return True
        left = self.started + 60 * self.minutes - time.monotonic()
        return left > self.pace.bound(job.run.cost)

    def has_work(self) -> bool:
        """Return whether there is a next job and it can finish within the budget."""
        with self.lock:
            jobs = self.retries or self.waiting
            return bool(jobs) and self.has_time_for(jobs[-1])

    def take_retries(self) -> list[Job]:
        """Remove and return the jobs to be retried."""
        with self.lock:
            jobs, self.retries = self.retries, []
        return jobs

    def add_retries(self, jobs: list[Job]) -> None:
        """Add the retries of a scheduler that ends."""
        with self.lock:
            self.retries += jobs

    def finish(self, row: Row) -> None:
        """Store the row of a job and count it."""
        self.store(row)
        with self.lock:
            self.mistakes = 0
            self.progress.advance()

    def fail(self, job: Job, reason: str) -> None:
        """Give up a job and count it."""
        self.give_up(job, reason)
        with self.lock:
            self.progress.advance()

    def give_up_for(self, job: Job, error: Exception) -> None:
        """Give up a job in which our code raised an error, or let the error end the work."""
        with self.lock:
            self.mistakes += 1
            if self.mistakes > self.mistakes_allowed:
                self.mistake = error
                self.stopped.set()
                return
        self.fail(job, describe(error, LONGEST))

    def is_retry(self, job: Job) -> bool:
        """Return whether a job was the likely cause of an error or a death before."""
        return job.run.run_id in self.errors or job.run.run_id in self.deaths


def count(events: dict[str, int], job: Job) -> int:
    """Count one more of a job's `errors`, `deaths` or `losses`; return the number so far."""
    events[job.run.run_id] = events.get(job.run.run_id, 0) + 1
    return events[job.run.run_id]
