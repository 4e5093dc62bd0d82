"""The files of submitted code: which are taken, their bounds, copies and digest.

Code given as a folder takes all that lies there. Code given as a file takes the modules beside it
that it imports, and the data beside it whose names are texts in it. What may be among them is in
`harness.results.contents`.
"""

import ast
import hashlib
import os
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from harness.results.contents import DATA, DESCRIPTION, PICKLES, file_problem, total_problem
from harness.user_code import OWN, origin_of

Files = Mapping[str, Path]  # by the path in the folder of the submission, with "/"


def submitted_files(folder: Path, but: str = "") -> Files:
    """Return the files of the code of a folder, sorted by name.

    `submission.yaml`, texts (`*.md`), compiled code and names that start with a dot are left out,
    and so is the folder `but`.

    Raises:
        ValueError: If a file may not lie there, or they are too many or too large.
        OSError: If a folder cannot be read.
    """
    return _check(folder, _walk(folder, {"__pycache__", but}))


def files_of_module(path: Path) -> Files:
    """Return a Python file and what it needs of the files in its folder, sorted by name.

    These are the modules that are imported anywhere in the code, and the files of data whose names
    are texts in it. A file whose name the code puts together is not found.

    Raises:
        ValueError: If a file may not be submitted, or they are too many or too large.
        OSError: If a file cannot be read.
    """
    return _check(path.parent, _follow(path.parent, path.name))


def hidden_modules(folder: Path, files: Files) -> list[str]:
    """Return the modules of a folder that its files import but do not get, sorted by name.

    Python finds another module of the same name first: one of this package, an installed one or one
    of the standard library.
    """
    trees = [(name, _parse(folder / name)) for name in files if name.endswith(".py")]
    tops = {parts[0] for name, nodes in trees for parts in _imports(name, nodes)}
    hidden = sorted(top for top in tops if _is_found_elsewhere(top, folder))
    names = [name for top in hidden for name in (f"{top}.py", f"{top}/__init__.py")]
    return [name for name in names if (folder / name).is_file()]


def folder_of(files: Files) -> Path | None:
    """Return the folder in which files are, without links; None if there are no files."""
    folders = (path.parents[name.count("/")].resolve() for name, path in files.items())
    return next(folders, None)


def copy_files(files: Files, target: Path) -> None:
    """Copy files of code to the same relative places in another folder."""
    for name, path in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def code_digest(folder: Path) -> str:
    """Return the SHA-256 of the `submission.yaml` and all files of the code of a submission."""
    digest = hashlib.sha256()
    for name, path in {DESCRIPTION: folder / DESCRIPTION, **submitted_files(folder)}.items():
        content = path.read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def require_installed(predictor: str) -> None:
    """Check that a module is not found only in this folder or through `PYTHONPATH`.

    Raises:
        ValueError: If it is, so that no rerun would find it.
    """
    source, _, attribute = predictor.rpartition(":")
    top, *inner = source.split(".")
    is_file = source.endswith(".py") or Path(source).is_file()
    if is_file or not all(map(str.isidentifier, (top, *inner, attribute))):
        return
    paths = map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    folders = [Path(), *(path for path in paths if origin_of(path.absolute()) == "user")]
    stem = "/".join((top, *inner))
    own = [f for f in folders if (f / stem).is_dir() or (f / f"{stem}.py").is_file()]
    if own and not _is_found_elsewhere(top, *folders):
        if top not in metadata.packages_distributions():
            place = "this folder" if own[0] == Path() else repr(str(own[0]))
            path = f"{own[0] / top}.py:{attribute}"
            if inner:
                path = f"a file beside {own[0] / top}/ with `from {source} import {attribute}`"
            raise ValueError(
                f"module {source!r} lies in {place} and is not installed, so it cannot be "
                f"submitted; give {path}, or a folder with {DESCRIPTION}"
            )


def _is_found_elsewhere(package: str, *folders: Path) -> bool:
    """Return whether Python finds a package before it would look into some folders."""
    if package in (*OWN, *sys.builtin_module_names):
        return True
    own = [folder.resolve() for folder in folders]
    spec = PathFinder.find_spec(package, [p for p in sys.path if Path(p).resolve() not in own])
    return spec is not None and spec.origin is not None  # a folder without __init__.py comes last


def _check(folder: Path, names: Iterable[str]) -> Files:
    """Return files, after checking that a submission may have them; stop at the first problem."""
    files: dict[str, Path] = {}
    sizes: list[int] = []
    for name in names:
        files[name] = folder / name
        sizes.append(files[name].stat().st_size)
        problem = file_problem(f"submissions/x/{name}", sizes[-1])
        if problem:
            raise ValueError(f"{files[name]}: {problem.replace('submissions/<name>/', '')}")
        if problem := total_problem(sizes):
            raise ValueError(f"{folder}: {problem}")
    return dict(sorted(files.items()))


def _walk(folder: Path, left_out: set[str], inner: str = "") -> Iterator[str]:
    """Yield the relative paths of the files to take; links are followed."""
    for entry in sorted(os.scandir(folder / inner), key=lambda entry: entry.name):
        name = f"{inner}{entry.name}"
        if entry.name.startswith(".") or name in left_out or entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _walk(folder, left_out, f"{name}/")
        elif name != DESCRIPTION and not name.lower().endswith(".md"):
            yield name


def _follow(folder: Path, first: str) -> Iterator[str]:
    """Yield a module and, again and again, what the modules so far need."""
    seen: set[str] = set()
    left = [first]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            yield name
            left += _needed(folder, name) if name.endswith(".py") else []


def _needed(folder: Path, name: str) -> Iterator[str]:
    """Yield the modules and the data in a folder that one of its modules names."""
    nodes = _parse(folder / name)
    for parts in _imports(name, nodes):
        yield from _modules(folder, parts)
    yield from _data(folder, {n.value for n in nodes if isinstance(n, ast.Constant)})


def _parse(path: Path) -> list[ast.AST]:
    """Return all nodes of a module; none of a faulty one, which is said when it is imported."""
    try:
        with warnings.catch_warnings(action="ignore"):  # they come when it is imported, too
            return list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError, RecursionError):
        return []


def _imports(name: str, nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ...]]:
    """Yield the parts of the dotted name of each import of a module; the last may be no module."""
    package = Path(name).parent.parts
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            parts = (*start, *(node.module.split(".") if node.module else ()))
            yield from ((*parts, alias.name) for alias in node.names)


def _modules(folder: Path, parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the files that are read to import a module, unless it is found elsewhere before."""
    if _is_found_elsewhere(parts[0], folder):
        return
    for length in range(1, len(parts) + 1):
        stem = "/".join(parts[:length])
        for name in (f"{stem}.py", f"{stem}/__init__.py"):
            if (folder / name).is_file():
                yield name


def _data(folder: Path, values: set[object]) -> Iterator[str]:
    """Yield the files of data that texts name: in the folder, or in one that another text names."""
    texts = [text.strip("/") for text in values if isinstance(text, str) and text.isprintable()]
    names = [Path(text) for text in texts if text and len(text) < 256 and ".." not in text]
    inner = [folder, *(folder / name for name in names if (folder / name).is_dir())]
    for start in inner:
        for name in names:
            if name.suffix[1:] in (*DATA, *PICKLES) and (start / name).is_file():
                yield (start / name).relative_to(folder).as_posix()
