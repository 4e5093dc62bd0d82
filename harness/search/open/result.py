"""The result of a search of the open track, and the scores that follow from it.

No optimum is known. *Regret* is the best value among many draws of the Markov chain minus that of
the chosen architecture, both without noise, so it can be negative. Before a search has chosen, it
is the mean of the draws. Areas and intervals are those of a search of a pool.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmark.space.architectures import Architecture
from benchmark.space.sampler import as_trained
from benchmark.util.locks import locked_folder
from benchmark.util.rng import generator_for
from harness.metrics.bootstrap import Array
from harness.results.result import HARNESS_VERSION, Environment, environment
from harness.results.store import write_json
from harness.scoring.scores import Score
from harness.search.budget import Budget
from harness.search.find import FoundAlgorithm
from harness.search.open.check import SurrogateCheck
from harness.search.open.session import Chosen, Surrogate
from harness.search.open.space import Space, seen_shares
from harness.search.result import TOLERANCE, mean_score, search_path, step_curves

SCHEMA_VERSION = 1
DRAWS = 2_000  # of the chain, which regret refers to
SEED_OF_DRAWS = -1  # no search has it
PARTS = 4  # of the budget, for the mean accuracy of what was trained in each


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of the Markov chain.

    Attributes:
        number: How many.
        best: The best value among them, without noise.
        mean: The mean value, without noise.
        accuracy: The mean accuracy of a run of each.
    """

    number: int
    best: float
    mean: float
    accuracy: Score


@dataclass(frozen=True, slots=True)
class OpenChoice:
    """What a search would return from a certain cost on.

    Attributes:
        epochs: Epochs spent so far.
        architecture_id: Id of the architecture, as trained.
        value: The accuracy that it reaches without noise.
    """

    epochs: int
    architecture_id: str
    value: float


@dataclass(frozen=True, slots=True)
class OpenRepeat:
    """What one search chose, the accuracy of each training in order, and its own seconds."""

    choices: tuple[Chosen, ...]
    accuracies: tuple[float, ...]
    own_seconds: float


@dataclass(frozen=True, slots=True)
class OpenResult:
    """The result of an algorithm of the open track.

    Attributes:
        schema_version: Version of the format.
        images: Image set.
        skeletons: Probability of each skeleton.
        algorithm: Name of the algorithm.
        title: What it does, on one line.
        budget: What each repeat could spend.
        repeats: Number of searches, with seeds 0, 1, 2, ..., which are those of the trainings, too.
        surrogate: What stands for training, and how well it predicts networks that it has not seen.
        draws: The draws of the Markov chain that regret refers to.
        regret: Mean regret at each budget of `Budget.points`.
        area: Mean of `regret` over these budgets.
        found_best: Share of the repeats whose last choice is no worse than the best draw.
        accuracy: Mean accuracy of the trainings in each quarter of the budget; None without one.
        spent_epochs: Mean epochs spent.
        own_seconds: Mean seconds of the algorithm itself, on the machine that ran the search.
        choices: The choices of each repeat.
        found: The last choice of each repeat, as trained.
        harness_version: Version of the harness.
        environment: Versions of what is installed.
    """

    schema_version: int
    images: str
    skeletons: Mapping[str, float]
    algorithm: str
    title: str
    budget: Budget
    repeats: int
    surrogate: SurrogateCheck
    draws: Draws
    regret: tuple[Score, ...]
    area: Score
    found_best: float
    accuracy: tuple[Score, ...]
    spent_epochs: float
    own_seconds: float
    choices: tuple[tuple[OpenChoice, ...], ...]
    found: tuple[Architecture, ...]
    harness_version: str
    environment: Environment


def draw_chain(space: Space, surrogate: Surrogate, number: int = DRAWS) -> Draws:
    """Return what draws of the Markov chain reach; they depend on the space alone."""
    rng = generator_for("open-search-draws-v1", space.images.name, *space.shares)
    drawn = [space.sample(rng) for _ in range(number)]
    values = [surrogate.value(architecture) for architecture in drawn]
    identities = [space.identify(architecture) for architecture in drawn]
    measured = [
        surrogate.measure(value, identity, SEED_OF_DRAWS)
        for value, identity in zip(values, identities, strict=True)
    ]
    return Draws(number, max(values), float(np.mean(values)), mean_score(np.array(measured)))


def score_open(
    space: Space,
    check: SurrogateCheck,
    draws: Draws,
    algorithm: FoundAlgorithm,
    budget: Budget,
    total_epochs: int,
    repeats: Sequence[OpenRepeat],
) -> OpenResult:
    """Return the result of the repeats of an algorithm."""
    steps = [[(c.epochs, draws.best - c.value) for c in repeat.choices] for repeat in repeats]
    curves = step_curves(steps, draws.best - draws.mean, budget)
    trainings = int(budget.amount) // total_epochs
    last = [repeat.choices[-1] for repeat in repeats]
    return OpenResult(
        schema_version=SCHEMA_VERSION,
        images=space.images.name,
        skeletons=space.shares,
        algorithm=algorithm.name,
        title=algorithm.title,
        budget=budget,
        repeats=len(repeats),
        surrogate=check,
        draws=draws,
        regret=tuple(mean_score(values) for values in curves.T),
        area=mean_score(curves.mean(axis=1)),
        found_best=float(np.mean([draws.best - c.value <= TOLERANCE for c in last])),
        accuracy=part_means([repeat.accuracies for repeat in repeats], trainings),
        spent_epochs=float(np.mean([total_epochs * len(r.accuracies) for r in repeats])),
        own_seconds=float(np.mean([repeat.own_seconds for repeat in repeats])),
        choices=tuple(
            tuple(OpenChoice(c.epochs, space.identify(c.architecture), c.value) for c in r.choices)
            for r in repeats
        ),
        found=tuple(as_trained(c.architecture, space.images) for c in last),
        harness_version=HARNESS_VERSION,
        environment=environment(),
    )


def part_means(accuracies: Sequence[Sequence[float]], trainings: int) -> tuple[Score, ...]:
    """Return the mean accuracy in each quarter of the budget, None where nobody trained.

    Args:
        accuracies: Accuracies of each repeat, in the order of training.
        trainings: Number of trainings that the budget allows.

    >>> [score.value for score in part_means([[0.1, 0.2, 0.4], [0.3, 0.2]], 4)]
    [0.2, 0.2, 0.4, None]
    """
    edges = [trainings * part // PARTS for part in range(PARTS + 1)]
    scores = []
    for start, end in pairwise(edges):
        means: Array = np.array([np.mean(a[start:end]) for a in accuracies if a[start:end]])
        scores.append(mean_score(means) if len(means) else Score(None, None, None))
    return tuple(scores)


def write_open(folder: Path, result: OpenResult) -> Path:
    """Write a result, replacing an earlier one of the same space and budget; return its path."""
    name = result.algorithm + "-shortcuts" * (len(result.skeletons) > len(seen_shares()))
    path = search_path(folder, f"open/{result.images}", name, result.budget)
    with locked_folder(folder):
        write_json(path, result)
    return path
