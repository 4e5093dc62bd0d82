"""Simulates selecting the best of N networks early: epochs spent and regret.

Each strategy selects from the same random sets of N test networks:

- *stop after i*: train all for i epochs, keep those that are best so far (Egele et al. 2024);
- *successive halving*: train all for one epoch, keep the best third for three epochs, and so on;
- *a predictor at k*: train all for k epochs, keep those with the best predicted final accuracy.

The kept networks are trained to the end, and the best of them is selected. The *regret* is the
final accuracy of the best of the N networks minus that of the selected one. It is measured on one
run of each network, so differences below the noise of seeds mean little. Epochs of the candidates
are counted apart from those of the training networks that a predictor is fitted on, which stopping
and halving do not need. A predictor selects once with each of its seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.release import INSTALLED, Release
from benchmark.space.splits import FITTED_SPLITS
from benchmark.tasks import Task
from benchmark.util.rng import generator_for
from benchmark.util.unknown_name import known_names
from harness.predictors.registry import PREDICTORS
from harness.results.folder import HOW, find_result, predictors_with_results
from harness.results.predictions import matrix
from harness.results.samples import seed_predictions
from harness.results.store import read_result
from harness.search.algorithms import ETA, rungs
from harness.task_data import load_targets

Array = NDArray[np.float64]

CANDIDATES = 100  # N
SETS = 1000  # random sets of candidates
KEPT = (1, 5, 10)  # numbers of networks trained to the end


@dataclass(frozen=True, slots=True)
class StrategyOutcome:
    """The cost and the regret of a strategy, over the sets of candidates.

    Attributes:
        strategy: "stop after i", "successive halving" or a predictor's name.
        observed: Epochs of every candidate before the first one is dropped.
        kept: Number of networks trained to the end.
        epochs: Epochs spent on all candidates, as a fraction of training all to the end.
        training_epochs: Epochs spent on the training and validation networks of a predictor.
        regret: Mean regret over the sets and seeds, an accuracy.
        low: 5 % quantile of the regret over the sets.
        high: 95 % quantile of the regret over the sets.
        best: Fraction of the sets in which the best network was selected.
    """

    strategy: str
    observed: int
    kept: int
    epochs: float
    training_epochs: int
    regret: float
    low: float
    high: float
    best: float


def simulate_selection(
    tasks: Sequence[Task],
    predictors: Sequence[str],
    results: Sequence[Path],
    *,
    candidates: int = CANDIDATES,
    release: Release = INSTALLED,
) -> list[StrategyOutcome]:
    """Return the outcome of every strategy on the test networks of one image set.

    Args:
        tasks: Tasks with the same rows and different numbers of observed epochs.
        predictors: Names of predictors; they are skipped on tasks where they have no score. If
            empty, all that have a score.
        results: Folders of results; of a predictor in several, the first counts.
        candidates: N, at most the number of test networks.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If the tasks have different rows, a predictor has no score on any of them, or N
            is out of range.
    """
    if len({task.rows_digest for task in tasks}) != 1:
        raise ValueError("all tasks must have the same rows")
    targets = load_targets(tasks[0], release).valid_accuracy
    order = np.argsort(targets.run_ids)  # sorted, so that the sets do not depend on the task
    test = np.array([i for i in order if targets.splits[i] == "test"])
    if not max(KEPT) <= candidates <= len(test):
        raise ValueError(f"`candidates` (={candidates}) must be in {max(KEPT)}..{len(test)}")
    curves, sets = targets.curves[test], random_sets(len(test), candidates)
    scored = {task.name: _scored(task, predictors, results) for task in tasks}
    _check_scored(predictors, scored, results)
    outcomes = [*_stop_after_each_epoch(curves, sets), successive_halving(curves, sets)]
    for task in tasks:
        for name, path in scored[task.name].items():
            tables = seed_predictions(path)
            scores = np.stack([matrix(t, "mean", targets.run_ids)[test, -1] for t in tables])
            outcomes += [
                replace(
                    select_by_scores(name, scores, task.observed, m, curves, sets),
                    training_epochs=task.epochs * sum(len(task.parts[s]) for s in FITTED_SPLITS),
                )
                for m in KEPT
            ]
    return outcomes


def _scored(task: Task, predictors: Sequence[str], results: Sequence[Path]) -> dict[str, Path]:
    """Return the scored results on a task, by predictor in the order given or of the registry."""
    known = predictors_with_results(results, task.name)
    order = predictors or sorted(known, key=[*PREDICTORS, *known].index)
    paths = {name: find_result(results, task.name, name) for name in order if name in known}
    return {name: path for name, path in paths.items() if read_result(path).failure is None}


def _check_scored(
    predictors: Sequence[str], scored: Mapping[str, Mapping[str, Path]], results: Sequence[Path]
) -> None:
    """Check that each predictor has a score on a task.

    Raises:
        ValueError: If one has none; the message has the nearest name.
    """
    known = {name for task in scored for name in predictors_with_results(results, task)}
    for name in predictors:
        if not any(name in paths for paths in scored.values()):
            others = known_names(name, sorted(known - {name}))
            raise ValueError(f"no score of {name!r} on {' or '.join(scored)}{others}; {HOW}")


def random_sets(networks: int, candidates: int) -> NDArray[np.intp]:
    """Return `SETS` sets of distinct networks, (sets, candidates); they are always the same."""
    rng = generator_for("discarding-v1", networks, candidates)
    order = rng.random((SETS, networks)).argsort(axis=1)
    return np.asarray(order[:, :candidates], dtype=np.intp)


def select_by_scores(
    strategy: str, scores: Array, observed: int, kept: int, curves: Array, sets: NDArray[np.intp]
) -> StrategyOutcome:
    """Return the outcome of keeping the candidates with the best scores.

    Args:
        strategy: Name of the strategy.
        scores: (seeds, networks), higher is better; ties are broken by the order in a set.
        observed: Epochs of each candidate that the scores need.
        kept: Number of networks trained to the end.
        curves: True accuracies, (networks, epochs).
        sets: Indices of the candidates, (sets, candidates).
    """
    best = np.argsort(-scores[:, sets], axis=-1, kind="stable")[..., :kept]
    survivors = np.take_along_axis(np.broadcast_to(sets, (len(scores), *sets.shape)), best, axis=-1)
    epochs, candidates = curves.shape[1], sets.shape[1]
    spent = candidates * observed + kept * (epochs - observed)
    return _outcome(strategy, observed, survivors, spent / (candidates * epochs), curves, sets)


def _stop_after_each_epoch(curves: Array, sets: NDArray[np.intp]) -> list[StrategyOutcome]:
    """Return the outcomes of stopping after 1, 2, ... epochs."""
    return [
        select_by_scores("stop after i", curves[None, :, i - 1], i, m, curves, sets)
        for i in range(1, curves.shape[1])
        for m in KEPT
    ]


def successive_halving(curves: Array, sets: NDArray[np.intp]) -> StrategyOutcome:
    """Return the outcome of successive halving that starts with one epoch."""
    epochs, left = curves.shape[1], sets
    reached, spent = 0, 0
    for rung in rungs(epochs):
        spent += left.shape[1] * (rung - reached)
        reached = rung
        if rung < epochs:
            survivors = max(1, left.shape[1] // ETA)
            order = np.argsort(-curves[left, rung - 1], axis=1, kind="stable")
            left = np.take_along_axis(left, order[:, :survivors], axis=1)
    share = spent / (sets.shape[1] * epochs)
    return _outcome("successive halving", 1, left, share, curves, sets)


def _outcome(
    strategy: str,
    observed: int,
    survivors: NDArray[np.intp],  # ([seeds,] sets, kept)
    share: float,
    curves: Array,
    sets: NDArray[np.intp],
) -> StrategyOutcome:
    final = curves[:, -1]
    regret = final[sets].max(axis=1) - final[survivors].max(axis=-1)
    low, high = np.quantile(regret, [0.05, 0.95])
    return StrategyOutcome(
        strategy,
        observed,
        survivors.shape[-1],
        share,
        0,
        float(regret.mean()),
        float(low),
        float(high),
        float((regret <= 0).mean()),
    )
