"""How a predictor is found.

By its name in the registry or among the entry points of installed packages, as
`package.module:Class`, as `path/to/file.py:Class`, or as the folder of a submission. A class is
code that runs when it is imported; nothing here is used to score predictions.
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
from harness.predictors.registry import PREDICTORS, get_entry, load
from harness.protocol import Predictor
from harness.running.submission import FILE, read_submission

SEEDS = 5  # that a stochastic predictor is fitted with
GROUP = "peephole.predictors"  # of entry points: a name, and "package.module:Class"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A predictor that is to be judged.

    Attributes:
        name: Of its results.
        title: What it does, on one line.
        make: Returns a new one, yet to be fitted.
        uses_curve: Whether it looks at the observed epochs.
        stochastic: Whether its answer depends on the seed.
    """

    name: str
    title: str
    make: Callable[[], Predictor]
    uses_curve: bool = True
    stochastic: bool = True

    def seeds(self, number: int = SEEDS) -> tuple[int, ...]:
        """Return the seeds to fit with: 0 alone if the answer does not depend on it."""
        return tuple(range(number if self.stochastic else 1))


def find(predictor: str) -> Candidate:
    """Return the predictor that a text names.

    One that is not in the registry counts as stochastic and as looking at curves, its name is that
    of its class in small letters, and its title the first line of the class's docstring.

    Args:
        predictor: A name in the registry or an entry point's, `package.module:Class`,
            `path/to/file.py:Class` or a folder with a `submission.yaml` of code, where the class is
            anything that, called without arguments, returns a predictor.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such name, module or class, it cannot be imported, lacks a
            method, or would have the name of another predictor.

    >>> find("gru").stochastic
    True
    """
    if (Path(predictor) / FILE).is_file():
        return _find_submission(Path(predictor))
    place, colon, attribute = predictor.rpartition(":")
    if not colon and predictor not in PREDICTORS:
        return _find_entry_point(predictor)
    if not colon:
        entry = get_entry(predictor)
        make = partial(load, predictor)
        return Candidate(predictor, entry.title, make, entry.uses_curve, entry.stochastic)
    for name, entry in PREDICTORS.items():
        if entry.target == predictor and not entry.options:
            return find(name)
    found = _attribute(import_module_of(place, predictor, "predictor"), attribute, predictor)
    name = _name(attribute)
    if name in PREDICTORS:
        raise ValueError(
            f"predictor {predictor!r} would be called {name!r}, as one of the registry is; "
            "give the class another name"
        )
    return _candidate(name, found, attribute)


def _candidate(name: str, found: Callable[[], Predictor], attribute: str) -> Candidate:
    title = (found.__doc__ or attribute).strip().splitlines()[0]
    return Candidate(name, title, found)


def candidate_of(make: Callable[[], Predictor]) -> Candidate:
    """Return the predictor of a class, or of anything else that makes one without arguments.

    Raises:
        ValueError: If a class lacks a method.
    """
    attribute = getattr(make, "__name__", type(make).__name__)
    _check_methods(make, attribute)
    return _candidate(_name(attribute), make, attribute)


def _find_entry_point(name: str) -> Candidate:
    """Return the predictor that an installed package offers under a name; no other is imported."""
    known = {entry.name: entry.value for entry in metadata.entry_points(group=GROUP)}
    if name not in known:
        raise ValueError(unknown_name("predictor", name, [*PREDICTORS, *sorted(known)]))
    place, _, attribute = known[name].partition(":")
    found = _attribute(import_module_of(place, name, "predictor"), attribute, name)
    return _candidate(name, found, attribute)


def _find_submission(folder: Path) -> Candidate:
    """Return the predictor of a submission, under its name and title."""
    submission = read_submission(folder)
    if submission.predictor is None:
        raise ValueError(
            f"submission {submission.name!r} is of predictions, which are scored and not run"
        )
    inside = folder / submission.predictor if submission.file else submission.predictor
    make = find(str(inside)).make
    stochastic = submission.seeds > 1
    return Candidate(submission.name, submission.title, make, stochastic=stochastic)


def _name(attribute: str) -> str:
    """Return the name of a class in small letters, its words joined by hyphens."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", attribute)
    return words.lower().lstrip("_").replace("_", "-")


def import_module_of(place: str, text: str, what: str) -> ModuleType:
    """Return the module of a file or of a dotted name, which may lie in the current folder.

    Args:
        place: The file or the name.
        text: What the user wrote, for messages.
        what: What it should name, likewise.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be imported.
    """
    is_file = place.endswith(".py") or "/" in place
    if is_file and not Path(place).is_file():
        raise FileNotFoundError(f"no file {place!r} for the {what} {text!r}")
    folder = str(Path(place).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        return _import_file(Path(place), what) if is_file else importlib.import_module(place)
    except (ImportError, SyntaxError) as error:
        raise ValueError(f"{what} {text!r} cannot be imported: {error}") from error


def _import_file(path: Path, what: str) -> ModuleType:
    """Return a file as a module, under a name that hides no other module."""
    name = f"{what}_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def _attribute(module: ModuleType, attribute: str, predictor: str) -> Callable[[], Predictor]:
    """Return what makes a predictor, with the methods checked if it is a class."""
    if not hasattr(module, attribute):
        known = [n for n, v in vars(module).items() if isinstance(v, type) and n[0] != "_"]
        raise ValueError(f"predictor {predictor!r}: {unknown_name('class', attribute, known)}")
    found: Callable[[], Predictor] = getattr(module, attribute)
    if not callable(found):
        raise ValueError(f"predictor {predictor!r} must be a class, not {found!r}")
    _check_methods(found, predictor)
    return found


def _check_methods(found: Callable[[], Predictor], predictor: str) -> None:
    """Check that a class has the methods of a predictor."""
    for method in ("fit", "predict"):
        if isinstance(found, type) and not callable(getattr(found, method, None)):
            raise ValueError(f"predictor {predictor!r} must have a method `{method}`")
