"""A campaign on a Ray cluster: one actor for each GPU, or for every so many CPUs.

Each actor has a scheduler on a thread of this process and its workers on its own machine. The
schedulers share one queue; rows come back and are stored here.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ray
from ray import ObjectRef
from ray.actor import ActorHandle

from generators.workers.job_queue import JobQueue
from generators.workers.ray_actor import (
    ActorPool,
    Machine,
    WorkerActor,
    actors_that_fit,
    failed_row_of,
    probe,
    start_actor,
)
from generators.workers.scheduler import RunOptions, Scheduler
from generators.workers.worker import Job, Row, make_run

LOOK_SECONDS = 2.0  # between two looks at which machines are there
MOST_ACTORS = 4096  # threads, started as they are needed
FAILED_STARTS_ALLOWED = 5  # actors in a row that are lost before their workers start


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Be part of a Ray cluster for a while; what Ray prints goes to stderr.

    Raises:
        ConnectionError: If there is none at the address.
    """
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ConnectionError(
            f"no Ray cluster at {address!r} ({reason}); `ray start --head` starts one, and "
            "--address local one for this command alone"
        ) from error
    with redirect_stdout(sys.stderr):  # Ray prints what is left even as it shuts down
        try:
            yield
        finally:
            ray.shutdown()


@dataclass(slots=True)
class RayCluster:
    """The actors of a Ray cluster, each with a scheduler of its own, which share one queue.

    Attributes:
        queue: Where jobs come from and rows go.
        options: How to work.
        note: Keeps the versions that a machine's runs are made with.
        train: Makes a row.
        failed_starts: Actors lost in a row before their workers started.
    """

    queue: JobQueue
    options: RunOptions
    note: Callable[[dict[str, str]], None]
    train: Callable[[Job], Row] = make_run
    failed_starts: int = 0

    def drain(self) -> int:
        """Make jobs until none is left or the budget ends; return how many were made.

        Raises:
            ConnectionError: If there is no cluster, or its last machine is lost.
            FileNotFoundError: If a machine lacks images; the message names it.
        """
        jobs = self.queue.waiting
        images = tuple(dict.fromkeys(job.run.images for job in reversed(jobs)))
        folder = jobs[0].folder if jobs else Path()
        made = 0
        with connect(self.options.address), ThreadPoolExecutor(MOST_ACTORS) as threads:
            at_work: set[Future[int]] = set()
            try:
                while at_work or self.queue.has_work():
                    for _ in range(self._missing(len(at_work))):
                        at_work.add(threads.submit(self._run_actor, images, folder))
                    ended, at_work = wait(at_work, LOOK_SECONDS, FIRST_COMPLETED)
                    made += sum(future.result() for future in ended)
            finally:
                self.queue.stopped.set()
        return made

    def _missing(self, at_work: int) -> int:
        """Return how many actors to add to those at work."""
        if not self.queue.has_work():
            return 0
        options, left = self.options, len(self.queue.waiting) + len(self.queue.retries)
        room = actors_that_fit(options)
        if not room:
            need = "a GPU" if options.device.startswith("cuda") else f"{options.workers} CPUs"
            raise ConnectionError(
                f"no machine of the Ray cluster at {options.address!r} has {need}, and {left} runs "
                "wait; the same command goes on"
            )
        return max(0, min(room - at_work, left))

    def _run_actor(self, images: tuple[str, ...], folder: Path) -> int:
        """Run jobs on one actor until the queue is empty or the actor is lost; return how many."""
        actor = start_actor(self.options)
        scheduler = Scheduler(self.queue, self.options, self.train)
        try:
            pool = self._open_pool(actor)
            if pool is not None:
                machine = self._probe(pool, folder, images)
                scheduler.retries = self.queue.take_retries()
                scheduler.room, scheduler.fail = machine.room, partial(failed_row_of, machine)
                scheduler.start = lambda _: ActorPool(actor)
                scheduler.drain()
        except ConnectionError as error:
            self._count_failed_start(error)
        finally:
            self.queue.leave_retries(scheduler.retries)
            ray.kill(actor)
        return scheduler.made

    def _open_pool(self, actor: "ActorHandle[WorkerActor]") -> ActorPool | None:
        """Return the pool of an actor as soon as Ray has room for it; None if no job waits then."""
        ready: ObjectRef[object] = actor.__ray_ready__.remote()
        while not ray.wait([ready], timeout=LOOK_SECONDS)[0]:
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

    def _count_failed_start(self, error: ConnectionError) -> None:
        """Count a lost actor; a cluster on which no actor ever starts is an error."""
        self.failed_starts += 1
        if self.failed_starts > FAILED_STARTS_ALLOWED:
            raise error
