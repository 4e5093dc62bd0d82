"""The files of finished runs: a row as JSON that ends in a digest of itself."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from benchmark.row_rules import bit_problems
from benchmark.schema import TRAINED_STATUSES, check_row
from benchmark.space.architectures import architecture_id, from_record
from benchmark.space.imagesets import get_images
from benchmark.util.strict_json import parse_json
from generators.workers.planned_run import Row

DIGEST = "sha256"  # last field of a run file: the hash of the file without this field
SUFFIX = ".json"
# Earlier code stored such a row of a run whose workers or machines were lost
_ACCIDENT = r"the (?:worker process died|machine was lost) \d+ times"
_STORED_ACCIDENT = re.compile(f'"status":"failed","status_reason":"({_ACCIDENT})"'.encode())


@dataclass(slots=True)
class RunFiles:
    """What the files of runs are.

    Attributes:
        done: Ids of the finished runs.
        accidents: Reason of each run that has a row because its workers or machines were lost.
        damaged: Files that do not end in the digest of their content, as empty ones.
    """

    done: set[str] = field(default_factory=set)
    accidents: dict[str, str] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)


def look_at_files(folder: Path, names: Iterable[str] | None = None) -> RunFiles:
    """Return what the files of runs are, those of some ids or all; rows are not parsed."""
    stored = {path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}")}
    found = RunFiles()
    for name in sorted(stored if names is None else stored.intersection(names)):
        path = folder / f"{name}{SUFFIX}"
        text = _without_digest(path.read_bytes())
        if text is None:
            found.damaged.append(path)
        elif match := _STORED_ACCIDENT.search(text):
            found.accidents[name] = match[1].decode()
        else:
            found.done.add(name)
    return found


def row_text(row: Row) -> str:
    """Return the content of a run file.

    Raises:
        ValueError: If the row has NaN or an infinity.
    """
    return add_digest(json.dumps(row, separators=(",", ":"), allow_nan=False))


def read_row(path: Path) -> Row:
    """Return the row of a run file.

    Raises:
        ValueError: If the file is not valid, or holds another run; the message names it.
    """
    try:
        text = _without_digest(path.read_bytes())
        if text is None:
            raise ValueError("it does not end with the digest of its content")
        row = cast(Row, parse_json(text))
        check_row(row)
        if row["run_id"] != path.name.removesuffix(SUFFIX):
            raise ValueError(f"it holds run {row['run_id']!r}")
        _check_content(row)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} is damaged ({error}); delete it to train the run again"
        ) from error
    return row


def is_accident(row: Row) -> bool:
    """Return whether a row is that of an accident of the machine, which says nothing of a run."""
    reason = str(row["status_reason"])
    return row["status"] == "failed" and re.fullmatch(_ACCIDENT, reason) is not None


def add_digest(text: str) -> str:
    """Return the content of a run file, from its row as JSON."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"{DIGEST}":"{digest}"}}\n'


def _without_digest(content: bytes) -> bytes | None:
    """Return the row of a run file as JSON; None if it does not end in its digest."""
    start, separator, end = content.rpartition(f',"{DIGEST}":'.encode())
    text = start + b"}"
    is_whole = separator and end == f'"{hashlib.sha256(text).hexdigest()}"}}\n'.encode()
    return text if is_whole else None


def _check_content(row: Row) -> None:
    """Check that the architecture and the bits of a row agree with its other fields."""
    identity = architecture_id(from_record(row["architecture"]))  # type: ignore[arg-type]
    if row["architecture_id"] != identity:
        raise ValueError(
            f"`architecture_id` is {row['architecture_id']!r} and must be {identity!r}"
        )
    images = get_images(str(row["images"]))
    bits = base64.b64decode(str(row["correct"]), validate=True)
    if row["status"] in TRAINED_STATUSES:
        for problem in bit_problems(row, bits, images):
            raise ValueError(problem)
