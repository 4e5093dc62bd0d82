"""Reads JSON files strictly into frozen dataclasses, and turns dataclasses into JSON.

Reading checks every field and type; errors name the field and its rule. It also refuses unknown
and repeated fields, NaN and infinities, text that is not in UTF-8, and files above `MOST_BYTES`.
"""

import functools
import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from benchmark.util.unknown_name import text_of, unknown_name

Record = TypeVar("Record")
MOST_BYTES = 16_000_000  # of a file
LONGEST_NAME, LONGEST_VALUE = 100, 300  # characters of a field's name and value in a message
LARGEST = 1e300
FINITE = "a finite number"
NESTED = "its brackets must be nested less deeply"
SURROGATES = re.compile("[\ud800-\udfff]")  # of UTF-16; no file in UTF-8 can hold them
_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def refuse(where: str, value: object, rule: str) -> NoReturn:
    """Raise a `ValueError` that names a field, its value and the rule that the value breaks."""
    shown = repr(value)
    if len(shown) > LONGEST_VALUE:
        shown = f"{shown[:LONGEST_VALUE]}..."
    raise ValueError(f"`{where}` (={shown}) must be {rule}")


def read_record(path: Path, kind: type[Record]) -> Record:
    """Return the dataclass stored in a file.

    Raises:
        ValueError: If the file is not a JSON object, or a field is unknown, missing, repeated, of
            the wrong type, or against the rules of the dataclass; the message starts with the path.
        OSError: If the file cannot be read.
    """
    return parse_record(read_limited(path), kind, str(path))


def read_mapping(path: Path, kind: type[Record]) -> dict[str, Record]:
    """Return the dataclasses, or other values of one type, that a file holds by name.

    Raises:
        ValueError: As for `read_record`.
        OSError: If the file cannot be read.
    """
    mapping = types.GenericAlias(dict, (str, kind))
    return cast(dict[str, Record], _parse(read_limited(path), mapping, str(path)))


def read_limited(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ValueError: If it has more than `MOST_BYTES`; the message starts with the path.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: it must have at most {MOST_BYTES:,} bytes")
    return content


def parse_record(text: bytes, kind: type[Record], source: str) -> Record:
    """Return the dataclass that a JSON text holds: a file, or a line of JSON lines.

    Args:
        text: The text, in UTF-8.
        kind: The dataclass.
        source: Where the text is from; every message starts with it.

    Raises:
        ValueError: As for `read_record`.
    """
    return cast(Record, _parse(text, kind, source))


def _parse(text: bytes, kind: object, source: str) -> object:
    """Return the value of the given type that a JSON text holds."""
    try:
        return decode(kind, parse_json(text), "")
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    except RecursionError as error:  # in the representation of a value
        raise ValueError(f"{source}: {NESTED}") from error


def parse_json(text: bytes) -> object:
    """Return the value of a JSON text, whose types are not checked yet.

    Raises:
        ValueError: If the text is empty or not JSON in UTF-8, repeats a field, or is nested too
            deeply.
    """
    if not text.strip():
        raise ValueError("it is empty")
    try:
        return json.loads(text_of(text), object_pairs_hook=_unique_fields)
    except RecursionError as error:
        raise ValueError(NESTED) from error


def _unique_fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the fields of a JSON object; a repeated field is an error."""
    result: dict[str, object] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"field `{name[:LONGEST_NAME]}` must appear only once")
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
    for name in value:
        _decode_scalar(str, name, where or "file")
    return {name: decode(args[1], entry, _join(where, name)) for name, entry in value.items()}


def _join(where: str, name: str) -> str:
    short = name[:LONGEST_NAME]
    return f"{where}.{short}" if where else short


def _decode_scalar(kind: object, value: object, where: str) -> object:
    """Return a text, number or boolean; an integer is accepted as a float."""
    if kind is float and type(value) is int:
        return float(value) if abs(value) < LARGEST else refuse(where, value, FINITE)
    if type(value) is not kind:
        refuse(where, value, _TYPE_NAMES[kind])  # type: ignore[index]
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 is read as infinite
        refuse(where, value, FINITE)
    if isinstance(value, str) and not value.isascii() and SURROGATES.search(value):
        refuse(where, value, "text without lone surrogates")
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
            raise ValueError(unknown_name("field", _join(where, str(name)), known))
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
