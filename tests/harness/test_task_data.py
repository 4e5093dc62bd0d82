"""The inputs of a predictor, and that they do not reveal the targets."""

import functools
import math
import re
import shutil
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmark.proxies import PROXIES, proxies_path
from benchmark.publish.freeze import freeze
from benchmark.release import Release, load_runs
from benchmark.runs import series, write_table
from benchmark.schema import EPOCH_SERIES
from benchmark.space.architectures import architecture_id
from benchmark.tasks import Task
from harness.protocol import Array, Queries, Series
from harness.task_data import (
    TaskData,
    build_runs,
    load_targets,
    load_task_data,
    recipe_of,
    training_runs,
)
from tests.harness.conftest import OBSERVED
from tests.toys.data import EPOCHS, RECIPE, TAKEN, changed_task

SEEN = tuple(field.name for field in fields(Series))


# The spy visits everything that an object refers to, and the memory behind views.


def reachable(start: object) -> Iterator[object]:
    """Yield everything reachable by attributes, entries, closures and array bases."""
    seen: set[int] = set()
    waiting = [start]
    kept = []  # keeps objects alive, so that no id is reused
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, types.ModuleType):
            continue
        seen.add(id(thing))
        kept.append(thing)
        yield thing
        waiting += list(_next(thing))


def _next(thing: object) -> Iterator[object]:
    if isinstance(thing, str | bytes | int | float | type(None)):
        return
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    if isinstance(thing, tuple | list | set | frozenset):
        yield from thing
    if isinstance(thing, np.ndarray):
        yield thing.base
        if thing.dtype == object:
            yield from thing.ravel().tolist()
    if isinstance(thing, memoryview):
        yield thing.obj
    if isinstance(thing, types.FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or ())
        yield from thing.__defaults__ or ()
    if isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    yield from (getattr(thing, name, None) for name in ("__self__", "__func__", "__wrapped__"))
    if not isinstance(thing, type):
        yield getattr(thing, "__dict__", None)
        slots = [getattr(kind, "__slots__", ()) for kind in type(thing).__mro__]
        names = [n for slot in slots for n in ([slot] if isinstance(slot, str) else slot)]
        yield from (getattr(thing, name, None) for name in names)


def numbers(start: object) -> set[float]:
    """Return all floats that the spy finds, with raw memory read as both float widths."""
    found: set[float] = set()
    for thing in reachable(start):
        if isinstance(thing, np.ndarray) and thing.dtype.kind == "f":
            found |= set(thing.astype(np.float64).ravel().tolist())
        elif isinstance(thing, bytes | pa.Buffer):
            for width in ("<f4", "<f8"):
                whole = len(bytes(thing)) // 8 * 8
                with np.errstate(invalid="ignore"):  # other bytes may read as a signalling NaN
                    read = np.frombuffer(bytes(thing)[:whole], width).astype(np.float64)
                found |= set(read.tolist())
        elif isinstance(thing, float):
            found.add(thing)
    return {value for value in found if math.isfinite(value)}


def secrets(folder: Path, task: Task) -> tuple[set[float], set[float]]:
    """Return the values that no input may contain, and those that no query may contain."""
    hidden: set[float] = set()
    ahead: set[float] = set()
    for split in ("train", "validation", "test", "heldout"):
        table = load_runs("digits", split, release=Release(folder))
        table = table.filter(pa.array([s != "failed" for s in table["status"].to_pylist()]))
        own = pa.array([run_id in task.parts[split] for run_id in table["run_id"].to_pylist()])
        others = table.filter(pc.invert(own))
        table = table.filter(own)
        asked = split in ("test", "heldout")
        for name in (*EPOCH_SERIES, "train_loss_tenths"):
            if name == "learning_rate":  # the same for every run of the recipe
                continue
            values, per_epoch = series(table, name), 10 if name == "train_loss_tenths" else 1
            elsewhere = set(series(others, name).ravel().tolist())
            if name not in SEEN:
                hidden |= elsewhere | set(values.ravel().tolist())
            else:
                hidden |= elsewhere
                ahead |= set(
                    values[:, task.observed * per_epoch if asked else 0 :].ravel().tolist()
                )
    return _informative(hidden), _informative(ahead)


def _informative(values: set[float]) -> set[float]:
    """Return the values that are not missing and not the chance of a diverged run."""
    return {v for v in values if math.isfinite(v) and abs(v - 0.1) > 1e-6}


@pytest.mark.parametrize("observed", [0, 1, OBSERVED])
def test_the_inputs_of_a_predictor_do_not_reveal_the_targets(folder: Path, observed: int) -> None:
    task = Release(folder).task(f"digits-k{observed}-v1")
    parts = load_task_data(task, Release(folder))
    hidden, ahead = secrets(folder, task)
    assert min(len(hidden), len(ahead)) > 1000
    queries = numbers(parts.queries)
    assert not queries & (hidden | ahead)
    assert not numbers([parts.train, parts.validation]) & hidden
    if observed:
        assert queries & set(parts.queries.series.valid_accuracy.ravel().tolist())


def leaky_queries(task: Task, folder: Path) -> Queries:
    """Return queries whose first epochs are views of the complete curves."""
    rows = Release(folder).task_rows(task, "test")
    runs = build_runs(rows, recipe_of(rows, Release(folder)), "q", Release(folder))
    queries = runs.observe(task.observed)
    view = runs.series.valid_accuracy[:, : task.observed]
    return replace(queries, series=replace(queries.series, valid_accuracy=view))


def test_the_spy_finds_a_view_of_the_complete_curves(task: Task, folder: Path) -> None:
    leaky = leaky_queries(task, folder)
    honest = load_task_data(task, Release(folder)).queries
    assert leaky.series.valid_accuracy.shape[1] == honest.series.valid_accuracy.shape[1]
    assert numbers(leaky) & secrets(folder, task)[1]


def test_the_spy_looks_into_closures_slots_buffers_and_partial_functions() -> None:
    secret = np.array([0.123456])

    @dataclass(frozen=True, slots=True)
    class Slotted:
        inner: object

    def closure() -> Array:
        return secret

    hiding_places: list[object] = [
        closure,
        Slotted({"key": [secret]}),
        np.frombuffer(secret.tobytes(), np.uint8),
        np.array([secret, None], dtype=object),
        functools.partial(print, secret),
        secret.tolist,
        pa.py_buffer(secret.tobytes()),
    ]
    for place in hiding_places:
        assert 0.123456 in numbers(place), place


@pytest.mark.parametrize("observed", [0, 1, OBSERVED])
def test_every_array_owns_its_memory_and_holds_the_observed_epochs(
    folder: Path, observed: int
) -> None:
    parts = load_task_data(Release(folder).task(f"digits-k{observed}-v1"), Release(folder))
    for holder, epochs in ((parts.queries, observed), (parts.train, EPOCHS)):
        for name in SEEN:
            values = getattr(holder.series, name)
            if name.startswith("initial_"):
                assert (values is None) == (epochs == 0)
            else:
                tenths = (10,) if name == "train_loss_tenths" else ()
                assert values.shape == (len(holder), epochs, *tenths)
            if values is not None:
                assert values.base is None
                assert values.flags.owndata
                assert values.flags.c_contiguous


@pytest.mark.parametrize("observed", [0, OBSERVED])
def test_proxies_are_those_of_each_network_and_copies_at_every_k(
    folder: Path, observed: int
) -> None:
    parts = load_task_data(Release(folder).task(f"digits-k{observed}-v1"), Release(folder))
    table = Release(folder).proxies("digits")
    assert table is not None
    known = {row["architecture_id"]: [row[name] for name in PROXIES] for row in table.to_pylist()}
    for networks in (parts.queries, parts.train, parts.validation):
        names = [architecture_id(network) for network in networks.architectures if network]
        assert networks.proxies is not None
        assert networks.proxies.tolist() == [known[name] for name in names]
        assert networks.proxies.base is None
        assert networks.proxies.flags.c_contiguous
    words = {float(row["seed"]) for row in table.to_pylist()}
    assert not numbers(parts.queries) & words


def test_changing_a_copy_changes_no_other_proxies(parts: TaskData) -> None:
    queries, train = parts.queries, parts.train
    assert queries.proxies is not None
    assert train.proxies is not None
    before = queries.proxies.copy(), train.proxies.copy()
    copies = queries.copy(), queries.take([0]), train.copy()
    for copy in (*copies, train.observe(1)):
        assert copy.proxies is not None
        assert copy.proxies.base is None
        copy.proxies[:] = 7.0
    assert np.array_equal(queries.proxies, before[0])
    assert np.array_equal(train.proxies, before[1])


def test_without_a_file_there_are_no_proxies(folder: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "data"))
    (place / "digits" / "proxies.parquet").unlink()
    parts = load_task_data(freeze("digits", 1, Release(place)), Release(place))
    for networks in (parts.queries, parts.train, parts.queries.copy()):
        assert networks.proxies is None
    with pytest.raises(ValueError, match=r"^the rows of task 'digits-k1-v1' have digest "):
        load_task_data(Release(place).task("digits-k1-v1"), Release(place))
    assert parts.queries.take([0]).proxies is None
    assert parts.train.take(np.arange(3)).observe(1).proxies is None


def test_changed_proxies_change_the_digest(folder: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "data"))
    path = proxies_path("digits", place)
    proxies = pq.read_table(path)
    column = pa.array([value + 1e-9 for value in proxies["snip"].to_pylist()])
    column_index = proxies.column_names.index("snip")
    field = proxies.schema.field(column_index)
    write_table(proxies.set_column(column_index, field, column), path)
    with pytest.raises(ValueError, match=r"^the rows of task 'digits-k1-v1' have digest "):
        load_task_data(Release(place).task("digits-k1-v1"), Release(place))


def test_proxies_that_lack_a_network_are_refused(folder: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "data"))
    table = Release(place).proxies("digits")
    assert table is not None
    task = Release(place).task("digits-k1-v1")
    name = task.parts["train"][0].split("-")[1]
    keep = pa.array([found != name for found in table["architecture_id"].to_pylist()])
    write_table(table.filter(keep), proxies_path("digits", place))
    message = (
        f"the proxies of 'digits' lack 1 network, first {name!r}; compute them with `peephole "
        f"generate proxies --images digits --data {place}`"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_task_data(task, Release(place))


def test_queries_have_opaque_ids_and_say_nothing_but_their_fields(parts: TaskData) -> None:
    assert parts.queries.ids == tuple(f"q{i:04d}" for i in range(len(parts.queries)))
    words = {thing for thing in reachable(parts.queries) if isinstance(thing, str)}
    known = {run_id for run_id in parts.targets.valid_accuracy.run_ids}
    known |= {name for name in parts.targets.valid_accuracy.architecture_ids}
    assert not words & known
    assert not {"completed", "diverged", "made up", "heldout"} & words
    assert is_dataclass(parts.queries)


def test_queries_are_shuffled_by_the_name_of_the_task_alone(parts: TaskData, folder: Path) -> None:
    again = load_task_data(Release(folder).task(f"digits-k{OBSERVED}-v1"), Release(folder))
    assert again.targets.valid_accuracy.run_ids == parts.targets.valid_accuracy.run_ids
    other = load_task_data(Release(folder).task("digits-k0-v1"), Release(folder))
    assert other.targets.valid_accuracy.run_ids != parts.targets.valid_accuracy.run_ids
    assert sorted(other.targets.valid_accuracy.run_ids) == sorted(
        parts.targets.valid_accuracy.run_ids
    )
    assert len(set(parts.targets.valid_accuracy.splits[:12])) == 2


def test_queries_and_targets_are_the_rows_of_the_task(
    parts: TaskData, task: Task, folder: Path
) -> None:
    targets = parts.targets.valid_accuracy
    for part in ("test", "heldout"):
        rows = Release(folder).task_rows(task, part)
        position = {run_id: i for i, run_id in enumerate(rows["run_id"].to_pylist())}
        for i, run_id in enumerate(targets.run_ids):
            if targets.splits[i] != part:
                continue
            row = rows.slice(position[run_id], 1).to_pylist()[0]
            assert targets.curves[i].tolist() == row["valid_accuracy"]
            assert parts.targets.test_accuracy.curves[i].tolist() == row["test_accuracy"]
            network = parts.queries.architectures[i]
            assert network is not None
            assert network.skeleton == row["skeleton"] == targets.skeletons[i]
            seen = row["train_loss_tenths"][: 10 * OBSERVED]
            expected = [math.nan if v is None else v for v in seen]
            found = parts.queries.series.train_loss_tenths[i].ravel()
            assert np.array_equal(found, expected, equal_nan=True)
    assert sum(part == "heldout" for part in targets.splits) == 10
    assert len(parts.train) == sum(wanted.get("train", 0) for wanted in TAKEN.values())
    assert parts.train.recipe == RECIPE


def test_targets_loaded_alone_are_those_of_the_task_data(
    parts: TaskData, task: Task, folder: Path
) -> None:
    targets = load_targets(task, Release(folder))
    assert targets.valid_accuracy.run_ids == parts.targets.valid_accuracy.run_ids
    assert np.array_equal(targets.test_accuracy.curves, parts.targets.test_accuracy.curves)


def test_other_rows_than_the_task_was_frozen_on_are_refused(task: Task, folder: Path) -> None:
    message = (
        f"the rows of task '{task.name}' have digest {task.rows_digest}, not {'0' * 64} as when "
    )
    with pytest.raises(ValueError, match=f"^{message}frozen$"):
        load_task_data(changed_task(task, rows_digest="0" * 64), Release(folder))


def test_runs_of_several_recipes_are_refused(task: Task, folder: Path) -> None:
    rows = Release(folder).task_rows(task, "test").select(["recipe_id"]).to_pydict()
    rows["recipe_id"][0] = "another"
    message = f"runs must share one recipe; these have another, {RECIPE.recipe_id}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        recipe_of(pa.table(rows), Release(folder))
    with pytest.raises(ValueError, match=r"^runs must share one recipe; these have none$"):
        recipe_of(pa.table(rows).slice(0, 0), Release(folder))


def test_an_unknown_recipe_is_refused_and_an_older_one_read(tmp_path: Path) -> None:
    rows = pa.table({"recipe_id": ["older"]})
    path = tmp_path / "recipes.json"
    message = f"recipe 'older' of the runs is neither current nor in {str(path)!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        recipe_of(rows, Release(tmp_path))
    path.write_text('{"older": {"images": "digits", "epochs": 3}}')
    assert recipe_of(rows, Release(tmp_path)).epochs == 3


def test_training_runs_have_seed_0_and_complete_curves(folder: Path) -> None:
    runs = training_runs("digits", 10, Release(folder))
    assert len(runs) == 10
    assert runs.ids == tuple(f"t{i:04d}" for i in range(10))
    assert np.isfinite(runs.series.valid_accuracy).all()


def test_queries_can_be_taken_in_any_order(parts: TaskData) -> None:
    taken = parts.queries.take([3, 1])
    assert taken.ids == ("q0003", "q0001")
    assert taken.architectures == tuple(parts.queries.architectures[i] for i in (3, 1))
    assert taken.series.valid_accuracy.base is None
    expected = parts.queries.series.valid_accuracy[[3, 1]]
    assert np.array_equal(taken.series.valid_accuracy, expected)
