"""What a search algorithm of the open track may do: train architectures, and choose one.

The surrogate stands for training. A training is always a whole one, and its budget is in epochs, as
that of a pool is.
"""

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from benchmark.query import BudgetError
from benchmark.space.architectures import Architecture
from harness.search.budget import Budget
from harness.search.open.check import SurrogateCheck
from harness.search.open.space import Space


@runtime_checkable
class OpenAlgorithm(Protocol):
    """A search algorithm: any class with this method; it inherits nothing."""

    def search(self, session: "OpenSession", *, seed: int) -> None:
        """Train architectures until the budget is spent.

        Args:
            session: The search space and the budget. When the budget is spent, its methods raise a
                `BudgetError`, which ends the search and need not be caught.
            seed: Fixes all randomness.
        """
        ...


class Surrogate(Protocol):
    """What stands for training.

    Attributes:
        epochs: Number of epochs of a training.
        check: How well it predicts.
    """

    @property
    def epochs(self) -> int: ...  # noqa: D102
    @property
    def check(self) -> SurrogateCheck: ...  # noqa: D102

    def value(self, architecture: Architecture) -> float:
        """Return the accuracy that an architecture, as drawn, reaches without noise."""
        ...

    def value_as_trained(self, architecture: Architecture) -> float:
        """Return the value of an architecture at the widths with which it is trained."""
        ...

    def measure(self, value: float, identity: str, seed: int) -> float:
        """Return the accuracy of a run of an architecture with that value, id and seed."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """The architecture that a search would return, from a certain cost on.

    Attributes:
        epochs: Epochs spent so far.
        architecture: The architecture, as drawn.
        value: The accuracy that it reaches without noise.
    """

    epochs: int
    architecture: Architecture
    value: float


class OpenSession:
    """A search in progress.

    The choice is the most accurate architecture that was trained; `choose` replaces it until the
    next training.

    Attributes:
        space: The architectures that can be trained.
        budget: What the search may spend.
        spent_epochs: Epochs spent so far.
        training_seconds: Seconds that the surrogate took so far.
    """

    def __init__(self, space: Space, surrogate: Surrogate, budget: Budget, seed: int) -> None:
        """Start a search; the seed is that of all trainings."""
        self.space, self.budget = space, budget
        self.spent_epochs, self.training_seconds = 0, 0.0
        self._surrogate, self._seed = surrogate, seed
        self._measured: dict[str, float] = {}
        self._best: Architecture | None = None
        self._choices: list[Chosen] = []

    @property
    def total_epochs(self) -> int:
        """Number of epochs of a training."""
        return self._surrogate.epochs

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Return a draw of the Markov chain, which costs nothing."""
        return self.space.sample(rng)

    def known(self, architecture: Architecture) -> float | None:
        """Return the accuracy of an architecture if it was trained; None otherwise."""
        return self._measured.get(self.space.identify(architecture))

    def train(self, architecture: Architecture) -> float:
        """Train an architecture, and return its final validation accuracy.

        Args:
            architecture: The architecture, as drawn.

        Raises:
            BudgetError: If the budget is not enough; nothing is spent.
            TypeError: If it is no `Architecture`.
            ValueError: If it is outside the space, or was trained already.
        """
        self.space.check(architecture)
        identity = self.space.identify(architecture)
        if identity in self._measured:
            raise ValueError(
                f"architecture {identity!r} was trained already and reached "
                f"{self._measured[identity]:.4f}; `known` tells"
            )
        if self.spent_epochs + self.total_epochs > self.budget.amount:
            raise BudgetError(
                f"`budget` (={self.budget.amount:g} epochs) is not enough to train another "
                f"architecture for {self.total_epochs}; epochs spent: {self.spent_epochs:,}"
            )
        started = time.perf_counter()
        value = self._surrogate.value(architecture)
        accuracy = self._surrogate.measure(value, identity, self._seed)
        if self._best is None or accuracy > max(self._measured.values()):
            self._best = architecture
        self._measured[identity] = accuracy
        self.spent_epochs += self.total_epochs
        self._record(self._best)
        self.training_seconds += time.perf_counter() - started
        return accuracy

    def choose(self, architecture: Architecture) -> None:
        """Choose an architecture, trained or not, until the next training.

        Raises:
            TypeError: If it is no `Architecture`.
            ValueError: If it is outside the space.
        """
        self.space.check(architecture)
        self._record(architecture)

    def accuracies(self) -> tuple[float, ...]:
        """Return the accuracies of all trained architectures, in their order."""
        return tuple(self._measured.values())

    def outcome(self) -> tuple[Chosen, ...]:
        """Return the choices, after the search; no algorithm sees their values."""
        return tuple(self._choices)

    def _record(self, architecture: Architecture) -> None:
        if not self._choices or self._choices[-1].architecture != architecture:
            value = self._surrogate.value(architecture)
            self._choices.append(Chosen(self.spent_epochs, architecture, value))
