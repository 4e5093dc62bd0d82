"""What submitted code is given: a copy of the code and data that it may use, and packages.

Also which files of the machine a root of its own shows, and which of these it hides.
"""

import os
import shutil
import site
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmark.runs import correct_path, split_path
from benchmark.space.imagesets import IMAGES
from benchmark.space.splits import FITTED_SPLITS
from harness.running.submitted_files import Files, copy_files
from harness.verification.isolation.work import CODE

GIVEN, TREE, PACKAGES = "given", "tree", "packages"
OWN_NAMES = (
    "benchmark", "generators", "harness", "leaderboard", "peephole.py", "peephole_command.py",
    "peephole_bench*", "*editable*peephole*",
)  # fmt: skip
SYSTEM = (
    "/bin", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64",
    "/nix/store", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
)  # fmt: skip
PACKAGE_FOLDERS = ("*-packages", "python*/*-packages")  # in a folder of libraries


def make_given(home: Path, code: Files, data: Path) -> Path:
    """Make the folder that code may read, and return it.

    It holds the copy of `copy_tree`, the files of the code at their places, and a link to every
    installed package except this one.
    """
    given = home / GIVEN
    copy_tree(given / TREE, data)
    (given / CODE).mkdir()
    copy_files(code, given / CODE)
    link_packages(given / PACKAGES)
    return given


def copy_tree(tree: Path, data: Path) -> None:
    """Copy the code that predictors may import and the data that they may read."""
    here = Path(__file__).parents[3]
    for package in ("benchmark", "harness"):
        ignored = shutil.ignore_patterns("data", "__pycache__")
        shutil.copytree(here / package, tree / package, ignore=ignored)
    shutil.copy(here / "peephole.py", tree / "peephole.py")
    sources = [data / "recipes.json", data / "environments.json"]
    sources += (data / "tasks").glob("*.json")  # run ids, no measurements
    for images in IMAGES:
        sources.append(data / "images" / f"{images}.json")
        for split in FITTED_SPLITS:
            sources += [split_path(images, split, data), correct_path(images, split, data)]
    for source in sources:
        if source.is_file():  # a release may lack it
            target = tree / "benchmark" / "data" / source.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def package_folders() -> list[Path]:
    """Return the folders of installed packages, without links and without the user's own."""
    return [Path(os.path.realpath(f)) for f in site.getsitepackages() if Path(f).is_dir()]


def link_packages(target: Path) -> None:
    """Fill a folder with a link to every installed package except this one."""
    target.mkdir()
    for folder in package_folders():
        for path in folder.iterdir():
            link = target / path.name
            ours = any(path.match(name) for name in OWN_NAMES)
            if not ours and path.suffix != ".pth" and not os.path.lexists(link):
                link.symlink_to(path)


def shown_paths(interpreter: Path, home: Path) -> tuple[str, ...]:
    """Return what a root of its own shows: an interpreter, libraries, packages, what is given."""
    libraries = [
        Path(os.path.realpath(prefix)) / name
        for prefix in (sys.base_prefix, sys.base_exec_prefix)
        for name in ("lib", "lib64")
    ]
    given = [home / GIVEN] if (home / GIVEN).is_dir() else []
    paths = [*map(Path, SYSTEM), interpreter.parent, *libraries, *package_folders(), *given]
    shown: list[str] = []
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if os.path.lexists(path) and not any(path.is_relative_to(other) for other in shown):
            shown.append(str(path))
    return tuple(shown)


def hidden_paths(shown: Iterable[str], secrets: Iterable[Path]) -> tuple[str, ...]:
    """Return the paths in shown folders that must be covered.

    These are folders of packages of other interpreters, this package in those of our own, and
    `secrets` wherever they lie.
    """
    own = package_folders()
    hidden: set[Path] = set()
    for top in map(Path, shown):
        others = {Path(os.path.realpath(f)) for glob in PACKAGE_FOLDERS for f in top.glob(glob)}
        hidden |= others - set(own)
    for folder in own:
        hidden |= {Path(os.path.realpath(f)) for name in OWN_NAMES for f in folder.glob(name)}
    hidden |= {Path(os.path.realpath(secret)) for secret in secrets} - set(own)
    inside = {path for path in hidden if any(path.is_relative_to(top) for top in shown)}
    outermost = [path for path in inside if not inside & set(path.parents)]
    return tuple(str(path) for path in sorted(outermost))
