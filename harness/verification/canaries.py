"""Runs submitted code in isolation, with two canaries: checks that no hiding place defeats.

**Fresh networks.** After the queries of the task, the same fitted predictor predicts networks that
are in no release, so no copy of the data has their accuracies. Their tau is compared with that on
the task's networks of the same skeletons. Both are resampled; if the 99 % interval of the
difference lies below zero, the score is not that of a predictor, and the rerun fails.

**Reversed training accuracies.** With no epoch observed, the predictor is fitted again after the
curves of the training runs, and those of the validation runs, have changed places: the network with
the best final accuracy gets the curve of the worst, and so on. A predictor that learns from its
training runs then ranks the other way round. If tau is still above half of its score, and its 99 %
interval above zero, the score does not come from the training runs: the predictor knows it before
(as that networks with more multiply-accumulates are better), or it has the accuracies. The rerun
then fails unless fresh networks confirm the score. With observed epochs, a predictor may rightly
rank by them alone, so this is not tried.

Curves are reversed and not shuffled because a shuffled score is a matter of luck: rank metrics do
not see how small the remaining effect is. On digits-k0-v3, the isotonic fit to `synflow` (tau 0.13)
had a tau of 0.08 to 0.13 after 9 of 12 shuffles and about -0.10 after 3; reversed, it has -0.13.
Reversed, none of the reference predictors that were tried has a tau above zero: `macs` -0.02 (score
0.06), `nearest-neighbours` -0.47 (0.49), `proxy-forest` -0.57 (0.56), `arc` -0.59 (0.61).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmark.release import Release
from harness.metrics.bootstrap import Array
from harness.protocol import Prediction, Runs
from harness.results.result import Seconds
from harness.running.fit_predict import TimedPrediction
from harness.scoring.scores import seed_samples
from harness.scoring.targets import ScoredSplit, Targets
from harness.task_data import TaskData
from harness.verification.fresh_networks import FreshNetworks, load_fresh
from harness.verification.isolated_process import Code, Limits, fit_in_isolation
from harness.verification.isolation.launch import Measures, find_way, isolation_text
from harness.verification.isolation.transfer import Inputs

LEVEL = 0.99  # of the intervals
KEPT_SHARE = 0.5  # of the score, above which it is kept


@dataclass(frozen=True, slots=True)
class FreshScore:
    """Tau on fresh networks beside that on the task's networks of the same skeletons.

    Attributes:
        split: `test`: all networks of seen skeletons; `heldout`: the mean over held-out skeletons.
        networks: Number of fresh networks.
        tau: Kendall's tau on them, mean over seeds.
        tau_task: Kendall's tau on the task's.
        low: Lower end of the 99 % interval of the difference `tau - tau_task`.
        high: Upper end; below zero if the fresh networks refute the score.
    """

    split: ScoredSplit
    networks: int
    tau: float
    tau_task: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReversedScore:
    """Tau on the task's test networks after a fit on reversed accuracies, with the first seed.

    Attributes:
        tau: Kendall's tau.
        low: Lower end of its 99 % interval.
        high: Upper end.
        tau_task: Kendall's tau on the same networks after the usual fit with this seed.
        kept: Whether the predictor kept its score.
    """

    tau: float
    low: float
    high: float
    tau_task: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Canaries:
    """What the canaries gave: no entry if there were no fresh networks, None if not tried."""

    fresh: tuple[FreshScore, ...]
    reversed: ReversedScore | None

    def problem(self) -> str:
        """Return why the score is not accepted; an empty text if it is."""
        for score in self.fresh:
            if score.high < 0:
                return (
                    f"tau on {score.networks} networks that are in no release (={score.tau:.3f}) "
                    f"must not be below tau on the {score.split} networks (={score.tau_task:.3f}); "
                    f"the 99 % interval of the difference is {score.low:.3f} to {score.high:.3f}"
                )
        back = self.reversed
        confirmed = [score.tau > KEPT_SHARE * score.tau_task for score in self.fresh]
        if back is not None and back.kept and not (confirmed and all(confirmed)):
            return (
                f"tau after a fit on reversed accuracies (={back.tau:.3f}) must be at most half of "
                f"tau (={back.tau_task:.3f}), or fresh networks (--fresh) must confirm the score"
            )
        return ""


@dataclass(frozen=True, slots=True, eq=False)
class CodeRun:
    """What code gave: its predictions with each seed, how it was isolated, and the canaries."""

    timed: list[TimedPrediction]
    measures: Measures
    canaries: Canaries


def outcome_text(measures: Measures, canaries: Canaries | None) -> str:
    """Return how code was isolated and what the canaries gave, on one line."""
    parts = [f"in {isolation_text(measures)}"]
    for score in () if canaries is None else canaries.fresh:
        parts.append(
            f"tau {score.tau:.3f} on {score.networks} networks of no release "
            f"({score.tau_task:.3f} on {score.split})"
        )
    back = None if canaries is None else canaries.reversed
    if back is not None:
        verdict = "kept" if back.kept else "lost"
        parts.append(f"score {verdict} on reversed accuracies (tau {back.tau:.3f})")
    return "; ".join(parts)


def run_code(
    code: Code,
    data: TaskData,
    seeds: tuple[int, ...],
    release: Release,
    limits: Limits,
    *,
    fresh: Release | None = None,
) -> CodeRun:
    """Fit code with each seed in an isolated process, predict, and try the canaries.

    The limits hold for each of the one or two processes. Seconds are not measured; they are 0.

    Raises:
        ValueError: If the code fails or passes a limit, its predictions break the protocol, or a
            canary shows that its score is not that of a predictor.
        OSError: If a file cannot be read or written.
    """
    networks = None if fresh is None else load_fresh(data, release, fresh)
    queries = (data.queries, *(() if networks is None else (networks.queries,)))
    inputs = Inputs(code.predictor, data.train, data.validation, queries, seeds)
    secrets = [] if fresh is None else [fresh.folder]
    fits = fit_in_isolation(inputs, code.files, release, limits, secrets)
    own = [fit.predictions[0] for fit in fits]
    scores = (
        () if networks is None else compare(data, own, networks, [f.predictions[1] for f in fits])
    )
    back = None
    if data.task.observed == 0:
        inputs = Inputs(
            code.predictor,
            reverse(data.train),
            reverse(data.validation),
            (data.queries,),
            seeds[:1],
        )
        try:
            (fit,) = fit_in_isolation(inputs, code.files, release, limits, secrets)
        except ValueError as error:
            raise ValueError(f"with reversed training accuracies: {error}") from error
        back = judge_reversed(data.targets.valid_accuracy, own[0], fit.predictions[0])
    canaries = Canaries(scores, back)
    problem = canaries.problem()
    if problem:
        raise ValueError(problem)
    timed = [TimedPrediction(f.predictions[0], Seconds(0.0, 0.0), f.counts) for f in fits]
    return CodeRun(timed, find_way().measures, canaries)


def reverse(runs: Runs) -> Runs:
    """Return runs whose curves have changed places: the best network gets the worst curve.

    Curves stay whole, so every curve is one that was measured. Ties are broken by the order.
    """
    order = np.argsort(runs.final_accuracy, kind="stable")
    source: NDArray[np.intp] = np.empty(len(runs), np.intp)
    source[order] = order[::-1]
    return replace(runs, series=runs.series.take(source, runs.recipe.epochs))


def judge_reversed(targets: Targets, usual: Prediction, back: Prediction) -> ReversedScore:
    """Return the score of a prediction after a fit on reversed accuracies, beside the usual one."""
    tau = _tau_samples(targets, [back])["test"]
    task = float(_tau_samples(targets, [usual])["test"][0])
    low, high = _interval(tau[1:])
    kept = low > 0 and float(tau[0]) > KEPT_SHARE * task
    return ReversedScore(float(tau[0]), low, high, task, kept)


def compare(
    data: TaskData, own: Sequence[Prediction], networks: FreshNetworks, others: Sequence[Prediction]
) -> tuple[FreshScore, ...]:
    """Return the scores on fresh networks, one for each split that they have.

    Args:
        data: The task.
        own: The prediction of its queries with each seed.
        networks: The fresh networks.
        others: The prediction of these with each seed.
    """
    task = _tau_samples(data.targets.valid_accuracy, own)
    fresh = _tau_samples(networks.targets, others)
    split_of = networks.targets.skeleton_splits
    held_out = [f"skeleton/{name}" for name, split in split_of.items() if split == "heldout"]
    held_out = [n for n in held_out if n in task and np.isfinite([task[n][0], fresh[n][0]]).all()]
    groups: dict[ScoredSplit, list[str]] = {"test": ["test"], "heldout": held_out}
    scores = []
    for split, strata in groups.items():
        if strata:
            one, other = (np.mean([of[name] for name in strata], axis=0) for of in (fresh, task))
            low, high = _interval(one[1:] - other[1:])
            count = networks.targets.splits.count(split)
            scores.append(FreshScore(split, count, float(one[0]), float(other[0]), low, high))
    return tuple(scores)


def _tau_samples(targets: Targets, predictions: Sequence[Prediction]) -> dict[str, Array]:
    """Return tau by stratum, mean over seeds: its value, then those of the resamples."""
    samples = seed_samples(targets, predictions, metrics=("tau",))
    return {stratum: values["tau"].mean(axis=0) for stratum, values in samples.items()}


def _interval(samples: Array) -> tuple[float, float]:
    low, high = np.nanquantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
