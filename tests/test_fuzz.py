"""Files from outside, spoiled at random: refused with path and rule, or scored as they are."""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.release import Release
from benchmark.tasks import Task
from harness.protocol import Prediction
from harness.results.predictions import round_prediction
from harness.results.store import read_result, result_path
from harness.running.submission import FILE, read_submission
from harness.scoring.scores import score_prediction
from harness.task_data import TaskTargets, load_targets
from harness.verification.prediction_file import score_predictions
from harness.verification.rescore import Rescoring, rescore
from tests.toys.data import EPOCHS, toy_release
from tests.toys.submissions import TASK, submit_predictions, toy_predictions, toy_task

# The same examples in every run; a fixture's folder is written anew by each example
FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SPECIAL = [0.0, 1.0, -0.0, 1e-308, 1.5, -1e-9, 50.0, float("nan"), float("inf"), float("-inf")]
OPEN = {"title", "environment", "seconds", "counts", "verification"}  # no predictions prove these


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (1,))


@pytest.fixture(scope="module")
def task(folder: Path) -> Task:
    return toy_task(folder)


@pytest.fixture(scope="module")
def targets(task: Task, folder: Path) -> TaskTargets:
    return load_targets(task, Release(folder))


@pytest.fixture(scope="module")
def table(task: Task, folder: Path) -> pa.Table:
    return toy_predictions(folder, task).sort_by([("run_id", "ascending"), ("epoch", "ascending")])


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("board")
    submit_predictions(folder, place)
    return result_path(place / "results", TASK, "ours")


Found = TypeVar("Found")


def attempt(call: Callable[[], Found]) -> tuple[Found | None, str]:
    """Return what a call returns, or why it refuses; any other error fails the test."""
    try:
        return call(), ""
    except ValueError as error:
        return None, str(error)


Cells = list[tuple[str, int, object]]
CELLS = st.one_of(
    st.tuples(st.just("mean"), st.integers(0, 455), st.sampled_from(SPECIAL) | st.floats(0, 1)),
    st.tuples(st.just("mean"), st.integers(0, 455), st.floats() | st.none()),
    st.tuples(st.just("std"), st.integers(0, 455), st.sampled_from(SPECIAL) | st.none()),
    st.tuples(st.just("epoch"), st.integers(0, 455), st.integers(-(2**31), 2**31 - 1) | st.none()),
    st.tuples(st.just("run_id"), st.integers(0, 455), st.text(max_size=20) | st.none()),
)


@settings(FUZZ, max_examples=80)
@given(
    cells=st.lists(CELLS, max_size=3),
    left_out=st.lists(st.integers(0, 455), max_size=2),
    doubled=st.lists(st.integers(0, 455), max_size=2),
)
def test_predictions_are_scored_as_they_are_or_refused(
    tmp_path: Path,
    task: Task,
    folder: Path,
    targets: TaskTargets,
    table: pa.Table,
    cells: Cells,
    left_out: list[int],
    doubled: list[int],
) -> None:
    columns = table.to_pydict()
    for name, row, value in cells:
        columns[name][row] = value
    rows = [row for row in range(len(table)) if row not in left_out] + doubled
    spoiled = pa.table({name: [values[row] for row in rows] for name, values in columns.items()})
    path = tmp_path / "spoiled.parquet"
    pq.write_table(spoiled, path)
    found, why = attempt(
        lambda: score_predictions(path, task, release=Release(folder), resamples=0)[0]
    )
    if found is None:
        assert cells or left_out or doubled
        assert why.startswith(f"{path}: ")
        return
    assert sorted(rows) == list(range(len(table)))
    order = np.argsort(np.argsort(targets.valid_accuracy.run_ids))
    mean, std = (np.array(columns[n]).reshape(24, EPOCHS - 1)[order] for n in ("mean", "std"))
    epochs = tuple(range(2, EPOCHS + 1))
    given = round_prediction(Prediction(mean, epochs, std))
    expected = score_prediction(targets.valid_accuracy, given.mean, epochs=epochs, std=given.std)
    for stratum, metrics in expected.items():
        values = {name: score.value for name, score in found.scores[stratum].items()}
        assert values == pytest.approx({n: s.value for n, s in metrics.items()}, abs=1e-12)


KINDS = st.sampled_from(
    [pa.string(), pa.large_string(), pa.binary(), pa.bool_(), pa.null(), pa.int8(), pa.uint64(),
     pa.float16(), pa.float32(), pa.float64(), pa.date32(), pa.decimal128(12, 4),
     pa.list_(pa.float64()), pa.dictionary(pa.int32(), pa.string()),
     pa.dictionary(pa.int8(), pa.int64()), pa.dictionary(pa.int32(), pa.float64())]
)  # fmt: skip


@FUZZ
@given(name=st.sampled_from(["run_id", "epoch", "mean", "std", "seed"]), kind=KINDS)
def test_columns_of_any_type_are_read_or_refused(
    tmp_path: Path, task: Task, folder: Path, table: pa.Table, name: str, kind: pa.DataType
) -> None:
    one = table.filter(pa.compute.equal(table["epoch"], EPOCHS))
    values: list[object] = [3] * len(one) if name == "seed" else one[name].to_pylist()
    try:
        column = pa.array(values).cast(kind)
    except pa.ArrowException:
        column = pa.nulls(len(one), kind)
    place = one.column_names.index(name) if name in one.column_names else len(one.column_names)
    kept = one.drop_columns([name]) if name in one.column_names else one
    path = tmp_path / "typed.parquet"
    pq.write_table(kept.add_column(place, name, column), path)
    found, why = attempt(
        lambda: score_predictions(path, task, release=Release(folder), resamples=0)[0]
    )
    if found is None:
        assert why.startswith(f"{path}: ")
        return
    assert found.seeds == ((3,) if name == "seed" and kind != pa.null() else (0,))


@FUZZ
@given(data=st.data())
def test_bytes_of_any_kind_are_read_or_refused(
    tmp_path: Path, task: Task, folder: Path, table: pa.Table, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, write_page_checksum=True)
    content = bytearray(buffer.getvalue())
    path = tmp_path / "bytes.parquet"
    kind = data.draw(st.sampled_from(["cut", "flip", "random", "headed"]))
    if kind == "cut":
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    elif kind == "flip":
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] ^= data.draw(st.integers(1, 255))
    else:
        start = b"PAR1" if kind == "headed" else b""
        content = bytearray(start + data.draw(st.binary(max_size=200)) + start)
    path.write_bytes(content)
    found, why = attempt(
        lambda: score_predictions(path, task, release=Release(folder), resamples=0)[0]
    )
    if found is None:
        assert why.startswith(f"{path}: ")
        return
    assert kind == "flip"  # what is flipped may be of no consequence, as in the writer's name
    assert found.status == "scored"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "low", "tau", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def spoil(record: Any, data: st.DataObject) -> str:
    """Replace or remove a field somewhere in a record, and return the name of the outermost."""
    names: list[str] = []
    while True:
        name = data.draw(st.sampled_from(sorted(record)))
        names.append(name)
        inner = record[name]
        if not isinstance(inner, dict) or not inner or data.draw(st.booleans()):
            break
        record = inner
    if data.draw(st.booleans()):
        del record[name]
    else:
        record[name] = data.draw(JSON)
    return names[0]


@settings(FUZZ, max_examples=80)
@given(data=st.data())
def test_a_result_spoiled_anywhere_is_refused_or_proves_the_same(
    result: Path, folder: Path, data: st.DataObject
) -> None:
    content = result.read_text()
    record = json.loads(content)
    whole = copy.deepcopy(record)
    field = spoil(record, data)
    result.write_text(json.dumps(record))
    found, why = attempt(lambda: rescore(Rescoring(result, False, Release(folder))))
    result.write_text(content)
    if found is None:
        assert why.startswith((f"{result}: ", f"{result.with_suffix('')}."))
    else:
        assert field in OPEN or same_but_for_intervals(record, whole)
    rescore(Rescoring(result, False, Release(folder)))


def same_but_for_intervals(one: Any, other: Any) -> bool:
    """Return whether two records have the same values; intervals are compared elsewhere."""
    if isinstance(one, dict) and isinstance(other, dict):
        kept = [name for name in one if name not in ("low", "high")]
        return set(one) == set(other) and all(
            same_but_for_intervals(one[name], other[name]) for name in kept
        )
    return bool(one == other)


@FUZZ
@given(text=st.text(max_size=60) | JSON.map(json.dumps) | st.integers(10, 100_000).map("[".__mul__))
def test_a_text_is_no_result(result: Path, text: str) -> None:
    content = result.read_text()
    result.write_text(text)
    try:
        with pytest.raises(ValueError, match=r"ours\.json: "):
            read_result(result)
    finally:
        result.write_text(content)


FIELDS = st.sampled_from(
    ["name", "title", "authors", "kind", "tasks", "predictor", "requirement", "seeds",
     "fit_seconds", "predict_seconds", "hardware", "contact", "url", "date", "other"]
)  # fmt: skip


@FUZZ
@given(
    fields=st.dictionaries(FIELDS, JSON, max_size=4) | st.text(max_size=80),
    dropped=st.lists(FIELDS, max_size=1),
)
def test_a_submission_of_any_content_is_read_or_refused(
    tmp_path: Path, fields: dict[str, object] | str, dropped: list[str]
) -> None:
    good = {"name": "a", "title": "A", "authors": "B", "kind": "predictions", "tasks": ["c"]}
    path = tmp_path / FILE
    if isinstance(fields, str):
        path.write_text(fields)
    else:
        kept = {name: value for name, value in good.items() if name not in dropped}
        path.write_text(yaml.safe_dump(kept | fields))
    found, why = attempt(lambda: read_submission(tmp_path))
    if found is None:
        assert why.startswith(f"{path}: ")
        assert "\n" not in why
        return
    assert not isinstance(fields, str)
    assert "other" not in fields
    assert all(getattr(found, name) is not None for name in good)
