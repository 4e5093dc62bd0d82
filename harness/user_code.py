"""Runs code of users: what it prints goes to stderr, and what it raises becomes one line.

The line says where it was raised: file and line of the last calls in the user's own code, without
those of this package, of the standard library and of installed packages.
"""

import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import TracebackType

from benchmark.util.text import describe, to_line

MOST_CALLS, LONGEST_CALL = 3, 60  # calls that a line names, and characters of each
LONGEST = 500  # characters of a line
OWN = ("benchmark", "generators", "harness", "leaderboard", "peephole", "peephole_command")
_ROOT = Path(__file__).parents[1]
_OURS = tuple(_ROOT / f"{name}{ending}" for name in OWN for ending in ("", ".py"))
_PREDICTORS = _ROOT / "harness" / "predictors"
_PYTHON = Path(sysconfig.get_path("stdlib"))
_INSTALLED = ("site-packages", "dist-packages")  # names of folders
_LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "sklearn", "pandas", "pyarrow")
_GENERATED = ("<frozen", "<string>", "<__")  # starts of names of files that do not exist


class UserCodeError(ValueError):
    """Code of a user raised an exception, which is the cause; the message is one line."""


class MissingPackageError(ValueError):
    """Code of a user needs a package that is not installed: nothing is known of the code."""


@contextmanager
def user_code(
    start: str = "",
    *,
    argv: list[str] | None = None,
    show: bool = False,
    most: int = LONGEST,
    passing: tuple[type[BaseException], ...] = (),
) -> Iterator[None]:
    """Run a user's code in the block.

    Args:
        start: Text before the description of an exception.
        argv: The command line that the code sees; by default it has no arguments.
        show: Whether the traceback of an exception is written to stderr.
        most: Characters of a description.
        passing: Exceptions that are raised as they are, beside `KeyboardInterrupt`.

    Raises:
        MissingPackageError: If the code needs a package that is not installed.
        UserCodeError: If it raises anything else, `SystemExit` included.
        KeyboardInterrupt: If the user interrupts it.
    """
    before = sys.argv
    sys.argv = before[:1] if argv is None else argv
    try:
        with redirect_stdout(sys.stderr):
            yield
    except BaseException as error:  # such code may raise anything
        if isinstance(error, (KeyboardInterrupt, *passing)):
            raise
        if show:
            traceback.print_exception(error)
        kind = MissingPackageError if isinstance(error, ModuleNotFoundError) else UserCodeError
        raise kind(start + describe_with_place(error, most)) from error
    finally:
        sys.argv = before


@contextmanager
def output_on_stderr() -> Iterator[None]:
    """Send what processes that are started in the block print to stderr."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed
        yield
        return
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def describe_with_place(error: BaseException, most: int = LONGEST) -> str:
    """Return an exception as a line, with the last calls of the user's code where there are any.

    Call this where the exception is handled.
    """
    calls = _own_calls(sys.exc_info()[2])[-MOST_CALLS:]
    place = f" ({', '.join(calls)})" if calls else ""
    return describe(error, most - len(place)) + place


def _own_calls(raised: TracebackType | None) -> list[str]:
    """Return file, line and function of each call of the user's code, the last one at the end.

    The code of an installed predictor is that of the folder in which its first call is.
    """
    stack = traceback.StackSummary.extract(traceback.walk_tb(raised), lookup_lines=False)
    paths = [Path(call.filename) for call in stack]
    origins = [origin_of(path) for path in paths]
    own = [i for i, origin in enumerate(origins) if origin == "user"]
    if not own and "predictors" not in origins and "installed" in origins:
        folder = paths[origins.index("installed")].parent
        own = [i for i, path in enumerate(paths) if path.parent == folder]
    return [_to_text(stack[i]) for i in own]


def origin_of(path: Path) -> str:
    """Return whose a file is: predictors, ours, installed, python, generated or user."""
    if str(path).startswith(_GENERATED):
        return "generated"
    if path.is_relative_to(_PREDICTORS):
        return "predictors"
    if any(path.is_relative_to(folder) for folder in _OURS):
        return "ours"
    for name in set(_INSTALLED) & set(path.parts):
        package = path.parts[path.parts.index(name) + 1]
        return "library" if package in _LIBRARIES else "installed"
    return "python" if path.is_relative_to(_PYTHON) else "user"


def _to_text(frame: traceback.FrameSummary) -> str:
    """Return a call as text, without the folder of its file, which may name the user."""
    function = "" if frame.name == "<module>" else f" in {frame.name}"
    return to_line(f"{Path(frame.filename).name}:{frame.lineno}{function}", LONGEST_CALL)


def required_arguments(factory: Callable[..., object]) -> list[str]:
    """Return the names of the arguments that a class or function must be given."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        return []
    return [
        repr(p.name)
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def title_of(made: object, otherwise: str) -> str:
    """Return the first line of the docstring of a class, or another text where it has none."""
    try:
        text = getattr(made, "__doc__", None)
        lines = str.strip(text).splitlines() if isinstance(text, str) else []
    except Exception:  # of a metaclass
        lines = []
    return to_line(lines[0] if lines else otherwise)
