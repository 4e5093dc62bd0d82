"""The board: ranks, ceilings, agreement of the results of a task, and networks."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import leaderboard.folders
from benchmark.release import Release, load_runs
from benchmark.runs import read_table, rows_to_table, split_path, write_table
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from harness.metrics.bootstrap import RESAMPLES
from harness.results.ceiling import Ceiling
from harness.results.folder import HOW
from harness.results.result import Result, Seconds, pack_resamples
from harness.scoring.scores import Score, SeedScore
from leaderboard.board import ABOVE_CEILING, TaskBoard, task_board
from leaderboard.board import read_board as read
from leaderboard.folders import own_results, results_here
from leaderboard.networks import TaskNetworks
from tests.toys.data import toy_release
from tests.toys.results import (
    predictions_of,
    toy_ceiling,
    toy_networks,
    toy_result,
    write_toy,
    write_toy_board,
)


def with_tau(
    predictor: str, shift: float, *, skeletons: Mapping[str, float] | None = None
) -> Result:
    """Return a result whose tau on test is .6 + shift, also on each of the shared resamples.

    Args:
        predictor: Name of the predictor.
        shift: Added to tau.
        skeletons: tau on held-out skeletons.
    """
    rng = np.random.default_rng(0)
    own = np.random.default_rng(len(predictor) + ord(predictor[0]))
    samples = 0.6 + shift + 0.1 * rng.normal(size=RESAMPLES) + 0.01 * own.normal(size=RESAMPLES)
    samples = samples.clip(-1, 1)
    low, high = np.quantile(samples, [0.025, 0.975])
    scores = {"test": {"tau": SeedScore(0.6 + shift, float(low), float(high), None)}}
    for name, tau in (skeletons or {}).items():
        scores[f"skeleton/{name}"] = {"tau": SeedScore(tau, None, None, None)}
    return replace(
        toy_result(predictor),
        status="scored",
        failure=None,
        scores=scores,
        tau_resamples=pack_resamples(samples),
        seconds=Seconds(1, 1),
    )


def board_of(results: list[Result], ceiling: Ceiling | None = None) -> TaskBoard:
    return task_board([(result, None) for result in results], ceiling)


def test_paired_differences_rank_predictors_whose_intervals_overlap() -> None:
    # Intervals are .6 +- .2; differences of .1 between predictors vary by .014 alone
    board = board_of([with_tau("c", -0.1), with_tau("a", 0.1), with_tau("b", 0.0)])
    assert [(row.result.predictor, row.rank) for row in board.rows] == [
        ("a", (1, 1)), ("b", (2, 2)), ("c", (3, 3)),
    ]  # fmt: skip
    taus = [row.result.scores["test"]["tau"] for row in board.rows]
    assert all(tau.low is not None and tau.low < 0.6 < (tau.high or 0) for tau in taus)
    close = board_of([with_tau("a", 0.001), with_tau("b", 0.0), with_tau("c", -0.1)])
    assert [row.rank for row in close.rows] == [(1, 2), (1, 2), (3, 3)]
    assert close.differences.names == ("a", "b", "c")
    assert close.differences.value[0, 2] == pytest.approx(0.101)
    assert close.differences.significant[0].tolist() == [False, False, True]


def test_the_order_of_the_results_does_not_matter() -> None:
    results = [with_tau(name, shift) for name, shift in (("a", 0.1), ("b", 0.0), ("c", 0.02))]
    one, other = board_of(results), board_of(results[::-1])
    assert [(r.result, r.rank) for r in one.rows] == [(r.result, r.rank) for r in other.rows]


def test_the_rank_includes_the_position_in_the_sorted_rows() -> None:
    shifts = np.random.default_rng(0).random(20) / 3
    board = board_of([with_tau(f"{i:02}", shift) for i, shift in enumerate(shifts.tolist())])
    for position, row in enumerate(board.rows, start=1):
        assert row.rank is not None
        assert row.rank[0] <= position <= row.rank[1]


def test_a_failed_predictor_comes_last_without_rank() -> None:
    last = board_of([toy_result("aaa"), with_tau("b", 0.0)]).rows[-1]
    assert (last.result, last.rank, last.flags) == (toy_result("aaa"), None, ())


def test_a_result_without_resamples_is_refused() -> None:
    message = "result 'a' on 'digits-k0-v1' has no `tau_resamples`"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        board_of([replace(with_tau("a", 0.0), tau_resamples=())])


def test_held_out_is_shown_relative_to_what_can_be_known() -> None:
    """Two skeletons with ceilings .8 and .2, the second one's intervals reaching 0."""
    known, unknown = Score(0.8, 0.7, 0.9), Score(0.2, 0.0, 0.4)
    base = toy_ceiling()
    scores = {
        "test": base.scores["test"],
        "heldout": {"r2": known, "tau": Score(0.5, 0.4, 0.6)},
        "skeleton/deep-3x3": {"r2": known, "tau": known},
        "skeleton/residual-3x2": {"r2": unknown, "tau": unknown},
    }
    networks = dict.fromkeys(scores, 10)
    losses = {stratum: {"tau": metrics["tau"]} for stratum, metrics in scores.items()}
    ceiling = replace(base, networks=networks, scores=scores, scores_valid_loss=losses)
    taus = {"deep-3x3": 0.6, "residual-3x2": 0.1}
    (row,) = board_of([with_tau("a", 0.0, skeletons=taus)], ceiling).rows
    assert row.share == pytest.approx(0.35 / 0.5)
    assert row.rankable == pytest.approx(0.6)
    assert row.spread == pytest.approx(0.5 / np.sqrt(2))
    assert row.flags == ()
    after = replace(with_tau("a", 0.0, skeletons=taus), observed=1)
    (later,) = board_of([after], ceiling).rows
    assert (later.share, later.rankable, later.spread) == (None, None, row.spread)


def test_a_score_above_the_ceiling_is_flagged() -> None:
    """Predictions copied from the answers have tau 1; the ceiling is .85 [.75, .9]."""
    copied, honest = with_tau("copied", 0.4), with_tau("honest", 0.2)
    rows = board_of([copied, honest], toy_ceiling()).rows
    assert [row.flags for row in rows] == [(ABOVE_CEILING,), ()]
    assert board_of([replace(copied, observed=1)], toy_ceiling()).rows[0].flags == ()


def test_a_board_has_every_task_and_every_predictor(board_results: Path) -> None:
    board = read(board_results)
    found = {task.name: [row.result.predictor for row in task.rows] for task in board.tasks}
    assert found["digits-k0-v1"] == ["good", "bad", "constant", "broken"]
    assert found["digits-k1-v1"] == ["good", "bad"]
    assert list(board.ceilings) == ["digits"]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    message = f"no result <task>/<predictor>.json in {str(tmp_path)!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(FileNotFoundError, match=f"^no folder of results {str(missing)!r}$"):
        read(missing)


def test_networks_without_layers_are_refused() -> None:
    message = "layer_rows (=0 networks) must have one entry per run (36)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TaskNetworks(toy_networks().targets, ())


def test_the_networks_of_a_task_are_those_of_its_runs(tmp_path: Path) -> None:
    task = Release(toy_release(tmp_path)).task("digits-k1-v1")
    found = leaderboard.networks.load_networks(task.name, Release(tmp_path))
    asked = (*task.parts["test"], *task.parts["heldout"])
    rows = {
        row["run_id"]: row
        for split in ("test", "heldout")
        for row in load_runs("digits", split, release=Release(tmp_path)).to_pylist()
    }
    assert len(rows) > len(asked)  # repeats, which a task leaves out
    assert found.targets.run_ids == asked
    assert found.targets.splits == ("test",) * 14 + ("heldout",) * 10
    curves = [rows[name]["valid_accuracy"] for name in asked]
    assert found.targets.curves.tolist() == curves
    networks = [from_record(rows[name]["architecture"]) for name in asked]
    assert found.layer_rows == tuple(walk(n, get_images("digits")) for n in networks)


def test_networks_of_changed_runs_are_refused(tmp_path: Path) -> None:
    path = split_path("digits", "heldout", toy_release(tmp_path))
    rows = read_table(path).to_pylist()
    for row in rows:
        row["valid_accuracy"][-1] /= 2
        row["started_at"] = 0
    write_table(rows_to_table(rows), path)
    with pytest.raises(ValueError, match=r"^the rows of task 'digits-k1-v1' have digest "):
        leaderboard.networks.load_networks("digits-k1-v1", Release(tmp_path))


def test_results_here_come_before_those_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "package"
    monkeypatch.setattr(leaderboard.folders, "RESULTS", package)
    write_toy(package, "ours", 0.1)
    assert results_here() == package
    predictions_of(package / "digits-k0-v1" / "ours.json").unlink()  # as in an installed package
    message = f"there is no folder 'results' or 'leaderboard/results' here; {HOW}"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        results_here()
    for name, own in (("results", None), ("leaderboard/results", Path("results"))):
        (tmp_path / name).mkdir(parents=True)
        assert results_here() == Path(name)
        assert own_results() == own


def test_own_results_are_ranked_among_the_published_ones(tmp_path: Path) -> None:
    published, own = tmp_path / "published", tmp_path / "own"
    write_toy_board(published)
    write_toy(own, "mine", 0.01)
    changed = write_toy(own, "bad", 0.03)
    first, second = read(published, own=own).tasks
    names = [row.result.predictor for row in first.rows]
    assert sorted(names) == ["bad", "broken", "constant", "good", "mine"]
    (bad,) = (row.result for row in first.rows if row.result.predictor == "bad")
    assert bad.scores == changed.scores
    assert [row.result.predictor for row in second.rows] == ["good", "bad"]
    alone = read(published).tasks[0]
    assert sorted(row.result.predictor for row in alone.rows) == sorted({*names} - {"mine"})
    assert alone.ceiling == first.ceiling
    with pytest.raises(FileNotFoundError, match=r"^no folder of results '.*/elsewhere'$"):
        read(published, own=tmp_path / "elsewhere")
