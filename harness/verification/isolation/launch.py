"""Starts a program as isolated as this system allows, reads its output, and ends it.

What holds is tried once, with a program that prints a word, and returned as a list of measures.
"""

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

from benchmark.util.processes import ONE_THREAD
from benchmark.util.strict_json import encode, to_text
from harness.verification.isolation.given import hidden_paths, shown_paths
from harness.verification.isolation.supervisor import Plan

Measure = Literal["file system", "processes", "network"]
Measures = tuple[Measure, ...]
ALL: Measures = get_args(Measure)
USER = ("--user", "--map-root-user")  # a user namespace gives the privileges for the others
NETWORK = ("--net",)
EVERYTHING = ("--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", *NETWORK)
ATTEMPTS: tuple[tuple[Measures, tuple[str, ...]], ...] = (
    (ALL, USER + EVERYTHING), (ALL, EVERYTHING), (("network",), USER + NETWORK),
    (("network",), NETWORK),
)  # fmt: skip
ROOT, WORK = "root", "work"  # folders beside what a program is given
PACKAGE_ROOT = Path(__file__).parents[3]
BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from harness.verification.isolation.supervisor import main; main()"
)
TEST, TEST_MINUTES = "isolated", 0.5  # what a first program prints, and the time that it has
SECONDS_TO_END = 10.0  # that the supervisor has to kill everything
MOST_ERROR = 4096  # bytes of a message of the supervisor
MEMORY = 16 * 2**30  # bytes
FILES = 2**30  # bytes


@dataclass(frozen=True, slots=True)
class Way:
    """How programs are started: the measures that hold, and the command that makes them hold."""

    measures: Measures
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run.

    Attributes:
        arguments: Arguments of a fresh interpreter that reads no settings of the user.
        home: New folder of the program; `home / "given"`, if any, is what it can read, and
            `home / "work"` is where it works.
        secrets: Folders that it must not see, wherever they lie.
        minutes: Time limit.
        most_bytes: Most bytes of its output.
        memory: Most bytes of memory of all its processes.
        files: Most bytes of a file; in a file system of its own, of all files together.
    """

    arguments: tuple[str, ...]
    home: Path
    secrets: tuple[Path, ...]
    minutes: float
    most_bytes: int
    memory: int = MEMORY
    files: int = FILES


def isolation_text(measures: Measures) -> str:
    """Return what kind of process has some measures.

    >>> isolation_text(ALL)
    'a process with a file system, processes and a network of its own'
    """
    if not measures:
        return "a process that is not isolated from this machine"
    if measures == ALL:
        return "a process with a file system, processes and a network of its own"
    return f"a process with a {' and a '.join(measures)} of its own, and the files of this machine"


@cache
def find_way() -> Way:
    """Return the strongest way to isolate a program that works on this system."""
    tool = shutil.which("unshare") if sys.platform == "linux" else None
    for measures, options in ATTEMPTS if tool else ():
        way = Way(measures, (str(tool), *options))
        with TemporaryDirectory(prefix="peephole-test-") as name, suppress(ValueError):
            arguments = ("-c", f"print({TEST!r}, end='')")
            program = Program(arguments, Path(name), (), TEST_MINUTES, len(TEST))
            if run_program(program, way) == TEST.encode():
                return way
    return Way(())


def interpreter() -> Path:
    """Return the interpreter behind a virtual environment, without links."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def run_program(program: Program, way: Way) -> bytes:
    """Run a program and return its output; all that it started has then ended.

    Raises:
        ValueError: If it takes too long, prints too much, uses too much memory or fails.
        OSError: If it cannot be started.
    """
    work, root = program.home / WORK, program.home / ROOT
    for folder in (work, root):
        folder.mkdir(parents=True)
    python = (str(interpreter()), "-I", "-S", "-B")
    variables = {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}
    own_root = "file system" in way.measures
    shown = shown_paths(interpreter(), program.home) if own_root else ()
    plan = Plan(
        command=(*python, *program.arguments),
        environment=variables | ONE_THREAD | {"HOME": str(work), "TMPDIR": str(work)},
        work=str(work),
        memory=program.memory,
        files=program.files,
        root=str(root) if own_root else None,
        shown=shown,
        hidden=hidden_paths(shown, (PACKAGE_ROOT, *program.secrets)),
        user_namespace=USER[0] in way.command,
    )
    boot = (*python, "-c", BOOT, str(PACKAGE_ROOT), to_text(encode(plan)))
    process = subprocess.Popen(
        (*way.command, *boot),
        cwd="/",
        env=variables,
        stdin=subprocess.PIPE,  # nothing is written: it closes when this process ends
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        content = _read(process, program.most_bytes, program.minutes)
        code = process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired as error:
        raise ValueError("it must end after its output") from error
    finally:
        problem = _end(process)
    if code:
        raise ValueError(problem or f"exit code {code}")
    return content


def _read(process: "subprocess.Popen[bytes]", most: int, minutes: float) -> bytes:
    """Return what a process prints until it closes its output."""
    assert process.stdout is not None
    end = time.monotonic() + 60 * minutes
    content = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise ValueError(f"it must finish within {minutes:g} minutes")
            part = os.read(process.stdout.fileno(), 2**20)
            content += part
            if len(content) > most:
                raise ValueError(f"it printed more than {most:,} bytes")
            if not part:
                return bytes(content)


def _end(process: "subprocess.Popen[bytes]") -> str:
    """End a process and all that it started; return the last line of its messages."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    process.stdout.close()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    os.set_blocking(process.stderr.fileno(), False)
    message = process.stderr.read(MOST_ERROR) or b""
    process.stderr.close()
    lines = message.decode(errors="replace").splitlines()
    return lines[-1] if lines else ""
