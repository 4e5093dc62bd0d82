"""Calls in processes of their own: what they return or raise, and that nothing outlives them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from benchmark.util.processes import NO_GUARD, EndedEarlyError, run_in_processes
from tests.toys.processes import SLEEP, is_alive, needs_proc, start_others, wait_for


def outcome(call: Callable[[], object]) -> object:
    ((_, found),) = run_in_processes([call], 1)
    return found


def fail(text: str) -> None:
    raise ValueError(text)


def interrupt() -> None:
    raise KeyboardInterrupt


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)


def note(path: Path) -> None:
    """Start processes, write the ids of all, and sleep."""
    ids = start_others()
    draft = path.with_suffix(".draft")
    draft.write_text(" ".join(map(str, ids)))
    draft.rename(path)
    time.sleep(600)


def leave() -> set[int]:
    """Start processes that hold on to the pipes of this one, and return their ids."""
    ids = start_others()
    return {*ids, subprocess.Popen(SLEEP, close_fds=False).pid}


def leave_and_die(path: Path) -> None:
    path.write_text(" ".join(map(str, leave())))
    if os.fork():
        os._exit(9)
    time.sleep(600)  # the copy has all that its parent had open


def ids_of(path: Path) -> set[int]:
    assert wait_for(path.exists)
    return {int(name) for name in path.read_text().split()}


def test_calls_return_what_they_return_whatever_its_size() -> None:
    calls = [partial(divmod, 7, 2), partial(bytes, 10_000_000), partial(divmod, 9, 2)]
    assert dict(run_in_processes(calls, 2)) == {0: (3, 1), 1: bytes(10_000_000), 2: (4, 1)}


def test_what_a_call_raises_is_raised_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"^so$") as caught:
        outcome(partial(fail, "so"))
    assert re.search(r'test_processes\.py", line \d+, in fail\n', str(caught.value.__cause__))


def blocked_from_the_start() -> bool:
    """Return whether this process started with SIGINT blocked, as the mask still says."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal masks")
def test_an_interrupt_never_reaches_a_process_that_starts() -> None:
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
    assert outcome(blocked_from_the_start) is True
    assert not blocked_from_the_start()


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (partial(sys.exit, 3), "exit(3)"),
        (partial(interrupt), "KeyboardInterrupt"),
        (partial(os._exit, 0), "exit code 0"),
        (partial(os._exit, 9), "exit code 9"),
        (partial(end_by, signal.SIGKILL), "killed, or out of memory"),
        (partial(end_by, signal.SIGSEGV), signal.strsignal(signal.SIGSEGV)),
    ],
)
def test_a_call_that_ends_its_process_takes_nothing_else_with_it(
    call: Callable[[], object], why: str
) -> None:
    found = outcome(call)
    assert isinstance(found, EndedEarlyError)
    assert str(found) == f"the process ended early: {why}"


@needs_proc
def test_what_a_call_started_ends_with_it() -> None:
    ids = outcome(partial(leave))
    assert isinstance(ids, set)
    assert len(ids) == 5
    assert not any(map(is_alive, ids))


@needs_proc
def test_what_a_killed_call_started_ends_with_it(tmp_path: Path) -> None:
    found = outcome(partial(leave_and_die, tmp_path / "ids"))
    assert str(found) == "the process ended early: exit code 9"
    assert not any(map(is_alive, ids_of(tmp_path / "ids")))


@needs_proc
def test_running_calls_end_when_no_more_are_asked_for(tmp_path: Path) -> None:
    """The first call returns, and the second sleeps; others may have started."""
    path = tmp_path / "ids"
    calls: list[Callable[[], object]] = [partial(ids_of, path), partial(note, path)]
    calls += [partial(time.sleep, 600)] * 3
    found = run_in_processes(calls, 2)
    number, ids = next(found)
    assert number == 0
    found.close()  # type: ignore[attr-defined]
    assert isinstance(ids, set)
    assert not any(map(is_alive, ids))


SCRIPT = """
import os
from functools import partial

from benchmark.util.processes import run_in_processes

{guard}
    for _, found in run_in_processes([partial(os.system, "echo from a process")], 1):
        print(found)
"""


@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_without_a_guard_is_told_to_have_one(tmp_path: Path, guarded: bool) -> None:
    """What a process prints, also below Python, is on stderr."""
    path, guard = tmp_path / "script.py", 'if __name__ == "__main__":' if guarded else "if True:"
    path.write_text(SCRIPT.replace("{guard}", guard))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    if guarded:
        assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "from a process\n")
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.splitlines()[-1] == f"ValueError: {NO_GUARD}"
