"""Tasks: what freezes them, what their digest sees, and what it does not."""

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from benchmark.publish.freeze import freeze, write_task
from benchmark.publish.verify import verify_release
from benchmark.release import Release, load_runs
from benchmark.runs import read_table, rows_to_table, split_path, write_table
from benchmark.schema import EPOCH_SERIES
from benchmark.space.splits import SPLITS
from benchmark.tasks import INITIAL, Task
from benchmark.tasks_cli import task as command
from tests.toys.campaign import edit, published_rows, toy_release
from tests.toys.data import changed_task

MEASURED = [name for name in EPOCH_SERIES if name != "epoch_seconds"]
DIGESTED = [
    "architecture_id", "paired_architecture_id", "skeleton", "images", "recipe_id", "status",
    "architecture", *INITIAL, "train_loss_tenths", *MEASURED,
]  # fmt: skip
OTHER: dict[str, object] = {
    "skeleton": "deep-3x3",
    "architecture_id": "0123456789abcdef",
    "paired_architecture_id": "0123456789abcdef",
    "images": "mnist",
    "recipe_id": "0123456789ab",
    "architecture": {"skeleton": "deep-3x3", "widths": [8, 16, 32], "blocks": []},
    "initial_valid_loss": 9.0,
    "initial_valid_accuracy": 0.5,
    "status": "failed",
    "train_loss_tenths": [0.5] * 20,
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def task(original: Path) -> Task:
    return freeze("digits", 1, Release(original))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of the release, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "data"))


def test_a_task_asks_for_all_networks_once(original: Path, task: Task) -> None:
    assert (task.name, task.images, task.observed, task.epochs) == ("digits-k1-v1", "digits", 1, 2)
    assert (task.target, task.second_target, task.classes) == (
        "valid_accuracy",
        "test_accuracy",
        10,
    )
    assert list(task.parts) == list(SPLITS)
    for split, ids in task.parts.items():
        table = load_runs("digits", split, release=Release(original))
        rows = [(r["run_id"], r["seed"]) for r in table.select(["run_id", "seed"]).to_pylist()]
        assert list(ids) == sorted(name for name, seed in rows if seed == 0)
    assert re.fullmatch("[0-9a-f]{64}", task.digest)
    other = freeze("digits", 0, Release(original))
    assert other.rows_digest == task.rows_digest  # k is no part of the rows
    assert other.digest != task.digest


def test_data_without_all_splits_has_no_tasks(folder: Path) -> None:
    for split in ("validation", "heldout"):
        split_path("digits", split, folder).unlink()
    message = (
        "there are no runs of 'digits' in validation, heldout; a task needs all four splits: plan "
        "more networks, or merge into a copy of the release"
    )
    with pytest.raises(FileNotFoundError, match=f"^{message}$"):
        freeze("digits", 1, Release(folder))


@pytest.mark.parametrize(("status", "taken"), [("diverged", True), ("failed", False)])
def test_runs_that_ended_for_other_reasons_are_no_part(
    folder: Path, task: Task, status: str, taken: bool
) -> None:
    name = edit(folder, "heldout", 0, status=status)
    assert (name in freeze("digits", 1, Release(folder)).parts["heldout"]) is taken
    assert name in task.parts["heldout"]


def test_a_task_written_and_read_is_the_same(task: Task, tmp_path: Path) -> None:
    path = write_task(task, Release(tmp_path))
    assert path == tmp_path / "tasks" / "digits-k1-v1.json"
    assert Release(tmp_path).task("digits-k1-v1") == task
    assert Release(tmp_path).task_names() == ["digits-k1-v1"]
    assert json.loads(path.read_text())["digest"] == task.digest


def test_a_frozen_task_is_never_overwritten(task: Task, tmp_path: Path) -> None:
    path = write_task(task, Release(tmp_path))
    before = path.read_bytes()
    write_task(task, Release(tmp_path))  # the same content again is fine
    message = (
        "task 'digits-k1-v1' is frozen with other rows; a changed task needs another version, "
    )
    with pytest.raises(FileExistsError, match=f"^{re.escape(message)}such as 2$"):
        write_task(changed_task(task, rows_digest="0" * 64), Release(tmp_path))
    assert path.read_bytes() == before


def test_the_command_freezes_a_version_and_signs_the_release(folder: Path) -> None:
    words = ["freeze", "digits", "--observed", "0", "--observed", "1", "--version", "3"]
    result = CliRunner().invoke(command, [*words, "--folder", str(folder)])
    assert result.exit_code == 0
    paths = [folder / "tasks" / f"digits-k{k}-v3.json" for k in (0, 1)]
    assert result.stdout.splitlines() == [str(path) for path in paths]
    assert [Release(folder).task(path.stem).observed for path in paths] == [0, 1]
    assert verify_release(folder) == []


def test_an_unknown_task_gives_the_nearest(task: Task, tmp_path: Path) -> None:
    write_task(task, Release(tmp_path))
    message = "unknown task 'digits-k2-v1'; did you mean 'digits-k1-v1'? Known: digits-k1-v1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Release(tmp_path).task("digits-k2-v1")


@pytest.mark.parametrize("observed", [-1, 2, 20])
def test_observed_epochs_out_of_range_are_refused(original: Path, observed: int) -> None:
    message = f"`observed` (={observed}) must be in 0..1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        freeze("digits", observed, Release(original))


@pytest.mark.parametrize("epochs", [0, 1_001, 3_000_000_000])
def test_epochs_of_a_task_are_bounded_before_anything_is_sized_by_them(
    task: Task, epochs: int
) -> None:
    message = f"`epochs` (={epochs}) must be in 1..1000"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        changed_task(task, epochs=epochs)


def test_a_version_is_in_the_name_and_no_part_of_the_rows(original: Path, task: Task) -> None:
    second = freeze("digits", 1, Release(original), version=2)
    assert (second.name, second.rows_digest) == ("digits-k1-v2", task.rows_digest)
    with pytest.raises(ValueError, match=r"^`version` \(=0\) must be at least 1$"):
        freeze("digits", 1, Release(original), version=0)


def test_rows_that_changed_get_the_next_version_and_others_keep_theirs(folder: Path) -> None:
    release = Release(folder)

    def frozen(observed: int) -> str:
        return write_task(freeze("digits", observed, release), release).stem

    assert [frozen(0), frozen(0), frozen(1)] == ["digits-k0-v1", "digits-k0-v1", "digits-k1-v1"]
    write_task(freeze("digits", 0, release, version=9), release)
    edit(folder, "heldout", 0, status="diverged")
    assert [frozen(1), frozen(0)] == ["digits-k1-v10", "digits-k0-v10"]


def test_rows_of_a_task_are_sorted_and_of_its_part(original: Path, task: Task) -> None:
    for split in SPLITS:
        rows = Release(original).task_rows(task, split)
        assert tuple(rows.column("run_id").to_pylist()) == task.parts[split]


def test_added_rows_do_not_change_the_digest(original: Path, folder: Path, task: Task) -> None:
    for split in SPLITS:  # only the first seed, in another order
        path = split_path("digits", split, folder)
        rows = read_table(path).filter(pc.equal(read_table(path).column("seed"), 0))
        write_table(rows.take(list(range(len(rows)))[::-1]), path)
        assert len(rows) == len(task.parts[split])
    assert freeze("digits", 1, Release(folder)).digest == task.digest
    repeats = sum(len(load_runs("digits", split, release=Release(original))) for split in SPLITS)
    assert repeats > sum(map(len, task.parts.values()))  # the original has more, and agrees
    Release(original).task_tables(task)
    Release(folder).task_tables(task)


def test_added_columns_do_not_change_the_digest(folder: Path, task: Task) -> None:
    path = split_path("digits", "test", folder)
    table = read_table(path)
    write_table(table.append_column("colour", pa.array(["red"] * len(table))), path)
    Release(folder).task_tables(task)


@pytest.mark.parametrize("name", DIGESTED)
def test_one_changed_value_changes_the_digest(folder: Path, task: Task, name: str) -> None:
    edit(folder, "heldout", 0, **{name: OTHER.get(name, [0.125, 0.25])})
    splits = [("digits", Release(folder).task_rows(task, split)) for split in SPLITS]
    message = (
        "the rows of task 'digits-k1-v1' have digest "
        f"{Release(folder).rows_digest(splits)}, not {task.rows_digest} as when frozen"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Release(folder).task_tables(task)


@pytest.mark.parametrize(
    ("field", "value"),
    [("observed", 0), ("epochs", 3), ("classes", 2), ("second_target", "valid_accuracy")],
)
def test_an_edited_field_of_a_task_is_refused(
    task: Task, tmp_path: Path, field: str, value: object
) -> None:
    path = write_task(task, Release(tmp_path))
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    message = rf"`digest` \(='{task.digest}'\) must be '[0-9a-f]{{64}}', that of the fields$"
    with pytest.raises(ValueError, match=message):
        Release(tmp_path).task(task.name)


@pytest.mark.parametrize("name", ["epoch_seconds", "device", "generator_version"])
def test_times_and_devices_are_no_part_of_the_digest(folder: Path, task: Task, name: str) -> None:
    value: object = [9.0, 9.0] if name == "epoch_seconds" else "another"
    edit(folder, "heldout", 0, **{name: value})
    Release(folder).task_tables(task)


def test_a_missing_run_is_named(folder: Path, task: Task) -> None:
    path = split_path("digits", "test", folder)
    rows = [r for r in published_rows(path) if r["run_id"] not in task.parts["test"][1:3]]
    write_table(rows_to_table(rows), path)
    message = (
        "the data lacks 2 'test' runs of task 'digits-k1-v1'; the first is "
        f"{task.parts['test'][1]!r}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Release(folder).task_tables(task)


def test_a_run_that_is_there_twice_is_named(folder: Path, task: Task) -> None:
    path = split_path("digits", "test", folder)
    rows = published_rows(path)
    asked = [r for r in rows if r["run_id"] in task.parts["test"]]
    write_table(rows_to_table([*rows, asked[0]]), path)
    message = f"'test' of 'digits' repeats 1 run; the first is {asked[0]['run_id']!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Release(folder).task_tables(task)
