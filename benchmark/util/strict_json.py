"""Frozen dataclasses as JSON files: strict when read, atomic when written.

Reading checks every field and type, names the field and the rule that is broken, and refuses what
JSON leaves open: unknown and double fields, NaN and infinities.
"""

import functools
import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from benchmark.util.unknown_name import unknown_name

Record = TypeVar("Record")
LARGEST = 1e300
RANGE = "a finite number"
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def broken(where: str, value: object, rule: str) -> NoReturn:
    """Raise the error of a value that breaks a rule.

    Raises:
        ValueError: Always; it names the field, the value and the rule.
    """
    raise ValueError(f"`{where}` (={value!r}) must be {rule}")


def read_record(path: Path, kind: type[Record]) -> Record:
    """Return the dataclass that a file holds.

    Raises:
        ValueError: If the file is no JSON object, or a field is unknown, missing, double, of a
            wrong type, or against the rules of the dataclass; the message starts with the path.
        OSError: If the file cannot be read.
    """
    try:
        value = json.loads(
            path.read_bytes(), object_pairs_hook=_single, parse_constant=_refuse_constant
        )
        record = decode(kind, value, "")
    except (ValueError, RecursionError) as error:  # the latter for a thousand brackets
        raise ValueError(f"{path}: {error}") from error
    assert isinstance(record, kind)
    return record


def _single(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the fields of an object, each of which may stand there once."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"field `{name}` must stand there once, not twice")
        found[name] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name} must be finite")


def decode(kind: object, value: object, where: str) -> object:
    """Return a JSON value as what an annotation asks for.

    Args:
        kind: str, int, float, bool, None, a Literal, a union with None, `tuple[X, ...]`,
            `Mapping[str, X]` or a dataclass of these.
        value: As `json` reads it.
        where: The field's full name, for messages; empty for the whole file.

    Raises:
        ValueError: If the value is something else.

    >>> decode(tuple[float, ...], [1, 0.5], "seconds")
    (1.0, 0.5)
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        names = [str(name) for name in args]
        if not isinstance(value, str) or value not in names:
            broken(where, value, f"one of {', '.join(names)}")
        return value
    if origin in (Union, types.UnionType):
        return None if value is None else decode(_not_none(args), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            broken(where, value, "a list")
        return tuple(decode(args[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if not (origin is not None or is_dataclass(kind)):
        return _plain(kind, value, where)
    if not isinstance(value, dict):
        broken(where or "file", value, "an object")
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind, value, where)
    return {name: decode(args[1], entry, _join(where, name)) for name, entry in value.items()}


def _not_none(args: tuple[object, ...]) -> object:
    """Return the one kind of a union that is not None."""
    (kind,) = (arg for arg in args if arg is not types.NoneType)
    return kind


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _plain(kind: object, value: object, where: str) -> object:
    """Return text, a number or a truth value; a whole number is also a number."""
    if kind is float and type(value) is int:
        return float(value) if abs(value) < LARGEST else broken(where, value, RANGE)
    if type(value) is not kind:
        broken(where, value, _NAMES[kind])  # type: ignore[index]
    if isinstance(value, float) and not math.isfinite(value):  # JSON reads 1e999 as infinite
        broken(where, value, RANGE)
    return value


@functools.cache
def _hints(kind: type) -> dict[str, object]:
    """Return the annotation of each field, in order; worked out once, as a file has hundreds."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _dataclass(kind: type, value: dict[str, object], where: str) -> object:
    """Return the dataclass of an object that has its fields; one with a default may be absent."""
    hints = _hints(kind)
    names = list(hints)
    required = [field.name for field in fields(kind) if field.default is MISSING]
    for name in value:
        if name not in names:
            raise ValueError(
                unknown_name("field", _join(where, name), [_join(where, n) for n in names])
            )
    for name in required:
        if name not in value:
            raise ValueError(f"field `{_join(where, name)}` is missing")
    return kind(**{n: decode(hints[n], value[n], _join(where, n)) for n in names if n in value})


def encode(value: object) -> object:
    """Return dataclasses, mappings and tuples as objects and lists, in the order of their fields.

    >>> encode({"low": (0.5, None)})
    {'low': [0.5, None]}
    """
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: encode(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [encode(entry) for entry in value]
    return value


def to_text(value: object, indent: str = "") -> str:
    """Return JSON with one line for each object or list that holds no other.

    >>> print(to_text({"task": "toy", "scores": {"tau": {"value": 0.5, "low": None}}}))
    {
     "task": "toy",
     "scores": {
      "tau": {"value": 0.5, "low": null}
     }
    }
    """
    if not isinstance(value, dict) or not value:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    if indent and not any(isinstance(entry, dict | list) for entry in value.values()):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    inner = indent + " "
    lines = [f"{inner}{json.dumps(n)}: {to_text(entry, inner)}" for n, entry in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
