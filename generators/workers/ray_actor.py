"""Ray actors that each run a local pool of workers on a machine of the cluster.

The death of a worker raises the error that a local pool raises. The loss of an actor, and so of its
machine, raises `ConnectionError`.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import ray
from ray import ObjectRef
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError

from generators.environment import environment
from generators.training.images import load_images
from generators.workers.admission import device_room
from generators.workers.run_options import RunOptions
from generators.workers.scheduler import local_pool

P = ParamSpec("P")
T = TypeVar("T")
SPARE_CALLS = 2  # threads of an actor in addition to one for each worker


class WorkerActor:
    """Keeps a pool of workers and forwards calls to it."""

    def __init__(self, options: RunOptions) -> None:
        """Store the options, without starting the pool."""
        self._options = options
        self._pool: Executor | None = None

    def open(self) -> str:
        """Start the pool, unless it has started; return the address of the machine."""
        if self._pool is None:
            self._pool = local_pool(self._options)
        return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call,unused-ignore]

    def call(self, fn: Callable[[], T]) -> T:
        """Run a function in a worker and return its result."""
        assert self._pool is not None
        return self._pool.submit(fn).result()

    def close(self) -> None:
        """End the pool."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def start_actor(options: RunOptions) -> "ActorHandle[WorkerActor]":
    """Request an actor with one GPU, or one CPU per worker; Ray starts it when it has room."""
    gpu = options.device.startswith("cuda")
    actor = ray.remote(WorkerActor).options(
        num_gpus=1 if gpu else 0,
        num_cpus=0 if gpu else options.workers,
        max_concurrency=options.workers + SPARE_CALLS,
    )
    return cast("ActorHandle[WorkerActor]", actor.remote(options))


def actors_that_fit(options: RunOptions) -> int:
    """Return the number of actors for which the cluster's machines have GPUs or CPUs, if idle."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call,unused-ignore]
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    if options.device.startswith("cuda"):
        return sum(int(has.get("GPU", 0)) for has in resources)
    return sum(int(has.get("CPU", 0)) // options.workers for has in resources)


class ActorPool(Executor):
    """An executor that runs its calls in the pool of an actor."""

    def __init__(self, actor: "ActorHandle[WorkerActor]") -> None:
        """Start the workers.

        Raises:
            ConnectionError: If the actor is lost.
        """
        self._actor = actor
        try:
            self.address = str(ray.get(actor.open.remote()))
        except RayActorError as error:
            raise _lost(error) from error

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Send a call; function, arguments and result must be picklable."""
        future: Future[T] = Future()
        sent: ObjectRef[T] = self._actor.call.remote(partial(fn, *args, **kwargs))
        sent.future().add_done_callback(partial(_copy_result, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers; those of a lost actor have ended already."""
        with suppress(RayActorError):
            ray.get(self._actor.close.remote())


def _copy_result(future: Future[T], source: Future[T]) -> None:
    """Set the result of a future, or its error as the worker raised it, from Ray's future."""
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
    """A machine as a worker sees it.

    Attributes:
        room: Bytes of the device's memory that networks may use. None: no limit.
        versions: Versions of the software, as `environment` returns them.
    """

    room: float | None
    versions: dict[str, str]


def probe(device: str, folder: Path, images: tuple[str, ...]) -> Machine:
    """Return a description of the machine; call it in a worker.

    Raises:
        FileNotFoundError: If the files of an image set are missing.
    """
    for name in images:
        load_images(name, folder)
    return Machine(device_room(device), environment())
