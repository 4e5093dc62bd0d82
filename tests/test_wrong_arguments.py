"""Wrong arguments of the public functions: a misspelt name, another type, a text for a list."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import peephole

IMAGES = "must be a name: cifar10, mnist, digits, cifar10-full-width, cifar10-full, mnist-full"
SPLIT = "must be a name: train, validation, test, heldout"
TASK = "must be a name: cifar10-k0-v1, cifar10-k1-v1, cifar10-k2-v1, cifar10-k3-v1, cifar10-k5-v1"
COLUMNS = 'must be a list of names, as ["seed"]'
RELEASE = "must be a `Release` or the path of its folder"
TABLE = "must be a `pyarrow.Table`, as `load_runs` returns it"
ARROW = " (of an Arrow value, `.as_py()`)"
RECORD = "must be a dict, as in the column `architecture` of a run" + ARROW
CLASS = "must be a class, or its name as in `peephole evaluate`"
NETWORK = "must be the id of an architecture, or its first digits" + ARROW
FILE = "must be the path of a Parquet file"
NAME = "digits-k3-v3"
UNKNOWN_TASK = "unknown task 'digits-k3'; did you mean 'digits-k3-v3'? Known: "


@cache
def rows() -> pa.Table:
    """Return a few runs of the release."""
    return peephole.load_runs("digits", "train").slice(0, 2)


@cache
def train() -> Any:
    """Return the training runs of a task."""
    return peephole.load_task(NAME).train


def architecture() -> dict[str, Any]:
    """Return the architecture of a run."""
    found: dict[str, Any] = rows()["architecture"][0].as_py()
    return found


def evaluate(predictor: object = "last-value", task: object = NAME, **named: Any) -> object:
    return peephole.evaluate(predictor, task, **named)  # type: ignore[arg-type]


def query(network: object = "00074185f77a218a", **named: Any) -> object:
    given: dict[str, Any] = {"images": "digits", "epochs": 1, "seed": 0}
    return peephole.query(network, **(given | named))  # type: ignore[arg-type]


def search(algorithm: object = "random", **named: Any) -> object:
    given: dict[str, Any] = {"images": "digits", "budget": 20, "repeats": 1}
    return peephole.search(algorithm, **(given | named))  # type: ignore[arg-type]


def ledger(**named: Any) -> peephole.Ledger:
    given: dict[str, Any] = {"images": "digits", "seed": 0}
    return peephole.Ledger(**(given | named))


load: Callable[..., Any] = peephole.load_runs
series: Callable[..., Any] = peephole.series
layers: Callable[..., Any] = peephole.layer_rows
load_task: Callable[..., Any] = peephole.load_task
score: Callable[..., Any] = peephole.score
release: Callable[..., Any] = peephole.Release

OTHER_TYPES: list[tuple[Callable[[], object], str]] = [
    (lambda: load(None, "train"), f"`images` (=None) {IMAGES}"),
    (lambda: load(["digits"], "train"), f"`images` (=['digits']) {IMAGES}"),
    (lambda: load("digits", 0), f"`split` (=0) {SPLIT}"),
    (lambda: load("digits", "train", columns="seed"), f"`columns` (='seed') {COLUMNS}"),
    (
        lambda: load("digits", "train", columns=iter(())),
        f"`columns` (of type tuple_iterator) {COLUMNS}",
    ),
    (lambda: load("digits", "train", columns=[3]), "`column` (=3) must be a name: run_id, "),
    (lambda: load("digits", "train", release=None), f"`release` (=None) {RELEASE}"),
    (lambda: load_task(3), f"`task` (=3) {TASK}"),
    (lambda: load_task(load_task(NAME)), f"`task` (of type TaskData) {TASK}"),
    (lambda: load_task(NAME, release=["data"]), f"`release` (=['data']) {RELEASE}"),
    (lambda: release(None), "`folder` (=None) must be the path of a folder"),
    (
        lambda: release().task_rows(NAME, "train"),
        "`task` (='digits-k3-v3') must be a `Task`, as `Release.task` returns it",
    ),
    (
        lambda: release().latest_task("digits", None),
        "`observed` (=None) must be a whole number",
    ),
    (lambda: series(None, "valid_accuracy"), f"`table` (=None) {TABLE}"),
    (lambda: series(rows().to_pylist(), "valid_accuracy"), f"`table` (of type list) {TABLE}"),
    (lambda: series(rows(), None), "`series of the table` (=None) must be a name: learning_rate, "),
    (lambda: layers(None, "digits"), f"`architecture` (=None) {RECORD}"),
    (lambda: layers(rows(), "digits"), f"`architecture` (of type Table) {RECORD}"),
    (lambda: layers(architecture(), None), f"`images` (=None) {IMAGES}"),
    (lambda: evaluate(None), f"`predictor` (=None) {CLASS}"),
    (lambda: evaluate(["last-value"]), f"`predictor` (=['last-value']) {CLASS}"),
    (lambda: evaluate(task=None), f"`task` (=None) {TASK}"),
    (lambda: evaluate(seeds="5"), "`seeds` (='5') must be a whole number"),
    (lambda: evaluate(release=3), f"`release` (=3) {RELEASE}"),
    (lambda: score(None, NAME), f"`predictions` (=None) {FILE}"),
    (lambda: score(rows(), NAME), f"`predictions` (of type Table) {FILE}"),
    (lambda: score("a.parquet", NAME, release=3), f"`release` (=3) {RELEASE}"),
    (lambda: query(None), f"`network` (=None) {NETWORK}"),
    (lambda: query(rows()["architecture_id"][0]), f"`network` (of type StringScalar) {NETWORK}"),
    (lambda: query(images=None), f"`images` (=None) {IMAGES}"),
    (lambda: query(images=["digits"]), f"`images` (=['digits']) {IMAGES}"),
    (lambda: query(epochs="3"), "`epochs` (='3') must be a whole number"),
    (lambda: query(epochs=3.0), "`epochs` (=3.0) must be a whole number"),
    (lambda: query(seed=None), "`seed` (=None) must be a whole number"),
    (lambda: query(release=3), f"`release` (=3) {RELEASE}"),
    (lambda: ledger(images=None), f"`images` (=None) {IMAGES}"),
    (lambda: ledger(seed="0"), "`seed` (='0') must be a whole number"),
    (lambda: ledger(release=None), f"`release` (=None) {RELEASE}"),
    (lambda: ledger(max_epochs=2.5), "`max_epochs` (=2.5) must be a whole number, or None"),
    (lambda: ledger(max_seconds="5"), "`max_seconds` (='5') must be a number, or None"),
    (
        lambda: ledger().query("00074185", epochs=1, restart=1),  # type: ignore[arg-type]
        "`restart` (=1) must be True or False",
    ),
    (lambda: search(None), "`algorithm` (=None) must be a class, or its name as in"),
    (lambda: search(images=None), f"`images` (=None) {IMAGES}"),
    (lambda: search(images=None, track="open"), f"`images` (=None) {IMAGES}"),
    (lambda: search(budget="20"), "`budget` (='20') must be a number"),
    (lambda: search(repeats=2.0), "`repeats` (=2.0) must be a whole number"),
    (lambda: search(unit=None), "`unit` (=None) must be a name: epochs, seconds"),
    (lambda: search(track=1), "`track` (=1) must be a name: pool, open"),
    (lambda: search("guided", predictor=3), "`predictor` (=3) must be a name: "),
    (lambda: search(predictor=3), "`predictor` (=3) must be a name: "),
    (lambda: search(shortcuts="no"), "`shortcuts` (='no') must be True or False"),
    (lambda: search(release=3), f"`release` (=3) {RELEASE}"),
    (lambda: peephole.METRICS[None], "`metric` (=None) must be a name: mse, "),  # type: ignore[index]
    (lambda: train().concat(None), "`other` (=None) must be `Runs`"),
]  # fmt: skip
WRONG_VALUES: list[tuple[Callable[[], object], str]] = [
    (lambda: load("digists", "train"), "unknown images 'digists'; did you mean 'digits'? Known: "),
    (lambda: load("digits", "trian"), "unknown split 'trian'; did you mean 'train'? Known: "),
    (
        lambda: load("digits", "train", columns=["sede"]),
        "unknown column 'sede'; did you mean 'seed'? Known: ",
    ),
    (lambda: load_task("digits-k3"), UNKNOWN_TASK),
    (lambda: load_task("a" * 5000), f"unknown task '{'a' * 100}...'. Known: "),
    (lambda: evaluate(task="digits-k3"), UNKNOWN_TASK),
    (lambda: score("a.parquet", "digits-k3"), UNKNOWN_TASK),
    (
        lambda: evaluate("last-vlaue"),
        "unknown predictor 'last-vlaue'; did you mean 'last-value'? Known: ",
    ),
    (lambda: evaluate(seeds=0), "`seeds` (=0) must be at least 1"),
    (
        lambda: series(rows(), "valid_accurracy"),
        "unknown series of the table 'valid_accurracy'; did you mean 'valid_accuracy'? Known: ",
    ),
    (lambda: series(rows(), "seed"), "unknown series of the table 'seed'. Known: learning_rate, "),
    (
        lambda: series(rows().select(["seed"]), "valid_accuracy"),
        "unknown series of the table 'valid_accuracy'. Known: none",
    ),
    (
        lambda: layers(rows().to_pylist()[0], "digits"),
        f"`architecture` {RECORD}: KeyError: 'blocks'",
    ),
    (
        lambda: layers(architecture() | {"widths": None}, "digits"),
        f"`architecture` {RECORD}: TypeError: 'NoneType' object is not iterable",
    ),
    (
        lambda: peephole.METRICS["tauu"],
        "unknown metric 'tauu'; did you mean 'tau'? Known: ",
    ),
    (
        lambda: peephole.PREDICTORS["peepole"],
        "unknown predictor 'peepole'; did you mean 'peephole'? Known: ",
    ),
    (
        lambda: query("00074185f77a218b"),
        "no network of digits is called '00074185f77a218b'; the nearest is '00074185f77a218a'",
    ),
    (lambda: query(images="digist"), "unknown images 'digist'; did you mean 'digits'? Known: "),
    (lambda: query(epochs=21), "`epochs` (=21) must be in 1..20"),
    (lambda: query(seed=-1), "network '00074185f77a218a' of digits has no run with seed -1; see"),
    (lambda: search("radom"), "unknown algorithm 'radom'; did you mean 'random'? Known: "),
    (lambda: search(int), "algorithm 'int' must be a class with a method `search`"),
    (lambda: search(images="digist"), "unknown images 'digist'; did you mean 'digits'? Known: "),
    (lambda: search(budget=0), "`budget` (=0) must be above 0 and finite"),
    (lambda: search(repeats=0), "`repeats` (=0) must be at least 1"),
    (lambda: search(unit="epoch"), "unknown unit 'epoch'; did you mean 'epochs'? Known: "),
    (lambda: search(track="opne"), "unknown track 'opne'; did you mean 'open'? Known: "),
    (lambda: search(shortcuts=True), "`shortcuts` (=True) must be False in the pool track"),
    (lambda: ledger(max_epochs=0), "`max_epochs` (=0) must be above 0"),
    (lambda: ledger(max_seconds=float("nan")), "`max_seconds` (=nan) must be above 0"),
    (lambda: train().observe(-1), "`epochs` (=-1) must be in 0..20"),
    (lambda: train().observe(21), "`epochs` (=21) must be in 0..20"),
    (
        lambda: train().take([True, False]),
        "`index` (=[True, False]) must be a list of whole numbers; "
        "`numpy.flatnonzero` makes one of a mask",
    ),
    (lambda: train().take(np.array([0.5])), "`index` (=array([0.5])) must be a list of whole"),
    (lambda: train().take(3), "`index` (=3) must be a list of whole numbers; "),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), OTHER_TYPES)
def test_an_argument_of_another_type_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        call()


@pytest.mark.parametrize(("call", "message"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_the_nearest(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        call()


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_taken_where_a_release_is(kind: Callable[[Path], str | Path]) -> None:
    folder = kind(peephole.Release().folder)
    assert peephole.load_runs("digits", "test", columns=["seed"], release=folder).num_rows
    assert peephole.load_task(NAME, release=folder).task.name == NAME
    assert peephole.evaluate(kind(Path("last-value")), NAME, release=folder).status == "scored"
    message = re.escape("[Errno 2] No such file or directory: 'none.parquet'")
    with pytest.raises(FileNotFoundError, match=f"^{message}$"):
        peephole.score(kind(Path("none.parquet")), NAME, release=folder)


@pytest.mark.parametrize("call", [load_task, evaluate, score, query, ledger, search])
def test_a_folder_that_is_not_there_is_named(call: Callable[..., object]) -> None:
    arguments = {load_task: (NAME,), query: (), ledger: (), search: ()}.get(
        call, ("last-value", NAME)
    )
    message = re.escape("there is no folder 'nosuch' of data; `peephole data export` copies the ")
    with pytest.raises(FileNotFoundError, match=f"^{message}"):
        call(*arguments, release="nosuch")
