"""Runs each call in a new process, a few processes at a time.

A process computes with one thread. If it is killed, the other calls continue.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Returned = TypeVar("Returned")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class EndedEarlyError(Exception):
    """A process ended before its call returned; the message says how."""


def run_in_processes(
    calls: Sequence[Callable[[], Returned]], processes: int
) -> Iterator[tuple[int, Returned | EndedEarlyError]]:
    """Yield the index of each call and what it returned, in the order in which calls finish.

    Args:
        calls: Functions without arguments; they and what they return must be picklable.
        processes: How many run at a time.

    Raises:
        Exception: Whatever a call raises. Calls that have not started are then cancelled.
    """
    with _one_thread(), ThreadPoolExecutor(processes) as threads:
        running = {threads.submit(call_in_process, call): i for i, call in enumerate(calls)}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:  # after an error or an interrupt, cancel what has not started
            threads.shutdown(wait=False, cancel_futures=True)


def call_in_process(call: Callable[[], Returned]) -> Returned | EndedEarlyError:
    """Return what a call returns in a new process, or how the process ended early."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(call).result()
        except BrokenProcessPool:
            why = "killed, or out of memory"
        except SystemExit as error:
            why = f"exit({error.code})"
    return EndedEarlyError(f"the process ended early: {why}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Set the environment so that new processes compute with one thread each."""
    before = {name: os.environ[name] for name in ONE_THREAD if name in os.environ}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name in ONE_THREAD:
            del os.environ[name]
        os.environ.update(before)
