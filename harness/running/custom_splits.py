"""Scores of predictors on other splits than those of a task; no board shows them.

There are three kinds of trials: external data (`harness.studies.metaqnn`), leaving one seen
skeleton out of the training runs at a time, and training sets of increasing size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from benchmark.util.rng import generator_for
from harness.predictors.registry import PREDICTORS
from harness.protocol import Runs
from harness.running.find_predictor import Candidate
from harness.running.fit_predict import check_prediction
from harness.task_data import build_runs, recipe_of


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs to fit on and to test on; scores of trials with the same label are averaged."""

    label: str
    train: Runs
    validation: Runs
    test: Runs


@dataclass(frozen=True, slots=True)
class TrialScore:
    """Scores of a predictor for the final epoch, means over seeds and over the trials of a label.

    Attributes:
        tau: Kendall's tau-b; 0 for a constant prediction, None if no fit succeeded.
        r2: 1 - SSE / SST; None if no fit succeeded.
        mse: Mean squared error; None if no fit succeeded.
        fitted: Number of training networks, mean over the trials.
        asked: Number of test networks, mean over the trials.
        failures: Reason for each fit that failed; scores are means over the others.
    """

    predictor: str
    label: str
    observed: int
    tau: float | None
    r2: float | None
    mse: float | None
    fitted: float
    asked: float
    failures: tuple[str, ...]


def score_trials(
    candidate: Candidate, trials: Sequence[Trial], observed: int, seeds: int
) -> list[TrialScore]:
    """Return the scores of a predictor by label; exceptions of a fit become failures."""
    scores: dict[str, list[tuple[float, float, float]]] = {trial.label: [] for trial in trials}
    failures: dict[str, list[str]] = {trial.label: [] for trial in trials}
    for trial in trials:
        for seed in candidate.seeds(seeds):
            try:
                scores[trial.label].append(_scores(candidate, trial, observed, seed))
            except Exception as error:
                failure = f"{type(error).__name__}: {error}".removesuffix(": ")
                failures[trial.label].append(failure)
    return [
        _trial_score(candidate.name, trials, label, observed, scores[label], failures[label])
        for label in scores
    ]


def failed_trials(
    predictor: str, trials: Sequence[Trial], observed: int, failure: str
) -> list[TrialScore]:
    """Return the scores by label of a predictor that failed in every trial for the same reason."""
    labels = dict.fromkeys(trial.label for trial in trials)
    return [_trial_score(predictor, trials, label, observed, [], [failure]) for label in labels]


def _trial_score(
    predictor: str,
    trials: Sequence[Trial],
    label: str,
    observed: int,
    scores: Sequence[tuple[float, float, float]],
    failures: Sequence[str],
) -> TrialScore:
    """Return the mean tau, R2 and MSE of the fits of a label, None without scores."""
    sizes = [(len(t.train), len(t.test)) for t in trials if t.label == label]
    fitted, asked = np.mean(sizes, axis=0).tolist()
    tau, r2, mse = np.mean(scores, axis=0).tolist() if scores else (None, None, None)
    return TrialScore(predictor, label, observed, tau, r2, mse, fitted, asked, tuple(failures))


def applicable(names: Sequence[str], trials: Sequence[Trial]) -> list[str]:
    """Return the registry predictors that trials allow: without proxies, none that needs them."""
    no_proxies = any(trial.train.proxies is None for trial in trials)
    return [name for name in names if not (no_proxies and PREDICTORS[name].needs_proxies)]


def _scores(
    candidate: Candidate, trial: Trial, observed: int, seed: int
) -> tuple[float, float, float]:
    """Return tau, R2 and MSE of one fit."""
    queries, predictor = trial.test.observe(observed), candidate.make()
    predictor.fit(trial.train, trial.validation, observed=observed, seed=seed)
    prediction = check_prediction(predictor.predict(queries), queries).mean[:, -1]
    target = trial.test.final_accuracy
    mse = float(np.square(prediction - target).mean())
    tau = float(np.nan_to_num(kendalltau(prediction, target).statistic))
    return tau, 1 - mse / float(target.var()), mse


def skeleton_trials(task: Task, release: Release = INSTALLED) -> list[Trial]:
    """Return a trial for each seen skeleton: fit on the other skeletons, test on this one.

    Only train and validation runs of the task are used, so choices made by these scores do not
    depend on test or held-out networks.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If the rows are not those that the task was frozen on.
    """
    train, validation, _ = _load_splits(task, release)
    names = [
        np.array([network.skeleton if network else "" for network in runs.architectures])
        for runs in (train, validation)
    ]
    trials = []
    for left_out in sorted(set(names[0])):
        inside = [np.flatnonzero(skeletons != left_out) for skeletons in names]
        outside = [np.flatnonzero(skeletons == left_out) for skeletons in names]
        test = train.take(outside[0]).concat(validation.take(outside[1]))
        label = f"without {left_out}"
        trials.append(Trial(label, train.take(inside[0]), validation.take(inside[1]), test))
    return trials


def ladder_trials(task: Task, sizes: Sequence[int], release: Release = INSTALLED) -> list[Trial]:
    """Return a trial for each number of training networks, with nested training sets.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If a size is out of range, or the rows are not those that the task was frozen
            on.
    """
    train, validation, test = _load_splits(task, release)
    for size in sizes:
        if not 2 <= size <= len(train):
            raise ValueError(f"`train-size` (={size}) must be in 2..{len(train)}")
    order = generator_for("ladder-v1", task.images).permutation(len(train))
    taken = {size: train.take(order[:size]) for size in sizes}
    return [Trial(f"{size} networks", runs, validation, test) for size, runs in taken.items()]


def _load_splits(task: Task, release: Release) -> tuple[Runs, Runs, Runs]:
    """Return the train, validation and test runs of a task, with all epochs."""
    tables = release.task_tables(task)
    recipe = recipe_of(tables["train"], release)
    train, validation, test = (
        build_runs(tables[split], recipe, split[0], release)
        for split in ("train", "validation", "test")
    )
    return train, validation, test
