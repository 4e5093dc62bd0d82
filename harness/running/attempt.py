"""Turns what the harness raises in a process of its own into a value, so that other jobs go on."""

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from benchmark.util.text import describe

Returned = TypeVar("Returned")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, slots=True)
class Failed:
    """The harness failed, not the predictor; the error has no object of the predictor."""

    error: Exception


def attempt(
    function: Callable[Arguments, Returned], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Returned | Failed:
    """Return what a function returns, or the exception that it raises."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        if error.errno is None:
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
            return Failed(kind(str(error)))
        return Failed(OSError(error.errno, error.strerror, error.filename))  # its subclass
    except ValueError as error:
        return Failed(ValueError(str(error)))
    except Exception as error:
        traceback.print_exc()
        return Failed(RuntimeError(describe(error)))


def raise_first(failed: Sequence[tuple[str, Failed]]) -> None:
    """Raise the first error of some jobs, given with the names of their predictors.

    Errors of other jobs are written to stderr if they differ from it.
    """
    for predictor, other in failed[1:]:
        if str(other.error) != str(failed[0][1].error):
            sys.stderr.write(f"{predictor}: {describe(other.error)}\n")
    if failed:
        raise failed[0][1].error
