"""Finds a search algorithm by a text that names it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmark.util.unknown_name import unknown_name
from harness.results.names import check_name
from harness.running.find_predictor import import_module_of, name_of
from harness.search.registry import PREDICTOR, TRACKS, Track, load_algorithm
from harness.search.session import Algorithm
from harness.user_code import required_arguments, title_of, user_code


@dataclass(frozen=True, slots=True)
class FoundAlgorithm:
    """An algorithm to run: its name in results, what it does, and what makes a new one.

    `text` is what finds it in another process, unless the class was given.
    """

    text: str
    name: str
    title: str
    make: Callable[[], Algorithm]


def find_algorithm(text: str, predictor: str = PREDICTOR, track: Track = "pool") -> FoundAlgorithm:
    """Return the algorithm that a text names.

    Args:
        text: A name of the registry, `package.module:Class` or `path/to/file.py:Class`.
        predictor: Name of the predictor of the guided algorithms, which becomes part of their name.
        track: The track, whose session the algorithm is given.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the name, module or class is unknown, cannot be imported, or has no method
            `search`, or the predictor is unknown or its package not installed.
    """
    source, colon, attribute = text.rpartition(":")
    algorithms = TRACKS[track]
    if text in algorithms or not colon:
        load_algorithm(text, predictor, track)
        entry = algorithms[text]
        name = f"{text}-{predictor}" if entry.guided else text
        title = f"{entry.title}: {predictor}" if entry.guided else entry.title
        return FoundAlgorithm(text, name, title, partial(load_algorithm, text, predictor, track))
    module = import_module_of(source, text, "algorithm")
    with user_code(f"algorithm {text!r} cannot be read: "):
        made = getattr(module, attribute, None)
        known = [n for n, value in vars(module).items() if isinstance(value, type) and _has(value)]
    if made is None:
        raise ValueError(f"algorithm {text!r}: {unknown_name('class', attribute, known)}")
    return describe_algorithm(made, text, attribute, track)


def describe_algorithm(
    made: object, text: str, attribute: str, track: Track = "pool"
) -> FoundAlgorithm:
    """Return a class as an algorithm to run.

    Args:
        made: The class.
        text: What messages call it.
        attribute: Its name, in lower case that of the algorithm.
        track: The track.

    Raises:
        ValueError: If it has no method `search`, needs arguments, or has an algorithm's name.
    """
    if not callable(made) or not _has(made):
        raise ValueError(f"algorithm {text!r} must be a class with a method `search`")
    with user_code(f"algorithm {text!r} cannot be read: "):
        required = required_arguments(made)
    if required:
        raise ValueError(
            f"algorithm {text!r} needs the arguments {', '.join(required)}; give them defaults, as "
            "it is made without arguments"
        )
    name = name_of(attribute)
    check_name("name", name, "; rename the class")
    if name in TRACKS[track]:
        raise ValueError(
            f"algorithm {text!r} has the name {name!r} of an algorithm of the registry"
        )
    return FoundAlgorithm(text, name, title_of(made, attribute), made)


def _has(made: object) -> bool:
    return callable(getattr(made, "search", None))
