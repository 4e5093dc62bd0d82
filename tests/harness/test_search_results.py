"""Results of searches: scores by hand, what a stored one must keep to, commands and own classes."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import peephole
from benchmark.util.rng import generator_for
from harness.search.budget import Budget
from harness.search.find import find_algorithm
from harness.search.pool import Pool
from harness.search.pool_result import PoolResult, check_pool_result, score_pool
from harness.search.pool_setting import PoolSetting
from harness.search.result import write_search
from harness.search.run import search_all
from harness.search.session import Choice, Session
from harness.search.tracks.rules import is_algorithm
from harness.search.tracks.stored import read_search, read_searches, search_problems
from peephole_command import peephole as peephole_command
from tests.toys.pools import SECONDS, toy_pool

ROOT = Path(__file__).parents[2]
BUDGET = Budget(40)
CHOICES = (  # of two repeats, on a pool with regrets of .3, .4 and 0
    (Choice(2, 2 * SECONDS, 1), Choice(10, 10 * SECONDS, 2)),
    (Choice(5, 5 * SECONDS, 0),),
)
OWN = '''
class {name}:
    """Trains the last network alone."""

    def search(self, session, *, seed):
        {body}
'''


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return toy_pool(tmp_path / "data", [{20: 0.6}, {20: 0.5}, {20: 0.9}])


@pytest.fixture
def result(pool: Pool) -> PoolResult:
    spent = np.array([[20.0, 40.0, 1.0], [40.0, 80.0, 3.0]])
    return score_pool(pool, "ours", "Ours", BUDGET, CHOICES, spent)


def test_regret_is_that_of_the_choice_at_each_budget(pool: Pool, result: PoolResult) -> None:
    assert pool.regret == pytest.approx([0.3, 0.4, 0.0])
    unknown = 0.7 / 3  # of a random network, before there is a choice
    by_hand = np.array([[0.4] * 4 + [0.0] * 16, [unknown] * 2 + [0.3] * 18])
    means = [score.value for score in result.regret]
    assert means == pytest.approx(by_hand.mean(axis=0).tolist())
    assert result.area.value == pytest.approx(by_hand.mean())
    assert result.found_best == 0.5
    assert result.test_regret.value == pytest.approx(0.15)
    assert (result.spent_epochs, result.spent_seconds, result.own_seconds) == (30.0, 60.0, 2.0)
    low, high = result.regret[-1].low, result.regret[-1].high
    assert (low, high) == pytest.approx((0.0, 0.3))  # of two repeats, a resample has any mix


def test_seconds_are_a_budget_too(pool: Pool) -> None:
    spent = np.ones((2, 3))
    seconds = score_pool(pool, "a", "A", Budget(40 * SECONDS, "seconds"), CHOICES, spent)
    assert seconds.regret == score_pool(pool, "a", "A", BUDGET, CHOICES, spent).regret


def test_a_result_is_read_as_it_was_written(pool: Pool, result: PoolResult, tmp_path: Path) -> None:
    path = write_search(tmp_path / "results", result)
    assert path == tmp_path / "results/search/digits/ours-40-epochs.json"
    assert read_search(path) == result
    assert search_problems(tmp_path / "results", pool.release) == {}
    assert read_searches([tmp_path / "none", tmp_path / "results"], ()) == [result]


LATER = (Choice(2, 4.0, 1), Choice(1, 4.0, 2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": "mnist"}, "`images` (='mnist') must be 'digits', that of the pool"),
        ({"networks": 4}, "`networks` (=4) must be 3, that of the pool"),
        ({"choices": ()}, "`choices` must have at least one choice of each repeat"),
        ({"choices": ((Choice(1, 2.0, 3),),)},
         "`choices` (=Choice(epochs=1, seconds=2.0, network=3)) must be of a network in 0..2"),
        ({"choices": ((Choice(41, 2.0, 0),),)},
         "`choices` (=Choice(epochs=41, seconds=2.0, network=0)) must be within the budget"),
        ({"choices": (LATER,)},
         "`choices` (=Choice(epochs=1, seconds=4.0, network=2)) must be no cheaper than the choice "
         "before it"),
        ({"found_best": 1.0}, "`found_best` does not follow from the choices and the data"),
        ({"repeats": 3}, "`repeats` does not follow from the choices and the data"),
    ],
)  # fmt: skip
def test_a_result_that_does_not_follow_is_refused(
    pool: Pool, result: PoolResult, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    changed = replace(result, **fields)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_pool_result(changed, pool)
    path = write_search(tmp_path, changed)
    if "images" not in fields:
        assert search_problems(tmp_path, pool.release) == {path: f"{path}: {message}"}


def test_a_result_in_the_place_of_another_is_found(
    pool: Pool, result: PoolResult, tmp_path: Path
) -> None:
    path = write_search(tmp_path, result)
    moved = path.rename(path.with_name("theirs-40-epochs.json"))
    message = f"{moved}: it must be at search/digits/ours-40-epochs.json"
    assert search_problems(tmp_path, pool.release) == {moved: message}


def test_a_changed_score_is_found(pool: Pool, result: PoolResult, tmp_path: Path) -> None:
    path = write_search(tmp_path, result)
    record = json.loads(path.read_text())
    record["area"]["value"] += 0.01
    path.write_text(json.dumps(record))
    message = f"{path}: `area` does not follow from the choices and the data"
    assert search_problems(tmp_path, pool.release) == {path: message}


def test_the_command_writes_what_it_prints(pool: Pool, tmp_path: Path) -> None:
    words = ["search", "--images", "digits", "--data", str(pool.release.folder), "--repeats", "3"]
    words += ["--algorithm", "random", "--algorithm", "one-epoch", "--results", str(tmp_path / "r")]
    done = CliRunner().invoke(peephole_command, [*words, "--budget", "25"])
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "3 test networks of digits; 3 searches of 25 epochs each; regret in validation accuracy, "
        "mean and 95 % interval"
    )
    assert [line.split()[0] for line in lines[1:]] == ["algorithm", "random", "one-epoch"]
    names = sorted(path.name for path in (tmp_path / "r").rglob("*.json"))
    assert names == ["one-epoch-25-epochs.json", "random-25-epochs.json"]
    again = CliRunner().invoke(
        peephole_command, [*words, "--budget", "25", "--processes", "1", "--json"]
    )
    for line, name in zip(again.stdout.splitlines(), ("random", "one-epoch"), strict=True):
        assert json.loads(line)["algorithm"] == name
    stored = read_search(tmp_path / "r/search/digits/random-25-epochs.json")
    assert stored.spent_epochs == 20.0  # a second network would take 20 more


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--algorithm rnadom", "unknown algorithm 'rnadom'; did you mean 'random'?"),
        ("--predictor nope --algorithm guided", "unknown predictor 'nope'"),
        ("--budget 0.5 --algorithm random", "`budget` (=0.5) must be a whole number of epochs"),
        ("--budget 1 --unit seconds --algorithm random",
         "algorithm 'random' with seed 0: ValueError: no network was trained or chosen: the "
         "search did not do so, or a budget of 1 seconds is too small"),
        ("--algorithm random:", "algorithm 'random:': unknown class ''"),
    ],
)  # fmt: skip
def test_wrong_words_write_nothing(pool: Pool, tmp_path: Path, words: str, message: str) -> None:
    start = ["search", "--images", "digits", "--data", str(pool.release.folder)]
    place = ["--results", str(tmp_path / "r"), "--repeats", "2"]
    done = CliRunner().invoke(peephole_command, [*start, *place, *words.split()])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"peephole: error: {message}")
    assert not (tmp_path / "r").exists()


def own(folder: Path, body: str, name: str = "Mine") -> str:
    """Write a class of one's own, and return what names it."""
    path = folder / f"own_{name.lower()}.py"
    path.write_text(OWN.format(name=name, body=body))
    return f"{path}:{name}"


def test_a_class_of_ones_own_searches(pool: Pool, tmp_path: Path) -> None:
    text = own(tmp_path, "session.train(2, session.total_epochs)")
    found = find_algorithm(text)
    assert (found.name, found.title) == ("mine", "Trains the last network alone.")
    (result,) = search_all(PoolSetting(pool, Budget(30)), [text], repeats=4)
    assert (result.repeats, result.spent_epochs, len(result.choices)) == (4, 20.0, 4)


class Last:
    """Trains the last network alone."""

    def search(self, session: Session, *, seed: int) -> None:
        session.train(2, session.total_epochs)


def test_the_api_returns_what_the_command_writes(pool: Pool, tmp_path: Path) -> None:
    text = own(tmp_path, "session.train(2, session.total_epochs)")
    (written,) = search_all(PoolSetting(pool, Budget(30)), [text], repeats=4)
    data = pool.release.folder
    for algorithm, name in ((text, "mine"), (Last, "last")):
        found = peephole.search(algorithm, images="digits", budget=30, repeats=4, release=data)
        assert isinstance(found, PoolResult)
        assert (found.algorithm, found.title) == (name, written.title)
        assert (found.regret, found.choices) == (written.regret, written.choices)


def test_a_blank_docstring_is_no_title(pool: Pool) -> None:
    blank = type("Blank", (Last,), {"__doc__": " "})
    found = peephole.search(blank, images="digits", budget=30, repeats=1, release=pool.release)
    assert (found.algorithm, found.title) == ("blank", "Blank")


def test_the_template_keeps_the_rules(tmp_path: Path) -> None:
    template = f"{ROOT / 'docs/search_template.py'}:MyHalving"
    done = CliRunner().invoke(peephole_command, ["check", template])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("ok  ") == 4


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("session.train(0, 5); session.train(0, 5)",
         "ValueError: `epochs` (=5) must be in 6..20: network 0 has 5 epochs (own_mine.py:6 in "
         "search)"),
        ("session.train(9, 5)",
         "ValueError: `network` (=9) must be in 0..2 (own_mine.py:6 in search)"),
        ("1 / 0", "ZeroDivisionError: division by zero (own_mine.py:6 in search)"),
        ("pass", "ValueError: no network was trained or chosen: the search did not do so, or a "
         "budget of 30 epochs is too small"),
    ],
)  # fmt: skip
def test_what_a_class_does_wrong_is_told(
    pool: Pool, tmp_path: Path, body: str, message: str
) -> None:
    text = own(tmp_path, body)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        list(search_all(PoolSetting(pool, Budget(30)), [text], repeats=1))
    assert str(raised.value) == f"algorithm 'mine' with seed 0: {message}"


def test_check_tries_an_algorithm(pool: Pool, tmp_path: Path) -> None:
    text = own(tmp_path, "session.train(2, session.total_epochs)")
    words = ["check", text, "--data", str(pool.release.folder)]
    done = CliRunner().invoke(peephole_command, words)
    assert (done.exit_code, done.stderr) == (0, "")
    order = generator_for("search-order-v1", "digits", 0).permutation(len(pool))
    assert done.stdout.splitlines()[0] == (
        "ok      one training: 20 epochs spent; 1 choice, the last with regret "
        f"{pool.regret[order[2]]:.4f}"
    )
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "ok      one training", "ok      half the budget", "ok      same seed", "ok      no limit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("session.train(0, 30)", "BROKEN  one training: ValueError: `epochs` (=30) must be in "
         "1..20: network 0 has 0 epochs (own_mine.py:6 in search)"),
        ("import os; os._exit(3)", "BROKEN  process: the process ended early: exit code 3; an "
         "algorithm must not end it"),
        ("import random; session.choose(random.randrange(3)); "
         "[session.choose(random.randrange(3)) for _ in range(50)]",
         "BROKEN  same seed: two searches with one seed made different choices"),
    ],
)  # fmt: skip
def test_check_tells_which_rule_is_broken(pool: Pool, tmp_path: Path, body: str, line: str) -> None:
    words = ["check", own(tmp_path, body), "--data", str(pool.release.folder)]
    done = CliRunner().invoke(peephole_command, words)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, line)


def test_a_class_that_fits_is_no_algorithm(tmp_path: Path) -> None:
    path = tmp_path / "both.py"
    path.write_text("class A:\n    def search(self): ...\n    def fit(self): ...\n")
    assert not is_algorithm(f"{path}:A")
    assert not is_algorithm("random")
    path.write_text("class A:\n    def search(self): ...\n")
    assert is_algorithm(f"{path}:A")
    path.write_text("class A:\n  def search(self: ...\n")
    assert not is_algorithm(f"{path}:A")


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("class Mine:\n    pass\n", "Mine", "must be a class with a method `search`"),
        ("class Mine:\n    def search(self): ...\n", "Mien", ": unknown class 'Mien'; did you "
         "mean 'Mine'? Known: Mine"),
        ("class Mine:\n    def __init__(self, x): ...\n    def search(self): ...\n", "Mine",
         "needs the arguments 'x'; give them defaults, as it is made without arguments"),
        ("class Random:\n    def search(self): ...\n", "Random", "has the name 'random' of an "
         "algorithm of the registry"),
    ],
)  # fmt: skip
def test_classes_that_cannot_search_are_told(
    tmp_path: Path, source: str, name: str, message: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(source)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        find_algorithm(f"{path}:{name}")
    separator = "" if message.startswith(":") else " "
    assert str(raised.value) == f"algorithm '{path}:{name}'{separator}{message}"
