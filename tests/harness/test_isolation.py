"""Isolated processes: what code can reach in them, their bounds, and what they leave behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

import benchmark
from benchmark.release import Release
from benchmark.runs import data_folder, split_path
from harness.task_data import TaskData
from harness.verification import isolated_process
from harness.verification.isolated_process import Limits, fit_in_isolation
from harness.verification.isolation import launch
from harness.verification.isolation.given import copy_tree, hidden_paths
from harness.verification.isolation.launch import (
    ALL,
    Program,
    Way,
    find_way,
    isolation_text,
    run_program,
)
from harness.verification.isolation.transfer import Inputs
from tests.toys.forgeries import FORGERIES

CHECKOUT = Path(str(benchmark.__file__)).parent.parent
NOT_ISOLATED = Way(())
LIMITS = Limits(minutes=5)
WAYS = [
    pytest.param(True, id="isolated", marks=pytest.mark.skipif(
        find_way().measures != ALL, reason="this system allows no namespaces")),
    pytest.param(False, id="not-isolated"),
]  # fmt: skip
needs_namespaces = pytest.mark.skipif(
    find_way().measures != ALL, reason="this system allows no namespaces"
)
NAMES = re.findall(r"^def (\w+)\(\):", FORGERIES, re.MULTILINE)
FINDS = [  # what code that is not isolated finds on any machine, for the user of the tests
    "test_runs_of_the_release", "test_runs_anywhere", "above_the_root", "folder_of_a_process",
    "root_of_a_process",
    "environment_of_a_process", "the_parent_process", "network", "abstract_socket",
    "write_outside", "write_to_what_is_given",
]  # fmt: skip
HARMLESS = [  # what no code finds
    "test_runs_on_the_path", "test_runs_beside_the_harness", "environment",
]  # fmt: skip


def forged(folder: Path, parts: TaskData, place: Path, names: Sequence[str], top: str) -> set[str]:
    """Return which forgeries got something; they search the files below `top`."""
    (place / "parent.marker").touch()
    secret = f"hidden {os.getpid()}".encode()
    local = f"\0peephole-{os.getpid()}"
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as server:
        patch.chdir(place)
        patch.setenv("PEEPHOLE_SECRET", secret.decode())
        text = FORGERIES.format(
            checkout=str(CHECKOUT), release=str(folder), marker="parent.marker",
            outside=str(place), parent=os.getpid(), port=server.getsockname()[1], abstract=local,
            top=top, secret=secret, names=list(names),
        )  # fmt: skip
        (place / "forger.py").write_text(text)
        inputs = Inputs("forger.py:Forger", parts.train, parts.validation, (parts.queries,), (0,))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(local)
            listener.listen()
            (fit,) = fit_in_isolation(
                inputs, {"forger.py": place / "forger.py"}, Release(folder), LIMITS
            )
    return {name for bit, name in enumerate(names) if fit.counts["found"] >> bit & 1}


@pytest.fixture(scope="module")
def found(folder: Path, parts: TaskData, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return forged(folder, parts, tmp_path_factory.mktemp("forger"), NAMES, "/")


@needs_namespaces
@pytest.mark.parametrize("name", NAMES)
def test_isolated_code_finds_nothing(found: set[str], name: str) -> None:
    assert name not in found


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_code_that_is_not_isolated_finds_much(
    folder: Path, parts: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_process, "find_way", lambda: NOT_ISOLATED)
    found = forged(folder, parts, tmp_path, FINDS + HARMLESS, str(folder))
    assert found == set(FINDS)
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("measures", "text"),
    [
        (ALL, "a process with a file system, processes and a network of its own"),
        (("network",), "a process with a network of its own, and the files of this machine"),
        ((), "a process that is not isolated from this machine"),
    ],
)
def test_how_a_process_is_isolated_is_said(measures: launch.Measures, text: str) -> None:
    assert isolation_text(measures) == text


def test_without_the_tool_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert find_way.__wrapped__() == NOT_ISOLATED


def test_a_measure_that_does_not_hold_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "ATTEMPTS", ((ALL, ("--no-such-option",)),))
    assert find_way.__wrapped__() == NOT_ISOLATED


def run(home: Path, code: str, way: Way | None = None, **fields: float) -> bytes:
    values: dict[str, float] = {"minutes": 1, "most_bytes": 100} | fields
    program = Program(("-c", code), home, (), **values)  # type: ignore[arg-type]
    return run_program(program, find_way() if way is None else way)


HELD = """
import os, time
file = os.memfd_create("x")
for _ in range(64):
    os.write(file, bytes(2**20))
time.sleep(9)
"""
SUM = (
    "import os; [os.fork() for _ in range(2)]; x = bytearray(9 * 2**20); import time; time.sleep(9)"
)


@pytest.mark.parametrize("isolated", WAYS)
@pytest.mark.parametrize(
    ("code", "fields", "message"),
    [
        ("import time; time.sleep(60)", {"minutes": 0.01}, "it must finish within 0.01 minutes"),
        ("print('x' * 200)", {}, "it printed more than 100 bytes"),
        ("import os; os._exit(7)", {}, "exit code 7"),
        ("import os; os.abort()", {}, "exit code 134"),
        ("x = bytearray(2**30)", {"memory": 2**28}, "exit code 1"),
        (SUM, {"memory": 2**25}, "it used more than 33,554,432 bytes of memory"),
        (HELD, {"memory": 2**25}, "it used more than 33,554,432 bytes of memory"),
        ("open('x', 'wb').write(bytes(2**20)); open('y', 'wb').write(bytes(2**22))",
         {"files": 2**21}, "exit code 1"),
        ("import os, time\nfor _ in range(600):\n os.fork() or time.sleep(60)\ntime.sleep(60)", {},
         "it started more than 512 processes"),
    ],
)  # fmt: skip
def test_a_bound_that_is_passed_ends_the_process(
    tmp_path: Path, isolated: bool, code: str, fields: dict[str, float], message: str
) -> None:
    way = None if isolated else NOT_ISOLATED
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run(tmp_path, code, way, **fields)


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv("/bin/sleep", ["sleep", "{seconds}"])
    os._exit(0)
time.sleep({wait})
"""


def alive(seconds: str) -> list[int]:
    """Return the processes of this machine that sleep for that many seconds."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(seconds: str, count: int) -> None:
    end = time.monotonic() + 30
    while len(alive(seconds)) != count:
        assert time.monotonic() < end, f"{alive(seconds)} are not {count}"
        time.sleep(0.02)


@pytest.fixture
def seconds() -> Iterator[str]:
    """Return a time that only the test's process sleeps; kill it if the test failed."""
    seconds = f"{os.getpid()}.{time.monotonic_ns()}"
    yield seconds
    for process in alive(seconds):
        os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
@pytest.mark.parametrize("isolated", WAYS)
def test_a_daemon_ends_with_the_code_that_started_it(
    tmp_path: Path, isolated: bool, seconds: str
) -> None:
    way = find_way() if isolated else NOT_ISOLATED
    code = DAEMON.format(seconds=seconds, wait=0.2) + "print('done')"
    assert run(tmp_path, code, way) == b"done\n"
    assert alive(seconds) == []


PARENT = """
import sys
from pathlib import Path
from harness.verification.isolation.launch import Program, Way, find_way, run_program
way = find_way() if {isolated} else Way(())
run_program(Program(("-c", {code!r}), Path({home!r}), (), 5, 100), way)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
@pytest.mark.parametrize("isolated", WAYS)
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_parent_is_killed(
    tmp_path: Path, isolated: bool, sent: signal.Signals, seconds: str
) -> None:
    code = DAEMON.format(seconds=seconds, wait=600)
    text = PARENT.format(isolated=isolated, code=code, home=str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.DEVNULL)
    try:
        wait_for(seconds, 1)
    finally:
        parent.send_signal(sent)
        parent.wait()
    wait_for(seconds, 0)


def test_the_copied_data_holds_no_test_network(tmp_path: Path) -> None:
    copy_tree(tmp_path, data_folder())
    copied = tmp_path / "benchmark" / "data"
    names = {path.name for path in copied.rglob("*.parquet")}
    assert names == {"train.parquet", "validation.parquet"}
    assert split_path("digits", "train", copied).is_file()


@needs_namespaces
def test_what_is_secret_is_covered_where_packages_are_shown(tmp_path: Path) -> None:
    package = Path(str(click.__file__)).resolve().parent
    code = f"import os; print(os.listdir({str(package)!r}))"
    shown = run_program(Program(("-c", code), tmp_path / "shown", (), 1, 9999), find_way())
    assert b"core.py" in shown
    program = Program(("-c", code), tmp_path / "covered", (package,), 1, 9999)
    assert run_program(program, find_way()) == b"[]\n"
    code = f"print(len(open({str(package / 'core.py')!r}).read()))"
    program = Program(("-c", code), tmp_path / "file", (package / "core.py",), 1, 9999)
    assert run_program(program, find_way()) == b"0\n"


def test_a_copy_in_a_folder_that_is_shown_is_hidden(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    other = lib / "python3.99" / "site-packages"
    secret = lib / "somewhere" / "data"
    for path in (other / "benchmark", secret / "digits"):
        path.mkdir(parents=True)
    hidden = hidden_paths([str(lib)], [secret, secret / "digits", tmp_path / "elsewhere"])
    assert hidden == (str(other), str(secret))


def test_a_folder_around_what_is_shown_hides_nothing_less(tmp_path: Path) -> None:
    packages = tmp_path / ".venv" / "lib" / "python3.99" / "site-packages"
    secret = packages / "benchmark"
    secret.mkdir(parents=True)
    assert hidden_paths([str(packages)], [tmp_path, secret]) == (str(secret),)
