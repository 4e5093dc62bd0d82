"""What comes back from an isolated process: plain numbers, checked before they are used."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.release import Release
from harness.protocol import Prediction
from harness.task_data import TaskData
from harness.verification.isolated_process import Limits, fit_in_isolation
from harness.verification.isolation.launch import find_way, isolation_text
from harness.verification.isolation.transfer import (
    HEADER_BYTES,
    Fitted,
    Inputs,
    from_bytes,
    most_bytes,
    to_bytes,
)
from tests.toys.submissions import CODE

NETWORKS = 24


@pytest.fixture
def inputs(parts: TaskData) -> Inputs:
    queries = parts.queries
    few = queries.take(np.arange(2))
    return Inputs("x", parts.train, parts.validation, (queries, few), (0, 1))


def fitted(inputs: Inputs, *, std: bool) -> list[Fitted]:
    rng = np.random.default_rng(0)
    predictions = tuple(
        Prediction(rng.random((len(q), 1)), (20,), rng.random((len(q), 1)) + 0.1 if std else None)
        for q in inputs.queries
    )
    return [Fitted(predictions, {"fits": 3}), Fitted(predictions, {})]


@pytest.mark.parametrize("std", [False, True])
def test_what_is_given_back_is_what_was_predicted(inputs: Inputs, std: bool) -> None:
    given = fitted(inputs, std=std)
    content = to_bytes(None, given)
    assert len(content) <= most_bytes(inputs)
    for one, other in zip(from_bytes(content, inputs), given, strict=True):
        assert one.counts == other.counts
        for a, b in zip(one.predictions, other.predictions, strict=True):
            assert a.epochs == b.epochs
            assert np.array_equal(a.mean, b.mean)
            assert (a.std is None) == (b.std is None) == (not std)


def header(**fields: object) -> bytes:
    """Return a first line for one call with 24 queries and one with 2, with fields replaced."""
    shape = {"epochs": [20], "std": False} | {k: v for k, v in fields.items() if k != "counts"}
    fit = {"predictions": [shape, shape], "counts": fields.get("counts", {})}
    return json.dumps({"failure": None, "fits": [fit, fit]}).encode() + b"\n"


NUMBERS = np.full(2 * (NETWORKS + 2), 0.5).tobytes()
LONG = "no \x1b[31mluck\u202e" + "!" * 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it must print a line of at most 65,536 bytes first"),
        (b"x" * (HEADER_BYTES + 1), "it must print a line of at most 65,536 bytes first"),
        (b"\x80\x04N.\n", "its first line: line 1 is not in UTF-8; save the file in UTF-8"),
        (b"[]\n", "its first line: `file` (=[]) must be an object"),
        (b"[" * 9999 + b"\n", "its first line: "),
        (b'{"failure": null, "fits": []}\n', "it must give 2 predictions for each seed"),
        (header(), "its predictions end after 0 bytes"),
        (header() + NUMBERS[8:], "its predictions end after 408 bytes"),
        (header() + NUMBERS + b"more", "it printed 4 bytes more than its predictions"),
        (header(epochs=[5, 20]) + NUMBERS * 2, "`epochs` (=(5, 20)) must be all from 6 to 20, or "
         "(20,)"),
        (header(epochs=[]) + b"", "`epochs` (=()) must be all from 6 to 20, or (20,)"),
        (header(epochs=[20] * 999) + NUMBERS, "its predictions end after 416 bytes"),
        (header() + NUMBERS.replace(NUMBERS[:8], np.float64("nan").tobytes()), "`mean` of query "
         "'q0000' at epoch 20 (=nan) must be finite (24 of 24 are not)"),
        (header(counts={"a\nb": 1}) + NUMBERS, "`counts` (='a\\nb') must be one non-empty line of "
         "at most 60 printable characters"),
        (header(counts={"": 1}) + NUMBERS, "`counts` (='') must be one non-empty line of at most "
         "60 printable characters"),
        (header(counts={"a": -1}) + NUMBERS, "`counts.a` (=-1) must be in 0..9007199254740992"),
        (header(counts={"a": 2**54}) + NUMBERS, f"`counts.a` (={2**54}) must be in 0..{2**53}"),
        (header(counts={f"a{i}": 1 for i in range(101)}) + NUMBERS,
         "`counts` must have at most 100 entries, not 101"),
        (to_bytes(LONG, []), "no \\x1b[31mluck\\u202e" + "!" * 200),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(inputs: Inputs, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as error:
        from_bytes(content, inputs)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 300


def test_random_bytes_are_refused_in_one_line(inputs: Inputs) -> None:
    rng = np.random.default_rng(0)
    whole = to_bytes(None, fitted(inputs, std=True))
    for _ in range(500):
        content = bytearray(whole[: rng.integers(len(whole))])
        for place in rng.integers(max(1, len(content)), size=3):
            content[place : place + 1] = rng.bytes(1)
        with pytest.raises(ValueError, match=r"^.{1,300}$"):
            from_bytes(bytes(content), inputs)


FLOOD = """
        import contextlib, os
        for descriptor in range(3, 20):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"x" * 10**6)
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("        raise SystemExit('no\\x07 luck')\n", "SystemExit: no\\x07 luck"),
        ("        import os; os._exit(7)\n", "exit code 7"),
        ("        import os; os._exit(0)\n", "it must print a line of at most 65,536 bytes first"),
        ("        from benchmark.release import load_runs; load_runs('digits', 'test')\n",
         "FileNotFoundError: no runs at '"),
        (FLOOD, "it printed more than "),
    ],
)  # fmt: skip
def test_a_failure_says_how_the_code_was_isolated(
    folder: Path, parts: TaskData, tmp_path: Path, body: str, message: str
) -> None:
    path = tmp_path / "net.py"
    path.write_text(CODE.replace("        self.runs = len(train)\n", body))
    inputs = replace(inputs_of(parts), predictor="net.py:Sizes")
    start = f"the predictor failed in {isolation_text(find_way().measures)}: "
    with pytest.raises(ValueError, match=f"^{re.escape(start + message)}"):
        fit_in_isolation(inputs, {path.name: path}, Release(folder), Limits(5))


def inputs_of(parts: TaskData) -> Inputs:
    return Inputs("x", parts.train, parts.validation, (parts.queries,), (0,))
