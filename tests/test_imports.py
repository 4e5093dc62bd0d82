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
    "protocol", "task_data", "metrics.registry", "scoring.scores", "results.result",
    "results.store", "results.predictions", "predictors.registry",
)  # fmt: skip
ROOMS = {  # of each folder, from the lowest; a module imports from its own room or a lower one
    "benchmark": (
        "util", "extras", "space", "recipes", "schema", "row_rules", "runs", "proxies", "retrained",
        "tasks", "manifest", "release", "calibration", "stored_runs", "query", "publish", "options",
        "tasks_cli", "cli",
    ),
    "generators": (
        "environment", "training", "workers", "campaign", "proxies", "checks", "checks_cli",
        "proxies_cli", "cli", "images_cli",
    ),
    "harness": (
        "protocol", "user_code", "prediction_rules", "metrics", "scoring", "features", "tracing",
        "task_data",
        "results", "predictors", "predictors.mixture", "predictors.encoders",
        "predictors.extrapolation", "predictors.bnn", "running", "search", "search.open",
        "search.tracks",
        "verification.isolation", "verification", "api", "studies", "score_text", "studies_cli",
        "search_cli", "evaluate_cli", "cli",
    ),
    "leaderboard": ("words", "folders", "networks", "board", "page", "readme", "show", "cli"),
}  # fmt: skip
SUBMITTED = (("leaderboard", "results"), ("leaderboard", "submissions"))  # never imported
MOST_MODULES = 12  # in a room, so that it can be seen at a glance


def modules(folder: str) -> list[Path]:
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [path for path in paths if path.relative_to(ROOT).parts[:2] not in SUBMITTED]


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


def top_imports(source: str) -> str:
    """Return the imports that run when a module is imported."""
    statements = [
        ast.unparse(node)
        for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return "\n".join(statements)


def imported_at_the_top(source: str) -> set[str]:
    """Return the first names of the statements that run when a module is imported."""
    return imported(top_imports(source))


def forbidden(name: str, source: str) -> set[str]:
    """Return which of our own folders a module imports against its direction."""
    folder = name.split(".")[0]
    return imported(source) & ((OWN | {"."}) - ALLOWED[folder] - {folder})


def room(name: str) -> tuple[str, str]:
    """Return the folder and the room of a module; a module outside rooms is one of its own."""
    folder, _, rest = name.partition(".")
    parent, _, module = rest.rpartition(".")
    return folder, parent or module


def upward(name: str, source: str) -> set[str]:
    """Return the rooms of its own folder that a module imports from above its own."""
    folder, own = room(name)
    order = ROOMS[folder]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{folder}."):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = {n if n in EVERY_MODULE else str(node.module) for n in names}
            found |= {room(module)[1] for module in modules}
    return {other for other in found if order.index(other) > order.index(own)}


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
        ("benchmark.curves", "import harness.scoring.scores", {"harness"}),
        ("benchmark.curves", "def f():\n    from generators import training", {"generators"}),
        (
            "generators.training.train",
            "if TYPE_CHECKING:\n    from harness import scores",
            {"harness"},
        ),
        ("harness.scoring.scores", "from leaderboard.board import rows", {"leaderboard"}),
        ("leaderboard.board", "import numpy, generators.training.train", {"generators"}),
        ("benchmark.curves", "from .walk import walk", {"."}),
        ("harness.scoring.scores", "import peephole", {"peephole"}),
        (
            "leaderboard.board",
            "import benchmark.space.layer_walk\nfrom harness import scores",
            set(),
        ),
    ],
)
def test_an_import_against_the_direction_is_found(name: str, source: str, found: set[str]) -> None:
    assert forbidden(name, source) == found


@pytest.mark.parametrize("name", [n for n, p in EVERY_MODULE.items() if p.stem != "__init__"])
def test_every_module_imports_from_its_own_room_or_a_lower_one(name: str) -> None:
    assert upward(name, EVERY_MODULE[name].read_text()) == set()


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("harness.metrics.registry", "from harness.scoring.scores import Score", {"scoring"}),
        (
            "harness.metrics.registry",
            "def f():\n    from harness.studies import compare",
            {"studies"},
        ),
        ("harness.scoring.scores", "from harness.metrics import registry", set()),
        ("harness.scoring.scores", "from harness.scoring.strata import strata", set()),
        (
            "harness.predictors.trees",
            "from harness.predictors.mixture import members",
            {"predictors.mixture"},
        ),
        ("benchmark.release", "from benchmark.publish.card import card_text", {"publish"}),
    ],
)
def test_an_import_from_a_higher_room_is_found(name: str, source: str, found: set[str]) -> None:
    assert upward(name, source) == found


@pytest.mark.parametrize("folder", ROOMS)
def test_every_room_has_its_place_and_few_modules(folder: str) -> None:
    modules = [n for n, p in EVERY_MODULE.items() if p.stem != "__init__"]
    rooms = [room(name)[1] for name in modules if name.startswith(f"{folder}.")]
    assert set(rooms) == set(ROOMS[folder])
    assert max(rooms.count(name) for name in rooms) <= MOST_MODULES


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
    source = top_imports(EVERY_MODULE[name].read_text())
    names = imported(source)
    assert names - sys.stdlib_module_names <= {"click", "benchmark"}
    assert "from benchmark." not in source.replace("from benchmark.options import", "")


def test_the_options_of_commands_load_click_alone() -> None:
    source = EVERY_MODULE["benchmark.options"].read_text()
    assert imported_at_the_top(source) - sys.stdlib_module_names == {"click"}


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
