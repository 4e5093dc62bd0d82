"""The result of a search of the open track, and the scores that follow from it.

No optimum is known. *Regret* is the best value among many draws of the Markov chain minus that of
the chosen architecture, both without noise, so it can be negative. Before a search has chosen, it
is the mean of the draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.space.architectures import Architecture
from benchmark.space.sampler import as_trained
from benchmark.util.rng import generator_for
from harness.metrics.bootstrap import Array
from harness.scoring.scores import Score
from harness.search.budget import Budget
from harness.search.find import FoundAlgorithm
from harness.search.open.check import SurrogateCheck
from harness.search.open.session import Chosen, Surrogate
from harness.search.open.space import Space, seen_shares
from harness.search.registry import Track
from harness.search.result import FOLDER, SearchResult, common_fields, mean_score

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


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenResult(SearchResult):
    """The result of an algorithm of the open track; the seeds are those of the trainings, too.

    Attributes:
        skeletons: Probability of each skeleton.
        surrogate: What stands for training, and how well it predicts networks that it has not seen.
        draws: The draws of the Markov chain that regret refers to.
        accuracy: Mean accuracy of the trainings in each quarter of the budget; None without one.
        accuracies: Accuracies of all trainings of each repeat, in order.
        choices: The choices of each repeat.
        found: The last choice of each repeat, as trained.
    """

    track: ClassVar[Track] = "open"

    skeletons: Mapping[str, float]
    surrogate: SurrogateCheck
    draws: Draws
    accuracy: tuple[Score, ...]
    accuracies: tuple[tuple[float, ...], ...]
    choices: tuple[tuple[OpenChoice, ...], ...]
    found: tuple[Architecture, ...]

    @property
    def has_shortcuts(self) -> bool:
        """Whether shortcuts around blocks are in the space."""
        return len(self.skeletons) > len(seen_shares())

    def path(self, folder: Path) -> Path:
        """Return where the result lies in a folder of results."""
        start = f"{self.algorithm}{'-shortcuts' * self.has_shortcuts}-"
        name = f"{start}{self.budget.amount:g}-{self.budget.unit}.json"
        return folder / FOLDER / self.track / self.images / name


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
    surrogate: Surrogate,
    draws: Draws,
    algorithm: FoundAlgorithm,
    budget: Budget,
    repeats: Sequence[OpenRepeat],
) -> OpenResult:
    """Return the result of the repeats of an algorithm."""
    choices = tuple(
        tuple(OpenChoice(c.epochs, space.identify(c.architecture), c.value) for c in r.choices)
        for r in repeats
    )
    accuracies = tuple(repeat.accuracies for repeat in repeats)
    return OpenResult(
        **open_scores(choices, accuracies, draws, budget, surrogate.epochs),
        images=space.images.name,
        skeletons=space.shares,
        algorithm=algorithm.name,
        title=algorithm.title,
        surrogate=surrogate.check,
        draws=draws,
        own_seconds=float(np.mean([repeat.own_seconds for repeat in repeats])),
        choices=choices,
        found=tuple(as_trained(r.choices[-1].architecture, space.images) for r in repeats),
    )


def open_scores(
    choices: Sequence[Sequence[OpenChoice]],
    accuracies: tuple[tuple[float, ...], ...],
    draws: Draws,
    budget: Budget,
    epochs: int,
) -> dict[str, Any]:
    """Return the fields of a result that follow from what was trained, for `epochs` each."""
    steps = [[(c.epochs, draws.best - c.value) for c in made] for made in choices]
    return {
        **common_fields(steps, draws.best - draws.mean, budget),
        "accuracy": part_means(accuracies, int(budget.amount) // epochs),
        "accuracies": accuracies,
        "spent_epochs": float(np.mean([epochs * len(made) for made in accuracies])),
    }


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
