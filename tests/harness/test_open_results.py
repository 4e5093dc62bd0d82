"""Results of open search: scores by hand, the command, and what it says of wrong words."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark import extras
from benchmark.release import Release
from benchmark.space.sampler import as_trained
from benchmark.util.strict_json import read_record
from harness.results.contents import check_contents
from harness.scoring.scores import Score
from harness.search.budget import Budget
from harness.search.find import find_algorithm
from harness.search.open import run
from harness.search.open.check import FoldScore, SurrogateCheck
from harness.search.open.result import (
    Draws,
    OpenRepeat,
    OpenResult,
    draw_chain,
    score_open,
    write_open,
)
from harness.search.open.run import search_once, search_open
from harness.search.open.session import Chosen, OpenSession
from harness.search.open.space import load_space
from harness.search.open.text import open_header, open_line
from peephole_command import peephole
from tests.toys.data import toy_release
from tests.toys.open_search import EPOCHS, ToySurrogate, bn_share

SPACE = load_space("digits")
CHECK = SurrogateCheck("toy", 100, 7, (FoldScore(60, 0.5, 0.25, 0.125), FoldScore(40, None, -1, 2)))
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
    return score_open(SPACE, CHECK, DRAWS, found, BUDGET, EPOCHS, repeats)


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
    path = write_open(tmp_path, result)
    assert path == tmp_path / "search/open/digits/random-80-epochs.json"
    assert read_record(path, OpenResult) == result
    assert check_contents(tmp_path, tmp_path / "none") == []


def test_a_result_with_shortcuts_has_a_file_of_its_own(result: OpenResult, tmp_path: Path) -> None:
    space = load_space("cifar10", shortcuts=True)
    drawn = space.sample(np.random.default_rng(0))
    repeat = OpenRepeat((Chosen(20, drawn, 0.6),), (0.5,), 1.0)
    found = find_algorithm("grid", track="open")
    other = score_open(space, CHECK, DRAWS, found, BUDGET, EPOCHS, [repeat])
    assert write_open(tmp_path, other).name == "grid-shortcuts-80-epochs.json"
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
    repeat = search_once(Idle(), OpenSession(SPACE, ToySurrogate(bn_share), BUDGET, 0), 0)
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


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "draw_chain", partial(draw_chain, number=20))


def words(release: Release, folder: Path) -> list[str]:
    start = ["search", "--images", "digits", "--track", "open", "--data", str(release.folder)]
    return [*start, "--results", str(folder / "r"), "--repeats", "2"]


def test_the_command_writes_what_it_prints(release: Release, tmp_path: Path) -> None:
    named = ["--algorithm", "random", "--algorithm", "grid", "--budget", "90"]
    done = CliRunner().invoke(peephole, [*words(release, tmp_path), *named])
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("surrogate: random forest of 100 trees on architecture features")
    assert [line.split()[0] for line in lines[-3:]] == ["algorithm", "random", "grid"]
    as_json = [*words(release, tmp_path), *named, "--processes", "1", "--json"]
    again = CliRunner().invoke(peephole, as_json)
    for line, name in zip(again.stdout.splitlines(), ("random", "grid"), strict=True):
        path = tmp_path / f"r/search/open/digits/{name}-90-epochs.json"
        stored = read_record(path, OpenResult)
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
         "controller"),
        ("--algorithm evolutoin",
         "unknown algorithm of the open track 'evolutoin'; did you mean 'evolution'? Known: "
         "random, grid, evolution, controller"),
        ("--budget 5 --unit seconds",
         "`unit` (='seconds') must be epochs, as a surrogate takes no measured seconds"),
        ("--budget 19", "`budget` (=19) must be at least 20 epochs, one training"),
        ("--budget 20.5", "`budget` (=20.5) must be a whole number of epochs"),
    ],
)  # fmt: skip
def test_wrong_words_write_nothing(
    release: Release, tmp_path: Path, more: str, message: str
) -> None:
    done = CliRunner().invoke(peephole, [*words(release, tmp_path), *more.split()])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"peephole: error: {message}\n"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("package", "what"),
    [("sklearn", "the surrogate of the open track"), ("torch", "algorithm 'controller'")],
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, what: str
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else name)
    install = extras.how_to_install("predictors")
    message = f"{what} needs {package} of the extra `predictors`; install it with: {install}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        list(search_open("digits", ["controller"]))


def test_shortcuts_are_of_the_open_track() -> None:
    done = CliRunner().invoke(peephole, ["search", "--images", "digits", "--shortcuts"])
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
    release: Release, tmp_path: Path, body: str, message: str
) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.format(body=body))
    pattern = re.escape(f"algorithm 'mine' with seed 0: {message}")
    for part in ("[0-9a-f]{16}", "[0-9]{4}"):
        pattern = pattern.replace(re.escape(part), part)
    with pytest.raises(ValueError, match=f"^{pattern}$"):
        list(search_open("digits", [f"{path}:Mine"], Budget(60), repeats=1, release=release))


def test_a_class_of_ones_own_searches(release: Release, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.format(body="session.train(drawn); session.choose(session.sample(rng))"))
    own = [f"{path}:Mine"]
    (result,) = search_open("digits", own, Budget(60), repeats=3, shortcuts=True, release=release)
    assert (result.algorithm, result.repeats, result.spent_epochs) == ("mine", 3, 20.0)
    assert [len(choices) for choices in result.choices] == [2, 2, 2]
    assert "residual-3x2" in result.skeletons
