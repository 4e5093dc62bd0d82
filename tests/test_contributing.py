"""Every recipe of CONTRIBUTING, performed in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = ROOT / "CONTRIBUTING.md"
STEP = re.compile(r"<!-- (add to|write|run)([^\n]*) -->\n\n```\w*\n(.*?)```\n", re.DOTALL)
PLACE = re.compile(r' (\S+) after "([^\n]+)"( above)?')
COPIED = (
    "benchmark", "generators", "harness", "leaderboard", "tests", "docs", "template", "peephole.py",
    "peephole_command.py", "pyproject.toml", "README.md", "CONTRIBUTING.md",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TEXT.exists(), reason="only in a source tree"),
]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a recipe: lines added to a file, a new file, or commands."""

    kind: str
    where: str
    text: str


def recipes() -> dict[str, list[Step]]:
    """Return the steps of each section that has any, by its title."""
    sections = TEXT.read_text("utf-8").split("\n## ")[1:] if TEXT.exists() else []
    steps = {s.splitlines()[0]: [Step(*found) for found in STEP.findall(s)] for s in sections}
    return {title: found for title, found in steps.items() if found}


def add(path: Path, anchor: str, text: str, *, above: bool) -> None:
    """Add lines after the first line that holds an anchor, or above it."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if anchor in line)
    lines.insert(index + (not above), text)
    path.write_text("".join(lines), "utf-8")


def environment(tree: Path) -> dict[str, str]:
    """Return variables under which `peephole`, `python` and `pytest` use a copy of the tree."""
    scripts = tree.parent / "bin"
    scripts.mkdir(exist_ok=True)
    for name, module in (("peephole", "peephole"), ("pytest", "pytest"), ("python", None)):
        command = f'"{sys.executable}" -P ' + (f"-m {module} " if module else "")
        (scripts / name).write_text(f'#!/bin/sh\nexec {command}"$@"\n')
        (scripts / name).chmod(0o755)
    path = os.pathsep.join([str(scripts), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}


def perform(step: Step, tree: Path) -> None:
    """Do one step in a copy of the tree."""
    if step.kind == "write":
        (tree / step.where.strip()).write_text(step.text, "utf-8")
    elif step.kind == "add to":
        found = PLACE.fullmatch(step.where)
        assert found is not None, step.where
        add(tree / found[1], found[2], step.text, above=found[3] is not None)
    elif step.where.strip() == "with images":  # nothing is downloaded: MNIST's file stands in
        images = tree / "benchmark" / "data" / "images"
        shutil.copy(images / "mnist.json", images / "fashion.json")
    else:
        command = ["bash", "-euo", "pipefail", "-c", step.text]
        done = subprocess.run(
            command, cwd=tree, env=environment(tree), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{step.text}\n{done.stdout}\n{done.stderr}"
        assert " passed" in done.stdout or "pytest" not in step.text or "[100%]" in done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the tree, which is removed afterwards."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in COPIED:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy / name)
    yield copy
    shutil.rmtree(copy)


def test_there_is_a_recipe_for_every_kind_of_addition() -> None:
    assert list(recipes()) == [
        "A skeleton", "An image set", "A predictor", "A metric", "Rows of the data", "A submission",
    ]  # fmt: skip


@pytest.mark.parametrize("title", recipes())
def test_a_recipe_does_what_it_promises(title: str, tree: Path) -> None:
    for step in recipes()[title]:
        perform(step, tree)
