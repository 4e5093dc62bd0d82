"""Reads a predictor's class from a user's module, whose own code may run and raise anything."""

from collections.abc import Callable
from types import ModuleType

from benchmark.util.text import to_line
from benchmark.util.unknown_name import unknown_name
from harness.protocol import Predictor
from harness.user_code import required_arguments, user_code

METHODS = ("fit", "predict")


def get_class(module: ModuleType, attribute: str, predictor: str) -> Callable[[], Predictor]:
    """Return the class or other callable of a module that makes a predictor, after checking it.

    Messages have the text `predictor` that the user wrote.

    Raises:
        ValueError: If there is none, it cannot be read, or it is a class that lacks a method.
    """
    with user_code(f"predictor {predictor!r} cannot be read: "):
        make: Callable[[], Predictor] | None = getattr(module, attribute, None)
        other = "" if callable(make) else to_line(repr(make))
    if make is None:
        known = classes_of(module)
        raise ValueError(f"predictor {predictor!r}: {unknown_name('class', attribute, known)}")
    if other:
        raise ValueError(f"predictor {predictor!r} must be a class, not {other}")
    check_methods(make, predictor)
    return make


def classes_of(module: ModuleType) -> list[str]:
    """Return the names of the classes of a module that have the methods of a predictor.

    Raises:
        ValueError: If they cannot be read.
    """
    with user_code(f"classes of {module.__name__!r} cannot be read: "):
        return [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and name[:1] != "_" and not _missing(value)
        ]


def _missing(make: Callable[[], Predictor]) -> list[str]:
    """Return the methods of a predictor that a class lacks."""
    if not isinstance(make, type):
        return []
    return [method for method in METHODS if not callable(getattr(make, method, None))]


def check_methods(make: Callable[[], Predictor], predictor: str) -> None:
    """Check that a class has the methods of a predictor, and that it, or a function, is complete.

    Raises:
        ValueError: If a method is missing, it needs arguments, or it cannot be read.
    """
    with user_code(f"predictor {predictor!r} cannot be read: "):
        missing, required = _missing(make), required_arguments(make)
    if missing:
        raise ValueError(f"predictor {predictor!r} must have a method `{missing[0]}`")
    if required:
        raise ValueError(
            f"predictor {predictor!r} needs the arguments {', '.join(required)}; give them "
            "defaults, as it is made without arguments"
        )
