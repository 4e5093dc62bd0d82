"""Canaries: fresh networks and reversed accuracies tell predictors from code that has the targets.

In the toy data, accuracy rises with the logarithm of MACs.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmark.proxies import proxies_path
from benchmark.release import Release
from benchmark.runs import split_path, write_table
from benchmark.util.strict_json import encode, parse_record, to_text
from harness.running.find_predictor import find
from harness.running.fit_predict import fit_predict
from harness.running.submitted_files import Files
from harness.task_data import TaskData, load_task_data
from harness.verification import canaries
from harness.verification.canaries import (
    Canaries,
    CodeRun,
    FreshScore,
    ReversedScore,
    judge_reversed,
    outcome_text,
    reverse,
    run_code,
)
from harness.verification.fresh_networks import load_fresh
from harness.verification.isolated_process import Code, Limits
from harness.verification.isolation.launch import ALL
from harness.verification.isolation.transfer import Fitted, Inputs
from tests.toys.data import make_rows, toy_release

TEST, HELD_OUT = {"peephole-3x2": 50, "wide-3x1": 14, "shallow-3x1": 14}, {"deep-3x3": 16}
LIMITS = Limits(minutes=5)
FRESH = 0.5  # share of the test and held-out networks that are fresh
PREDICTORS = '''
"""Predictors that learn, know beforehand, or have the accuracies."""
import json
from pathlib import Path

import numpy as np

from benchmark.space.architectures import architecture_id
from benchmark.space.layer_walk import macs
from harness.protocol import Prediction


def sizes(networks):
    return np.log([float(macs(rows)) for rows in networks.layer_rows])


class Learner:
    def fit(self, train, validation, *, observed, seed):
        self.line = np.polyfit(sizes(train), train.final_accuracy, 1)

    def predict(self, queries):
        mean = np.polyval(self.line, sizes(queries)).clip(0, 1)
        return Prediction(mean[:, None], (queries.recipe.epochs,))


class Prior(Learner):
    def fit(self, train, validation, *, observed, seed):
        self.line = (0.05, 0.0)


class Cheat(Learner):
    def fit(self, train, validation, *, observed, seed):
        self.line = (0.0, 0.5)

    def predict(self, queries):
        known = json.loads(KNOWN)
        mean = super().predict(queries).mean[:, 0]
        names = [architecture_id(a) for a in queries.architectures]
        found = [known.get(name, m) for name, m in zip(names, mean, strict=True)]
        return Prediction(np.array(found)[:, None], (queries.recipe.epochs,))
'''


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    """Return a release, and a folder of fresh networks."""
    seen = {n: {"train": 12, "validation": 4, "test": count} for n, count in TEST.items()}
    rows = make_rows(seen | {n: {"heldout": count} for n, count in HELD_OUT.items()})
    fresh = {
        split: [r for r in rows[split] if is_fresh(str(r["architecture_id"]))] for split in rows
    }
    for split in ("train", "validation"):
        fresh[split] = []
    own = {split: [r for r in rows[split] if r not in fresh[split]] for split in rows}
    folder = tmp_path_factory.mktemp("canaries")
    return Release(toy_release(folder / "data", (0, 1), own)), Release(
        toy_release(folder / "fresh", (), fresh)
    )


def is_fresh(architecture: str) -> bool:
    return int(architecture[:8], 16) / 2**32 < FRESH


@pytest.fixture
def release(folders: tuple[Release, Release]) -> Release:
    return folders[0]


@pytest.fixture
def fresh(folders: tuple[Release, Release]) -> Release:
    return folders[1]


@pytest.fixture
def data(release: Release) -> TaskData:
    return load_task_data(release.task("digits-k0-v1"), release)


@pytest.fixture
def code(data: TaskData, tmp_path: Path) -> Path:
    """Return a file with the predictors; the targets are in it, where isolation shows them."""
    targets = data.targets.valid_accuracy
    known = dict(zip(targets.architecture_ids, targets.curves[:, -1].tolist(), strict=True))
    path = tmp_path / "net.py"
    path.write_text(f"{PREDICTORS}\n\nKNOWN = {json.dumps(known)!r}\n")
    return path


def fit_here(
    inputs: Inputs, files: Files, release: Release, limits: Limits, secrets: object
) -> list[Fitted]:
    """Stand in for `fit_in_isolation`."""
    name = inputs.predictor
    make = find(f"{files['net.py'].parent}/{name}" if files else name).make
    fits = []
    for seed in inputs.seeds:
        done = [
            fit_predict(make, replace_queries(inputs, i), seed) for i in range(len(inputs.queries))
        ]
        fits.append(Fitted(tuple(d.prediction for d in done), done[0].counts))
    return fits


def replace_queries(inputs: Inputs, index: int) -> TaskData:
    queries = inputs.queries[index]
    return TaskData(None, inputs.train, inputs.validation, queries, None)  # type: ignore[arg-type]


def try_here(
    monkeypatch: pytest.MonkeyPatch, code: Code, data: TaskData, release: Release,
    fresh: Release | None,
) -> CodeRun:  # fmt: skip
    monkeypatch.setattr(canaries, "fit_in_isolation", fit_here)
    return run_code(code, data, (0,), release, LIMITS, fresh=fresh)


def test_a_learner_is_confirmed_and_loses_its_score(
    code: Path, data: TaskData, release: Release, fresh: Release
) -> None:
    run = run_code(
        Code("net.py:Learner", {"net.py": code}), data, (0,), release, LIMITS, fresh=fresh
    )
    test, heldout = run.canaries.fresh
    assert (test.split, heldout.split) == ("test", "heldout")
    assert (test.networks, heldout.networks) == (
        load_fresh(data, release, fresh).targets.splits.count("test"),
        load_fresh(data, release, fresh).targets.splits.count("heldout"),
    )
    assert test.low < test.tau - test.tau_task < test.high
    assert test.low < 0 < test.high
    assert min(test.tau, test.tau_task, heldout.tau, heldout.tau_task) > 0.5
    back = run.canaries.reversed
    assert back is not None
    assert (back.kept, back.tau_task) == (False, test.tau_task)
    assert back.tau == -back.tau_task
    assert back.low < back.tau < back.high < 0


def test_code_that_has_the_targets_is_refused_by_fresh_networks(
    code: Path, data: TaskData, release: Release, fresh: Release
) -> None:
    with pytest.raises(ValueError, match=(
        r"^tau on \d\d networks that are in no release \(=0\.000\) must not be below tau on the "
        r"test networks \(=1\.000\); the 99 % interval of the difference is -1\.000 to -1\.000$"
    )):  # fmt: skip
        run_code(Code("net.py:Cheat", {"net.py": code}), data, (0,), release, LIMITS, fresh=fresh)


KEPT = (
    r"^tau after a fit on reversed accuracies \(=(1|0\.\d)\d*\.?\d*\) must be at most half of tau "
    r"\(=\d\.\d{3}\), or fresh networks \(--fresh\) must confirm the score$"
)


@pytest.mark.parametrize("name", ["Cheat", "Prior"])
def test_a_score_that_is_kept_is_refused_without_fresh_networks(
    monkeypatch: pytest.MonkeyPatch, code: Path, data: TaskData, release: Release, name: str
) -> None:
    with pytest.raises(ValueError, match=KEPT):
        try_here(monkeypatch, Code(f"net.py:{name}", {"net.py": code}), data, release, None)


def test_what_is_known_beforehand_is_confirmed_by_fresh_networks(
    monkeypatch: pytest.MonkeyPatch, code: Path, data: TaskData, release: Release, fresh: Release
) -> None:
    run = try_here(monkeypatch, Code("net.py:Prior", {"net.py": code}), data, release, fresh)
    back = run.canaries.reversed
    assert back is not None
    assert back.kept
    assert back.tau == back.tau_task > 0.5
    text = to_text(encode(run.canaries)).encode()
    assert parse_record(text, Canaries, "record") == run.canaries


@pytest.mark.parametrize(("name", "sign"), [("macs", -1), ("mean-curve", 0), ("forest-counts", -1)])
def test_a_reference_predictor_loses_its_score(data: TaskData, name: str, sign: int) -> None:
    make, targets = find(name).make, data.targets.valid_accuracy
    usual = fit_predict(make, data, 0).prediction
    back = replace(data, train=reverse(data.train), validation=reverse(data.validation))
    score = judge_reversed(targets, usual, fit_predict(make, back, 0).prediction)
    assert not score.kept
    assert np.sign(np.round(score.tau, 1)) == sign


def test_with_observed_epochs_reversed_accuracies_tell_nothing(
    monkeypatch: pytest.MonkeyPatch, release: Release, fresh: Release
) -> None:
    data = load_task_data(release.task("digits-k1-v1"), release)
    run = try_here(monkeypatch, Code("last-value"), data, release, fresh)
    assert run.canaries.reversed is None
    assert [score.split for score in run.canaries.fresh] == ["test", "heldout"]
    assert all(score.high >= 0 for score in run.canaries.fresh)


def test_reversed_curves_stay_whole_and_change_places(data: TaskData) -> None:
    back = reverse(data.train)
    order = np.argsort(data.train.final_accuracy, kind="stable")
    for name in ("valid_accuracy", "train_loss_tenths", "initial_valid_loss"):
        one, other = getattr(back.series, name), getattr(data.train.series, name)
        assert np.array_equal(one[order], other[order[::-1]], equal_nan=True)
    assert back.architectures == data.train.architectures
    assert back.proxies is data.train.proxies


def test_code_that_fails_on_reversed_accuracies_is_told(
    monkeypatch: pytest.MonkeyPatch, data: TaskData, release: Release
) -> None:
    calls = []

    def fail(inputs: Inputs, *rest: object) -> list[Fitted]:
        calls.append(inputs)
        if len(calls) == 2:
            raise ValueError("the predictor failed")
        return fit_here(inputs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(canaries, "fit_in_isolation", fail)
    message = "^with reversed training accuracies: the predictor failed$"
    with pytest.raises(ValueError, match=message):
        run_code(Code("macs"), data, (0,), release, LIMITS)
    assert [len(inputs.queries) for inputs in calls] == [1, 1]


GIVEN = Canaries(
    (FreshScore("test", 40, 0.5, 0.6, -0.3, 0.1),), ReversedScore(-0.5, -0.6, -0.4, 0.6, False)
)


def test_the_outcome_can_be_stored_and_is_said_on_one_line() -> None:
    text = to_text(encode(GIVEN)).encode()
    assert parse_record(text, Canaries, "record") == GIVEN
    assert outcome_text(ALL, GIVEN) == (
        "in a process with a file system, processes and a network of its own; tau 0.500 on 40 "
        "networks of no release (0.600 on test); score lost on reversed accuracies (tau -0.500)"
    )
    assert outcome_text((), None) == "in a process that is not isolated from this machine"


def keep(folder: Path, rows: Callable[[list[str]], list[int]]) -> None:
    """Keep some of the fresh networks of seen skeletons, which are chosen by their skeletons."""
    table = Release(folder).runs("digits", "test")
    kept = rows(table["skeleton"].to_pylist())
    write_table(table.take(pa.array(kept)), split_path("digits", "test", folder))


def remove_proxies(folder: Path) -> None:
    proxies_path("digits", folder).unlink()


def remove_all(folder: Path) -> None:
    shutil.rmtree(folder / "digits")


def remove_wide(folder: Path) -> None:
    keep(folder, lambda skeletons: [i for i, n in enumerate(skeletons) if n != "wide-3x1"])


def keep_few(folder: Path) -> None:
    keep(folder, lambda skeletons: list(range(9)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (remove_all, FileNotFoundError, "no fresh networks on 'digits' in '{folder}'; "
         "docs/trust.md says how to make them"),
        (keep_few, ValueError, r"\d fresh networks of seen skeletons in '{folder}' must be at "
         "least 20"),
        (remove_wide, ValueError, "the fresh networks in '{folder}' lack the skeleton 'wide-3x1'"),
        (remove_proxies, ValueError, "the fresh networks in '{folder}' must have proxies; compute "
         "them with `peephole generate proxies --images digits --data {folder}`"),
    ],
)  # fmt: skip
def test_fresh_networks_that_do_not_fit_are_refused(
    data: TaskData, release: Release, fresh: Release, tmp_path: Path,
    change: Callable[[Path], None], error: type[Exception], message: str,
) -> None:  # fmt: skip
    folder = tmp_path / "fresh"
    shutil.copytree(fresh.folder, folder)
    change(folder)
    with pytest.raises(error, match=f"^{message.format(folder=re.escape(str(folder)))}$"):
        load_fresh(data, release, Release(folder))


def test_fresh_networks_of_the_release_or_another_recipe_are_refused(
    data: TaskData, release: Release, fresh: Release
) -> None:
    where = re.escape(str(release.folder))
    with pytest.raises(ValueError, match=(
        rf"^\d+ fresh networks in '{where}' are in the release, first '\w+' \(digits \w+\); fresh "
        r"networks must be in no release$"
    )):  # fmt: skip
        load_fresh(data, release, release)
    recipe = replace(data.train.recipe, peak_rate=0.5)
    other = replace(data, queries=replace(data.queries, recipe=recipe))
    with pytest.raises(ValueError, match=(
        rf"^the recipe '{data.train.recipe.recipe_id}' of the fresh networks in "
        rf"'{re.escape(str(fresh.folder))}' must be '{recipe.recipe_id}', that of the task$"
    )):  # fmt: skip
        load_fresh(other, release, fresh)
