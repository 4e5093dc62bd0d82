"""Calls in processes of their own, a few at a time.

Each process is spawned and computes with one thread: it leaves nothing behind, and one that is
killed takes no other with it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Answer = TypeVar("Answer")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class EndedEarlyError(Exception):
    """A process ended before its answer was there; the message says how."""


def run_in_processes(
    calls: Sequence[Callable[[], Answer]], processes: int
) -> Iterator[tuple[int, Answer | EndedEarlyError]]:
    """Yield the number of each call and its answer, as soon as it is there.

    Args:
        calls: What to call; everything in it can be pickled.
        processes: How many at a time.

    Raises:
        Exception: Whatever a call raises. What has not started then never does.
    """
    with _one_thread(), ThreadPoolExecutor(processes) as threads:
        running = {threads.submit(call_apart, call): number for number, call in enumerate(calls)}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:  # after an error or an interrupt, what has not started does not
            threads.shutdown(wait=False, cancel_futures=True)


def call_apart(call: Callable[[], Answer]) -> Answer | EndedEarlyError:
    """Call in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(call).result()
        except BrokenProcessPool:
            why = "killed, or out of memory"
        except SystemExit as error:
            why = f"exit({error.code})"
    return EndedEarlyError(f"the process of the predictor ended early: {why}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that are started meanwhile compute with one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
