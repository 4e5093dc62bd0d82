"""Runs the tutorials, so that what they show is what a reader gets.

The blocks of a document run in order, in a folder that holds the converters alone: `python` in one
namespace, `bash` with the installed command. What a block prints must be what the next `text` block
shows, `...` standing for what differs between machines. A Python block that starts with `# name.py`
is saved as that.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, redirect_stdout, suppress
from doctest import ELLIPSIS, Example, OutputChecker
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

PATIENCE = 400.0  # seconds until a block that waits for ever fails
PROGRESS = re.compile(r"^\d+/\d+ .* left(?: unknown)?\n", re.MULTILINE)  # which a bar hides
OPTIONAL = ("ray", "pandas", "polars", "duckdb")  # whose blocks are skipped without them
PRINTED, UNDO = "_printed", "_undo"  # names in a document's namespace


def run_python(block: sybil.Example) -> None:
    """Run a block and keep what it prints, or save it if it starts with the name of a file."""
    name = re.match(r"# (\w+\.py)\n", block.parsed)
    if name:
        Path(name[1]).write_text(block.parsed, encoding="utf-8")
        return
    with redirect_stdout(StringIO()) as printed:
        PythonEvaluator()(block)
    block.namespace[PRINTED] = printed.getvalue()


def run_bash(block: sybil.Example) -> str | None:
    """Run a block, keep what it prints but for progress; return it if the exit code is not 0."""
    command = ["bash", "-euo", "pipefail", "-c", block.parsed]
    out, err = subprocess.PIPE, subprocess.STDOUT
    shell = subprocess.Popen(command, stdout=out, stderr=err, text=True, start_new_session=True)
    try:
        printed = shell.communicate(timeout=PATIENCE)[0]
    finally:  # whatever a block left running ends with it
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    block.namespace[PRINTED] = PROGRESS.sub("", printed)
    return f"exit code {shell.returncode}\n{printed}" if shell.returncode else None


def compare(block: sybil.Example) -> str | None:
    """Return how what is shown differs from what the block before it printed, if it does."""
    printed, checker = block.namespace.pop(PRINTED, ""), OutputChecker()
    if checker.check_output(block.parsed, printed, ELLIPSIS):
        return None
    return checker.output_difference(Example("", block.parsed), printed, ELLIPSIS)


def enter(namespace: dict[str, object]) -> None:
    """Go to a new folder where `peephole` is the code under test and nothing is kept at home."""
    undo = ExitStack()
    folder = undo.enter_context(TemporaryDirectory(prefix="peephole-docs-"))
    for converter in Path(__file__).parent.resolve().glob("convert_*.py"):
        shutil.copy(converter, folder)
    patch = undo.enter_context(pytest.MonkeyPatch.context())
    patch.chdir(folder)
    patch.syspath_prepend(folder)  # as in a notebook
    patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(os.path.isabs, sys.path)))
    patch.setenv("MPLBACKEND", "agg")
    patch.setenv(
        "RAY_AUTH_MODE", "disabled"
    )  # else a token that somebody keeps at home is asked for
    for name in ("HF_HOME", "MPLCONFIGDIR"):
        patch.setenv(name, folder)
    namespace[UNDO] = undo
    namespace |= {f"without_{name}": find_spec(name) is None for name in OPTIONAL}


def leave(namespace: dict[str, ExitStack]) -> None:
    """Go back, and remove the folder."""
    namespace[UNDO].close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tutorials as slow."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.slow)


pytest_collect_file = sybil.Sybil(
    parsers=[
        CodeBlockParser("python", run_python),
        CodeBlockParser("bash", run_bash),
        CodeBlockParser("text", compare),
        SkipParser(),
    ],
    pattern="*.md",
    setup=enter,
    teardown=leave,
).pytest()
