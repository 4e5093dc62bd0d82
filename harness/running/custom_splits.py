"""Predictors on other divisions of runs than a task's: scores that no board shows.

Three kinds: data of another origin (`harness.studies.metaqnn`), one seen skeleton left out of the
fit at a time, and ever more networks to fit on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """A division of runs; scores of trials with the same label are averaged."""

    label: str
    train: Runs
    validation: Runs
    test: Runs


@dataclass(frozen=True, slots=True)
class TrialScore:
    """How a predictor did on the final epoch, mean over seeds and over the trials of a label.

    Attributes:
        predictor: Its name.
        label: Of the trials.
        observed: Epochs it saw.
        tau: Kendall's tau-b; 0 if a prediction is constant, None if no fit succeeded.
        r2: 1 - SSE / SST, or None likewise.
        mse: Mean squared error, or None likewise.
        fitted: Networks fitted on, mean over the trials.
        asked: Networks asked for, likewise.
        failures: Why fits failed, one for each that did; scores are of the others.
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
    """Return a predictor's scores by label; a fit that fails in any way is counted."""
    scores: dict[str, list[tuple[float, float, float]]] = {trial.label: [] for trial in trials}
    failures: dict[str, list[str]] = {trial.label: [] for trial in trials}
    for trial in trials:
        for seed in candidate.seeds(seeds):
            try:
                scores[trial.label].append(_scores(candidate, trial, observed, seed))
            except Exception as error:
                failure = f"{type(error).__name__}: {error}".removesuffix(": ")
                failures[trial.label].append(failure)
    found = []
    for unscored in failed_trials(candidate.name, trials, observed, ""):
        tau, r2, mse = _means(scores[unscored.label])
        why = tuple(failures[unscored.label])
        found.append(replace(unscored, tau=tau, r2=r2, mse=mse, failures=why))
    return found


def failed_trials(
    predictor: str, trials: Sequence[Trial], observed: int, failure: str
) -> list[TrialScore]:
    """Return the scores, by label, of a predictor that failed in every trial for one reason."""
    found = []
    for label in dict.fromkeys(trial.label for trial in trials):
        sizes = [(len(t.train), len(t.test)) for t in trials if t.label == label]
        fitted, asked = (float(size) for size in np.mean(sizes, axis=0))
        nothing = (None, None, None)
        found.append(TrialScore(predictor, label, observed, *nothing, fitted, asked, (failure,)))
    return found


def _means(
    scores: Sequence[tuple[float, float, float]],
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return the mean tau, R2 and MSE of some fits, None if there are none."""
    if not scores:
        return None, None, None
    tau, r2, mse = (float(value) for value in np.mean(scores, axis=0))
    return tau, r2, mse


def applicable(names: Sequence[str], trials: Sequence[Trial]) -> list[str]:
    """Return the predictors of the registry that need nothing that the networks of trials lack."""
    without = any(trial.train.proxies is None for trial in trials)
    return [name for name in names if not (without and PREDICTORS[name].needs_proxies)]


def _scores(
    candidate: Candidate, trial: Trial, observed: int, seed: int
) -> tuple[float, float, float]:
    """Return tau, R2 and MSE of one fit."""
    queries, predictor, targets = trial.test.observe(observed), candidate.make(), trial.test
    predictor.fit(trial.train, trial.validation, observed=observed, seed=seed)
    prediction = check_prediction(predictor.predict(queries), queries).mean[:, -1]
    error = float(np.square(prediction - targets.final_accuracy).mean())
    tau = float(np.nan_to_num(kendalltau(prediction, targets.final_accuracy).statistic))
    return tau, 1 - error / float(targets.final_accuracy.var()), error


def skeleton_trials(task: Task, release: Release = INSTALLED) -> list[Trial]:
    """Return a trial for each seen skeleton: fitted on the others, asked for its own networks.

    Only train and validation runs of the task are used, so that what is chosen by these scores was
    not chosen on test or held-out networks.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If the data is not what the task was frozen on.
    """
    train, validation, _ = _parts(task, release)
    names = [_skeletons(runs) for runs in (train, validation)]
    trials = []
    for left_out in sorted(set(names[0])):
        inside = [np.flatnonzero(found != left_out) for found in names]
        outside = [np.flatnonzero(found == left_out) for found in names]
        asked = train.take(outside[0]).concat(validation.take(outside[1]))
        label = f"without {left_out}"
        trials.append(Trial(label, train.take(inside[0]), validation.take(inside[1]), asked))
    return trials


def ladder_trials(task: Task, sizes: Sequence[int], release: Release = INSTALLED) -> list[Trial]:
    """Return a trial for each number of training networks, each a part of the next; test as ever.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If a size is out of range, or the data is not what the task was frozen on.
    """
    train, validation, test = _parts(task, release)
    for size in sizes:
        if not 2 <= size <= len(train):
            raise ValueError(f"`train-size` (={size}) must be in 2..{len(train)}")
    order = generator_for("ladder-v1", task.images).permutation(len(train))
    taken = {size: train.take(order[:size]) for size in sizes}
    return [Trial(f"{size} networks", runs, validation, test) for size, runs in taken.items()]


def _parts(task: Task, release: Release) -> tuple[Runs, Runs, Runs]:
    """Return the train, validation and test runs of a task, whole."""
    tables = release.task_tables(task)
    recipe = recipe_of(tables["train"], release)
    train, validation, test = (
        build_runs(tables[part], recipe, part[0], release)
        for part in ("train", "validation", "test")
    )
    return train, validation, test


def _skeletons(runs: Runs) -> "np.ndarray[tuple[int], np.dtype[np.str_]]":
    return np.array([network.skeleton if network else "" for network in runs.architectures])
