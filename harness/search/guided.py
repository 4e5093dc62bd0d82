"""Search guided by a predictor that is fitted to the networks trained so far.

Candidates are ranked by expected improvement: how far a network's final accuracy is expected to
exceed the best one known, for a normal distribution with the predicted mean and standard deviation.
The predictor is fitted again whenever the trained networks have increased by half.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from harness.predictors.registry import load
from harness.protocol import Array, Prediction, Predictor, Runs
from harness.search.algorithms import train_all
from harness.search.session import Index, Session

START = 10  # networks trained to the end before the first fit
GROWTH = 0.5  # networks trained between two fits, as a share of those fitted on
CANDIDATES = 4  # networks observed for each one that is then trained to the end
LEVELS = (0, 1, 3, 5)  # epochs at which freeze-thaw looks at a network


def expected_improvement(prediction: Prediction, best: float) -> Array:
    """Return how far final accuracies are expected to exceed the best one, (networks,).

    Without a standard deviation it is the predicted difference, which may be negative.

    >>> half = Prediction(np.array([[0.5]]), (20,), np.array([[0.1]]))
    >>> expected_improvement(half, 0.5).round(4).tolist()
    [0.0399]
    """
    difference = prediction.mean[:, -1] - best
    if prediction.std is None:
        return difference
    std = np.maximum(prediction.std[:, -1], 1e-9)
    z = difference / std
    return np.asarray(difference * norm.cdf(z) + std * norm.pdf(z), dtype=np.float64)


def fit(make: Callable[[], Predictor], runs: Runs, observed: int, seed: int) -> Predictor:
    """Return a predictor fitted to finished runs, of which every fifth is a validation run, too."""
    predictor = make()
    validation = runs.take(np.arange(0, len(runs), 5))
    predictor.fit(runs.copy(), validation, observed=observed, seed=seed)
    return predictor


class Guided:
    """Trains the networks with the largest expected improvement, before or early in training.

    With observed epochs, a few new networks are trained for as many before each fit, and the best
    of all that were observed go on to the end.
    """

    def __init__(self, predictor: str | Callable[[], Predictor], *, observed: int = 0) -> None:
        """Take a predictor's name in the registry, or what makes one, and its observed epochs."""
        self.make = (lambda: load(predictor)) if isinstance(predictor, str) else predictor
        self.observed = observed

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        train_all(session, session.unfinished[:START], session.total_epochs)
        while len(session.unfinished):
            finished = session.finished()
            number = max(1, int(GROWTH * len(finished)))
            candidates = self._candidates(session, CANDIDATES * number)
            predictor = fit(self.make, finished, self.observed, seed)
            prediction = predictor.predict(session.observe(candidates, self.observed))
            gain = expected_improvement(prediction, float(finished.final_accuracy.max()))
            order = np.argsort(-gain, kind="stable")[:number]
            train_all(session, candidates[order], session.total_epochs)

    def _candidates(self, session: Session, number: int) -> Index:
        """Return the networks to rank, after training new ones for the observed epochs."""
        rest = session.unfinished
        if not self.observed:
            return rest
        fresh = rest[session.trained[rest] == 0]
        train_all(session, fresh[:number], self.observed)
        return rest[session.trained[rest] >= self.observed]


class FreezeThaw:
    """Freezes and thaws trainings by expected improvement (Swersky et al. 2014, arXiv:1406.3896).

    A predictor for each of a few levels of epochs gives every network, at its level, a distribution
    of its final accuracy; the networks with the largest improvement go on to the next level.
    """

    def __init__(self, predictor: str | Callable[[], Predictor]) -> None:
        """Take a predictor's name in the registry, or a function that makes one."""
        self.make = (lambda: load(predictor)) if isinstance(predictor, str) else predictor

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        levels = [level for level in LEVELS if level < session.total_epochs]
        after = dict(zip(levels, [*levels[1:], session.total_epochs], strict=True))
        train_all(session, session.unfinished[:START], session.total_epochs)
        while len(session.unfinished):
            finished = session.finished()
            predictors = {level: fit(self.make, finished, level, seed) for level in levels}
            best = float(finished.final_accuracy.max())
            number = max(1, int(GROWTH * len(finished)))
            gain = np.full(len(session.trained), -np.inf)
            stale = session.unfinished
            for _ in levels:
                for level, predictor in predictors.items():
                    there = stale[session.trained[stale] == level]
                    if len(there):
                        prediction = predictor.predict(session.observe(there, level))
                        gain[there] = expected_improvement(prediction, best)
                order = np.argsort(-gain, kind="stable")[: min(number, len(session.unfinished))]
                for network in order.tolist():
                    session.train(network, after[int(session.trained[network])])
                gain[order] = -np.inf
                stale = order
