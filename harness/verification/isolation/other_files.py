"""Refuses, in this process, the files that a rerun of submitted code would not have.

An audit hook sees every file that Python opens, imports or loads as a library. Files that compiled
code opens by itself, as readers of Parquet and safetensors do, are not seen.
"""

import errno
import os
import stat
import sys
import time
from pathlib import Path

from benchmark.runs import user_cache
from harness.user_code import origin_of

PATH_OF = {"open": 0, "import": 1, "ctypes.dlopen": 0, "sqlite3.connect": 0}  # event: argument
MODULES = (".py", ".pyd", ".so")  # Python reads the source where it cannot read compiled code
SYSTEM = (
    "/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/nix", "/opt", "/private/etc",
    "/private/var/db", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/db", "/Library", "/System",
)  # fmt: skip
CLOCK = 0.1  # seconds that times of files may lie behind
REFUSED = "not among the submitted files"
ADVICE = "; a rerun has the submitted files alone: keep it beside the code"
OPEN = ", write its name there, and open `Path(__file__).parent / 'weights.npz'`"


def advice(text: str) -> str:
    """Return what to do, if a message says that code did not find a file; else an empty text."""
    if "FileNotFoundError: " in text:
        return ADVICE + OPEN
    return ADVICE if REFUSED in text else ""


def work_in_copy(copy: Path, original: Path, data: Path) -> None:
    """Make a copy of submitted code this process's current folder, and the only one of the code.

    Modules of the `original` folder, which may be on Python's path, are found in the copy before.
    """
    os.chdir(copy)
    own = [path for path in sys.path if Path(path).resolve() == original.resolve()]
    sys.path[:] = [*(path for path in sys.path if path not in own), str(copy), *own]
    refuse_other_files(copy, data)


def refuse_other_files(*allowed: Path) -> None:
    """Raise from now on where a file is read that submitted code would not have in a rerun.

    Besides what lies in the `allowed` folders, it may read what was written since now, Python,
    installed packages, this package and its cache, and the system with the user's settings.
    """
    home, windows = Path.home(), os.environ.get("SYSTEMROOT", "/usr")
    python = (sys.prefix, sys.base_prefix, sys.base_exec_prefix)
    folders = [*allowed, *map(Path, (*python, *SYSTEM, windows)), home / ".config", user_cache()]
    tops = {
        Path(path(folder)) for folder in folders for path in (os.path.abspath, os.path.realpath)
    }
    start = time.time() - CLOCK

    def is_allowed(path: Path) -> bool:
        return origin_of(path) != "user" or any(path.is_relative_to(top) for top in tops)

    def check(event: str, arguments: tuple[object, ...]) -> None:
        if event not in PATH_OF or (event == "open" and _only_writes(arguments[2])):
            return
        given = arguments[PATH_OF[event]]
        if not isinstance(given, str | bytes | os.PathLike):
            return
        try:
            full = os.path.abspath(os.fsdecode(given))
            state = os.stat(full)
        except (OSError, ValueError):  # Python will say what is wrong with it
            return
        is_new = max(state.st_mtime, state.st_ctime) >= start
        if is_new or not stat.S_ISREG(state.st_mode):
            return
        if not any(map(is_allowed, (Path(full), Path(os.path.realpath(full))))):
            raise _refusal(full)

    sys.addaudithook(check)


def _only_writes(flags: object) -> bool:
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) == os.O_WRONLY


def _refusal(path: str) -> Exception:
    """Return the error that code would get in a rerun, which it may handle."""
    if path.endswith(MODULES):
        return ModuleNotFoundError(f"{path!r} is {REFUSED}", path=path)
    return FileNotFoundError(errno.ENOENT, REFUSED, path)
