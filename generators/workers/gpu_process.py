"""Several networks in flight in one process: how runs share a GPU.

Processes of their own would take turns on the device, so networks share one process, each on a
thread and, in `generators.training.cuda_graphs`, a stream of its own. The process is a child: when
the device's context is lost it ends, and its runs are made again in another.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class GpuProcess(Executor):
    """An executor whose calls run on the threads of one spawned process.

    When the process ends early, the calls that it had raise `BrokenProcessPool`, as do later ones.
    """

    def __init__(self, width: int, initializer: Callable[[], None]) -> None:
        """Start the process.

        Args:
            width: Calls at a time.
            initializer: Called once in the process, before any call.
        """
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, width, initializer))
        self._process.start()
        other.close()  # so that the end of the process is the end of the pipe
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[object]] = {}
        self._sent, self._broken = 0, False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Send a call, whose parts and result must be picklable.

        Raises:
            BrokenProcessPool: If the process has ended.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._broken:
                raise BrokenProcessPool("the process of the networks in flight has ended")
            self._sent += 1
            self._waiting[self._sent] = future  # type: ignore[assignment]
            try:
                self._pipe.send((self._sent, fn, args, kwargs))
            except OSError as error:
                del self._waiting[self._sent]
                raise BrokenProcessPool("the process of the networks in flight ended") from error
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the process end once its calls are done; the wait for it is never skipped."""
        with self._lock:
            try:
                self._pipe.send(None)
            except OSError:
                pass  # it has ended
        self._process.join()
        self._reader.join()

    def _read(self) -> None:
        """Give results to their futures until the process ends."""
        while True:
            try:
                number, result, error = self._pipe.recv()
            except (EOFError, OSError):
                break
            with self._lock:
                future = self._waiting.pop(number)
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        with self._lock:
            self._broken = True
            lost, self._waiting = list(self._waiting.values()), {}
        for future in lost:
            future.set_exception(BrokenProcessPool("the process of the networks in flight ended"))


def _serve(pipe: Connection, width: int, initializer: Callable[[], None]) -> None:
    """Run calls on threads until told to end."""
    initializer()
    lock = threading.Lock()

    def reply(number: int, future: Future[object]) -> None:
        error = future.exception()
        with lock:
            pipe.send((number, None if error else future.result(), error))

    with ThreadPoolExecutor(width) as threads:
        while (call := _next_call(pipe)) is not None:
            number, fn, args, kwargs = call
            future = threads.submit(fn, *args, **kwargs)
            future.add_done_callback(partial(reply, number))


def _next_call(
    pipe: Connection,
) -> tuple[int, Callable[..., object], tuple[object, ...], dict[str, object]] | None:
    try:
        call: tuple[int, Callable[..., object], tuple[object, ...], dict[str, object]] | None
        call = pipe.recv()
    except EOFError:  # the parent is gone
        return None
    return call
