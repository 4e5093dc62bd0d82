"""An actor of a Ray cluster: a local pool of workers on another machine.

The death of a worker is raised as a local pool raises it. The loss of the actor, and so of its
machine, is a `ConnectionError`.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import ray
import torch
from ray import ObjectRef
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError

from generators.environment import device_name, environment, environment_id
from generators.training.images import load_images
from generators.workers.admission import device_room
from generators.workers.scheduler import RunOptions, local_pool
from generators.workers.worker import Job, Row, failed_row

P = ParamSpec("P")
T = TypeVar("T")
SPARE_CALLS = 2  # threads of an actor beside those of the networks in flight


class WorkerActor:
    """Keeps a pool of workers and passes calls on to it."""

    def __init__(self, options: RunOptions) -> None:
        """Keep the options; nothing is started."""
        self._options = options
        self._pool: Executor | None = None

    def open(self) -> str:
        """Start the pool, unless it is there already; return the machine's address."""
        if self._pool is None:
            self._pool = local_pool(self._options)
        return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call,unused-ignore]

    def call(self, fn: Callable[[], T]) -> T:
        """Return what a worker returns."""
        assert self._pool is not None
        return self._pool.submit(fn).result()

    def close(self) -> None:
        """End the pool."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def start_actor(options: RunOptions) -> "ActorHandle[WorkerActor]":
    """Request an actor with one GPU, or with one CPU for each worker; Ray may make it wait."""
    gpu = options.device.startswith("cuda")
    actor = ray.remote(WorkerActor).options(
        num_gpus=1 if gpu else 0,
        num_cpus=0 if gpu else options.workers,
        max_concurrency=options.workers + SPARE_CALLS,
    )
    return cast("ActorHandle[WorkerActor]", actor.remote(options))


def actors_that_fit(options: RunOptions) -> int:
    """Return how many actors the cluster's machines have room for, if they do nothing else."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call,unused-ignore]
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    if options.device.startswith("cuda"):
        return sum(int(has.get("GPU", 0)) for has in resources)
    return sum(int(has.get("CPU", 0)) // options.workers for has in resources)


class ActorPool(Executor):
    """The pool of an actor, as an executor of this process."""

    def __init__(self, actor: "ActorHandle[WorkerActor]") -> None:
        """Start the workers.

        Raises:
            ConnectionError: If the actor is lost.
        """
        self._station = actor
        try:
            self.address = str(ray.get(actor.open.remote()))
        except RayActorError as error:
            raise _lost(error) from error

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Send a call, whose parts and result must be picklable."""
        future: Future[T] = Future()
        sent: ObjectRef[T] = self._station.call.remote(partial(fn, *args, **kwargs))
        sent.future().add_done_callback(partial(_hand_on, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers; those of a lost actor have ended."""
        try:
            ray.get(self._station.close.remote())
        except RayActorError:
            pass


def _hand_on(future: Future[T], source: Future[T]) -> None:
    """Give a result, or the error of a call as it was raised there, to a future."""
    error = source.exception()
    if error is None:
        future.set_result(source.result())
    elif isinstance(error, RayActorError):
        future.set_exception(_lost(error))
    else:
        future.set_exception(error.cause if isinstance(error, RayTaskError) else error)


def _lost(error: RayActorError) -> ConnectionError:
    return ConnectionError(f"an actor of the Ray cluster was lost: {error}")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as a worker finds it: the device's model, its room in bytes, and versions."""

    device: str
    room: float | None
    versions: dict[str, str]


def probe(device: str, folder: Path, images: tuple[str, ...]) -> Machine:
    """Return what a worker finds.

    Raises:
        FileNotFoundError: If the files of an image set are not there.
    """
    for name in images:
        load_images(name, folder)
    return Machine(device_name(torch.device(device)), device_room(device), environment())


def failed_row_of(machine: Machine, job: Job, reason: str) -> Row:
    """Return the row of a run that failed on another machine than this one."""
    row = failed_row(replace(job, device="cpu"), reason)
    return row | {"device": machine.device, "environment_id": environment_id(machine.versions)}
