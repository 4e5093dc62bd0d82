"""Search algorithms that use no predictor. All of them go on while the budget lasts."""

import numpy as np

from harness.protocol import Array
from harness.search.session import Index, Session

ETA = 3  # halving keeps a third of the networks, for three times the epochs


def finish(session: Session) -> None:
    """Train the unfinished networks to the end: those trained furthest first, by their accuracy."""
    rest, scores = session.unfinished, session.trained + session.accuracies
    for network in rest[np.argsort(-scores[rest], kind="stable")].tolist():
        session.train(network, session.total_epochs)


def train_all(session: Session, networks: Index, epochs: int) -> Array:
    """Train networks up to an epoch, and return their accuracies there, (networks,)."""
    return np.array([session.train(network, epochs)[-1] for network in networks.tolist()])


class RandomSearch:
    """Trains networks to the end in random order."""

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent; the order is that of the session, which is random."""
        finish(session)


class FixedStop:
    """Random search that stops networks after some epochs unless they are the best so far.

    A network goes on if its accuracy is above that of every earlier one at the same epoch. What is
    left of the budget completes the others, the best first.
    """

    def __init__(self, *, after: int = 5) -> None:
        """Set the epoch at which networks are stopped."""
        self.after = after

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        after = max(1, min(self.after, session.total_epochs - 1))
        best = -np.inf
        for network in session.unfinished.tolist():
            accuracy = session.train(network, after)[-1]
            if accuracy > best and after < session.total_epochs:
                session.train(network, session.total_epochs)
            best = max(best, accuracy)
        finish(session)


class MedianStop:
    """Random search with the median stopping rule (Golovin et al. 2017, Google Vizier, KDD).

    After each epoch, a network stops if its best accuracy is below the median, over the networks
    that came as far, of their mean accuracies until then.
    """

    def __init__(self, *, grace: int = 2) -> None:
        """Set the number of epochs before which no network stops."""
        self.grace = grace

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        means: list[list[float]] = [[] for _ in range(session.total_epochs)]
        for network in session.unfinished.tolist():
            for epoch in range(1, session.total_epochs + 1):
                curve = session.train(network, epoch)
                before = means[epoch - 1]
                median = np.median(before) if before and epoch > self.grace else 0.0
                before.append(float(curve.mean()))
                if curve.max() < median:
                    break
        finish(session)


class EpochThenBest:
    """Trains all networks for some epochs, and then the best of them to the end.

    With one epoch it is the baseline of Egele et al. (2024, arXiv:2404.04111) that any method must
    beat.
    """

    def __init__(self, *, epochs: int = 1, share: float = 0.5) -> None:
        """Set the epochs, and the largest share of the budget that they may take."""
        self.epochs, self.share = epochs, share

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        networks = session.unfinished
        if session.budget.max_epochs is not None:
            most = max(1, int(self.share * session.budget.max_epochs / self.epochs))
            networks = networks[:most]
        train_all(session, networks, self.epochs)
        finish(session)


def rungs(epochs: int) -> list[int]:
    """Return the epochs after which networks are dropped, and the last epoch.

    >>> rungs(20)
    [1, 3, 9, 20]
    >>> rungs(1)
    [1]
    """
    found = [1]
    while found[-1] * ETA < epochs:
        found.append(found[-1] * ETA)
    return [*found, epochs] if epochs > found[-1] else found


def halve(session: Session, networks: Index, levels: list[int]) -> None:
    """Train networks up to each level, and keep the best third of them for the next one."""
    for number, level in enumerate(levels):
        if number:
            networks = networks[: max(1, len(networks) // ETA)]
        scores = train_all(session, networks, level)
        networks = networks[np.argsort(-scores, kind="stable")]


def halving_cost(networks: int, levels: list[int]) -> int:
    """Return the epochs that `halve` spends.

    >>> halving_cost(9, [1, 3, 9])
    21
    """
    spent, reached = 0, 0
    for number, level in enumerate(levels):
        networks = max(1, networks // ETA) if number else networks
        spent, reached = spent + networks * (level - reached), level
    return spent


class SuccessiveHalving:
    """Successive halving (Jamieson and Talwalkar 2016, AISTATS), over as many networks as it can.

    It starts with the most networks whose halving the budget allows; what is left completes others.
    """

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        levels = rungs(session.total_epochs)
        networks = session.unfinished
        most = session.budget.max_epochs
        while most is not None and len(networks) > 1 and halving_cost(len(networks), levels) > most:
            networks = networks[:-1]
        halve(session, networks, levels)
        finish(session)


class Hyperband:
    """Hyperband (Li et al. 2018, JMLR): halving that starts with one, three, nine epochs and so on.

    Brackets are repeated with new networks while there are some.
    """

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        levels = rungs(session.total_epochs)
        fresh = session.unfinished
        while len(fresh):
            for first in range(len(levels)):
                size = -(-len(levels) * ETA ** (len(levels) - 1 - first) // (len(levels) - first))
                bracket, fresh = fresh[:size], fresh[size:]
                if len(bracket):
                    halve(session, bracket, levels[first:])
        finish(session)
