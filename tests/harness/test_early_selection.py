"""Early selection: by hand on a small table, against brute force, and through the command."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.release import Release
from harness.protocol import Prediction
from harness.results.folder import HOW
from harness.results.store import write_result
from harness.running.evaluate import ResultHeader, score_outcome
from harness.studies.early_selection import (
    StrategyOutcome,
    random_sets,
    select_by_scores,
    simulate_selection,
    successive_halving,
)
from harness.studies.early_selection_plot import COLOURS, best_predictors, draw
from harness.studies_cli import select
from harness.task_data import load_targets
from tests.toys.data import toy_release

# Four networks, three epochs; the best after one epoch ends second to last.
CURVES = np.array([[0.5, 0.5, 0.5], [0.4, 0.6, 0.8], [0.3, 0.7, 0.9], [0.1, 0.1, 0.1]])
ALL = np.array([[0, 1, 2, 3]])


@pytest.mark.parametrize(
    ("epoch", "kept", "regret", "epochs"),
    [
        (1, 1, 0.4, (4 + 2) / 12),  # keeps network 0, which ends at .5
        (1, 2, 0.1, (4 + 2 * 2) / 12),  # keeps networks 0 and 1
        (1, 3, 0.0, (4 + 3 * 2) / 12),
        (2, 1, 0.0, (8 + 1) / 12),
    ],
)
def test_what_is_kept_is_trained_to_the_end(
    epoch: int, kept: int, regret: float, epochs: float
) -> None:
    found = select_by_scores("stop after i", CURVES[None, :, epoch - 1], epoch, kept, CURVES, ALL)
    assert found.regret == pytest.approx(regret)
    assert found.epochs == pytest.approx(epochs)
    assert found.best == (regret == 0)


def test_successive_halving_drops_two_thirds_at_every_rung() -> None:
    """Nine networks, ten epochs: 9 for one epoch, 3 up to epoch three, 1 to the end."""
    curves = np.tile(np.linspace(0, 1, 9)[:, None], (1, 10))
    found = successive_halving(curves, np.arange(9)[None])
    assert found.epochs == pytest.approx((9 + 3 * 2 + 1 * 6 + 1 * 1) / 90)
    assert (found.regret, found.kept, found.best) == (0.0, 1, 1.0)


def test_sets_hold_every_network_once_and_are_the_same_every_time() -> None:
    sets = random_sets(30, 12)
    assert sets.shape == (1000, 12)
    assert all(len(set(row)) == 12 for row in sets.tolist())
    assert np.array_equal(sets, random_sets(30, 12))
    shares = np.bincount(sets.ravel()) / 1000
    assert shares == pytest.approx(np.full(30, 0.4), abs=0.06)


def test_regret_is_that_of_a_search_by_hand() -> None:
    rng = np.random.default_rng(0)
    curves, scores, sets = rng.random((40, 5)), rng.random((2, 40)), random_sets(40, 15)
    found = select_by_scores("a", scores, 2, 5, curves, sets)
    regrets = []
    for of_seed in scores:
        for chosen in sets:
            best = chosen[np.argsort(-of_seed[chosen])][:5]
            regrets.append(max(curves[i, -1] for i in chosen) - max(curves[i, -1] for i in best))
    assert found.regret == pytest.approx(np.mean(regrets))
    assert (found.low, found.high) == pytest.approx(np.quantile(regrets, [0.05, 0.95]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return toy data with results of a perfect predictor and of one that reverses the order."""
    folder = toy_release(tmp_path_factory.mktemp("data"))
    for name in ("digits-k0-v1", "digits-k1-v1"):
        task = Release(folder).task(name)
        targets = load_targets(task, Release(folder))
        final = targets.valid_accuracy.curves[:, -1:]
        for predictor, mean in (("knows", final), ("reverse", 1 - final)):
            header = ResultHeader(task, predictor, predictor, (0,))
            outcome = score_outcome(header, [Prediction(mean, (20,))], targets)
            write_result(folder / "results", *outcome)
    return folder


def test_a_perfect_predictor_has_no_regret_and_pays_only_for_what_is_kept(folder: Path) -> None:
    tasks = [Release(folder).task(f"digits-k{k}-v1") for k in (0, 1)]
    names = ["knows", "reverse"]
    found = simulate_selection(
        tasks, names, [folder / "results"], candidates=12, release=Release(folder)
    )
    known = {(c.strategy, c.observed, c.kept): c for c in found}
    assert known["knows", 0, 1].regret == 0.0
    assert known["knows", 0, 1].epochs == pytest.approx(1 / 12)
    assert known["knows", 1, 1].epochs == pytest.approx((12 + 19) / 240)
    fitted = sum(len(tasks[0].parts[split]) for split in ("train", "validation"))
    assert known["knows", 1, 1].training_epochs == 20 * fitted
    assert known["stop after i", 1, 1].training_epochs == 0
    assert known["reverse", 0, 1].regret > 0.3
    regrets = [known["stop after i", i, 1].regret for i in range(1, 20)]
    assert regrets[-1] <= regrets[0]
    every = simulate_selection(
        tasks, [], [folder / "results"], candidates=12, release=Release(folder)
    )
    assert every == found
    what = "no score of 'know' on digits-k0-v1 or digits-k1-v1; did you mean"
    message = f"{what} 'knows'? Known: knows, reverse; {HOW}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        simulate_selection(
            tasks, ["reverse", "know"], [folder / "results"], candidates=12, release=Release(folder)
        )


def test_the_command_prints_every_way_and_draws_it(folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "choice.png"
    arguments = ["knows", "--candidates", "12", "--folder", str(folder),
                 "--results", str(folder / "results")]  # fmt: skip
    result = CliRunner().invoke(select, [*arguments, "--plot", str(picture)])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        *("strategy", "observed", "kept", "epochs", "training", "regret"),
        *("5", "to", "95", "%", "of", "sets", "best"),
    ]
    assert len(lines) == 1 + 19 * 3 + 1 + 2 * 3
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    found = CliRunner().invoke(select, [*arguments, "--json"]).stdout.splitlines()
    assert json.loads(found[-1])["strategy"] == "knows"


def test_wrong_candidates_and_versions_are_refused(folder: Path) -> None:
    tasks = [Release(folder).task("digits-k0-v1")]
    for count in (9, 15):
        with pytest.raises(ValueError, match=rf"^`candidates` \(={count}\) must be in 10..14$"):
            simulate_selection(
                tasks, [], [folder / "results"], candidates=count, release=Release(folder)
            )
    with pytest.raises(ValueError, match=r"^there is no task of 'digits' with version 7$"):
        CliRunner().invoke(
            select, ["--version", "7", "--folder", str(folder)], catch_exceptions=False
        )


def test_a_plot_of_another_format_is_refused(tmp_path: Path) -> None:
    found = [select_by_scores("a", CURVES[None, :, 0], 1, 1, CURVES, ALL)]
    with pytest.raises(ValueError, match=r"^Format 'xyz' is not supported"):
        draw(found, tmp_path / "choice.xyz", "")


def test_the_predictors_with_the_least_regret_are_named_on_the_plot(tmp_path: Path) -> None:
    regrets = np.linspace(0.5, 0.001, 9)
    found = [
        StrategyOutcome(f"p{i}", observed, 1, 0.05, 100, regret, 0.0, 1.0, 0.1)
        for i, regret in enumerate(regrets.tolist())
        for observed in (0, 1)
    ]
    found.append(StrategyOutcome("stop after i", 1, 1, 0.1, 0, 0.0, 0.0, 0.0, 1.0))
    assert best_predictors(found) == [f"p{i}" for i in range(8, 8 - len(COLOURS), -1)]
    draw(found, tmp_path / "choice.svg", "Title")
    text = (tmp_path / "choice.svg").read_text()
    assert "<!-- 3 other predictors -->" in text
    assert "Bands: 5 % to 95 % of the sets" in text
    assert text.count("PolyCollection_") == 6  # in three panels, “p8” and “stop after i”
