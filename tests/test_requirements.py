"""The versions in `constraints.txt` and `pyproject.toml`, and how CI reads them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="only in a source tree")
TORCH = {"torch", "torchvision"}


def requirements() -> list[Requirement]:
    """Return every package that pyproject.toml names, except the project itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = (project["dependencies"], *project["optional-dependencies"].values())
    found = [Requirement(text) for group in groups for text in group]
    return [requirement for requirement in found if requirement.name != project["name"]]


def constraints() -> dict[str, Version]:
    """Return the versions of `constraints.txt`, by package."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {name: Version(version) for name, version in pairs}


def test_the_constraints_hold_every_package_in_a_version_that_is_allowed() -> None:
    known = constraints()
    for needed in requirements():
        name = needed.name.lower().replace("_", "-")
        assert (name in known) != (name in TORCH), name
        assert name in TORCH or needed.specifier.contains(known[name]), needed
    assert not {name for name in known if name.startswith(("torch", "nvidia", "cuda", "triton"))}


def test_the_lowest_versions_are_those_of_the_project() -> None:
    command = [sys.executable, "-I", "-S", str(ROOT / ".ci" / "versions.py"), "minimum"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lowest = dict(line.split("==") for line in done.stdout.split())
    assert list(lowest) == ["numpy", "pyarrow", "scipy", "click", "pyyaml", "scikit-learn"]
    for needed in requirements():
        if needed.name in lowest:
            assert str(needed.specifier) == f">={lowest[needed.name]}"
