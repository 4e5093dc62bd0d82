"""Predictors that raise or return odd objects: a failure of their own, and of nobody else."""

import os
import re
import time
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.results.replacing
from benchmark.release import Release
from benchmark.tasks import Task
from benchmark.util.processes import EndedEarlyError
from benchmark.util.text import is_line
from harness.protocol import Prediction, Queries, Runs
from harness.results.result import LONGEST_FAILURE
from harness.results.store import read_result, result_path, write_result
from harness.running.evaluate import evaluate
from harness.running.evaluate_many import Setting, evaluate_many
from harness.running.find_predictor import Candidate, candidate_of
from harness.running.fit_predict import LARGEST_COUNT, counts_of
from tests.toys.data import EPOCHS

Predict = Callable[[Queries], object]


class Unreadable(Exception):
    """Has no message."""

    def __str__(self) -> str:
        raise SystemExit("no message")


class Unpicklable(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__("unpicklable")
        self.file = open(os.devnull)


class Sneaky(np.ndarray[Any, np.dtype[np.float64]]):
    """An array that runs code of its own wherever numpy asks."""

    def __array_finalize__(self, obj: object) -> None:
        if getattr(self, "armed", False):
            raise RuntimeError("finalized")

    def __array_function__(self, *_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    def __array_ufunc__(self, *_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    def astype(self, *_: object, **__: object) -> Any:
        raise SystemExit(4)

    @property  # type: ignore[misc]
    def shape(self) -> Any:
        raise RuntimeError("no shape")


class Number(int):
    """A number that is equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


@dataclass(frozen=True, eq=False)
class Changing(Prediction):
    """Other values whenever they are asked for."""

    def __getattribute__(self, name: str) -> Any:
        if name == "mean":
            return np.full((24, 1), time.perf_counter_ns() % 2, np.float64)
        return super().__getattribute__(name)


class Raising(Prediction):
    """Has no mean."""

    @property
    def mean(self) -> Any:
        raise GeneratorExit


def told(predict: Predict) -> Candidate:
    """Return a predictor with a method of a test."""

    class Told:
        def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None: ...

        def predict(self, queries: Queries) -> object:
            return predict(queries)

    return Candidate("toy", "A toy.", Told)  # type: ignore[arg-type]


def raises(error: BaseException) -> Predict:
    def predict(queries: Queries) -> object:
        raise error

    return predict


def half(queries: Queries) -> Any:
    return np.full((len(queries), 1), 0.5)


def group(queries: Queries) -> object:
    raise BaseExceptionGroup("several", [ValueError("a"), SystemExit(2)])


FAILURES: dict[str, tuple[Predict, str]] = {
    "no message": (raises(Unreadable()), "an exception whose message cannot be read"),
    "surrogate": (raises(ValueError("a\udcff")), "ValueError: a\\udcff"),
    "escapes": (
        raises(ValueError("\x1b]0;x\x07\u202e\nb")),
        "ValueError: \\x1b]0;x\\x07\\u202e; b",
    ),
    "long": (raises(ValueError("é" * 30_000_000)), f"ValueError: {'é' * 30_000}"),
    "exit": (raises(SystemExit(3)), "SystemExit: 3"),
    "generator": (raises(GeneratorExit()), "GeneratorExit"),
    "unpicklable": (raises(Unpicklable(1, 2)), "Unpicklable: unpicklable"),
    "group": (group, "BaseExceptionGroup: several (2 sub-exceptions)"),
    "no mean": (
        lambda queries: Raising.__new__(Raising),
        "AttributeError: 'Raising' object has no attribute 'epochs'",
    ),
    "lazy": (
        lambda queries: (row for row in half(queries)),
        "ValueError: `predict` must return a Prediction, not generator",
    ),
    "list": (
        lambda queries: Prediction(half(queries).tolist(), (EPOCHS,)),
        "ValueError: `mean` must be an array, not list",
    ),
    "endless": (
        lambda queries: Prediction(np.broadcast_to(0.5, (10**9, 10**9)), (EPOCHS,)),
        "ValueError: `mean` must have at most 100,000,000 values, not 1,000,000,000,000,000,000",
    ),
    "objects": (
        lambda queries: Prediction(half(queries).astype(object), (EPOCHS,)),
        "ValueError: `mean` must hold floats, not object",
    ),
    "epochs": (
        lambda queries: Prediction(half(queries), (Number(7),)),
        "ValueError: `epochs` (=(7,)) must be all from 6 to 20, or (20,)",
    ),
    "floats": (
        lambda queries: Prediction(half(queries), (20.0,)),  # type: ignore[arg-type]
        "TypeError: 'float' object cannot be interpreted as an integer",
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_what_a_predictor_raises_is_a_failure_that_is_read_again(
    task: Task, folder: Path, tmp_path: Path, kind: str
) -> None:
    predict, failure = FAILURES[kind]
    result, table = evaluate(told(predict), task, release=Release(folder))
    assert result.status == "failed"
    assert result.failure is not None
    place = re.search(rf" \(({Path(__file__).name}:\d+ in \w+(, )?)+\)$", result.failure)
    most = LONGEST_FAILURE - len(place[0] if place else "")
    shortened = failure if len(failure) <= most else f"{failure[: most - 3]}..."
    assert result.failure == shortened + (place[0] if place else "")
    assert is_line(result.failure, LONGEST_FAILURE)
    write_result(tmp_path, result, table)
    assert read_result(result_path(tmp_path, task.name, "toy")) == result


def test_an_array_of_an_own_class_is_read_by_numpy_alone(task: Task, folder: Path) -> None:
    def sneaky(queries: Queries) -> Prediction:
        mean = half(queries).view(Sneaky)
        mean.armed = True
        return Prediction(mean, (EPOCHS,))

    result, table = evaluate(told(sneaky), task, seeds=1, release=Release(folder))
    assert (result.status, result.failure) == ("scored", None)
    assert table is not None
    assert set(table["mean"].to_pylist()) == {0.5}


def test_an_attribute_is_read_once(task: Task, folder: Path) -> None:
    def changing(queries: Queries) -> Prediction:
        return Changing(half(queries), (EPOCHS,))

    result, table = evaluate(told(changing), task, seeds=1, release=Release(folder))
    assert result.failure is None
    assert table is not None
    assert len(set(table["mean"].to_pylist())) == 1


def test_what_a_predictor_sets_in_numpy_ends_with_it(task: Task, folder: Path) -> None:
    def strict(queries: Queries) -> Prediction:
        np.seterr(all="raise")
        return Prediction(half(queries), (EPOCHS,))

    before = np.geterr()
    result, _ = evaluate(told(strict), task, seeds=1, release=Release(folder))
    assert result.failure is None
    assert np.geterr() == before


class Endless(UserDict[str, int]):
    """A mapping without an end."""

    def items(self) -> Any:
        number = 0
        while True:
            number += 1
            yield f"count {number}", number


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ({"a": 1, "b": True, "c": 1.0, "d": -1, "e": None, "f": "1"}, {"a": 1}),
        ({"a": np.int64(2), "b": np.bool_(True), "c": 2**53, "d": 2**53 + 1, "e": 10**5000},
         {"a": 2, "c": LARGEST_COUNT}),
        ({"\x1b[31m": 1, "": 1, "a\nb": 1, "\ud800": 1, "x" * 61: 1, 3: 1, "é": 1}, {"é": 1}),
        (Endless(), {f"count {n}": n for n in range(1, 101)}),
        ({}, {}),
    ],
    ids=range(5),
)  # fmt: skip
def test_only_counts_that_can_be_stored_are_kept(counts: object, kept: dict[str, int]) -> None:
    predictor = type("Counting", (), {"counts": counts})()
    assert counts_of(predictor) == kept


@pytest.mark.parametrize(
    ("doc", "title"),
    [
        (" \n ", "Toy"), (None, "Toy"), (7, "Toy"), ("\x1b[31mRed\x1b[0m", "\\x1b[31mRed\\x1b[0m"),
        ("\u202eabc", "\\u202eabc"), ("\n\n  A.\nB", "A."), ("x" * 300, f"{'x' * 197}..."),
    ],
    ids=range(7),
)  # fmt: skip
def test_a_title_is_a_line(doc: object, title: str) -> None:
    methods = {name: lambda self: None for name in ("fit", "predict")}
    assert candidate_of(type("Toy", (), {"__doc__": doc, **methods})).title == title


ODD = '''
import os
import sys
import threading

import numpy as np

from harness.protocol import Prediction


class Interrupted:
    """Says Ctrl-C."""

    def fit(self, train, validation, *, observed, seed):
        raise KeyboardInterrupt

    def predict(self, queries): ...


class Moving(Interrupted):
    """Goes elsewhere and leaves."""

    def fit(self, train, validation, *, observed, seed):
        os.chdir("/")

    def predict(self, queries):
        return Prediction(np.full((len(queries), 1), 0.5), (queries.recipe.epochs,))


class Other(Moving): ...


class Fine(Moving):
    """Predicts a half."""

    def fit(self, train, validation, *, observed, seed): ...
'''


def test_an_interrupt_by_a_predictor_is_a_failure_in_its_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.py").write_text(ODD)
    names = [f"odd.py:{name}" for name in ("Interrupted", "Moving", "Fine")]
    setting = Setting(Path("results"), Release(folder), seeds=1)
    interrupted, moving, fine = evaluate_many(names, ["digits-k0-v1"], setting)
    assert (interrupted.status, interrupted.failure) == (
        "failed",
        "the process ended early: KeyboardInterrupt",
    )
    assert (moving.status, fine.status) == ("scored", "scored")
    for result in (interrupted, moving, fine):
        assert read_result(result_path(Path("results"), result.task, result.predictor)) == result


def call_here(call: Callable[[], object], _: object) -> object:
    """Make a call in this process, as a new one would."""
    try:
        return call()
    except KeyboardInterrupt:
        return EndedEarlyError("an interrupt")


def test_a_failure_of_the_harness_comes_after_all_other_results(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Jobs run in threads of this process, where writing the results of two of three fails."""
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    monkeypatch.setattr("benchmark.util.processes.call_in_process", call_here)

    def fail(place: Path, result: Any, table: Any) -> Any:
        if result.predictor == "moving":
            raise OSError(28, "No space left on device", "moving.json")
        if result.predictor == "other":
            raise AttributeError("a mistake in the code")
        return write_result(place, result, table)

    monkeypatch.setattr(harness.results.replacing, "write_result", fail)
    monkeypatch.setattr(os, "chdir", lambda place: None)
    names = [f"{path}:{name}" for name in ("Moving", "Other", "Interrupted", "Fine")]
    setting = Setting(tmp_path / "results", Release(folder), seeds=1, processes=1)
    with pytest.raises((OSError, RuntimeError)) as raised:
        evaluate_many(names, ["digits-k0-v1"], setting)
    texts = f"{raised.value}\n{capsys.readouterr().err}"
    assert "[Errno 28] No space left on device: 'moving.json'" in texts
    assert "AttributeError: a mistake in the code" in texts
    for name, status in (("fine", "scored"), ("interrupted", "failed")):
        assert read_result(result_path(setting.results, "digits-k0-v1", name)).status == status
