"""Runs a campaign on a Ray cluster, with one actor per GPU, or per group of CPUs.

Each actor runs its workers on its own machine. Its scheduler is a thread of this process. The
schedulers share one queue, and rows are sent back to this process, which stores them.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import ObjectRef
from ray.actor import ActorHandle

from benchmark.util.text import quantity
from generators.workers.job_queue import JobQueue
from generators.workers.planned_run import Job, Row
from generators.workers.ray_actor import (
    ActorPool,
    Machine,
    WorkerActor,
    actors_that_fit,
    probe,
    start_actor,
)
from generators.workers.run_options import RunOptions
from generators.workers.scheduler import Scheduler
from generators.workers.worker import train_run

POLL_SECONDS = 2.0  # between checks for new machines
MOST_ACTORS = 4096  # each has a thread, started when it is needed
FAILED_STARTS_ALLOWED = 5  # consecutive actors that may be lost before their workers start


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Connect to a Ray cluster, and redirect what Ray prints to stderr.

    Raises:
        ConnectionError: If there is no cluster at the address.
    """
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ConnectionError(
            f"no Ray cluster at {address!r} ({reason}); start one with `ray start --head`, or use "
            "--address local to start one for this command only"
        ) from error
    with redirect_stdout(sys.stderr):  # Ray also prints while it shuts down
        try:
            yield
        finally:
            ray.shutdown()


@dataclass(slots=True)
class RayCluster:
    """The actors of a Ray cluster; each has its own scheduler, and all share one queue.

    Attributes:
        note: Stores the versions that a machine's runs are trained with.
        failed_starts: Number of consecutive actors lost before their workers started.
    """

    queue: JobQueue
    options: RunOptions
    note: Callable[[dict[str, str]], None]
    train: Callable[[Job], Row] = train_run
    failed_starts: int = 0

    def drain(self) -> int:
        """Run jobs until the queue is empty or the budget ends; return how many finished.

        Raises:
            ConnectionError: If there is no cluster, or its last machine is lost.
            FileNotFoundError: If images are missing on a machine; the message names it.
        """
        jobs = self.queue.waiting
        images = tuple(dict.fromkeys(job.run.images for job in reversed(jobs)))
        folder = jobs[0].folder if jobs else Path()
        finished = 0
        with connect(self.options.address), ThreadPoolExecutor(MOST_ACTORS) as threads:
            active: set[Future[int]] = set()
            try:
                while active or self.queue.has_work():
                    for _ in range(self._count_missing(len(active))):
                        active.add(threads.submit(self._run_actor, images, folder))
                    ended, active = wait(active, POLL_SECONDS, FIRST_COMPLETED)
                    finished += sum(future.result() for future in ended)
            finally:
                self.queue.stopped.set()
        return finished

    def _count_missing(self, active: int) -> int:
        """Return how many actors to add to the active ones."""
        if not self.queue.has_work():
            return 0
        options, left = self.options, len(self.queue.waiting) + len(self.queue.retries)
        room = actors_that_fit(options)
        if not room:
            need = "a GPU" if options.device.startswith("cuda") else f"{options.workers} CPUs"
            raise ConnectionError(
                f"no machine of the Ray cluster at {options.address!r} has {need}; "
                f"{quantity(left, 'run')} left; add a machine and run the same command to resume"
            )
        return max(0, min(room - active, left))

    def _run_actor(self, images: tuple[str, ...], folder: Path) -> int:
        """Run jobs on one actor until the queue is empty or the actor is lost; return how many."""
        actor = start_actor(self.options)
        scheduler = Scheduler(self.queue, self.options, self.train)
        try:
            pool = self._open_pool(actor)
            if pool is not None:
                scheduler.room = self._probe(pool, folder, images).room
                scheduler.retries = self.queue.take_retries()
                scheduler.start = lambda _: ActorPool(actor)
                scheduler.drain()
        except ConnectionError:
            self.failed_starts += 1
            if self.failed_starts > FAILED_STARTS_ALLOWED:
                raise
        finally:
            self.queue.add_retries(scheduler.retries)
            ray.kill(actor)
        return scheduler.finished

    def _open_pool(self, actor: "ActorHandle[WorkerActor]") -> ActorPool | None:
        """Return the pool of an actor once Ray has started it; None if the queue is empty first."""
        ready: ObjectRef[object] = actor.__ray_ready__.remote()
        while not ray.wait([ready], timeout=POLL_SECONDS)[0]:
            if not self.queue.has_work():
                return None
        return ActorPool(actor)

    def _probe(self, pool: ActorPool, folder: Path, images: tuple[str, ...]) -> Machine:
        try:
            machine = pool.submit(probe, self.options.device, folder, images).result()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"on the machine {pool.address}: {error}") from error
        self.failed_starts = 0
        self.note(machine.versions)
        return machine
