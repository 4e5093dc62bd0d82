"""Import directions between the four folders, and what must not load torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import benchmark

ROOT = Path(str(benchmark.__file__)).parent.parent  # of the tree, or of the installed wheel
ALLOWED = {  # which other folders each one may import
    "benchmark": set(),
    "generators": {"benchmark"},
    "harness": {"benchmark"},
    "leaderboard": {"benchmark", "harness"},
}
OWN = {*ALLOWED, "peephole"}
HEAVY = {"torch", "torchvision", "sklearn", "datasets", "ray"}
LIGHT_HARNESS = (
    "metrics", "protocol", "results", "scores", "stored_predictions", "predictors.registry",
)  # fmt: skip


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


EVERY_MODULE = {dotted(path): path for folder in ALLOWED for path in modules(folder)}
COMMANDS = sorted(name for name in EVERY_MODULE if name.endswith("cli"))
LIGHT = {
    "benchmark": [name for name in EVERY_MODULE if name.split(".")[0] == "benchmark"],
    "harness": [f"harness.{name}" for name in LIGHT_HARNESS],
    **{name: [name] for name in COMMANDS},
    "peephole": ["peephole"],
}


def imported(source: str) -> set[str]:
    """Return the first names of all imports anywhere in a module; a dot for relative ones."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else str(node.module).split(".")[0])
    return names


def imported_at_the_top(source: str) -> set[str]:
    """Return the names that importing a module imports: bodies and type checking left out."""
    statements = [
        ast.unparse(node)
        for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return imported("\n".join(statements))


def forbidden(name: str, source: str) -> set[str]:
    """Return which of our own folders a module imports against its direction."""
    folder = name.split(".")[0]
    return imported(source) & ((OWN | {"."}) - ALLOWED[folder] - {folder})


def loaded(names: list[str], folder: Path) -> set[str]:
    """Return the top-level modules that are loaded after importing some, in a new process."""
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {module.split(".")[0] for module in done.stdout.split()}


@pytest.mark.parametrize("name", EVERY_MODULE)
def test_every_module_imports_in_the_agreed_directions(name: str) -> None:
    assert forbidden(name, EVERY_MODULE[name].read_text()) == set()


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("benchmark.curves", "import harness.scores", {"harness"}),
        ("benchmark.curves", "def f():\n    from generators import training", {"generators"}),
        ("generators.training", "if TYPE_CHECKING:\n    from harness import scores", {"harness"}),
        ("harness.scores", "from leaderboard.board import rows", {"leaderboard"}),
        ("leaderboard.board", "import numpy, generators.training", {"generators"}),
        ("benchmark.curves", "from .walk import walk", {"."}),
        ("harness.scores", "import peephole", {"peephole"}),
        ("leaderboard.board", "import benchmark.walk\nfrom harness import scores", set()),
    ],
)
def test_an_import_against_the_direction_is_found(name: str, source: str, found: set[str]) -> None:
    assert forbidden(name, source) == found


@pytest.mark.parametrize("folder", ALLOWED)
def test_importing_a_folder_loads_nothing_else(folder: str) -> None:
    assert loaded([folder], ROOT) & (OWN | HEAVY | {"numpy"}) == {folder}


@pytest.mark.parametrize("part", LIGHT)
def test_data_scores_and_commands_load_no_torch(part: str) -> None:
    assert loaded(LIGHT[part], ROOT) & HEAVY == set()


@pytest.mark.parametrize("folder", ["benchmark", "harness"])
def test_a_light_folder_loads_only_what_it_may(folder: str) -> None:
    assert loaded(LIGHT[folder], ROOT) & OWN == {folder} | (ALLOWED[folder] & {"benchmark"})


def test_a_module_that_loads_torch_through_another_is_found(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")  # stands in for the real one, which takes seconds
    (tmp_path / "inner.py").write_text("import torch\n")
    (tmp_path / "outer.py").write_text("import inner\n")
    assert loaded(["outer"], tmp_path) & HEAVY == {"torch"}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_import_only_click_and_the_standard_library_at_the_top(name: str) -> None:
    names = imported_at_the_top(EVERY_MODULE[name].read_text())
    assert names - sys.stdlib_module_names == {"click"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import json\nfrom click import echo", {"json", "click"}),
        ("import numpy as np", {"numpy"}),
        ("def f():\n    import numpy", set()),
    ],
)
def test_imports_at_the_top_are_told_from_those_in_bodies(source: str, found: set[str]) -> None:
    assert imported_at_the_top(source) == found


def test_the_command_loads_no_numpy_until_it_runs() -> None:
    assert loaded(["peephole"], ROOT) & {"numpy", "scipy", "pyarrow"} == set()


@pytest.mark.parametrize("name", [n for n, p in EVERY_MODULE.items() if p.stem == "__init__"])
def test_init_files_are_empty(name: str) -> None:
    assert EVERY_MODULE[name].read_bytes() == b""


def test_there_are_four_folders_with_types() -> None:
    assert all((ROOT / folder / "py.typed").exists() for folder in ALLOWED)
