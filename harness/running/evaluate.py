"""Evaluates a predictor on a task: fits it, predicts all queries at once, scores the predictions.

A predictor that raises or breaks the protocol gets a failed result with the reason; one that needs
a package that is not installed gets none. A stochastic
predictor is fitted with several seeds; its scores are means over seeds, with the interval of the
mean and the standard deviation over seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from harness.metrics.bootstrap import RESAMPLES
from harness.metrics.registry import METRICS, ORDER, RANKING
from harness.protocol import Prediction
from harness.results.predictions import predictions_table, round_prediction, seeds_table
from harness.results.result import (
    HARNESS_VERSION,
    LONGEST_FAILURE,
    SCHEMA_VERSION,
    Result,
    Seconds,
    Verification,
    environment,
    pack_resamples,
)
from harness.running.find_predictor import SEEDS, Candidate
from harness.running.fit_predict import TimedPrediction, fit_predict
from harness.scoring.scores import Scores, flags, mean_scores, seed_samples
from harness.task_data import TaskTargets, load_task_data
from harness.user_code import MissingPackageError, UserCodeError, user_code

SECONDS = "_seconds"  # suffix of the names of counts that are times
# A result, and its predictions as a table of `harness.results.predictions.seeds_table`
Outcome = tuple[Result, pa.Table | None]


@dataclass(frozen=True, slots=True)
class ResultHeader:
    """What is known of a result before the predictor is scored; fields are those of `Result`."""

    task: Task
    predictor: str
    title: str
    seeds: tuple[int, ...]
    verification: Verification = "self-reported"

    def fail(self, failure: str) -> Result:
        """Return the result of a predictor that failed."""
        return self.complete({}, {}, {}, flags=(), counts={}, seconds=None, failure=failure)

    def complete(
        self,
        scores: Scores,
        scores_test_accuracy: Scores,
        scores_valid_loss: Scores,
        *,
        tau_resamples: tuple[int | None, ...] = (),
        flags: tuple[str, ...],
        counts: Mapping[str, int],
        seconds: Seconds | None,
        failure: str | None = None,
    ) -> Result:
        """Return the result with the remaining fields of `Result`; failed if `failure` is given."""
        networks = {split: len(ids) for split, ids in self.task.parts.items()}
        return Result(
            schema_version=SCHEMA_VERSION,
            task=self.task.name,
            task_digest=self.task.digest,
            images=self.task.images,
            observed=self.task.observed,
            target="valid_accuracy",
            predictor=self.predictor,
            title=self.title,
            status="scored" if failure is None else "failed",
            failure=failure,
            harness_version=HARNESS_VERSION,
            environment=environment(),
            seeds=self.seeds,
            scores=scores,
            scores_test_accuracy=scores_test_accuracy,
            scores_valid_loss=scores_valid_loss,
            tau_resamples=tau_resamples,
            flags=flags,
            counts=counts,
            networks=networks,
            seconds=seconds,
            observed_epochs_total=self.task.observed * (networks["test"] + networks["heldout"]),
            predictions_sha256=None,
            verification=self.verification,
        )


def header_of(candidate: Candidate, task: Task, seeds: int) -> ResultHeader:
    """Return the header of a candidate's result on a task; `seeds` as for `Candidate.seeds`."""
    return ResultHeader(task, candidate.name, candidate.title, candidate.seeds(seeds))


def evaluate(
    candidate: Candidate, task: Task, *, seeds: int = SEEDS, release: Release = INSTALLED
) -> Outcome:
    """Return a predictor's result on a task, and its predictions or None if it failed.

    `seeds` is the number of seeds of a stochastic predictor; others are fitted once.

    Raises:
        FileNotFoundError: If a split is missing from the data.
        ValueError: If the rows are not those that the task was frozen on, or the predictor needs a
            package that is not installed.
    """
    return evaluate_shared(candidate, [task], seeds=seeds, release=release)[0]


def evaluate_shared(
    candidate: Candidate,
    tasks: Sequence[Task],
    *,
    seeds: int = SEEDS,
    release: Release = INSTALLED,
    traceback: bool = False,
) -> list[Outcome]:
    """Return the outcomes of a single fit on tasks that differ only in their observed epochs.

    A predictor that does not use curves has the same predictions for all of them. It predicts with
    the fewest observed epochs, and each task gets the predictions after its own observed epochs.
    With `traceback`, that of an exception is written to stderr. Arguments and errors are otherwise
    those of `evaluate`.
    """
    assert len({t.rows_digest for t in tasks}) == 1, "tasks of one fit must have the same rows"
    assert len(tasks) == 1 or not candidate.uses_curve, "a user of curves must be fitted on each"
    data = load_task_data(min(tasks, key=lambda task: task.observed), release)
    headers = [header_of(candidate, task, seeds) for task in tasks]
    try:
        with user_code(show=traceback, most=LONGEST_FAILURE):
            timed = [fit_predict(candidate.make, data, seed) for seed in headers[0].seeds]
            _check_agreement(timed)
    except UserCodeError as error:
        return [(header.fail(str(error)), None) for header in headers]
    except MissingPackageError as error:
        raise ValueError(f"predictor {candidate.name!r} cannot be fitted: {error}") from error
    fit, predict = np.mean([(t.seconds.fit, t.seconds.predict) for t in timed], axis=0).tolist()
    seconds, counts = Seconds(fit, predict), all_counts(timed)
    outcomes = []
    for header in headers:
        predictions = [drop_observed(t.prediction, header.task.observed) for t in timed]
        outcome = score_outcome(header, predictions, data.targets, counts=counts, seconds=seconds)
        outcomes.append(outcome)
    return outcomes


def _check_agreement(timed: Sequence[TimedPrediction]) -> None:
    """Check that the predictions of all seeds can be averaged.

    Raises:
        ValueError: If their epochs differ, or only some have standard deviations.
    """
    first = timed[0].prediction
    for other in (t.prediction for t in timed[1:]):
        if other.epochs != first.epochs:
            raise ValueError("`epochs` must be the same with every seed")
        if (other.std is None) != (first.std is None):
            raise ValueError("`std` must be given with every seed or with none")


def all_counts(timed: Sequence[TimedPrediction]) -> dict[str, int]:
    """Return the counts of all seeds: sums, or the maximum for names that end in `_seconds`.

    Such times measure what is made once and shared by all seeds.
    """
    counts: dict[str, int] = {}
    for name, count in (item for t in timed for item in t.counts.items()):
        before = counts.get(name, 0)
        counts[name] = max(before, count) if name.endswith(SECONDS) else before + count
    return counts


def drop_observed(prediction: Prediction, observed: int) -> Prediction:
    """Return a prediction without the observed epochs.

    >>> drop_observed(Prediction(np.array([[0.25, 0.5, 0.75]]), (1, 2, 3)), 1).epochs
    (2, 3)
    """
    keep = [i for i, epoch in enumerate(prediction.epochs) if epoch > observed]
    std = None if prediction.std is None else prediction.std[:, keep]
    return Prediction(prediction.mean[:, keep], tuple(prediction.epochs[i] for i in keep), std)


def score_outcome(
    header: ResultHeader,
    predictions: Sequence[Prediction],
    targets: TaskTargets,
    *,
    counts: Mapping[str, int] | None = None,
    seconds: Seconds | None = None,
    resamples: int = RESAMPLES,
) -> Outcome:
    """Score valid predictions, rounded as they are stored; return the result and their table.

    There is a prediction for each seed, with rows in the order of the targets. `seconds` is None if
    no time was measured. With 0 `resamples` there are no intervals, but `tau_resamples`. The scores
    of a transfer task are those of the order alone, because accuracies of one image set are not
    those of another.
    """
    transfer = header.task.fitted_on != header.task.images
    metrics = RANKING if transfer else tuple(METRICS)
    predictions = [round_prediction(prediction) for prediction in predictions]
    last = predictions[0].epochs[-1] - 1
    finals = [drop_observed(prediction, last) for prediction in predictions]
    run_ids = targets.valid_accuracy.run_ids
    tables = [predictions_table(run_ids, p.epochs, p.mean, p.std) for p in predictions]
    mean = np.mean([prediction.mean for prediction in predictions], axis=0)
    samples = seed_samples(targets.valid_accuracy, predictions, resamples, metrics=metrics)
    of_tau = seed_samples(targets.valid_accuracy, finals, names=["test"], metrics=["tau"])
    result = header.complete(
        mean_scores(samples),
        mean_scores(seed_samples(targets.test_accuracy, finals, resamples, metrics=metrics)),
        mean_scores(seed_samples(targets.valid_likelihood, finals, resamples, metrics=ORDER)),
        tau_resamples=pack_resamples(of_tau["test"]["tau"].mean(axis=0)[1:]),
        flags=flags(mean, targets.valid_accuracy.skeletons),
        counts=counts or {},
        seconds=seconds,
    )
    return result, seeds_table(header.seeds, tables)
