"""Stored runs up to an epoch: values, what they cost, what stays unknown, what is refused."""

import itertools
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peephole
from benchmark.query import BudgetError, Ledger, query, trajectory
from benchmark.release import Release
from benchmark.runs import rows_to_table, series, split_path, write_table
from benchmark.stored_runs import Measurement
from tests.toys.data import EPOCHS, IMAGES, Row, toy_release, toy_rows

A, B, F = "a1" + "0" * 14, "a2" + "0" * 14, "f0" + "0" * 14  # trained, diverged, failed
RECIPE = "0123456789ab"
STEPS = range(1, EPOCHS + 1)
TAKEN = sorted({str(r["architecture_id"]) for r in toy_rows()["test"]})
QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def row(name: str, seed: int, **fields: object) -> Row:
    """Return a run whose values after epoch e are simple fractions of e."""
    return toy_rows()["test"][0] | {
        "run_id": f"digits-{name}-{RECIPE}-{seed}",
        "architecture_id": name,
        "seed": seed,
        "epochs_done": EPOCHS,
        "valid_accuracy": [e / 32 for e in STEPS],
        "valid_loss": [4 - e / 8 for e in STEPS],
        "train_loss": [3 - e / 8 for e in STEPS],
        "test_accuracy": [e / 64 for e in STEPS],
        "epoch_seconds": [3.0] + [2.0] * (EPOCHS - 1),
        **fields,
    }


def diverged(name: str, epoch: int) -> Row:
    """Return a run of which epochs 1, 2, ... take 1 s and which diverges in an epoch, after 0.5."""
    known = epoch - 1
    none, chance = [None] * (EPOCHS - known), [IMAGES.chance] * (EPOCHS - known)
    good = row(name, 0)
    changed = {n: [*good[n][:known], *none] for n in ("valid_loss", "train_loss")}  # type: ignore[index]
    changed |= {n: [*good[n][:known], *chance] for n in ("valid_accuracy", "test_accuracy")}  # type: ignore[index]
    seconds = [1.0] * known + [0.5] + [0.0] * (EPOCHS - epoch)
    return good | changed | {"status": "diverged", "epochs_done": known, "epoch_seconds": seconds}


def failed(name: str) -> Row:
    """Return a run without series."""
    lists: Row = {n: [] for n, value in row(name, 0).items() if isinstance(value, list)}
    return row(name, 0, status="failed", status_reason="made up", epochs_done=0, **lists)


def write(folder: Path, rows: list[Row], images: str = "digits", split: str = "test") -> Release:
    write_table(rows_to_table(rows), split_path(images, split, folder))
    return Release(folder)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return a release of three networks on digits in two splits, and of one on mnist."""
    folder = tmp_path_factory.mktemp("release")
    write(folder, [row("b" * 16, 0)], "mnist")
    write(folder, [row(A, 0), row(A, 1, valid_accuracy=[0.5] * EPOCHS)], split="train")
    return write(folder, [diverged(B, 3), failed(F)])


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("toys"), ()))


def ask(network: str = A, **named: Any) -> Measurement:
    """Ask for the first epoch of seed 0, if nothing else is said."""
    given: dict[str, Any] = {"images": "digits", "epochs": 1, "seed": 0}
    return query(network, **(given | named))


def test_a_query_is_the_run_up_to_the_epoch_and_costs_all_of_it(release: Release) -> None:
    four = Measurement(A, "digits", 0, 4, 0.125, 3.5, 2.5, False, "made up", 4, 9.0, None)
    assert ask(epochs=4, release=release) == four
    last = Measurement(A, "digits", 0, 20, 0.625, 1.5, 0.5, False, "made up", 20, 41.0, 0.3125)
    assert ask(epochs=20, release=release) == last
    assert ask(seed=1, release=release) == replace(ask(release=release), seed=1, valid_accuracy=0.5)


def test_a_trajectory_is_the_queries_of_all_epochs(release: Release) -> None:
    for name, last in itertools.product((A, B), (1, 2, 3, 20)):
        whole = trajectory(name, images="digits", epochs=last, seed=0, release=release)
        wanted = [ask(name, epochs=e, release=release) for e in range(1, last + 1)]
        assert list(whole) == wanted


def test_a_run_that_diverges_is_chance_without_loss_and_costs_no_more(release: Release) -> None:
    before, then, last = (ask(B, epochs=e, release=release) for e in (2, 3, 20))
    common, chance = (B, "digits", 0), float(np.float32(IMAGES.chance))
    assert before == Measurement(*common, 2, 0.0625, 3.75, 2.75, False, "made up", 2, 2.0, None)
    assert then == Measurement(*common, 3, chance, None, None, True, "made up", 3, 2.5, None)
    assert last == replace(then, epochs=20, test_accuracy=chance)


def test_what_happens_after_the_epoch_stays_unknown(tmp_path: Path) -> None:
    """One run diverges in epoch 9, another never; until epoch 8 nobody can tell them apart."""
    lost = diverged(A, 9)
    kept = row(A, 0, epoch_seconds=[1.0] * EPOCHS)
    shown = []
    for name, found in (("lost", lost), ("kept", kept)):
        release = write(tmp_path / name, [found])
        shown.append(trajectory(A, images="digits", epochs=20, seed=0, release=release))
    assert shown[0][:8] == shown[1][:8]
    assert shown[0][8] != shown[1][8]


def test_a_ledger_adds_up_what_is_not_paid_yet(release: Release) -> None:
    ledger = Ledger(images="digits", seed=0, release=release)
    calls: list[tuple[str, dict[str, Any], int, float]] = [
        (A, {"epochs": 2}, 2, 5.0),
        (A, {"epochs": 5}, 3, 6.0),
        (A, {"epochs": 1}, 0, 0.0),
        (A, {"epochs": 3, "restart": True}, 3, 7.0),
        (A, {"epochs": 5}, 0, 0.0),
        (B, {"epochs": 10}, 3, 2.5),
        (B, {"epochs": 20}, 0, 0.0),
        (A[:2], {"epochs": 20}, 15, 30.0),
    ]
    for name, named, epochs, seconds in calls:
        found = ledger.query(name, **named)
        assert (found.cost_epochs, found.cost_seconds) == (epochs, seconds)
        whole = ask(name, epochs=named["epochs"], release=release)
        assert replace(
            whole, cost_epochs=epochs, cost_seconds=seconds, test_accuracy=None
        ) == found  # fmt: skip
    assert (ledger.epochs, ledger.seconds) == (26, 50.5)
    shown = "Ledger(images='digits', seed=0, max_epochs=None, max_seconds=None, epochs=26, "
    assert repr(ledger) == f"{shown}seconds=50.5)"


CALLS = st.lists(st.tuples(st.integers(0, len(TAKEN) - 1), st.integers(1, EPOCHS)), max_size=30)


@QUICK
@given(calls=CALLS)
def test_continued_queries_cost_the_furthest_epoch_of_each_network(
    toys: Release, calls: list[tuple[int, int]]
) -> None:
    ledger = Ledger(images="digits", seed=0, release=toys)
    costs = [ledger.query(TAKEN[i], epochs=e).cost_epochs for i, e in calls]
    furthest = {i: max(e for j, e in calls if i == j) for i, _ in calls}
    whole = [ask(TAKEN[i], epochs=e, release=toys) for i, e in furthest.items()]
    ends = {str(r["architecture_id"]): r["epochs_done"] for r in toy_rows()["test"]}
    steps = [min(e, int(str(ends[TAKEN[i]])) + 1) for i, e in furthest.items()]
    assert ledger.epochs == sum(costs) == sum(steps) == sum(m.cost_epochs for m in whole)
    assert ledger.seconds == pytest.approx(sum(m.cost_seconds for m in whole), abs=1e-9)


@QUICK
@given(calls=CALLS, restarts=st.lists(st.booleans(), min_size=30, max_size=30))
def test_starting_again_costs_the_whole(
    toys: Release, calls: list[tuple[int, int]], restarts: list[bool]
) -> None:
    ledger = Ledger(images="digits", seed=0, release=toys)
    paid: set[tuple[int, int]] = set()
    for (i, epochs), restart in zip(calls, restarts, strict=False):
        found = ledger.query(TAKEN[i], epochs=epochs, restart=restart)
        steps = trajectory(TAKEN[i], images="digits", epochs=epochs, seed=0, release=toys)
        trained = {(i, m.cost_epochs) for m in steps}  # one for each epoch that was trained
        assert found.cost_epochs == len(trained if restart else trained - paid)
        paid |= trained


@QUICK
@given(calls=CALLS, most=st.integers(1, 60), unit=st.sampled_from(["epochs", "seconds"]))
def test_a_refused_query_spends_nothing(
    toys: Release, calls: list[tuple[int, int]], most: int, unit: str
) -> None:
    limits: dict[str, Any] = {f"max_{unit}": most}
    ledger = Ledger(images="digits", seed=0, release=toys, **limits)
    free = Ledger(images="digits", seed=0, release=toys)  # asked for what is not refused
    for i, epochs in calls:
        try:
            found = ledger.query(TAKEN[i], epochs=epochs)
        except BudgetError:
            continue
        assert found == free.query(TAKEN[i], epochs=epochs)
    assert (ledger.epochs, ledger.seconds) == (free.epochs, free.seconds)
    assert getattr(ledger, unit) <= most


def test_a_limit_may_be_reached_and_its_error_says_what_is_spent(release: Release) -> None:
    ledger = Ledger(images="digits", seed=0, max_epochs=10, max_seconds=23.0, release=release)
    ledger.query(A, epochs=6)
    for name, epochs, limit, spent in (
        (A, 11, "`max_epochs` (=10)", "epochs spent: 6"),
        (B, 5, "`max_epochs` (=10)", "epochs spent: 6"),  # it would train 3, which nobody knows
        (A, 20, "`max_epochs` (=10)", "epochs spent: 6"),
    ):
        message = f"{limit} is not enough to train network '{name}' up to epoch {epochs}; {spent}"
        with pytest.raises(BudgetError, match=f"^{re.escape(message)}$"):
            ledger.query(name, epochs=epochs)
    ledger.query(A, epochs=10)
    assert (ledger.epochs, ledger.seconds) == (10, 21.0)
    ledger.query(A, epochs=10)
    tight = Ledger(images="digits", seed=0, max_epochs=4, release=release)
    found = [tight.query(B, epochs=e).cost_epochs for e in (4, 20)]  # it is known to have diverged
    assert found == [3, 0]
    short = Ledger(images="digits", seed=0, max_seconds=5, release=release)
    short.query(B, epochs=4)
    short.query(B, epochs=20)
    message = (
        f"`max_seconds` (=5) is not enough to train network '{A}' up to epoch 1; seconds spent: 2.5"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        short.query(A, epochs=1)


def test_a_ledger_never_gives_a_test_accuracy(release: Release) -> None:
    for name in (A, B):
        ledger = Ledger(images="digits", seed=0, release=release)
        found = [ledger.query(name, epochs=e, restart=r) for e in STEPS for r in (True, False)]
        assert {m.test_accuracy for m in found} == {None}
        assert ask(name, epochs=EPOCHS, release=release).test_accuracy is not None
        assert ask(name, epochs=EPOCHS - 1, release=release).test_accuracy is None


def test_a_measurement_cannot_be_changed(release: Release) -> None:
    with pytest.raises(FrozenInstanceError):
        ask(release=release).valid_accuracy = 1.0  # type: ignore[misc]


def test_the_networks_of_a_ledger_are_those_that_it_can_be_asked_for(release: Release) -> None:
    assert Ledger(images="digits", seed=0, release=release).networks == (A, B)
    assert Ledger(images="digits", seed=1, release=release).networks == (A,)


def test_the_release_gives_what_its_files_hold() -> None:
    for images in ("digits", "mnist"):
        table = peephole.load_runs(images, "heldout")
        accuracy, seconds = series(table, "valid_accuracy"), series(table, "epoch_seconds")
        for i, (name, seed) in enumerate(zip(table["architecture_id"], table["seed"], strict=True)):
            whole = trajectory(name.as_py(), images=images, epochs=EPOCHS, seed=seed.as_py())
            assert [m.valid_accuracy for m in whole] == accuracy[i].tolist()
            assert whole[-1].cost_seconds == pytest.approx(seconds[i].sum(), rel=1e-12)
            assert whole[-1].test_accuracy == table["test_accuracy"][i][-1].as_py()
            assert whole[-1].cost_epochs == (seconds[i] > 0).sum()


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    release = write(tmp_path, [row(A, 0)])
    with pytest.raises(
        ValueError, match=r"^network 'a1.+' of digits has no run with seed 1; seeds"
    ):
        ask(seed=1, release=release)
    write(tmp_path, [row(A, 0), row(A, 1)])
    assert ask(seed=1, release=release).seed == 1
    write(tmp_path, [row(B, 0)], split="train")
    assert ask(B, release=str(tmp_path)).architecture_id == B


OTHER_TYPES: list[tuple[Callable[[], object], str]] = [
    (lambda: query(A),  # type: ignore[call-arg]
     "query() missing 3 required keyword-only arguments: 'images', 'epochs', and 'seed'"),
    (lambda: Ledger(images="digits"),  # type: ignore[call-arg]
     "Ledger.__init__() missing 1 required keyword-only argument: 'seed'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), OTHER_TYPES)
def test_nothing_that_chooses_a_run_has_a_default(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize(
    ("network", "named", "message"),
    [
        (A[:-1] + "1", {}, f"no network of digits is called '{A[:-1]}1'; the nearest is '{A}'"),
        ("", {}, f"no network of digits is called ''; the nearest is '{F}'"),
        ("a", {}, f"'a' is a prefix of 2 networks: {A}, {B}"),
        ("BBB", {}, "'BBB' is a network of mnist, not of digits"),
        (f"digits-{A}-{RECIPE}-1", {}, f"'digits-{A}-{RECIPE}-1' is a run; ask for network '{A}' "
         "with images='digits' and seed=1"),
        (f"cifar10-full-{A}-{RECIPE}-0", {}, f"'cifar10-full-{A}-{RECIPE}-0' is a run; ask for "
         f"network '{A}' with images='cifar10-full' and seed=0"),
        (A, {"seed": 7}, f"network '{A}' of digits has no run with seed 7; seeds: 0, 1"),
        (B, {"seed": 1}, f"network '{B}' of digits has no run with seed 1; seeds: 0"),
        (F, {}, f"run 'digits-{F}-{RECIPE}-0' was not trained to the end: its status is failed, "
         "'made up'"),
        (A, {"epochs": 0}, "`epochs` (=0) must be in 1..20"),
        (A, {"epochs": 21}, "`epochs` (=21) must be in 1..20"),
    ],
)  # fmt: skip
def test_a_wrong_question_names_what_there_is(
    release: Release, network: str, named: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"images": "digits", "epochs": 1, "seed": 0, "release": release}
    given |= named
    for call in (query, trajectory):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call(network, **given)
    if given["seed"] == 0:
        ledger = Ledger(images="digits", seed=0, release=release)
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            ledger.query(network, epochs=given["epochs"])
        assert ledger.epochs == 0


def test_images_and_seeds_without_runs_are_named(release: Release, tmp_path: Path) -> None:
    for data, sets in ((release, "mnist, digits"), (Release(tmp_path), "none")):
        message = f"{str(data.folder)!r} has no runs on 'cifar10'; image sets: {sets}"
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
            ask(images="cifar10", release=data)
    with pytest.raises(ValueError, match=r"^digits has no run with seed 5; seeds: 0, 1$"):
        Ledger(images="digits", seed=5, release=release)


def test_two_runs_that_a_query_could_mean_are_refused(tmp_path: Path) -> None:
    other = f"digits-{A}-ba9876543210-0"
    write(tmp_path, [row(A, 0)], split="train")
    release = write(tmp_path, [row(A, 0, run_id=other)])
    message = (
        f"{str(tmp_path)!r} has two runs of a network with one seed, and a query could mean "
        f"either: 'digits-{A}-{RECIPE}-0' and {other!r}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ask(release=release)
