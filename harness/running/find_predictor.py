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

from benchmark.util.strict_json import refuse
from benchmark.util.text import describe, to_line
from benchmark.util.unknown_name import unknown_name
from harness.predictors.registry import PREDICTORS, check_installed, get_entry, load
from harness.protocol import Predictor
from harness.results.result import NAME
from harness.running.submission import FILE, read_submission

SEEDS = 5  # number of seeds of a stochastic predictor
PACKAGES = ("benchmark", "generators", "harness", "leaderboard")
HERE = Path(__file__).resolve().parents[2]
GROUP = "peephole.predictors"  # of entry points, whose values are "package.module:Class"


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
        if not NAME.fullmatch(self.name):
            refuse(
                "name",
                self.name,
                "of a-z, 0-9, '.', '_' and '-', and start with a letter or digit; rename the class",
            )

    def seeds(self, number: int = SEEDS) -> tuple[int, ...]:
        """Return the seeds to fit with: the given number, but only 0 if it is not stochastic."""
        return tuple(range(number if self.stochastic else 1))


def find(predictor: str) -> Candidate:
    """Return the predictor that a text names.

    A predictor outside the registry is assumed to be stochastic and to use curves. Its name is the
    name of its class in lower case, and its title the first line of the class's docstring.

    Args:
        predictor: A name in the registry, the name of an entry point, `package.module:Class`,
            `path/to/file.py:Class`, or a folder with the `submission.yaml` of code. The class may
            be any callable that returns a predictor when called without arguments.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the name, module or class is unknown, cannot be imported, lacks a method or
            has the name of a registry predictor, or a predictor's package is not installed.

    >>> find("gru").stochastic
    True
    """
    if (Path(predictor) / FILE).is_file():
        return _find_submission(Path(predictor))
    source, colon, attribute = predictor.rpartition(":")
    if not colon and predictor not in PREDICTORS:
        return _find_entry_point(predictor)
    if not colon:
        entry = get_entry(predictor)
        check_installed(predictor)
        load_entry = partial(load, predictor)
        return Candidate(predictor, entry.title, load_entry, entry.uses_curve, entry.stochastic)
    for name, entry in PREDICTORS.items():
        if entry.target == predictor and not entry.options:
            return find(name)
    make = _get_class(import_module_of(source, predictor, "predictor"), attribute, predictor)
    name = _name(attribute)
    if name in PREDICTORS:
        raise ValueError(
            f"predictor {predictor!r} has the name {name!r} of a predictor of the registry; "
            "rename its class"
        )
    return _candidate(name, make, attribute)


def _candidate(name: str, make: Callable[[], Predictor], attribute: str) -> Candidate:
    try:
        text = make.__doc__
        lines = str.strip(text).splitlines() if isinstance(text, str) else []
    except Exception:  # of a metaclass
        lines = []
    return Candidate(name, to_line(lines[0] if lines else attribute), make)


def candidate_of(make: Callable[[], Predictor]) -> Candidate:
    """Return the candidate of a class, or of another callable that returns a predictor.

    Raises:
        ValueError: If a class lacks a method.
    """
    attribute = getattr(make, "__name__", type(make).__name__)
    _check_methods(make, attribute)
    return _candidate(_name(attribute), make, attribute)


def _find_entry_point(name: str) -> Candidate:
    """Return the predictor of an entry point; no other entry point is imported.

    Raises:
        ValueError: As for `find`, or if several packages have an entry point of this name.
    """
    entries = metadata.entry_points(group=GROUP)
    known = {entry.value: entry for entry in entries if entry.name == name}
    if not known:
        names = sorted({entry.name for entry in entries})
        raise ValueError(unknown_name("predictor", name, [*PREDICTORS, *names]))
    if len(known) > 1:
        owners = " and ".join(
            f"{value!r} of {getattr(entry.dist, 'name', 'a package')!r}"
            for value, entry in sorted(known.items())
        )
        raise ValueError(
            f"predictor {name!r} is an entry point more than once: {owners}; give the class "
            "instead, as package.module:Class"
        )
    source, _, attribute = next(iter(known)).partition("[")[0].strip().partition(":")
    make = _get_class(import_module_of(source, name, "predictor"), attribute, name)
    return _candidate(name, make, attribute)


def _find_submission(folder: Path) -> Candidate:
    """Return the predictor of a submission, with the name and title of the submission."""
    submission = read_submission(folder)
    if submission.predictor is None:
        raise ValueError(
            f"submission {submission.name!r} has predictions and no code; it cannot be run"
        )
    source = folder / submission.predictor if submission.file else submission.predictor
    sys.dont_write_bytecode = True  # `check_contents` refuses compiled code beside submitted code
    make = find(str(source)).make
    return Candidate(submission.name, submission.title, make, stochastic=submission.seeds > 1)


def _name(attribute: str) -> str:
    """Return the name of a class in lower case, with words joined by hyphens."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", attribute)
    return words.lower().lstrip("_").replace("_", "-")


def import_module_of(source: str, text: str, what: str) -> ModuleType:
    """Return the module of a file or of a dotted name, which may be in the current folder.

    Messages have the `text` that the user wrote and `what` it names.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it cannot be imported.
    """
    is_file = source.endswith(".py") or "/" in source
    if is_file and not Path(source).is_file():
        raise FileNotFoundError(f"no file {source!r} for the {what} {text!r}")
    folder = str(Path(source).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        return _import_file(Path(source), what) if is_file else importlib.import_module(source)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything
        plain = isinstance(error, ImportError | SyntaxError)
        why = to_line(str(error)) if plain else describe(error)
        hint = _name_clash(Path(folder)) if plain else ""
        raise ValueError(f"{what} {text!r} cannot be imported: {why}{hint}") from error


def _name_clash(folder: Path) -> str:
    """Return a hint if a module in a folder has the name of a package here, which is found first.

    The folder with the packages themselves has no such module.
    """
    if folder == HERE:
        return ""
    paths = [path for name in PACKAGES for path in (folder / f"{name}.py", folder / name)]
    found = [path.name for path in paths if path.exists()]
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


def _get_class(module: ModuleType, attribute: str, predictor: str) -> Callable[[], Predictor]:
    """Return the class or other callable that makes a predictor, after checking it."""
    try:
        make: Callable[[], Predictor] | None = getattr(module, attribute, None)
        if make is not None and callable(make):
            _check_methods(make, predictor)
            return make
    except ValueError:
        raise
    except Exception as error:  # of the module or a metaclass
        raise ValueError(f"predictor {predictor!r} cannot be read: {describe(error)}") from error
    if make is None:
        known = [n for n, v in vars(module).items() if isinstance(v, type) and n[:1] != "_"]
        raise ValueError(f"predictor {predictor!r}: {unknown_name('class', attribute, known)}")
    raise ValueError(f"predictor {predictor!r} must be a class, not {to_line(repr(make))}")


def _check_methods(make: Callable[[], Predictor], predictor: str) -> None:
    """Check that a class has the methods of a predictor."""
    for method in ("fit", "predict"):
        if isinstance(make, type) and not callable(getattr(make, method, None)):
            raise ValueError(f"predictor {predictor!r} must have a method `{method}`")
