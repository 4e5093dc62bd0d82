"""Submitted code that looks for what it must not find; `{...}` are filled in by the test.

Each function returns whether it got something. The predictor reports all as one count, with a bit
for each name, so that they are tried in one isolated run.
"""

FORGERIES = '''
import ctypes
import os
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import harness
from harness.protocol import Prediction

CHECKOUT, RELEASE, MARKER, OUTSIDE = {checkout!r}, {release!r}, {marker!r}, {outside!r}
PARENT, PORT, ABSTRACT, TOP, SECRET = {parent!r}, {port!r}, {abstract!r}, {top!r}, {secret!r}
TEST = "benchmark/data/digits/test.parquet"
LIBC = ctypes.CDLL(None)


def test_runs_by_sysconfig():
    return any((Path(p) / TEST).exists() for p in sysconfig.get_paths().values())


def test_runs_on_the_path():
    return any((Path(p) / TEST).exists() for p in sys.path)


def test_runs_beside_numpy():
    return (Path(os.path.realpath(np.__file__)).parents[1] / TEST).exists()


def test_runs_beside_the_harness():
    return (Path(os.path.realpath(harness.__file__)).parents[1] / TEST).exists()


def test_runs_beside_a_package():
    folders = Path(os.path.realpath(np.__file__)).parents[1].parent.glob("*-packages")
    return any((folder / TEST).exists() for folder in folders)


def test_runs_of_the_checkout():
    return Path(CHECKOUT, TEST).exists()


def test_runs_of_the_release():
    return Path(RELEASE, "digits", "test.parquet").exists()


def above_the_root():
    return Path(f"/..{{RELEASE}}").exists()


def test_runs_anywhere():
    done = subprocess.run(["find", TOP, "-name", "test.parquet"], capture_output=True, text=True)
    return bool(done.stdout.strip())


def folder_of_a_process():
    return any_process(lambda process: (process / "cwd" / MARKER).exists())


def root_of_a_process():
    return any_process(lambda process: Path(f"{{process}}/root{{RELEASE}}").exists())


def environment():
    return "PEEPHOLE_SECRET" in os.environ


def environment_of_a_process():
    return any_process(lambda process: (process / "environ").read_bytes())


def memory_of_a_process():
    return any_process(lambda process: SECRET in memory(process))


def memory(process):
    maps = (process / "maps").read_text().splitlines()
    start, end = next(line for line in maps if "[heap]" in line).split()[0].split("-")
    with open(process / "mem", "rb") as file:
        file.seek(int(start, 16))
        return file.read(int(end, 16) - int(start, 16))


def any_process(found):
    """Return whether something is found in another process; some may not be looked at."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and found(process):
                return True
        except (OSError, StopIteration):
            continue
    return False


def the_parent_process():
    os.kill(PARENT, 0)
    return True


def network():
    return socket.create_connection(("127.0.0.1", PORT), 2) is not None


def abstract_socket():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(ABSTRACT)
    return True


def home_of_the_user():
    folders = (Path(name) for name in ("/home", "/var", "/opt", "/srv", "/etc/ssl"))
    return any(folder.is_dir() and os.listdir(folder) for folder in folders)


def write_outside():
    Path(OUTSIDE, "written").write_text("x")
    return True


def write_to_what_is_given():
    Path(harness.__file__).write_text("x")
    return True


def write_to_packages():
    Path(np.__file__).with_name("written").write_text("x")
    return True


def write_to_a_setting():
    with open("/proc/sys/vm/swappiness", "r+") as file:
        value = file.read()
        file.seek(0)
        return file.write(value) > 0


def mount_again():
    return LIBC.mount(b"none", b"/", None, 32 | 4096, None) == 0


def device():
    os.mknod("disk", 0o60600, os.makedev(8, 0))
    return True


def privileges():
    lines = Path("/proc/self/status").read_text().splitlines()
    return any(l.startswith("Cap") and int(l.split()[1], 16) for l in lines)


def user_namespace():
    return LIBC.unshare(0x10000000) == 0


class Forger:
    """Looks around."""

    def fit(self, train, validation, *, observed, seed):
        self.counts = {{"found": 0}}
        for bit, name in enumerate({names!r}):
            try:
                self.counts["found"] |= bool(globals()[name]()) << bit
            except OSError:
                continue

    def predict(self, queries):
        return Prediction(np.full((len(queries), 1), 0.5), (queries.recipe.epochs,))
'''
