"""Trials: fits on other splits than those of a task, and their scores; no board shows them.

There are three kinds: external data (`harness.studies.external`), leaving one seen skeleton out,
and training sets of increasing size (both in `harness.running.custom_splits`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from benchmark.util.text import check_line
from harness.metrics.bootstrap import Counts, sample_counts
from harness.metrics.metric_input import MetricInput
from harness.metrics.registry import HEADLINE, METRICS
from harness.predictors.registry import PREDICTORS, has_weights
from harness.protocol import Array, Runs, Series
from harness.results.result import HARNESS_VERSION, LONGEST_FAILURE
from harness.running.find_predictor import Candidate
from harness.running.fit_predict import check_prediction
from harness.scoring.scores import Score, score_of
from harness.user_code import MissingPackageError, UserCodeError, user_code


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Runs to fit on and to test on.

    Attributes:
        label: Name of the trial; scores of trials with the same label are averaged.
        division: Number of the trial among those of its label.
        train: Runs to fit on.
        validation: Runs for model selection.
        test: Runs to predict.
        groups: Group of each test run; the bootstrap draws groups.
    """

    label: str
    division: int
    train: Runs
    validation: Runs
    test: Runs
    groups: tuple[str, ...]

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of all runs."""
        found = hashlib.sha256(repr(self.groups).encode())
        for runs in (self.train, self.validation, self.test):
            found.update(repr((runs.ids, runs.classes, runs.layer_rows)).encode())
            for values in (*(getattr(runs.series, f.name) for f in fields(Series)), runs.proxies):
                found.update(b"-" if values is None else values.tobytes())
        return found.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Fit:
    """A predictor fitted on a trial with one seed, and scored with one number of observed epochs.

    Attributes:
        predictor: Name of the predictor.
        label: Label of the trial.
        division: Division of the trial.
        observed: Number of observed epochs.
        seed: Seed of the fit.
        data: Digest of the trial.
        harness_version: Version of the harness that scored it.
        scores: Scores of the final epoch by metric, with 95 % intervals; none if the fit failed.
        predicted: Predicted final accuracy of each test run of the trial; none if the fit failed.
        failure: Why the fit failed; None if it did not.
    """

    predictor: str
    label: str
    division: int
    observed: int
    seed: int
    data: str
    harness_version: str
    scores: Mapping[str, Score]
    predicted: tuple[float, ...]
    failure: str | None

    def __post_init__(self) -> None:
        """Check that texts can be shown."""
        check_line("predictor", self.predictor)
        check_line("failure", self.failure, LONGEST_FAILURE)

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        """What tells fits apart."""
        return self.predictor, self.label, self.division, self.observed, self.seed


@dataclass(frozen=True, slots=True)
class TrialScore:
    """Scores of a predictor for the final epoch, means over seeds and over the trials of a label.

    Attributes:
        predictor: Name of the predictor.
        label: Label of the trials.
        observed: Number of observed epochs.
        scores: Scores by metric, with 95 % intervals of the means; none if no fit succeeded.
        fitted: Number of training networks, mean over the trials.
        asked: Number of test networks, mean over the trials.
        failures: Reason for each fit that failed; scores are means over the others.
    """

    predictor: str
    label: str
    observed: int
    scores: Mapping[str, Score]
    fitted: float
    asked: float
    failures: tuple[str, ...]


def fit_trial(
    candidate: Candidate,
    trial: Trial,
    observed: Sequence[int],
    seed: int,
    *,
    traceback: bool = False,
) -> list[Fit]:
    """Return a fit for each number of observed epochs; an exception becomes a failure.

    The predictor is fitted once, with the fewest: a predictor that uses curves needs a call each.
    With `traceback`, that of an exception is written to stderr.

    Raises:
        ValueError: If the predictor needs a package that is not installed.
    """
    try:
        with user_code(show=traceback, most=LONGEST_FAILURE):
            queries, predictor = trial.test.observe(min(observed)), candidate.make()
            train, validation = trial.train.copy(), trial.validation.copy()
            predictor.fit(train, validation, observed=min(observed), seed=seed)
            predicted = check_prediction(predictor.predict(queries), queries).mean[:, -1]
    except UserCodeError as error:
        return failed_fits(candidate.name, trial, observed, seed, str(error))
    except MissingPackageError as error:
        raise ValueError(f"predictor {candidate.name!r} cannot be fitted: {error}") from error
    samples = _samples(trial, predicted, *_draw([trial]))
    scores = {name: score_of(values) for name, values in samples.items()}
    final = tuple(predicted.tolist())
    place, version = (trial.label, trial.division), (trial.digest, HARNESS_VERSION)
    return [Fit(candidate.name, *place, k, seed, *version, scores, final, None) for k in observed]


def failed_fits(
    predictor: str, trial: Trial, observed: Sequence[int], seed: int, failure: str
) -> list[Fit]:
    """Return a failed fit for each number of observed epochs."""
    place, version = (trial.label, trial.division), (trial.digest, HARNESS_VERSION)
    return [Fit(predictor, *place, k, seed, *version, {}, (), failure) for k in observed]


def average(trials: Sequence[Trial], fits: Sequence[Fit]) -> TrialScore:
    """Return the mean over fits of a predictor that differ in division and seed alone.

    A resample draws groups once for all trials, so the interval of the mean allows for networks
    that several divisions test.

    Args:
        trials: All trials of the label.
        fits: The fits, one or more of each trial.
    """
    counts = {trial.division: drawn for trial, drawn in zip(trials, _draw(trials), strict=True)}
    by_division = {trial.division: trial for trial in trials}
    samples = [
        _samples(by_division[fit.division], np.array(fit.predicted), counts[fit.division])
        for fit in fits
        if fit.failure is None
    ]
    scores = {
        name: score_of(np.mean([values[name] for values in samples], axis=0))
        for name in (HEADLINE if samples else ())
    }
    fitted, asked = np.mean([(len(t.train), len(t.test)) for t in trials], axis=0).tolist()
    failures = tuple(fit.failure for fit in fits if fit.failure is not None)
    first = fits[0]
    return TrialScore(first.predictor, first.label, first.observed, scores, fitted, asked, failures)


def _draw(trials: Sequence[Trial]) -> list[Counts]:
    """Return how often each test run of each trial is drawn, (1 + resamples, runs).

    The first row is the sample itself: each run once.
    """
    groups, columns = np.unique([g for t in trials for g in t.groups], return_inverse=True)
    drawn = sample_counts(groups.tolist())
    ends = np.cumsum([len(trial.groups) for trial in trials])
    return [drawn[:, part] for part in np.split(columns, ends[:-1])]


def _samples(trial: Trial, predicted: Array, counts: Counts) -> dict[str, Array]:
    """Return each metric's value in each row of counts; NaN where no run is drawn."""
    drawn = counts.any(axis=1)
    target, learned = trial.test.final_accuracy[:, None], np.zeros(len(predicted), np.bool_)
    sample = MetricInput(
        target=target,
        mean=predicted[:, None],
        learned=learned,
        counts=counts[drawn],
        candidates=np.empty((0, 1), np.intp),
    )
    samples = {name: np.full(len(counts), np.nan) for name in HEADLINE}
    for name, values in samples.items():
        values[drawn] = METRICS[name].compute(sample)
    return samples


def applicable(names: Sequence[str], *, has_proxies: bool) -> list[str]:
    """Return the registry predictors that can run here.

    Without proxies, these are none that need proxies. Without the environment variable of its
    weights, a pretrained one is left out.
    """
    known = filter(has_weights, names)
    return [name for name in known if has_proxies or not PREDICTORS[name].needs_proxies]
