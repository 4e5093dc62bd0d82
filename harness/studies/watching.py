"""How many epochs of watching a network equal a prediction of its final accuracy.

The last observed accuracy orders networks the better, the longer they were trained. The epoch at
which it first orders them as well as a predictor is what the prediction is worth. Another training
of the same networks, with another seed, orders them only as well as the noise of seeds allows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.release import INSTALLED, Release
from benchmark.space.skeletons import SKELETONS
from benchmark.tasks import Task
from harness.metrics.bootstrap import Array, sample_counts
from harness.metrics.pair_counts import count_pairs
from harness.results.ceiling import Ceiling, build_ceiling, repeated_networks
from harness.results.folder import HOW, find_result, predictors_with_results
from harness.results.samples import score_samples, seed_predictions
from harness.results.store import read_result
from harness.scoring.noise_ceiling import tau_of_another_run
from harness.scoring.scores import Score, score_of, score_text
from harness.task_data import load_targets


@dataclass(frozen=True, slots=True)
class Equivalent:
    """The best predictor after some epochs, and what it is worth.

    Attributes:
        observed: Number of epochs that it observes.
        predictor: Its name: that with the largest tau on test.
        tau: Kendall's tau on test.
        equals: Epoch at which the last accuracy first orders the networks as well, with fractions.
    """

    observed: int
    predictor: str
    tau: Score
    equals: Score


@dataclass(frozen=True, slots=True)
class Transfer:
    """What is predicted before training of a held-out skeleton.

    Attributes:
        skeleton: Its name.
        tau: Kendall's tau of the best predictor before training.
        ceiling: The largest tau that the noise of seeds allows.
        is_rankable: Whether a ceiling, of tau or R2, is above 0 with 95 % confidence.
    """

    skeleton: str
    tau: Score
    ceiling: Score
    is_rankable: bool


@dataclass(frozen=True, slots=True)
class Watching:
    """Kendall's tau of final accuracies on the test networks of an image set.

    Attributes:
        images: Name of the image set.
        networks: Number of test networks.
        last_value: Tau of the accuracy after each epoch.
        equivalents: The best predictor of each task.
        another_run: Tau between the final accuracies of two seeds, of the networks of seen
            skeletons that were trained with several; None without any.
        ceiling: The largest tau on test that is possible before training; None if it is unknown.
        held_out: The held-out skeletons with a ceiling.
    """

    images: str
    networks: int
    last_value: tuple[Score, ...]
    equivalents: tuple[Equivalent, ...]
    another_run: Score | None
    ceiling: Score | None
    held_out: tuple[Transfer, ...]


def compare_with_watching(
    tasks: Sequence[Task], results: Sequence[Path], release: Release = INSTALLED
) -> Watching:
    """Return what predictions are worth on the test networks of tasks with the same rows.

    Args:
        tasks: Tasks that differ in their observed epochs.
        results: Folders of results; of a predictor in several, the first counts.
        release: The data; by default that of the installed package.

    Raises:
        ValueError: If the tasks have different rows.
        FileNotFoundError: If a task has no scored result.
    """
    if len({task.rows_digest for task in tasks}) != 1:
        raise ValueError("all tasks must have the same rows")
    targets = load_targets(tasks[0], release).valid_accuracy
    test = np.flatnonzero(np.array(targets.splits) == "test")
    weights = sample_counts([targets.architecture_ids[i] for i in test])
    curves = targets.curves[test]
    last = np.stack([count_pairs(curves[:, -1], y, weights).tau_b() for y in curves.T])
    equivalents = []
    for task in sorted(tasks, key=lambda task: task.observed):
        name = _best(task, results)
        tau = score_samples(seed_predictions(find_result(results, task.name, name)), targets)
        equals = np.array([equal_epoch(t, of) for t, of in zip(tau, last.T, strict=True)])
        equivalents.append(Equivalent(task.observed, name, score_of(tau), score_of(equals)))
    groups = repeated_networks(tasks[0].images, release=release).get("test", {})
    repeated = [network for networks in groups.values() for network in networks]
    another = tau_of_another_run(repeated) if repeated else None
    ceiling = build_ceiling(tasks[0].images, release)
    return Watching(
        tasks[0].images,
        len(test),
        tuple(map(score_of, last)),
        tuple(equivalents),
        None if another is None else score_of(another),
        None if ceiling is None else ceiling.tau("test"),
        () if ceiling is None else tuple(_transfers(tasks, equivalents[0], results, ceiling)),
    )


def _transfers(
    tasks: Sequence[Task], best: Equivalent, results: Sequence[Path], ceiling: Ceiling
) -> Iterator[Transfer]:
    """Yield what the best predictor before training reaches on each held-out skeleton."""
    before = [task for task in tasks if not task.observed]
    if not before or best.observed:
        return
    result = read_result(find_result(results, before[0].name, best.predictor))
    for name, skeleton in SKELETONS.items():
        stratum = f"skeleton/{name}"
        tau = result.scores.get(stratum, {}).get("tau")
        if skeleton.held_out and stratum in ceiling.scores and tau is not None:
            known = Score(tau.value, tau.low, tau.high)
            yield Transfer(name, known, ceiling.tau(stratum), ceiling.is_rankable(name))


def equal_epoch(tau: float, last_value: Array) -> float:
    """Return the epoch at which the last accuracy first has this tau, between epochs linearly.

    Args:
        tau: The tau of a predictor.
        last_value: Tau of the accuracy after each epoch, (epochs,); before the first it is 0.

    >>> equal_epoch(0.5, np.array([0.4, 0.6, 1.0]))
    1.5
    >>> equal_epoch(-0.1, np.array([0.4, 0.6, 1.0]))
    0.0
    """
    if np.isnan(tau):
        return np.nan
    if tau <= 0:
        return 0.0
    reached = np.flatnonzero(last_value >= tau)
    if not len(reached):
        return float(len(last_value))
    after = int(reached[0])
    before = float(last_value[after - 1]) if after else 0.0
    step = float(last_value[after]) - before
    return after + (tau - before) / step if step > 0 else float(after + 1)


def _best(task: Task, results: Sequence[Path]) -> str:
    """Return the predictor with the largest tau on test, the first by name among equal ones."""
    taus: dict[str, float] = {}
    for name in predictors_with_results(results, task.name):
        result = read_result(find_result(results, task.name, name))
        score = result.scores.get("test", {}).get("tau")
        if score is not None and score.value is not None:
            taus[name] = score.value
    if not taus:
        raise FileNotFoundError(f"no scored result on {task.name}; {HOW}")
    return max(taus, key=lambda name: taus[name])


def watching_lines(watching: Watching) -> Iterator[str]:
    """Yield the table of what predictions are worth."""
    epochs = len(watching.last_value)
    yield (
        f"Kendall's tau of the final accuracy on {watching.networks} test networks of "
        f"{watching.images}, with 95 % intervals"
    )
    start = f"{'observed':>8}  {'best predictor':18} {'tau':>21}"
    yield f"{start}  {'equals watching':>24} {'last value':>10}"
    for e in watching.equivalents:
        known = watching.last_value[e.observed - 1].value if e.observed else None
        last = "-" if known is None else f"{known:.3f}"
        yield (
            f"{e.observed:8}  {e.predictor:18} {score_text(e.tau, 3):>21}  "
            f"{score_text(e.equals, 1):>18} of {epochs:<2} {last:>10}"
        )
    if watching.another_run is not None:
        yield f"another whole training, with another seed: {score_text(watching.another_run, 3)}"
    if watching.ceiling is not None:
        yield f"ceiling before training: {score_text(watching.ceiling, 3)}"
    for t in watching.held_out:
        nothing = "" if t.is_rankable else "; no difference between its networks is shown"
        ceiling = score_text(t.ceiling, 3)
        yield f"{t.skeleton}: {score_text(t.tau, 3)} of a ceiling of {ceiling}{nothing}"
