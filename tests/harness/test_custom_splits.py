"""Trials that leave a skeleton out or vary the training size: their runs, scores and output."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau

from benchmark.release import INSTALLED
from harness.evaluate_cli import evaluate
from harness.protocol import Prediction, Queries, Runs
from harness.running.custom_splits import ladder_trials, skeleton_trials
from harness.running.evaluate_many import Setting
from harness.running.find_predictor import Candidate, find
from harness.running.trials import Trial, TrialScore, average, failed_fits, fit_trial
from harness.running.try_many import Job, try_many

TASK = "digits-k1-v3"


def score_of(
    candidate: Candidate, trials: Sequence[Trial], observed: int, seeds: int
) -> TrialScore:
    """Return the mean score of fits in this process."""
    chosen = candidate.seeds(seeds)
    made = [fit_trial(candidate, trial, [observed], seed) for trial in trials for seed in chosen]
    return average(trials, [fit for fits in made for fit in fits])


def value(score: TrialScore, metric: str) -> float:
    found = score.scores[metric].value
    assert found is not None
    return found


def skeletons(runs: object) -> set[str]:
    return {network.skeleton for network in runs.architectures}  # type: ignore[attr-defined]


def test_a_skeleton_that_is_left_out_is_tested_on_and_never_fitted_on() -> None:
    task = INSTALLED.task(TASK)
    trials = skeleton_trials(task)
    assert [t.label for t in trials] == [
        f"without {name}" for name in ("peephole-3x2", "shallow-3x1", "wide-3x1")
    ]
    total = len(task.parts["train"]) + len(task.parts["validation"])
    assert sum(len(t.test) for t in trials) == total  # none of test or heldout
    for trial in trials:
        left_out = {trial.label.removeprefix("without ")}
        assert skeletons(trial.test) == left_out
        assert not left_out & (skeletons(trial.train) | skeletons(trial.validation))
        assert len(trial.train) + len(trial.validation) + len(trial.test) == total


def test_networks_of_two_splits_keep_their_proxies() -> None:
    trials = skeleton_trials(INSTALLED.task(TASK))
    for trial in trials:
        for runs in (trial.train, trial.validation, trial.test):
            assert runs.proxies is not None
            assert len(runs.proxies) == len(runs)
    assert len({row.tobytes() for t in trials for row in t.test.proxies}) == 720  # type: ignore[union-attr]


def test_each_training_set_contains_the_smaller_ones() -> None:
    trials = ladder_trials(INSTALLED.task(TASK), [50, 200, 600])
    assert [(t.label, len(t.train), len(t.test)) for t in trials] == [
        ("50 networks", 50, 480), ("200 networks", 200, 480), ("600 networks", 600, 480),
    ]  # fmt: skip
    assert trials[0].train.ids == trials[1].train.ids[:50]
    assert set(trials[1].train.ids) <= set(trials[2].train.ids)
    with pytest.raises(ValueError, match=r"^`train-size` \(=601\) must be in 2..600$"):
        ladder_trials(INSTALLED.task(TASK), [601])


def test_scores_are_those_of_a_fit_by_hand() -> None:
    (trial,) = ladder_trials(INSTALLED.task(TASK), [100])
    score = score_of(find("last-plus-gain"), [trial], 5, 1)
    y = trial.test.series.valid_accuracy
    gain = (
        trial.train.series.valid_accuracy[:, -1] - trial.train.series.valid_accuracy[:, 4]
    ).mean()
    p = np.clip(y[:, 4] + gain, 0, 1)
    assert value(score, "mse") == pytest.approx(np.square(p - y[:, -1]).mean())
    assert value(score, "tau") == pytest.approx(kendalltau(p, y[:, -1]).statistic)
    assert value(score, "r2") == pytest.approx(1 - np.square(p - y[:, -1]).mean() / y[:, -1].var())
    assert (score.fitted, score.asked) == (100, 480)


def test_more_training_networks_improve_a_predictor_that_learns() -> None:
    trials = ladder_trials(INSTALLED.task(TASK), [50, 600])
    few, many = (score_of(find("curve-svd"), [trial], 3, 1) for trial in trials)
    assert (few.failures, many.failures) == ((), ())
    assert value(many, "tau") > value(few, "tau")
    assert value(many, "mse") < value(few, "mse")


class Fussy:
    """Fails on an odd seed."""

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        if seed % 2:
            raise ZeroDivisionError("odd")

    def predict(self, queries: Queries) -> Prediction:
        return Prediction(np.full((len(queries), 1), 0.5), (20,))


def test_fits_that_fail_are_counted_and_the_others_scored() -> None:
    trials = ladder_trials(INSTALLED.task(TASK), [50])
    score = score_of(Candidate("fussy", "", Fussy), trials, 1, 4)
    assert len(score.failures) == 2
    start = "ZeroDivisionError: odd (test_custom_splits.py:"
    assert all(failure.startswith(start) for failure in score.failures)
    y = trials[0].test.final_accuracy
    assert value(score, "tau") == 0.0
    assert value(score, "mse") == pytest.approx(np.square(0.5 - y).mean())
    always = average(trials, failed_fits("fussy", trials[0], [1], 0, "killed"))
    assert (always.scores, always.asked) == ({}, 480)
    assert always.failures == ("killed",)


def test_the_command_counts_failed_fits_and_ends_with_1(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "import os\nclass Dying:\n"
        "    def fit(self, train, validation, *, observed, seed): os._exit(9)\n"
        "    def predict(self, queries): ...\n"
    )
    words = [f"{own}:Dying", "mean-curve", "--task", TASK, "--train-size", "50"]
    done = CliRunner().invoke(evaluate, words)
    assert done.exit_code == 1
    _, dying, mean = done.stdout.splitlines()
    said = "  5 failed: the process ended early: exit code 9"
    assert dying == f"{'dying':20} {'50 networks':22} {1:8} {50:6} {480:6}{said}"
    assert "failed" not in mean


def test_a_predictor_that_uses_no_curve_is_fitted_once_for_all_observed_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, tuple[int, ...]]] = []

    def alone(calls: Sequence[partial[None]], _: int) -> Iterator[tuple[int, None]]:
        for number, call in enumerate(calls):
            job = call.args[1]
            assert isinstance(job, Job)
            ran.append((job.predictor, job.observed))
            call()
            yield number, None

    monkeypatch.setattr("harness.running.try_many.run_in_processes", alone)
    trials = ladder_trials(INSTALLED.task(TASK), [50])
    found = try_many(["parameters", "last-value"], trials, [0, 1, 3], Setting(tmp_path))
    assert ran == [("parameters", (0, 1, 3)), *(("last-value", (k,)) for k in (0, 1, 3))]
    assert [(s.predictor, s.observed) for s in found] == [
        (name, k) for name in ("parameters", "last-value") for k in (0, 1, 3)
    ]
    assert found[1:3] == [score_of(find("parameters"), trials, k, 1) for k in (1, 3)]


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
