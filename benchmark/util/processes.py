"""Runs each call in a new process, a few processes at a time, and ends what the calls started.

A process computes with one thread, and what it prints goes to stderr. If it is killed, the other
calls continue. What a call started ends with the call, and all of it ends with this process,
however that ends:

- On Linux, the new process forks. The copy makes the call, and the original is its guard: a process
  that comes from the call becomes a child of the guard when its own parent ends, and the guard
  kills all of them when the call is over or this process has ended.
- On other systems, the new process ends with this one, but what it started may outlive it.
- A call that kills its guard, and processes that this user may not kill, are not covered.
"""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn, TypeVar

Returned = TypeVar("Returned")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36  # of prctl(2), from linux/prctl.h
SIGKILL = 9  # Windows has no name for it
SECONDS_TO_END = 5.0  # that a process has after its call to end by itself
ENDED_EARLY = "the process ended early:"
STARTED_TOO_EARLY = 77  # exit code of a process that would start others while it is imported
NO_GUARD = (
    "this starts new processes, and each of them imports the script that was run; put what the "
    "script does under `if __name__ == '__main__':`"
)


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
        ValueError: If new processes, which import the script that was run, would start others.
        Exception: Whatever a call raises. Running processes are then ended, and no other starts.
    """
    stop, stopping = get_context("spawn").Pipe(duplex=False)
    with _one_thread(), stop, ThreadPoolExecutor(processes) as threads:
        running = {threads.submit(call_in_process, call, stop): i for i, call in enumerate(calls)}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:  # after an error or an interrupt, end what runs
            threads.shutdown(wait=False, cancel_futures=True)
            stopping.close()


def call_in_process(call: Callable[[], Returned], stop: Connection) -> Returned | EndedEarlyError:
    """Return what a call returns in a new process, or how the process ended early.

    The process is ended when the other end of `stop` is closed.
    """
    context = get_context("spawn")
    work = pickle.dumps(call)  # as bytes, so that the process forks before it loads their modules
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, work))
    try:
        with _no_interrupts():  # the command gets Ctrl-C too, and ends this
            process.start()
    except RuntimeError as refusal:
        if "bootstrapping" not in str(refusal):
            raise
        raise SystemExit(STARTED_TOO_EARLY) from refusal  # this process itself is not yet ready
    sender.close()
    data = None
    with receiver:
        if stop not in connection.wait([receiver, process.sentinel, stop]):
            with suppress(EOFError, OSError):
                data = receiver.recv_bytes()
            process.join(SECONDS_TO_END)
        process.terminate()
        process.join()
    if process.exitcode == STARTED_TOO_EARLY and data is None:
        raise ValueError(NO_GUARD)
    if data is None:
        return EndedEarlyError(f"{ENDED_EARLY} {_describe_end(process.exitcode or 0)}")
    returned, error, place = pickle.loads(data)
    if error is not None:
        raise error from RuntimeError(f"in a process:\n{place}")
    return returned  # type: ignore[no-any-return]


def _describe_end(code: int) -> str:
    """Return how a process with an exit code ended; the code of a guard is as a shell has it."""
    number = -code if code < 0 else code - 128
    if number == SIGKILL:
        return "killed, or out of memory"
    return (0 < number < signal.NSIG and signal.strsignal(number)) or f"exit code {code}"


def _work(sender: Connection, call: bytes) -> None:
    """Make a pickled call in this process, and send what it returned or raised, and where."""
    contain()
    with suppress(OSError):  # if stderr is closed
        os.dup2(2, 1)  # the output of the command is of the command alone
    returned, error, place = None, None, ""
    try:
        returned = pickle.loads(call)()
    except Exception as raised:
        error, place = raised, traceback.format_exc()
    except BaseException as raised:  # such as SystemExit: it ends this process, not the command
        why = f"exit({raised.code})" if isinstance(raised, SystemExit) else type(raised).__name__
        returned = EndedEarlyError(f"{ENDED_EARLY} {why}")
    sender.send_bytes(pickle.dumps((returned, error, place)))


def end_with_parent() -> None:
    """Let this process, one of `multiprocessing`, end as soon as its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_and_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_end, daemon=True).start()


def contain() -> None:
    """Continue in a copy of this process that ends with all that it starts.

    This process waits for the copy, and never returns. When the copy or the parent of this process
    has ended, or on SIGTERM, it kills the copy and all processes that come from it. Call this
    before threads are started. On systems other than Linux, only this process ends with its parent.
    """
    if sys.platform != "linux":
        end_with_parent()
        return
    awaited = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    guard = os.getpid()
    _prctl(SET_CHILD_SUBREAPER, 1)
    copy = os.fork()
    if copy:
        _guard(copy)
    _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != guard:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _guard(copy: int) -> NoReturn:
    """Wait for a process, or for a reason to end it; then kill all children and end."""
    _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    parent = multiprocessing.parent_process()
    code = None if parent is None or os.getppid() == parent.pid else 1
    while code is None:
        if signal.sigwait({signal.SIGCHLD, signal.SIGTERM}) == signal.SIGTERM:
            code = 128 + signal.SIGTERM
        else:
            code = _reap().get(copy)
    _kill_children(copy)
    os._exit(code)


def _reap() -> dict[int, int]:
    """Return the exit codes of the children that have ended, by process id, as a shell has them."""
    codes = {}
    with suppress(ChildProcessError):  # there is no child left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            codes[ended[0]] = code if code >= 0 else 128 - code
    return codes


def _kill_children(known: int) -> None:
    """Kill all children, and theirs, which are children of this process once their parents end.

    Where the system does not list children, only the `known` one is killed.
    """
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(ChildProcessError):  # there is no child left
        while True:
            for child in path.read_text().split() if path.exists() else [known]:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(child), signal.SIGKILL)
            os.waitpid(-1, 0)


def _prctl(option: int, value: int) -> None:
    """Set an attribute of this process, as in prctl(2)."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Block SIGINT in this thread, and in processes that it starts, from their first moment."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # it would unblock SIGINT when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
