"""Results of open search: scores by hand, the command, and what it says of wrong words."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import peephole
from benchmark import extras
from benchmark.release import Release
from benchmark.space.architectures import Block
from benchmark.space.sampler import as_trained
from harness.results.contents import check_contents
from harness.scoring.scores import Score
from harness.search.budget import Budget
from harness.search.find import find_algorithm
from harness.search.open import setting
from harness.search.open.result import (
    Draws,
    OpenRepeat,
    OpenResult,
    draw_chain,
    open_scores,
    score_open,
)
from harness.search.open.session import Chosen, OpenSession
from harness.search.open.setting import OpenSetting, open_setting
from harness.search.open.space import load_space
from harness.search.open.text import open_header, open_line
from harness.search.result import write_search
from harness.search.run import search_all
from harness.search.tracks.stored import checker, read_search, search_problems
from harness.search.tracks.verify_open import check_open_result
from peephole_command import peephole as command
from tests.toys.data import toy_release
from tests.toys.open_search import EPOCHS, ToySurrogate, bn_share

SPACE = load_space("digits")
TOY = ToySurrogate(bn_share)
DRAWS = Draws(10, 0.9, 0.5, Score(0.45, 0.4, 0.5))
BUDGET = Budget(4 * EPOCHS)
OWN = '''
class Mine:
    """Trains what it likes."""

    def search(self, session, *, seed):
        import numpy
        from benchmark.space.architectures import Architecture

        rng = numpy.random.default_rng(seed)
        drawn = session.sample(rng)
        {body}
'''


@pytest.fixture(scope="module")
def result() -> OpenResult:
    rng = np.random.default_rng(0)
    one, two, three = (SPACE.sample(rng) for _ in range(3))
    repeats = [
        OpenRepeat((Chosen(20, one, 0.6), Chosen(60, two, 0.95)), (0.5, 0.3, 0.9), 1.0),
        OpenRepeat((Chosen(40, three, 0.8),), (0.2, 0.4, 0.3, 0.1), 3.0),
    ]
    found = find_algorithm("random", track="open")
    return score_open(SPACE, TOY, DRAWS, found, BUDGET, repeats)


def test_regret_is_to_the_best_draw_and_may_be_negative(result: OpenResult) -> None:
    unknown = 0.9 - 0.5  # of a draw, before there is a choice; five points are one training
    first = [unknown] * 4 + [0.3] * 10 + [-0.05] * 6
    second = [unknown] * 9 + [0.1] * 11
    by_hand = np.mean([first, second], axis=0)
    assert [score.value for score in result.regret] == pytest.approx(by_hand.tolist())
    assert result.area.value == pytest.approx(by_hand.mean())
    assert result.regret[-1].low == pytest.approx(-0.05)
    assert result.found_best == 0.5
    assert (result.spent_epochs, result.own_seconds) == (3.5 * EPOCHS, 2.0)


def test_accuracy_is_that_of_the_trainings_of_each_quarter(result: OpenResult) -> None:
    values = [score.value for score in result.accuracy]
    assert values == pytest.approx([0.35, 0.35, 0.6, 0.1])  # the last one of one repeat alone
    assert result.accuracy[0].low == pytest.approx(0.2)


def test_a_result_has_the_architectures_that_were_found(result: OpenResult, tmp_path: Path) -> None:
    assert [SPACE.identify(found) for found in result.found] == [
        choices[-1].architecture_id for choices in result.choices
    ]
    path = write_search(tmp_path, result)
    assert path == tmp_path / "search/open/digits/random-80-epochs.json"
    assert read_search(path) == result
    assert check_contents(tmp_path, tmp_path / "none") == []


def test_a_result_with_shortcuts_has_a_file_of_its_own(result: OpenResult, tmp_path: Path) -> None:
    space = load_space("cifar10", shortcuts=True)
    drawn = space.sample(np.random.default_rng(0))
    repeat = OpenRepeat((Chosen(20, drawn, 0.6),), (0.5,), 1.0)
    found = find_algorithm("grid", track="open")
    other = score_open(space, TOY, DRAWS, found, BUDGET, [repeat])
    assert write_search(tmp_path, other).name == "grid-shortcuts-80-epochs.json"
    assert other.found == (as_trained(drawn, space.images),)
    assert other.skeletons["residual-3x2"] == 0.35


def test_the_check_of_the_surrogate_is_printed_with_the_scores(result: OpenResult) -> None:
    assert list(open_header(result)) == [
        "architectures of peephole-3x2, shallow-3x1, wide-3x1 on digits; 2 searches of 80 epochs "
        "each",
        "surrogate: toy, fitted to 100 networks, noise from the 7 with several seeds; on held-back "
        "networks by fold:",
        "  tau  0.500 -",
        "  r2   0.250 -1.000",
        "  mse  0.1250 2.0000",
        "regret to the best of 10 draws of the Markov chain (0.9000), without noise; mean and 95 % "
        "interval",
        "last quarter: accuracy of the trainings in the last quarter of the budget; a draw of the "
        "chain reaches 0.4500 [0.4000, 0.5000]",
        "algorithm                                          area    at 25%    at 50%"
        "                  at 100%   best  epochs  own s             last quarter",
    ]
    assert open_line(result).split() == (
        "random 0.2250 [0.2150, 0.2350] 0.3500 0.2000 0.0250 [-0.0500, 0.1000] 50% 70 2.0 0.1000 "
        "[0.1000, 0.1000]"
    ).split()  # fmt: skip


class Idle:
    """Trains once, and then says that the surrogate took long."""

    def search(self, session: OpenSession, *, seed: int) -> None:
        session.train(session.sample(np.random.default_rng(seed)))
        session.training_seconds += 1000.0


def test_the_seconds_of_the_surrogate_are_not_those_of_the_algorithm() -> None:
    repeat = OpenSetting(SPACE, TOY, DRAWS, BUDGET).search(Idle, 0)
    assert -1000.0 < repeat.own_seconds < 0.0
    assert (len(repeat.choices), len(repeat.accuracies)) == (1, 1)


def test_draws_of_the_chain_by_hand() -> None:
    toy = ToySurrogate(bn_share, measured=[0.5, 0.7, 0.6])
    found, again = draw_chain(SPACE, toy, 3), draw_chain(SPACE, ToySurrogate(bn_share), 3)
    assert found.number == 3
    assert found.accuracy.value == pytest.approx(0.6)
    assert (found.best, found.mean) == (again.best, again.mean)
    assert found.best > found.mean == again.accuracy.value


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release")))


@pytest.fixture(autouse=True, scope="module")
def few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setting, "draw_chain", partial(draw_chain, number=20))
        yield


@pytest.fixture(scope="module")
def opened(release: Release) -> OpenSetting:
    return open_setting("digits", Budget(60), release=release)


def words(release: Release, folder: Path) -> list[str]:
    start = ["search", "--images", "digits", "--track", "open", "--data", str(release.folder)]
    return [*start, "--results", str(folder / "r"), "--repeats", "2"]


def test_the_command_writes_what_it_prints(release: Release, tmp_path: Path) -> None:
    named = ["--algorithm", "random", "--algorithm", "grid", "--budget", "90"]
    done = CliRunner().invoke(command, [*words(release, tmp_path), *named])
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("surrogate: random forest of 100 trees on architecture features")
    assert [line.split()[0] for line in lines[-3:]] == ["algorithm", "random", "grid"]
    as_json = [*words(release, tmp_path), *named, "--processes", "1", "--json"]
    again = CliRunner().invoke(command, as_json)
    for line, name in zip(again.stdout.splitlines(), ("random", "grid"), strict=True):
        path = tmp_path / f"r/search/open/digits/{name}-90-epochs.json"
        stored = read_search(path)
        assert isinstance(stored, OpenResult)
        assert json.loads(line)["choices"] == json.loads(path.read_text())["choices"]
        assert (stored.algorithm, stored.spent_epochs) == (name, 80.0)
        assert (
            open_line(stored).split()[:3]
            == next(x for x in lines if x.startswith(name)).split()[:3]
        )
        assert stored.draws.number == 20


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--algorithm halving",
         "unknown algorithm of the open track 'halving'. Known: random, grid, evolution, "
         "guided, greedy, controller"),
        ("--algorithm evolutoin",
         "unknown algorithm of the open track 'evolutoin'; did you mean 'evolution'? Known: "
         "random, grid, evolution, guided, greedy, controller"),
        ("--budget 5 --unit seconds",
         "`unit` (='seconds') must be epochs, as a surrogate takes no measured seconds"),
        ("--budget 19", "`budget` (=19) must be at least 20 epochs, one training"),
        ("--budget 20.5", "`budget` (=20.5) must be a whole number of epochs"),
    ],
)  # fmt: skip
def test_wrong_words_write_nothing(
    release: Release, tmp_path: Path, more: str, message: str
) -> None:
    done = CliRunner().invoke(command, [*words(release, tmp_path), *more.split()])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"peephole: error: {message}\n"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("package", "what"),
    [("sklearn", "the surrogate of the open track"), ("torch", "algorithm 'controller'")],
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, release: Release, package: str, what: str
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else name)
    install = extras.how_to_install("predictors")
    message = f"{what} needs {package} of the extra `predictors`; install it with: {install}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        list(search_all(open_setting("digits", release=release), ["controller"]))


def test_shortcuts_are_of_the_open_track() -> None:
    done = CliRunner().invoke(command, ["search", "--images", "digits", "--shortcuts"])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == "Error: --shortcuts needs --track open"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("session.train(Architecture('deep-3x3', drawn.widths, drawn.blocks))",
         "ValueError: `skeleton` (='deep-3x3') must be one of peephole-3x2, shallow-3x1, wide-3x1 "
         "(own.py:11 in search)"),
        ("session.train(drawn); session.train(drawn)",
         "ValueError: architecture '[0-9a-f]{16}' was trained already and reached 0.[0-9]{4}; "
         "`known` tells (own.py:11 in search)"),
        ("session.unfinished",
         "AttributeError: 'OpenSession' object has no attribute 'unfinished' (own.py:11 in "
         "search)"),
        ("pass", "ValueError: no architecture was trained or chosen"),
    ],
)  # fmt: skip
def test_what_a_class_does_wrong_is_told(
    opened: OpenSetting, tmp_path: Path, body: str, message: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.format(body=body))
    pattern = re.escape(f"algorithm 'mine' with seed 0: {message}")
    for part in ("[0-9a-f]{16}", "[0-9]{4}"):
        pattern = pattern.replace(re.escape(part), part)
    with pytest.raises(ValueError, match=f"^{pattern}$"):
        list(search_all(opened, [f"{path}:Mine"], repeats=1))


def test_a_class_of_ones_own_searches(release: Release, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.format(body="session.train(drawn); session.choose(session.sample(rng))"))
    opened = open_setting("digits", Budget(60), shortcuts=True, release=release)
    (result,) = search_all(opened, [f"{path}:Mine"], repeats=3)
    assert (result.algorithm, result.repeats, result.spent_epochs) == ("mine", 3, 20.0)
    assert [len(choices) for choices in result.choices] == [2, 2, 2]
    assert "residual-3x2" in result.skeletons


@pytest.fixture(scope="module")
def searched(opened: OpenSetting) -> OpenResult:
    random = find_algorithm("random", track="open")
    return opened.score(random, [opened.search(random.make, seed) for seed in range(2)])


def test_a_result_follows_from_the_data(
    opened: OpenSetting, release: Release, searched: OpenResult, tmp_path: Path
) -> None:
    path = write_search(tmp_path, searched)
    assert search_problems(tmp_path, release) == {}
    record = json.loads(path.read_text())
    record["area"]["value"] += 0.01
    path.write_text(json.dumps(record))
    message = f"{path}: `area` does not follow from the choices and the data"
    assert search_problems(tmp_path, release) == {path: message}


Change = Callable[[OpenResult], dict[str, Any]]
CLAIMS: list[tuple[Change, str]] = [
    (lambda r: {"images": "mnist"}, "`images` (='mnist') must be 'digits'"),
    (lambda r: {"skeletons": {"deep-3x3": 1.0}}, "`skeletons` (={'deep-3x3': 1.0}) must be"),
    (lambda r: {"budget": Budget(60, "seconds")}, "`budget.unit` (='seconds') must be epochs"),
    (lambda r: {"budget": Budget(20)}, "`choices` (=OpenChoice(epochs="),
    (lambda r: {"accuracies": r.accuracies[:1]}, "`accuracies` must have one entry for each"),
    (lambda r: {"accuracies": ((0.5,) * 4, (0.5,))}, "`accuracies` (=4) must be at most 3 in a"),
    (lambda r: {"accuracies": ((1.5,), (0.5,))}, "`accuracies` (=1.5) must be in [0, 1]"),
    (lambda r: risen(r, 2.0), "`choices` (="),
    (lambda r: {"found": r.found[::-1]}, "`found` must have the last choice of each repeat"),
    (lambda r: found(r, skeleton="deep-3x3"), "`found` (='deep-3x3') must be of a skeleton in"),
    (lambda r: found(r, widths=(0, 8, 8)), "`found` (=(0, 8, 8)) must be of the widths"),
    (lambda r: found(r, blocks=r.found[0].blocks * 2), "`found` (="),
    (lambda r: found(r, channels=10**30), "`found` (=Layer("),
    (lambda r: {"accuracies": ((0.5,), (0.5,))}, "`accuracy` does not follow"),
]
FORGED: list[tuple[Change, str]] = [
    (lambda r: {"surrogate": replace(r.surrogate, repeated=1)}, "`surrogate` does not follow"),
    (lambda r: moved(r, 0.01), "`draws` does not follow from the data"),
    (lambda r: risen(r, -0.01), "`choices` (=OpenChoice(epochs="),
]


def found(result: OpenResult, channels: int | None = None, **fields: Any) -> dict[str, Any]:
    first = result.found[0]
    if channels is not None:
        layers = first.blocks[0].layers
        block = Block((replace(layers[0], channels=channels), *layers[1:]))
        fields["blocks"] = (block, *first.blocks[1:])
    return {"found": (replace(first, **fields), *result.found[1:])}


@pytest.mark.parametrize(("change", "message"), CLAIMS)
def test_a_result_that_does_not_follow_is_refused(
    opened: OpenSetting, searched: OpenResult, change: Change, message: str
) -> None:
    wrong = replace(searched, **change(searched))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        check_open_result(wrong, opened.space, EPOCHS)


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_the_surrogate_is_asked_where_scikit_learn_is_the_same(
    release: Release, searched: OpenResult, change: Change, message: str
) -> None:
    wrong = replace(searched, **change(searched))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        checker(release)(wrong)
    elsewhere = replace(wrong.environment, sklearn="0.1")
    checker(release)(replace(wrong, environment=elsewhere))


def rescored(result: OpenResult, **fields: Any) -> dict[str, Any]:
    """Return changed fields, with the scores that follow from them."""
    new = replace(result, **fields)
    scores = open_scores(new.choices, new.accuracies, new.draws, new.budget, EPOCHS)
    return {**fields, **scores}


def moved(result: OpenResult, by: float) -> dict[str, Any]:
    return rescored(result, draws=replace(result.draws, best=result.draws.best + by))


def risen(result: OpenResult, by: float) -> dict[str, Any]:
    """Return choices that claim a higher value than their architectures have."""
    choices = tuple(
        (*made[:-1], replace(made[-1], value=made[-1].value + by)) for made in result.choices
    )
    return rescored(result, choices=choices)


def test_the_api_searches_the_open_track(release: Release) -> None:
    made = peephole.search(
        "random", images="digits", budget=60, track="open", repeats=2, shortcuts=True,
        release=release,
    )  # fmt: skip
    assert isinstance(made, OpenResult)
    assert (made.repeats, made.spent_epochs) == (2, 60.0)
    assert "residual-3x2" in made.skeletons
    checker(release)(made)


def test_check_tries_an_algorithm(release: Release, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.format(body="session.train(drawn)"))
    start = ["check", f"{path}:Mine", "--track", "open", "--data", str(release.folder)]
    done = CliRunner().invoke(command, start)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    pattern = r"ok      one training: 20 epochs spent; 1 choice, the last with regret -?0\.\d{4}"
    assert re.fullmatch(pattern, lines[0])
    assert [line.split(":")[0] for line in lines[1:]] == [
        "ok      half the budget",
        "ok      same seed",
    ]
    done = CliRunner().invoke(command, start[:2] + start[4:])
    assert done.exit_code == 1
    assert done.stdout.endswith("--track open checks algorithms of the open track\n")
