"""The crews of a Ray cluster: one for each GPU, or for every so many CPUs, whatever machine it is.

Each is a crew as a local campaign has one, on a thread of this process, with its workers elsewhere.
They share what waits; rows come back and are stored here.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import ray
from ray import ObjectRef
from ray.actor import ActorHandle

from benchmark.util.progress import Progress
from generators.workers.ray_actor import (
    Place,
    Station,
    StationPool,
    failed_there,
    hire,
    look_around,
    stations,
)
from generators.workers.scheduler import Crew
from generators.workers.worker import Job

LOOK_SECONDS = 2.0  # between two looks at which machines are there
MOST_CREWS = 4096  # threads, started as they are needed
VAIN_ALLOWED = 5  # actors in a row that are lost before their workers start


@contextmanager
def connected(address: str) -> Iterator[None]:
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
class Fleet:
    """Crews that share what waits.

    Attributes:
        crew: What every crew is a copy of.
        note: What keeps the versions that a machine's runs are made with.
        orphans: Suspects of crews that have ended.
        vain: Actors lost in a row before their workers started.
    """

    crew: Crew
    note: Callable[[dict[str, str]], None]
    orphans: list[Job] = field(default_factory=list)
    vain: int = 0

    def work(self, jobs: list[Job], progress: Progress) -> int:
        """Make runs until none is left or the budget ends; return how many were made.

        Raises:
            ConnectionError: If there is no cluster, or its last machine is lost.
            FileNotFoundError: If a machine lacks images; the message names it.
        """
        self.crew.waiting.extend(reversed(jobs))
        images = tuple(dict.fromkeys(job.run.images for job in jobs))
        folder = jobs[0].folder if jobs else Path()
        made = 0
        with connected(self.crew.options.address), ThreadPoolExecutor(MOST_CREWS) as threads:
            at_work: set[Future[int]] = set()
            try:
                while at_work or self._has_work():
                    for _ in range(self._missing(len(at_work))):
                        at_work.add(threads.submit(self._man, images, folder, progress))
                    ended, at_work = wait(at_work, LOOK_SECONDS, FIRST_COMPLETED)
                    made += sum(future.result() for future in ended)
            finally:
                self.crew.stopped.set()
        return made

    def _has_work(self) -> bool:
        """Return whether a run is waiting for which the budget has time."""
        with self.crew.lock:
            queue = self.orphans or self.crew.waiting
            return bool(queue) and self.crew.may_start(queue[-1], {})

    def _missing(self, crews: int) -> int:
        """Return how many crews to add to those at work."""
        if not self._has_work():
            return 0
        options, left = self.crew.options, len(self.crew.waiting) + len(self.orphans)
        room = stations(options)
        if not room:
            need = "a GPU" if options.device.startswith("cuda") else f"{options.workers} CPUs"
            raise ConnectionError(
                f"no machine of the Ray cluster at {options.address!r} has {need}, and {left} runs "
                "wait; the same command goes on"
            )
        return max(0, min(room - crews, left))

    def _man(self, images: tuple[str, ...], folder: Path, progress: Progress) -> int:
        """Be a crew until nothing waits or its machine is lost; return how many runs it made."""
        station = hire(self.crew.options)
        crew = replace(self.crew, suspects=[], made=0)
        try:
            pool = self._opened(station)
            if pool is not None:
                place = self._place(pool, folder, images)
                with crew.lock:
                    crew.suspects, self.orphans = self.orphans, []
                crew.room, crew.fail = place.room, partial(failed_there, place)
                crew.start = lambda _: StationPool(station)
                crew.work_off(progress)
        except ConnectionError as error:
            self._count_vain(error)
        finally:
            with crew.lock:
                self.orphans += crew.suspects
            ray.kill(station)
        return crew.made

    def _opened(self, station: "ActorHandle[Station]") -> StationPool | None:
        """Return the pool of an actor as soon as Ray has room for it; None if no run waits then."""
        ready: ObjectRef[object] = station.__ray_ready__.remote()
        while not ray.wait([ready], timeout=LOOK_SECONDS)[0]:
            if not self._has_work():
                return None
        return StationPool(station)

    def _place(self, pool: StationPool, folder: Path, images: tuple[str, ...]) -> Place:
        device = self.crew.options.device
        try:
            place = pool.submit(look_around, device, folder, images).result()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"on the machine {pool.address}: {error}") from error
        self.vain = 0
        self.note(place.versions)
        return place

    def _count_vain(self, error: ConnectionError) -> None:
        """Note that a machine was lost; a cluster on which no crew ever starts is an error."""
        self.vain += 1
        if self.vain > VAIN_ALLOWED:
            raise error
