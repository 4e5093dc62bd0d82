"""Finds a predictor by a text that names it.

Importing a class executes its module; scoring a file of predictions never does this.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType

from benchmark.util.unknown_name import unknown_name
from harness.predictors.registry import PREDICTORS, check_available, load
from harness.protocol import Predictor
from harness.results.names import check_name
from harness.running.predictor_class import check_methods, classes_of, get_class
from harness.running.submission import FILE, read_submission
from harness.user_code import (
    OWN,
    MissingPackageError,
    UserCodeError,
    output_on_stderr,
    title_of,
    user_code,
)

SEEDS = 5  # number of seeds of a stochastic predictor
HERE = Path(__file__).resolve().parents[2]
GROUP = "peephole.predictors"  # of entry points, whose values are "package.module:Class"
FORMS = "file.py:Class or package.module:Class"
IMPORTED = "it is imported, not run: put what a script does under `if __name__ == '__main__':`"
_IN_FILE = re.compile(r"(.+\.py)(?!\w)(\W*)(.*)")  # file, separator, class


@dataclass(frozen=True, slots=True)
class Candidate:
    """A predictor to evaluate.

    Attributes:
        title: What the predictor does, in one line.
        make: Returns a new predictor that is not fitted.
        uses_curve: Whether it uses the observed epochs.
        stochastic: Whether its predictions depend on the seed.
    """

    name: str
    title: str
    make: Callable[[], Predictor]
    uses_curve: bool = True
    stochastic: bool = True

    def __post_init__(self) -> None:
        """Check that the name can be that of a file."""
        check_name("name", self.name, "; rename the class or give --name")

    def seeds(self, number: int = SEEDS) -> tuple[int, ...]:
        """Return the seeds to fit with: the given number, but only 0 if it is not stochastic."""
        return tuple(range(number if self.stochastic else 1))


def find(predictor: str, name: str | None = None) -> Candidate:
    """Return the predictor that a text names.

    A predictor outside the registry is assumed to be stochastic and to use curves. Its title is the
    first line of the class's docstring.

    Args:
        predictor: A name in the registry, the name of an entry point, `package.module:Class`,
            `path/to/file.py:Class`, or a folder with the `submission.yaml` of code. The class may
            be any callable that returns a predictor when called without arguments.
        name: Name of a predictor outside the registry [default: that of the entry point or of the
            submission, or that of the class in lower case].

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the name, module or class is unknown, cannot be imported, lacks a method or
            has the name of a registry predictor, or a predictor's package or pretrained weights
            are missing.

    >>> find("gru").stochastic
    True
    """
    if (Path(predictor) / FILE).is_file():
        return _find_submission(Path(predictor), name)
    if predictor in PREDICTORS and name is not None:
        raise ValueError(f"--name {name!r} is for a predictor of your own, not for {predictor!r}")
    for known, entry in PREDICTORS.items():
        is_target = name is None and entry.target == predictor and not entry.options
        if predictor == known or is_target:
            check_available(known)
            load_entry = partial(load, known)
            return Candidate(known, entry.title, load_entry, entry.uses_curve, entry.stochastic)
    _check_names_class(predictor)
    target = predictor if ":" in predictor else _find_entry_point(predictor)
    source, _, attribute = target.rpartition(":")
    make = get_class(import_module_of(source, predictor, "predictor"), attribute, predictor)
    name = name or (name_of(attribute) if target == predictor else predictor)
    if name in PREDICTORS:
        raise ValueError(
            f"predictor {predictor!r} has the name {name!r} of a predictor of the registry; "
            "rename its class or give another --name"
        )
    return _candidate(name, make, attribute)


def _check_names_class(predictor: str) -> None:
    """Check that a text that is no plain name names a Python file or a module, and a class.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it names none; the message lists the classes of the file.
    """
    parts = _IN_FILE.fullmatch(predictor)
    source, colon, attribute = predictor.rpartition(":")
    words = (*source.split("."), attribute)
    if parts is None and colon and "/" not in source and not all(map(str.isidentifier, words)):
        raise ValueError(f"predictor {predictor!r} must be {FORMS}")
    if parts is None or (parts[2] == ":" and parts[3].isidentifier()):
        return
    file = parts[1]
    known = classes_of(import_module_of(file, predictor, "predictor"))
    text = ", ".join(f"{file}:{name}" for name in known) or "none with `fit` and `predict`"
    raise ValueError(f"predictor {predictor!r} must be {file}:Class; classes there: {text}")


def _candidate(name: str, make: Callable[[], Predictor], attribute: str) -> Candidate:
    return Candidate(name, title_of(make, attribute), make)


def candidate_of(make: Callable[[], Predictor]) -> Candidate:
    """Return the candidate of a class, or of another callable that returns a predictor.

    Raises:
        ValueError: If a class lacks a method.
    """
    attribute = getattr(make, "__name__", type(make).__name__)
    check_methods(make, attribute)
    return _candidate(name_of(attribute), make, attribute)


def _find_entry_point(predictor: str) -> str:
    """Return the `package.module:Class` of an entry point; nothing is imported.

    Raises:
        ValueError: If there is none of this name, or several packages have one.
    """
    entries = metadata.entry_points(group=GROUP)
    known = {entry.value: entry for entry in entries if entry.name == predictor}
    if not known:
        if Path(f"{predictor}.py").is_file():
            _check_names_class(f"{predictor}.py")
        if Path(predictor).is_dir():
            raise ValueError(f"folder {predictor!r} has no {FILE}; template/ has one to start from")
        names = [*PREDICTORS, *sorted({entry.name for entry in entries})]
        is_own = set(predictor) & set("./") or predictor != predictor.lower()
        own = f"; one of your own is {FORMS}" if is_own else ""
        raise ValueError(unknown_name("predictor", predictor, names) + own)
    if len(known) > 1:
        owners = " and ".join(
            f"{value!r} of {getattr(entry.dist, 'name', 'a package')!r}"
            for value, entry in sorted(known.items())
        )
        raise ValueError(
            f"predictor {predictor!r} is an entry point more than once: {owners}; give the class "
            "instead, as package.module:Class"
        )
    return next(iter(known)).partition("[")[0].strip()


def _find_submission(folder: Path, name: str | None) -> Candidate:
    """Return the predictor of a submission, with the name and title of the submission."""
    submission = read_submission(folder)
    if submission.predictor is None:
        raise ValueError(
            f"submission {submission.name!r} has predictions and no code; it cannot be run"
        )
    source = folder / submission.predictor if submission.file else submission.predictor
    sys.dont_write_bytecode = True  # `check_contents` refuses compiled code beside submitted code
    name = name or submission.name
    make = find(str(source), name).make
    return Candidate(name, submission.title, make, stochastic=submission.seeds > 1)


def name_of(attribute: str) -> str:
    """Return the name of a class in lower case, with words joined by hyphens."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", attribute)
    return words.lower().lstrip("_").replace("_", "-")


def import_module_of(source: str, text: str, what: str) -> ModuleType:
    """Return the module of a file or of a dotted name, which may be in the current folder.

    Messages have the `text` that the user wrote and `what` it names.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it cannot be imported; the message has file and line.
    """
    is_file = source.endswith(".py") or "/" in source or ("." in source and Path(source).is_file())
    if is_file and not Path(source).is_file():
        raise FileNotFoundError(f"no file {source!r} for the {what} {text!r}")
    folder = str(Path(source).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        start = f"{what} {text!r} cannot be imported: "
        with output_on_stderr(), user_code(start, argv=[source]):
            return _import_file(Path(source), what) if is_file else importlib.import_module(source)
    except (UserCodeError, MissingPackageError) as error:
        hint = ""
        if isinstance(error.__cause__, SystemExit):
            hint = f"; {IMPORTED}"
        elif "relative import" in str(error) and is_file:
            hint = "; give a file beside the package that has `from package.module import Class`"
        elif isinstance(error.__cause__, ImportError | AttributeError):
            hint = _name_clash(Path(folder))
        if hint:
            raise ValueError(f"{error}{hint}") from error.__cause__
        raise


def _name_clash(folder: Path) -> str:
    """Return a hint if a module in a folder has the name of a package here, which is found first.

    The folder with the packages themselves has no such module.
    """
    if folder == HERE:
        return ""
    names = [name for own in OWN for name in (f"{own}.py", f"{own}/__init__.py")]
    found = [name for name in names if (folder / name).is_file()]
    return f"; {found[0]!r} has the name of a package of peephole-bench: rename it" if found else ""


def _import_file(path: Path, what: str) -> ModuleType:
    """Import a file under a module name that hides no other module."""
    name = f"{what}_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module
