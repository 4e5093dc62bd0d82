"""The program that starts submitted code, bounds it, and leaves nothing of it behind.

It runs in the namespaces that unshare(1) made, if the system allows them, with `python -I -S`, so
it imports the standard library alone. It ends all that the code started when the code ends or uses
too much, or when the process at the other end of standard input ends.
"""

import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmark.util.strict_json import parse_record
from harness.verification.isolation.new_root import enter, forbid_user_namespaces

SET_CHILD_SUBREAPER = 36  # of prctl(2): processes whose parents end become children of this one
POLL = 0.05  # seconds between two looks at memory and processes
MOST_PROCESSES = 512


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, and within which bounds.

    Attributes:
        command: The program and its arguments; its standard output is that of the supervisor.
        environment: Its environment variables.
        work: Folder to work in.
        memory: Most bytes of memory of all its processes together, with what the machine's shared
            memory, as of files in memory, has grown by; and of private memory of each.
        files: Most bytes of a file; in a root of its own, of all files together.
        root: An empty folder for a new root; None to keep the machine's.
        shown: Paths that the new root shows.
        hidden: Paths in these that it covers.
        user_namespace: Whether this process is in a user namespace of its own.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    work: str
    memory: int
    files: int
    root: str | None
    shown: tuple[str, ...]
    hidden: tuple[str, ...]
    user_namespace: bool


def main() -> None:
    """Run the plan that is the last argument, and exit as its program does."""
    plan = parse_record(sys.argv[-1].encode(), Plan, "plan")
    if plan.user_namespace:
        forbid_user_namespaces()
    if plan.root is not None:
        enter(Path(plan.root), plan.shown, plan.hidden, plan.work, plan.files)
    elif sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _start(plan)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # so that the code alone holds the pipe of its output
    code, problem = _watch(child, plan.memory)
    if problem:
        os.write(2, problem.encode())
    _kill_all(child)
    os._exit(code)


def _start(plan: Plan) -> None:
    """Become the plan's program."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        bounds = {
            resource.RLIMIT_DATA: plan.memory,
            resource.RLIMIT_FSIZE: plan.files,
            resource.RLIMIT_CORE: 0,
        }
        for bound, value in bounds.items():
            hard = resource.getrlimit(bound)[1]
            least = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(bound, (least, least))
        os.chdir(plan.work)
        os.dup2(null, 2)
        os.execve(plan.command[0], plan.command, dict(plan.environment))
    finally:
        os._exit(127)


def _watch(child: int, memory: int) -> tuple[int, str]:
    """Wait for a reason to end; return the exit code and, if a bound was passed, which."""
    shared = _shared_memory()
    while True:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    code = os.waitstatus_to_exitcode(ended[1])
                    return (code if code >= 0 else 128 - code), ""
        used = _descendants()
        if sum(used.values()) + _shared_memory() - shared > memory:
            return 1, f"it used more than {memory:,} bytes of memory"
        if len(used) > MOST_PROCESSES:
            return 1, f"it started more than {MOST_PROCESSES} processes"
        if select.select([0], [], [], POLL)[0]:
            return 1, ""  # the other end is closed


def _descendants() -> dict[int, int]:
    """Return the processes that come from this one, and the bytes of memory that each has alone.

    It is empty where there is no `/proc`.
    """
    parents, used = {}, {}
    for name in os.listdir("/proc") if Path("/proc/self/stat").exists() else ():
        with suppress(OSError, ValueError, IndexError):  # it ended meanwhile, or is no process
            process = int(name)
            stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
            state, parent = stat.rpartition(")")[2].split()[:2]
            resident, shared = Path(f"/proc/{name}/statm").read_text().split()[1:3]
            parents[process] = int(parent)
            if state != "Z":
                used[process] = (int(resident) - int(shared)) * resource.getpagesize()
    own = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in own} - own:
        own |= more
    return {process: used[process] for process in own - {os.getpid()} if process in used}


def _shared_memory() -> int:
    """Return the bytes of shared memory of the machine, which need not be in a process; else 0."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("Shmem:"):
                return int(line.split()[1]) * 1024
    return 0


def _kill_all(child: int) -> None:
    """Kill the child's group and all processes that come from this one."""
    if os.getpid() == 1:
        return  # the first process of a namespace takes all others with it
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    while left := _descendants():
        for process in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(POLL / 10)


if __name__ == "__main__":
    main()
