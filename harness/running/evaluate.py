"""How a predictor is judged on a task: fitted, asked once about all queries, scored.

A predictor that raises or answers against the protocol gets a result that says so. A stochastic one
is fitted with several seeds; its scores are the mean over seeds, with the interval of that mean,
and beside them the standard deviation over seeds.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from benchmark.release import INSTALLED, Release
from benchmark.tasks import Task
from harness.metrics.bootstrap import RESAMPLES
from harness.protocol import Prediction
from harness.results.predictions import as_stored, predictions_table, seeds_table
from harness.results.result import HARNESS_VERSION, SCHEMA_VERSION, Result, Seconds, environment
from harness.running.find_predictor import SEEDS, Candidate
from harness.running.fit_predict import TimedPrediction, fit_predict
from harness.scoring.scores import Scores, SeedScore, flags, score_of
from harness.scoring.strata import strata, tabulate
from harness.scoring.targets import Targets
from harness.task_data import TaskTargets, load_task_data

SECONDS = "_seconds"  # how the name of a count ends that is a time
# A result, and its predictions as `harness.results.predictions.seeds_table` returns them
Outcome = tuple[Result, pa.Table | None]


def evaluate(
    candidate: Candidate, task: Task, *, seeds: int = SEEDS, release: Release = INSTALLED
) -> Outcome:
    """Return a predictor's result on a task and its predictions, None if it failed.

    Args:
        candidate: As `harness.running.find_predictor.find` returns it.
        task: Any.
        seeds: How many, for a stochastic predictor; any other is fitted once.
        release: The data; by default that of the installed package.

    Raises:
        FileNotFoundError: If the data lacks a split.
        ValueError: If the data is not what the task was frozen on.
    """
    return evaluate_shared(candidate, [task], seeds=seeds, release=release)[0]


def evaluate_shared(
    candidate: Candidate, tasks: Sequence[Task], *, seeds: int = SEEDS, release: Release = INSTALLED
) -> list[Outcome]:
    """Return the outcomes on tasks that differ in their observed epochs, of a single fit.

    A predictor that does not look at curves gives the same answer to all of them, so it is asked
    with the fewest observed epochs, and each task is given what lies after its own. Arguments and
    errors otherwise as those of `evaluate`.
    """
    assert len({task.digest for task in tasks}) == 1, "tasks of one fit must have the same rows"
    assert len(tasks) == 1 or not candidate.uses_curve, "one who sees curves must be fitted on each"
    data = load_task_data(min(tasks, key=lambda task: task.observed), release)
    used = candidate.seeds(seeds)
    try:  # the one place where anything is caught: a predictor may fail in any way there is
        timed = [fit_predict(candidate.make, data, seed) for seed in used]
        _check_agreement(timed)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}".removesuffix(": ")
        return [(_failed(candidate, task, used, failure), None) for task in tasks]
    return [_outcome(candidate, task, used, timed, data.targets) for task in tasks]


def _check_agreement(timed: Sequence[TimedPrediction]) -> None:
    """Check that the answers of all seeds can be averaged.

    Raises:
        ValueError: If they are of different epochs, or only some have standard deviations.
    """
    first = timed[0].prediction
    for timed_prediction in timed[1:]:
        if timed_prediction.prediction.epochs != first.epochs:
            raise ValueError("`epochs` must be the same with every seed")
        if (timed_prediction.prediction.std is None) != (first.std is None):
            raise ValueError("`std` must be given with every seed or with none")


def _failed(candidate: Candidate, task: Task, seeds: tuple[int, ...], failure: str) -> Result:
    name, title = candidate.name, candidate.title
    return failed(task, seeds, name=name, title=title, failure=failure)


def failed(task: Task, seeds: tuple[int, ...], *, name: str, title: str, failure: str) -> Result:
    """Return the result of a predictor that was not scored."""
    networks = {part: len(ids) for part, ids in task.parts.items()}
    return Result(
        schema_version=SCHEMA_VERSION,
        task=task.name,
        task_digest=task.digest,
        images=task.images,
        observed=task.observed,
        target="valid_accuracy",
        predictor=name,
        title=title,
        status="failed",
        failure=failure,
        harness_version=HARNESS_VERSION,
        environment=environment(),
        seeds=seeds,
        scores={},
        scores_test_accuracy={},
        flags=(),
        counts={},
        networks=networks,
        seconds=None,
        observed_epochs_total=task.observed * (networks["test"] + networks["heldout"]),
        predictions_sha256=None,
        verification="self-reported",
    )


def _outcome(
    candidate: Candidate,
    task: Task,
    seeds: tuple[int, ...],
    timed: Sequence[TimedPrediction],
    targets: TaskTargets,
) -> Outcome:
    """Score what a predictor answered with each seed."""
    predictions = [later(timed_prediction.prediction, task.observed) for timed_prediction in timed]
    seconds = Seconds(
        float(np.mean([timed_prediction.seconds.fit for timed_prediction in timed])),
        float(np.mean([timed_prediction.seconds.predict for timed_prediction in timed])),
    )
    unscored = replace(_failed(candidate, task, seeds, "not scored yet"), counts=all_counts(timed))
    return scored(unscored, predictions, targets, seconds)


def all_counts(timed: Sequence[TimedPrediction]) -> dict[str, int]:
    """Return what was counted with all seeds together.

    Seconds, by a name that ends so, are of what is made once for all seeds: the largest counts.
    """
    counts: dict[str, int] = {}
    for timed_prediction in timed:
        for name, count in timed_prediction.counts.items():
            before = counts.get(name, 0)
            counts[name] = max(before, count) if name.endswith(SECONDS) else before + count
    return counts


def later(prediction: Prediction, observed: int) -> Prediction:
    """Return the part of a prediction after the observed epochs.

    >>> later(Prediction(np.array([[0.25, 0.5, 0.75]]), (1, 2, 3)), 1).epochs
    (2, 3)
    """
    keep = [i for i, epoch in enumerate(prediction.epochs) if epoch > observed]
    std = None if prediction.std is None else prediction.std[:, keep]
    return Prediction(prediction.mean[:, keep], tuple(prediction.epochs[i] for i in keep), std)


def scored(
    unscored: Result,
    predictions: Sequence[Prediction],
    targets: TaskTargets,
    seconds: Seconds | None,
    *,
    resamples: int = RESAMPLES,
) -> Outcome:
    """Return a result with the scores of checked predictions, and these as a table, both rounded.

    Args:
        unscored: A failed result of the same predictor, task and seeds.
        predictions: Of each seed, in the order of the truths.
        targets: For both targets.
        seconds: Measured time, mean over seeds; None if nobody measured it.
        resamples: Of the intervals; there are none with 0.
    """
    predictions = [as_stored(prediction) for prediction in predictions]
    mean = _mean(predictions)
    finals = [
        Prediction(p.mean[:, -1:], p.epochs[-1:], None if p.std is None else p.std[:, -1:])
        for p in predictions
    ]
    run_ids = targets.valid_accuracy.run_ids
    tables = [predictions_table(run_ids, p.epochs, p.mean, p.std) for p in predictions]
    result = replace(
        unscored,
        status="scored",
        failure=None,
        scores=seed_scores(targets.valid_accuracy, predictions, resamples),
        scores_test_accuracy=seed_scores(targets.test_accuracy, finals, resamples),
        flags=(*flags(mean.mean, targets.valid_accuracy.skeletons), *unscored.flags),
        seconds=seconds,
    )
    return result, seeds_table(unscored.seeds, tables)


def _mean(predictions: Sequence[Prediction]) -> Prediction:
    """Return the mean over seeds."""
    first = predictions[0]
    deviations = [p.std for p in predictions if p.std is not None]
    std = np.mean(deviations, axis=0) if deviations else None
    return Prediction(np.mean([p.mean for p in predictions], axis=0), first.epochs, std)


def seed_scores(
    targets: Targets, predictions: Sequence[Prediction], resamples: int = RESAMPLES
) -> Scores:
    """Return the scores by stratum and metric, mean over seeds.

    The interval is that of the mean: each resample has its own mean over seeds.

    Args:
        targets: The runs.
        predictions: Of each seed, in the order of the truth, all of the same epochs.
        resamples: Of the intervals; there are none with 0.
    """
    tables = [tabulate(targets, p.mean, epochs=p.epochs, std=p.std) for p in predictions]
    samples = [strata(table, resamples=resamples) for table in tables]
    scores: dict[str, dict[str, SeedScore]] = {}
    for stratum, metrics in samples[0].items():
        scores[stratum] = {}
        for name in metrics:
            values = np.stack([seed[stratum][name] for seed in samples])  # (seeds, 1 + resamples)
            score = score_of(values.mean(axis=0))
            several = len(values) > 1 and score.value is not None
            spread = float(values[:, 0].std(ddof=1)) if several else None
            scores[stratum][name] = SeedScore(score.value, score.low, score.high, spread)
    return scores
