"""Search guided by a predictor that is fitted to the networks trained so far.

Candidates are ranked by expected improvement, which is how far a network's final accuracy is
expected to exceed the best one known, for a normal distribution with the predicted mean and
standard deviation; or by the predicted mean alone. Standard deviations of the predictors here
include the noise of training, which no further training lowers, so expected improvement explores
too much: on the 124 training networks of `cifar10` at that time, with 800 epochs and 20 repeats,
the area was .042 before training and .051 after one epoch, and .033 and .035 for means. The
predictor is fitted again whenever the trained networks have increased by half.
"""

from collections.abc import Callable
from functools import partial

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

    Without a standard deviation it is `predicted_gain`.

    >>> half = Prediction(np.array([[0.5]]), (20,), np.array([[0.1]]))
    >>> expected_improvement(half, 0.5).round(4).tolist()
    [0.0399]
    """
    difference = predicted_gain(prediction, best)
    if prediction.std is None:
        return difference
    std = np.maximum(prediction.std[:, -1], 1e-9)
    z = difference / std
    return np.asarray(difference * norm.cdf(z) + std * norm.pdf(z), dtype=np.float64)


def predicted_gain(prediction: Prediction, best: float) -> Array:
    """Return predicted final accuracies minus the best one, (networks,)."""
    return prediction.mean[:, -1] - best


RANKS = {"improvement": expected_improvement, "mean": predicted_gain}


def maker_of(predictor: str | Callable[[], Predictor]) -> Callable[[], Predictor]:
    """Return what makes a predictor, given its name in the registry or that function itself."""
    return partial(load, predictor) if isinstance(predictor, str) else predictor


def fit(make: Callable[[], Predictor], runs: Runs, observed: int, seed: int) -> Predictor:
    """Return a predictor fitted to finished runs, of which every fifth is a validation run, too."""
    predictor = make()
    validation = runs.take(np.arange(0, len(runs), 5))
    predictor.fit(runs.copy(), validation, observed=observed, seed=seed)
    return predictor


class Guided:
    """Trains the networks that rank highest, before or early in training.

    With observed epochs, a few new networks are trained for as many before each fit, and the best
    of all that were observed go on to the end.
    """

    def __init__(
        self,
        predictor: str | Callable[[], Predictor],
        *,
        observed: int = 0,
        rank: str = "improvement",
    ) -> None:
        """Set the predictor, its observed epochs and the key of `RANKS`.

        A predictor is a name in the registry, or a function that makes one.
        """
        self.make = maker_of(predictor)
        self.observed, self.rank = observed, RANKS[rank]

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        train_all(session, session.unfinished[:START], session.total_epochs)
        while len(session.unfinished):
            finished = session.finished()
            number = max(1, int(GROWTH * len(finished)))
            candidates = self._candidates(session, CANDIDATES * number)
            predictor = fit(self.make, finished, self.observed, seed)
            prediction = predictor.predict(session.observe(candidates, self.observed))
            gain = self.rank(prediction, float(finished.final_accuracy.max()))
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
    """Freezes and thaws trainings, as Swersky et al. (2014, arXiv:1406.3896) do.

    A predictor for each of a few levels of epochs gives every network, at its level, a distribution
    of its final accuracy; the networks that rank highest go on to the next level.
    """

    def __init__(
        self, predictor: str | Callable[[], Predictor], *, rank: str = "improvement"
    ) -> None:
        """Set the predictor and the key of `RANKS`, as for `Guided`."""
        self.make = maker_of(predictor)
        self.rank = RANKS[rank]

    def search(self, session: Session, *, seed: int) -> None:
        """Search until the budget is spent."""
        levels = [level for level in LEVELS if level < session.total_epochs]
        after = dict(zip(levels, [*levels[1:], session.total_epochs], strict=True))
        train_all(session, session.unfinished[:START], session.total_epochs)
        predictors: dict[int, Predictor] = {}
        fitted = 0
        while len(session.unfinished):
            finished = session.finished()
            if len(finished) > fitted:  # a fit to the same runs would be the same
                predictors = {level: fit(self.make, finished, level, seed) for level in levels}
                fitted = len(finished)
            best = float(finished.final_accuracy.max())
            number = max(1, int(GROWTH * len(finished)))
            gain = np.full(len(session.trained), -np.inf)
            stale = session.unfinished
            for _ in levels:
                for level, predictor in predictors.items():
                    there = stale[session.trained[stale] == level]
                    if len(there):
                        prediction = predictor.predict(session.observe(there, level))
                        gain[there] = self.rank(prediction, best)
                order = np.argsort(-gain, kind="stable")[: min(number, len(session.unfinished))]
                for network in order.tolist():
                    session.train(network, after[int(session.trained[network])])
                gain[order] = -np.inf
                stale = order
