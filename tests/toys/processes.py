"""Processes that tests start and wait for, seen through /proc, and calls that start others."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE = 600.0  # seconds without progress of a process until its test fails
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="needs /proc to see processes"
)


def children(process: int) -> set[int]:
    """Return the ids of a process's children; none on a system without /proc."""
    path = Path(f"/proc/{process}/task/{process}/children")
    return {int(name) for name in path.read_text().split()} if path.exists() else set()


def is_alive(process: int) -> bool:
    path = Path(f"/proc/{process}/stat")
    try:
        return path.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def start_others() -> set[int]:
    """Start a process, and one in another session whose parent ends; return their ids and ours."""
    code = (
        "import subprocess; nowhere = subprocess.DEVNULL; "
        f"print(subprocess.Popen({SLEEP!r}, stdout=nowhere, start_new_session=True).pid)"
    )
    command = [sys.executable, "-c", code]
    lost = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {os.getpid(), os.getppid(), subprocess.Popen(SLEEP).pid, int(lost)}
