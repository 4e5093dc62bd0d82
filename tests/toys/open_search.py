"""A surrogate of the open track whose values are given, and searches with it."""

from collections.abc import Callable, Sequence
from itertools import count

from benchmark.query import BudgetError
from benchmark.space.architectures import Architecture
from harness.search.budget import Budget
from harness.search.open.check import FoldScore, SurrogateCheck
from harness.search.open.session import OpenAlgorithm, OpenSession
from harness.search.open.space import Space, load_space

EPOCHS = 20  # of a training
Value = Callable[[Architecture], float]


def bn_share(architecture: Architecture) -> float:
    """Return the share of batch normalisation in the layers of all blocks."""
    kinds = [layer.kind for block in architecture.blocks for layer in block.layers]
    return kinds.count("bn") / len(kinds)


class ToySurrogate:
    """Values of a function, and runs without noise, or with the given accuracies in order."""

    epochs = EPOCHS
    check = SurrogateCheck(
        "toy", 100, 7, (FoldScore(60, 0.5, 0.25, 0.125), FoldScore(40, None, -1, 2))
    )

    def __init__(self, value: Value, measured: Sequence[float] | None = None) -> None:
        """Take the function, and accuracies for the first runs."""
        self.value = self.value_as_trained = value
        self._measured, self._runs = measured, count()

    def measure(self, value: float, identity: str, seed: int) -> float:
        """Return the accuracy of the next run."""
        run = next(self._runs)
        return value if self._measured is None else self._measured[run]


class Spy(OpenSession):
    """A session that notes what was trained."""

    def __init__(
        self, surrogate: ToySurrogate, trainings: float, *, space: Space | None = None
    ) -> None:
        """Start with a budget of some trainings."""
        budget = Budget(int(trainings * EPOCHS))
        super().__init__(space or load_space("digits"), surrogate, budget, seed=0)
        self.trained: list[Architecture] = []

    def train(self, architecture: Architecture) -> float:
        """Train, and note the architecture."""
        accuracy = super().train(architecture)
        self.trained.append(architecture)
        return accuracy


def searched(
    algorithm: OpenAlgorithm, trainings: float, *, seed: int = 0, value: Value = bn_share,
    measured: Sequence[float] | None = None, space: Space | None = None,
) -> Spy:  # fmt: skip
    """Return the session after a search."""
    session = Spy(ToySurrogate(value, measured), trainings, space=space)
    try:
        algorithm.search(session, seed=seed)
    except BudgetError:
        pass
    return session
