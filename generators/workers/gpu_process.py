"""Trains several networks at the same time in one process that uses a GPU.

Several processes would take turns on the GPU, so networks share one process. Each has its own
thread and its own CUDA stream (`generators.training.cuda_graphs`). The process is a child of the
campaign's process: if its CUDA context is lost it ends, and its runs are retried in a new one.
"""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
ENDED = "the GPU process has ended"


class GpuProcess(Executor):
    """An executor whose calls run on the threads of one spawned process.

    If the process ends early, unfinished calls and all later ones raise `BrokenProcessPool`.
    """

    def __init__(self, width: int, initializer: Callable[[], None]) -> None:
        """Start the process, with `width` threads; it first calls `initializer`, once."""
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, width, initializer))
        self._process.start()
        other.close()  # so that the pipe ends when the process does
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[object]] = {}
        self._sent, self._broken = 0, False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Send a call; function, arguments and result must be picklable.

        Raises:
            BrokenProcessPool: If the process has ended.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._broken:
                raise BrokenProcessPool(ENDED)
            self._sent += 1
            self._waiting[self._sent] = future  # type: ignore[assignment]
            try:
                self._pipe.send((self._sent, fn, args, kwargs))
            except OSError as error:
                del self._waiting[self._sent]
                raise BrokenProcessPool(ENDED) from error
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the process end after its calls, and always wait for it."""
        with self._lock, suppress(OSError):  # it may have ended already
            self._pipe.send(None)
        self._process.join()
        self._reader.join()

    def _read(self) -> None:
        """Pass results to their futures until the process ends."""
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
            future.set_exception(BrokenProcessPool(ENDED))


def _serve(pipe: Connection, width: int, initializer: Callable[[], None]) -> None:
    """Run the calls from a pipe on threads, until a None ends them."""
    initializer()
    lock = threading.Lock()

    def reply(number: int, future: Future[object]) -> None:
        error = future.exception()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # a reader would not end
            error = RuntimeError(f"{type(error).__name__}: {error}")
        with lock:
            pipe.send((number, None if error else future.result(), error))

    with suppress(EOFError), ThreadPoolExecutor(width) as threads:  # EOFError: the parent is gone
        for number, fn, args, kwargs in iter(pipe.recv, None):
            future = threads.submit(fn, *args, **kwargs)
            future.add_done_callback(partial(reply, number))
