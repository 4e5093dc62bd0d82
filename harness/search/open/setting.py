"""A search of the open track with a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmark.extras import check_extra
from benchmark.release import INSTALLED, Release
from benchmark.util.strict_json import refuse
from harness.search.budget import Budget
from harness.search.find import FoundAlgorithm
from harness.search.open.result import Draws, OpenRepeat, OpenResult, draw_chain, score_open
from harness.search.open.session import OpenSession, Surrogate
from harness.search.open.space import Space, load_space
from harness.search.registry import Track
from harness.search.session import run_search

TRAININGS = 200  # of the default budget


@dataclass(frozen=True, slots=True, eq=False)
class OpenSetting:
    """The architectures that can be trained, what stands for training, and each search's budget."""

    track: ClassVar[Track] = "open"

    space: Space
    surrogate: Surrogate
    draws: Draws
    budget: Budget

    def search(self, make: Callable[[], Any], seed: int) -> OpenRepeat:
        """Return what a new algorithm chooses with a seed, which is that of all trainings, too.

        Raises:
            ValueError: If it breaks a rule of the session, or chooses nothing.
            Exception: Any exception that the algorithm raises.
        """
        session = OpenSession(self.space, self.surrogate, self.budget, seed)
        own = run_search(make(), session, seed) - session.training_seconds
        if not session.outcome():
            raise ValueError("no architecture was trained or chosen")
        return OpenRepeat(session.outcome(), session.accuracies(), own)

    def score(self, algorithm: FoundAlgorithm, repeats: Sequence[OpenRepeat]) -> OpenResult:
        """Return the result of the repeats of an algorithm."""
        return score_open(self.space, self.surrogate, self.draws, algorithm, self.budget, repeats)


def open_setting(
    images: str,
    budget: Budget | None = None,
    *,
    shortcuts: bool = False,
    release: Release = INSTALLED,
) -> OpenSetting:
    """Return the search of an image set's space.

    Args:
        images: Name of the image set.
        budget: What each search may spend, in epochs; by default 200 trainings.
        shortcuts: Whether shortcuts around blocks are in the space, as in `load_space`.
        release: The data that the surrogate is fitted to.

    Raises:
        FileNotFoundError: If the release has no runs on the image set.
        ValueError: If the image set is unknown, a package is missing, the data is too small for a
            surrogate, or the budget is in seconds or does not buy a training.
    """
    check_extra("the surrogate of the open track", "predictors", ("sklearn",))
    from harness.search.open.surrogate import load_surrogate

    if budget is not None and budget.unit != "epochs":
        refuse("unit", budget.unit, "epochs, as a surrogate takes no measured seconds")
    space = load_space(images, shortcuts=shortcuts)
    surrogate = load_surrogate(images, release)
    budget = budget or Budget(TRAININGS * surrogate.epochs)
    if budget.amount < surrogate.epochs:
        refuse("budget", int(budget.amount), f"at least {surrogate.epochs} epochs, one training")
    return OpenSetting(space, surrogate, draw_chain(space, surrogate), budget)
