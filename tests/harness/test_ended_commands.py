"""Commands that are killed while predictors run: no process and no result is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toys.processes import children, is_alive, needs_proc, wait_for

ROOT = Path(__file__).parents[2]
OWN = """
import time
from pathlib import Path
from tests.toys.processes import start_others


class Sleeping:
    def fit(self, train, validation, *, observed, seed):
        draft = Path(__file__).with_suffix(f".{observed}.draft")
        draft.write_text(" ".join(map(str, start_others())))
        draft.rename(draft.with_suffix(".ids"))
        time.sleep(600)

    def predict(self, queries):
        pass
"""


def command(*words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "peephole", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@needs_proc
@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (signal.SIGKILL, "task"),
        (signal.SIGTERM, "task"),
        (signal.SIGINT, "task"),
        (signal.SIGKILL, "trial"),
    ],
)
def test_a_killed_evaluation_leaves_no_process_and_no_result(
    folder: Path, tmp_path: Path, number: int, kind: str
) -> None:
    own, results = tmp_path / "own.py", tmp_path / "results"
    own.write_text(OWN)
    words = ["evaluate", f"{own}:Sleeping", "--seeds", "1", "--folder", str(folder)]
    words += ["--task", "digits-k0-v1", "--task", "digits-k1-v1", "--results", str(results)]
    if kind == "trial":
        words += ["--train-size", "12", "--output", str(tmp_path / "fits.jsonl")]
    process = command(*words)
    try:
        files = [tmp_path / f"own.{observed}.ids" for observed in (0, 1)]
        assert wait_for(lambda: all(f.exists() for f in files) or process.poll() is not None)
        ids = {int(name) for file in files for name in file.read_text().split()}
        ids |= children(process.pid)
        assert all(map(is_alive, ids))
    finally:
        process.send_signal(number)
        process.wait(60)
    assert wait_for(lambda: not any(map(is_alive, ids)))
    assert not results.exists()
    fits = tmp_path / "fits.jsonl"
    assert not fits.exists() or fits.read_text() == ""
