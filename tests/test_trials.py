"""Skeletons left out and ladders: what is fitted on, what is asked for, and how it is printed."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.tasks import read_task
from harness.cli import evaluate
from harness.loading import find
from harness.trials import ladder_trials, score_trials, skeleton_trials

TASK = "digits-k1-v2"


def skeletons(runs: object) -> set[str]:
    return {network.skeleton for network in runs.architectures}  # type: ignore[attr-defined]


def test_a_skeleton_left_out_is_asked_for_and_fitted_on_nowhere() -> None:
    task = read_task(TASK)
    trials = skeleton_trials(task)
    assert [t.label for t in trials] == [
        f"without {name}" for name in ("peephole-3x2", "shallow-3x1", "wide-3x1")
    ]
    total = len(task.parts["train"]) + len(task.parts["validation"])
    assert sum(len(t.test) for t in trials) == total  # and none of test or heldout
    for trial in trials:
        left_out = {trial.label.removeprefix("without ")}
        assert skeletons(trial.test) == left_out
        assert not left_out & (skeletons(trial.train) | skeletons(trial.validation))
        assert len(trial.train) + len(trial.validation) + len(trial.test) == total


def test_each_rung_of_a_ladder_holds_the_one_below() -> None:
    trials = ladder_trials(read_task(TASK), [50, 200, 600])
    assert [(t.label, len(t.train), len(t.test)) for t in trials] == [
        ("50 networks", 50, 480), ("200 networks", 200, 480), ("600 networks", 600, 480),
    ]  # fmt: skip
    assert trials[0].train.ids == trials[1].train.ids[:50]
    assert set(trials[1].train.ids) <= set(trials[2].train.ids)
    with pytest.raises(ValueError, match=r"^`train-size` \(=601\) must be in 2..600$"):
        ladder_trials(read_task(TASK), [601])


def test_scores_are_those_of_a_fit_by_hand() -> None:
    (trial,) = ladder_trials(read_task(TASK), [100])
    (score,) = score_trials([find("last-plus-gain")], [trial], [5], 1)
    y = trial.test.series.valid_accuracy
    gain = (
        trial.train.series.valid_accuracy[:, -1] - trial.train.series.valid_accuracy[:, 4]
    ).mean()
    p = np.clip(y[:, 4] + gain, 0, 1)
    assert score.mse == pytest.approx(np.square(p - y[:, -1]).mean())
    assert score.r2 == pytest.approx(1 - score.mse / y[:, -1].var())
    assert (score.fitted, score.asked) == (100, 480)


def test_more_networks_help_one_who_learns() -> None:
    trials = ladder_trials(read_task(TASK), [50, 600])
    few, many = score_trials([find("curve-svd")], trials, [3], 1)
    assert many.tau > few.tau
    assert many.mse < few.mse


def test_the_command_prints_a_line_for_each_trial(tmp_path: Path) -> None:
    words = ["mean-curve", "--task", TASK, "--leave-one-skeleton-out"]
    lines = CliRunner().invoke(evaluate, words).stdout.splitlines()
    assert len(lines) == 4
    elsewhere = CliRunner().invoke(evaluate, [*words, "--folder", str(tmp_path)])
    assert isinstance(elsewhere.exception, ValueError)  # that folder has no such task
    assert lines[1].startswith("mean-curve           without peephole-3x2 ")
    both = CliRunner().invoke(evaluate, [*words, "--train-size", "50"])
    assert both.exit_code == 2
    assert "give one of --external, --leave-one-skeleton-out, --train-size" in both.stderr
