"""Files of predictions: scored without executing anything, or refused with the reason."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.release import Release
from benchmark.tasks import Task
from harness.protocol import Array
from harness.results.predictions import STEP
from harness.results.store import write_result
from harness.scoring.scores import score_prediction
from harness.task_data import TaskTargets, load_targets
from harness.verification.prediction_file import score_predictions
from tests.toys.data import EPOCHS, toy_release

ROOT = Path(__file__).parents[2]
OBSERVED = 5
LATER = tuple(range(OBSERVED + 1, EPOCHS + 1))
NETWORKS = 24
Columns = dict[str, list[object]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (OBSERVED,))


@pytest.fixture(scope="module")
def task(folder: Path) -> Task:
    return Release(folder).task(f"digits-k{OBSERVED}-v1")


@pytest.fixture(scope="module")
def targets(task: Task, folder: Path) -> TaskTargets:
    return load_targets(task, Release(folder))


def halved(targets: TaskTargets) -> Array:
    """Return half of each true accuracy, rounded as it is stored."""
    return np.round(targets.valid_accuracy.curves / 2 / STEP) * STEP


def columns(targets: TaskTargets, epochs: tuple[int, ...] = LATER) -> Columns:
    """Return valid predictions sorted by run: half of the true accuracies."""
    halves = dict(zip(targets.valid_accuracy.run_ids, halved(targets), strict=True))
    pairs = [(run_id, epoch) for run_id in sorted(halves) for epoch in epochs]
    return {
        "run_id": [run_id for run_id, _ in pairs],
        "epoch": [epoch for _, epoch in pairs],
        "mean": [float(halves[run_id][epoch - 1]) for run_id, epoch in pairs],
        "std": [0.125] * len(pairs),
    }


def write(path: Path, table: Columns | pa.Table) -> Path:
    pq.write_table(pa.table(table) if isinstance(table, dict) else table, path)
    return path


@pytest.mark.parametrize("epochs", [LATER, (EPOCHS,)])
@pytest.mark.parametrize("std", [True, False])
def test_predictions_in_any_order_get_the_scores_of_their_values(
    task: Task,
    folder: Path,
    targets: TaskTargets,
    tmp_path: Path,
    epochs: tuple[int, ...],
    std: bool,
) -> None:
    given = columns(targets, epochs)
    if not std:
        del given["std"]
    shuffled = np.random.default_rng(0).permutation(len(given["epoch"]))
    path = write(tmp_path / "My Halves.parquet", pa.table(given).take(pa.array(shuffled)))
    result, table = score_predictions(path, task, release=Release(folder))
    mean = halved(targets)[:, np.array(epochs) - 1]
    spread = np.full(mean.shape, 0.125) if std else None
    expected = score_prediction(targets.valid_accuracy, mean, epochs=epochs, std=spread)
    found = {s: {n: v.value for n, v in m.items()} for s, m in result.scores.items()}
    assert found == {s: {n: v.value for n, v in m.items()} for s, m in expected.items()}
    assert result.scores["test"]["tau"].value == 1.0
    assert (result.predictor, result.verification) == ("my-halves", "rescored")
    assert (result.flags, result.seconds) == ((), None)
    assert result.title == "Predictions of My Halves.parquet"
    assert result.task_digest == task.digest
    assert table is not None
    assert table["run_id"].to_pylist() == given["run_id"]
    assert table["mean"].to_pylist() == given["mean"]
    write_result(tmp_path, result, table)


def test_text_of_other_widths_and_narrow_numbers_are_read(
    task: Task, folder: Path, targets: TaskTargets, tmp_path: Path
) -> None:
    given = columns(targets, (EPOCHS,))
    table = pa.table(
        {
            "run_id": pa.array(given["run_id"], pa.large_string()).dictionary_encode(),
            "epoch": pa.array(given["epoch"], pa.uint8()),
            "mean": pa.array(np.array(given["mean"], np.float32)),
            "std": pa.nulls(NETWORKS, pa.float32()),
        }
    )
    result, rows = score_predictions(
        write(tmp_path / "a.parquet", table), task, release=Release(folder)
    )
    assert "nll" not in result.scores["test"]
    assert rows is not None
    assert rows["std"].null_count == NETWORKS


def test_columns_without_a_value_are_as_if_they_were_not_there(
    task: Task, folder: Path, targets: TaskTargets, tmp_path: Path
) -> None:
    given = columns(targets)
    del given["std"]
    plain = score_predictions(write(tmp_path / "a.parquet", given), task, release=Release(folder))
    table = pa.table({**given, "std": pa.nulls(360), "seed": pa.nulls(360)})
    result, _ = score_predictions(
        write(tmp_path / "a.parquet", table), task, release=Release(folder)
    )
    assert result == plain[0]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("seed", pa.array([3, 2**31] * 180), "`seed` of row 1 (=2147483648) must be from "
         "-2147483647 to 2147483647 (180 rows break this rule)"),
        ("seed", pa.array([2**63 + 5] * 360, pa.uint64()), "`seed` of row 0 (=9223372036854775813) "
         "must be from -2147483647 to 2147483647 (360 rows break this rule)"),
        ("epoch", pa.array([2**64 - 1] * 360, pa.uint64()), "`epoch` of row 0 "
         "(=18446744073709551615) must be from -2147483647 to 2147483647 (360 rows break this "
         "rule)"),
        ("mean", pa.nulls(360), "column 'mean' must hold floats, not null"),
        ("__index_level_0__", pa.array(range(360)), "column '__index_level_0__' is the index of "
         "pandas; write with index=False"),
        ("Unnamed: 0", pa.array(range(360)), "column 'Unnamed: 0' is the index of pandas; write "
         "with index=False"),
    ],
)  # fmt: skip
def test_columns_of_odd_types_are_refused_and_never_wrapped(
    task: Task, targets: TaskTargets, tmp_path: Path, name: str, values: pa.Array, message: str
) -> None:
    path = write(tmp_path / "a.parquet", pa.table({**columns(targets), name: values}))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        score_predictions(path, task, targets=targets)


def spoil(name: str, row: int, *values: object) -> Callable[[Columns], None]:
    """Return a change that replaces entries of a column from a row on."""

    def change(given: Columns) -> None:
        given[name][row : row + len(values)] = list(values)

    return change


def without(*rows: int) -> Callable[[Columns], None]:
    def change(given: Columns) -> None:
        for values in given.values():
            values[:] = [value for row, value in enumerate(values) if row not in rows]

    return change


def twice(*rows: int) -> Callable[[Columns], None]:
    def change(given: Columns) -> None:
        for values in given.values():
            values += [values[row] for row in rows]

    return change


def remove(name: str) -> Callable[[Columns], None]:
    def change(given: Columns) -> None:
        del given[name]

    return change


def add(name: str) -> Callable[[Columns], None]:
    def change(given: Columns) -> None:
        given[name] = given["mean"]

    return change


def retype(name: str, kind: Callable[[object], object]) -> Callable[[Columns], None]:
    def change(given: Columns) -> None:
        given[name] = [kind(value) for value in given[name]]

    return change


FIRST, SECOND = "{first!r}", "{second!r}"  # the first two runs by id, and the task
MESSAGES: list[tuple[Callable[[Columns], None], str]] = [
    (
        without(*range(len(LATER))),
        f"run {FIRST} of task {{task!r}} must be given (1 of 24 runs are missing)",
    ),
    (
        without(*range(24 * len(LATER))),
        f"run {FIRST} of task {{task!r}} must be given (24 of 24 runs are missing)",
    ),
    (without(0), f"run {FIRST} at epoch 6 must be given"),
    (without(3, 15), f"run {FIRST} at epoch 9 must be given (2 rows break this rule)"),
    (twice(1), f"run {FIRST} at epoch 7 must be given once, not more often"),
    (
        twice(1, 16),
        f"run {FIRST} at epoch 7 must be given once, not more often (2 rows break this rule)",
    ),
    (
        spoil("run_id", 2, "nobody", "nothing"),
        "run 'nobody' is unknown; task {task!r} asks only for test and heldout "
        "(2 of 26 runs break this rule)",
    ),
    (
        spoil("run_id", 0, "{train}"),
        "run {train!r} is in the split train; task {task!r} asks only for test and heldout "
        "(1 of 25 runs break this rule)",
    ),
    (spoil("epoch", 15, 5), f"epoch 5 of run {SECOND} must be from 6 to 20"),
    (
        spoil("epoch", 0, 21, 0),
        f"epoch 21 of run {FIRST} must be from 6 to 20 (2 rows break this rule)",
    ),
    (spoil("mean", 16, float("nan")), f"`mean` of run {SECOND} at epoch 7 (=nan) must be finite"),
    (
        spoil("mean", 0, float("inf"), float("-inf")),
        f"`mean` of run {FIRST} at epoch 6 (=inf) must be finite (2 of 360 are not)",
    ),
    (spoil("mean", 0, None), f"`mean` of run {FIRST} at epoch 6 (=nan) must be finite"),
    (spoil("mean", 0, 50.0), f"`mean` of run {FIRST} at epoch 6 (=50.0) must be in [0, 1]"),
    (
        spoil("mean", 1, -0.5, 1.5),
        f"`mean` of run {FIRST} at epoch 7 (=-0.5) must be in [0, 1] (2 of 360 are not)",
    ),
    (spoil("std", 0, 0.0), f"`std` of run {FIRST} at epoch 6 (=0.0) must be above 0"),
    (
        spoil("std", 2, -1.0, 0.0),
        f"`std` of run {FIRST} at epoch 8 (=-1.0) must be above 0 (2 of 360 are not)",
    ),
    (spoil("std", 0, float("inf")), f"`std` of run {FIRST} at epoch 6 (=inf) must be finite"),
    (
        spoil("std", 0, None),
        f"`std` of run {FIRST} is null; it must be given in all rows or in none",
    ),
    (
        spoil("std", 0, None, None),
        f"`std` of run {FIRST} is null; it must be given in all rows or in none "
        "(2 rows break this rule)",
    ),
    (spoil("run_id", 4, None), "`run_id` of row 4 must be given"),
    (spoil("epoch", 4, None, None), "`epoch` of row 4 must be given (2 rows break this rule)"),
    (remove("mean"), "column 'mean' is missing; given: 'run_id', 'epoch', 'std'"),
    (
        add("means"),
        "unknown column 'means'; did you mean 'mean'? Known: run_id, epoch, mean, std, seed",
    ),
    (retype("run_id", lambda value: 7), "column 'run_id' must hold text, not int64"),
    (retype("epoch", float), "column 'epoch' must hold integers, not double"),  # type: ignore[arg-type]
    (retype("mean", str), "column 'mean' must hold floats, not string"),
    (retype("std", lambda value: 1), "column 'std' must hold floats, not int64"),
]


@pytest.mark.parametrize(("change", "message"), MESSAGES, ids=[m for _, m in MESSAGES])
def test_a_file_that_breaks_a_rule_is_refused_with_the_first_offender(
    task: Task,
    folder: Path,
    targets: TaskTargets,
    tmp_path: Path,
    change: Callable[[Columns], None],
    message: str,
) -> None:
    given = columns(targets)
    change(given)
    train = task.parts["train"][0]
    given_ids = given["run_id"]
    given["run_id"] = [train if run_id == "{train}" else run_id for run_id in given_ids]
    path = tmp_path / "predictions.parquet"
    if given["run_id"]:
        write(path, given)
    else:
        write(path, pa.table(columns(targets)).slice(0, 0))
    first, second = sorted(targets.valid_accuracy.run_ids)[:2]
    message = message.format(first=first, second=second, train=train, task=task.name)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        score_predictions(path, task, release=Release(folder))


def test_a_column_that_is_there_twice_is_refused(
    task: Task, folder: Path, targets: TaskTargets, tmp_path: Path
) -> None:
    table = pa.table(columns(targets))
    path = write(tmp_path / "a.parquet", table.append_column("mean", table["mean"]))
    message = re.escape(f"{path}: column 'mean' must be given once")
    with pytest.raises(ValueError, match=f"^{message}$"):
        score_predictions(path, task, release=Release(folder))


PARQUET = "predictions must be a Parquet file, but the file"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"run_id,epoch,mean\na,20,0.5\n", f"{PARQUET} starts with b'run_'"),
        (b"", f"{PARQUET} is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 4\n",
         "it is a pointer of Git LFS; `git lfs pull` fetches the file"),
    ],
)  # fmt: skip
def test_anything_but_parquet_is_refused(
    task: Task, tmp_path: Path, content: bytes, found: str
) -> None:
    path = tmp_path / "predictions.csv"
    path.write_bytes(content)
    message = re.escape(f"{path}: {found}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        score_predictions(path, task)


def test_a_damaged_file_is_refused(task: Task, targets: TaskTargets, tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", columns(targets))
    path.write_bytes(path.read_bytes()[:-20])
    start = re.escape(f"{path}: the Parquet file is damaged: ")
    with pytest.raises(ValueError, match=f"^{start}.+$"):
        score_predictions(path, task)


def test_a_file_that_is_not_there_is_named(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(FileNotFoundError, match=f"{re.escape(str(path))}'$"):
        score_predictions(path, task)


def test_scoring_predictions_loads_no_torch() -> None:
    code = (
        "import sys, harness.verification.prediction_file, harness.verification.predictor_rules;"
        "import harness.running.evaluate_many, harness.results.ceiling;"
        "print({'torch', 'sklearn'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
