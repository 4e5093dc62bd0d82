"""Reads JSON files strictly into frozen dataclasses, and turns dataclasses into JSON.

Reading checks every field and type; errors name the field and its rule. It also refuses unknown
and repeated fields, NaN and infinities.
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
FINITE = "a finite number"
_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def refuse(where: str, value: object, rule: str) -> NoReturn:
    """Raise a `ValueError` that names a field, its value and the rule that the value breaks."""
    raise ValueError(f"`{where}` (={value!r}) must be {rule}")


def read_record(path: Path, kind: type[Record]) -> Record:
    """Return the dataclass stored in a file.

    Raises:
        ValueError: If the file is not a JSON object, or a field is unknown, missing, repeated, of
            the wrong type, or against the rules of the dataclass; the message starts with the path.
        OSError: If the file cannot be read.
    """
    return parse_record(path.read_bytes(), kind, str(path))


def parse_record(text: bytes, kind: type[Record], source: str) -> Record:
    """Return the dataclass that a JSON text holds: a file, or a line of JSON lines.

    Args:
        text: The text, in UTF-8.
        kind: The dataclass.
        source: Where the text is from; every message starts with it.

    Raises:
        ValueError: As for `read_record`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique_fields)
        record = decode(kind, value, "")
    except (ValueError, RecursionError) as error:  # RecursionError: deeply nested brackets
        raise ValueError(f"{source}: {error}") from error
    assert isinstance(record, kind)
    return record


def _unique_fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the fields of a JSON object; a repeated field is an error."""
    result: dict[str, object] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"field `{name}` must appear only once")
        result[name] = value
    return result


def decode(kind: object, value: object, where: str) -> object:
    """Return a JSON value as the type that an annotation asks for.

    Args:
        kind: str, int, float, bool, None, a Literal, a union with None, `tuple[X, ...]`,
            `Mapping[str, X]` or a dataclass of these.
        value: The value as `json` reads it.
        where: Full name of the field, for messages; empty for the top-level object.

    Raises:
        ValueError: If the value has another type.

    >>> decode(tuple[float, ...], [1, 0.5], "seconds")
    (1.0, 0.5)
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        names = [str(name) for name in args]
        if not isinstance(value, str) or value not in names:
            refuse(where, value, f"one of {', '.join(names)}")
        return value
    if origin in (Union, types.UnionType):
        (member,) = (arg for arg in args if arg is not types.NoneType)
        return None if value is None else decode(member, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            refuse(where, value, "a list")
        return tuple(decode(args[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if not (origin is not None or is_dataclass(kind)):
        return _decode_scalar(kind, value, where)
    if not isinstance(value, dict):
        refuse(where or "file", value, "an object")
    if isinstance(kind, type) and is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    return {name: decode(args[1], entry, _join(where, name)) for name, entry in value.items()}


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _decode_scalar(kind: object, value: object, where: str) -> object:
    """Return a text, number or boolean; an integer is accepted as a float."""
    if kind is float and type(value) is int:
        return float(value) if abs(value) < LARGEST else refuse(where, value, FINITE)
    if type(value) is not kind:
        refuse(where, value, _TYPE_NAMES[kind])  # type: ignore[index]
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 is read as infinite
        refuse(where, value, FINITE)
    return value


@functools.cache
def _field_types(kind: type) -> dict[str, object]:
    """Return the type of each field, in order; cached, as a file holds hundreds of records."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _decode_dataclass(kind: type, value: dict[str, object], where: str) -> object:
    """Return a dataclass from its fields; a field with a default may be absent."""
    field_types = _field_types(kind)
    for name in value:
        if name not in field_types:
            known = [_join(where, n) for n in field_types]
            raise ValueError(unknown_name("field", _join(where, name), known))
    for field in fields(kind):
        if field.default is MISSING and field.name not in value:
            raise ValueError(f"field `{_join(where, field.name)}` is missing")
    given = {n: decode(t, value[n], _join(where, n)) for n, t in field_types.items() if n in value}
    return kind(**given)


def encode(value: object) -> object:
    """Return a value with dataclasses and mappings as dicts and tuples as lists, in field order.

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
    """Return JSON text with one line for each innermost object or list.

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
