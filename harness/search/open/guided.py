"""Search of the open track guided by a predictor, which is fitted to what was trained so far.

As in BANANAS (White et al. 2021, AAAI, arXiv:1910.11858), candidates are mutants of the best
architectures, and here also draws of the Markov chain. Only the final accuracy of a training is
known, so to the predictor a training is a single epoch. It is fitted again whenever the trained
architectures have increased by half.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from benchmark.recipes import Recipe
from benchmark.space.architectures import Architecture
from benchmark.space.layer_walk import walk
from benchmark.space.sampler import as_trained
from harness.protocol import Predictor, Runs, Series
from harness.search.guided import GROWTH, RANKS, fit, maker_of
from harness.search.open.evolution import mutate
from harness.search.open.session import OpenSession
from harness.search.open.space import Space

START = 20  # draws trained before the first fit
CANDIDATES = 10  # architectures that are ranked for each one that is then trained
PARENTS = 10  # the most accurate architectures, of which half of the candidates are mutants


def runs_of(space: Space, architectures: Sequence[Architecture], accuracies: list[float]) -> Runs:
    """Return trainings as runs of one epoch, of which nothing but the validation accuracy is known.

    Args:
        space: The search space.
        architectures: The architectures, as drawn.
        accuracies: The accuracy of each.
    """
    images, number = space.images, len(architectures)
    trained = tuple(as_trained(architecture, images) for architecture in architectures)
    unknown = dict.fromkeys((field.name for field in fields(Series)), np.full((number, 1), np.nan))
    return Runs(
        tuple(map(str, range(number))),
        images.name,
        images.classes,
        Recipe(images.name, epochs=1, warmup_epochs=0),
        trained,
        tuple(walk(architecture, images) for architecture in trained),
        Series(**unknown | {"valid_accuracy": np.array(accuracies)[:, None]}),
        proxies=None,
    )


class OpenGuided:
    """Trains the candidates that rank highest."""

    def __init__(
        self, predictor: str | Callable[[], Predictor], *, rank: str = "improvement"
    ) -> None:
        """Set the predictor, by its name or by what makes one, and the key of `RANKS`."""
        self.make, self.rank = maker_of(predictor), RANKS[rank]

    def search(self, session: OpenSession, *, seed: int) -> None:
        """Search until the budget is spent."""
        rng, space = np.random.default_rng(seed), session.space
        trained: list[Architecture] = []
        while True:
            number, chosen = START, [space.sample(rng) for _ in range(START)]
            if trained:
                finished = runs_of(space, trained, list(session.accuracies()))
                predictor = fit(self.make, finished, 0, seed)
                number = max(1, int(GROWTH * len(trained)))
                order = np.argsort(-finished.final_accuracy, kind="stable")
                best = [trained[i] for i in order[:PARENTS]]
                chosen = self._candidates(session, best, CANDIDATES * number, rng)
                queries = runs_of(space, chosen, [0.0] * len(chosen)).observe(0)
                gain = self.rank(predictor.predict(queries), float(finished.final_accuracy.max()))
                chosen = [chosen[i] for i in np.argsort(-gain, kind="stable")[:number]]
            for architecture in chosen:
                if session.known(architecture) is None:
                    session.train(architecture)
                    trained.append(architecture)

    def _candidates(
        self,
        session: OpenSession,
        best: Sequence[Architecture],
        number: int,
        rng: np.random.Generator,
    ) -> list[Architecture]:
        """Return new architectures: mutants of the best and draws of the chain, by turns."""
        found: dict[str, Architecture] = {}
        while len(found) < number:
            parent = best[int(rng.integers(len(best)))]
            for made in (mutate(parent, session.space, rng), session.sample(rng)):
                if session.known(made) is None:
                    found.setdefault(session.space.identify(made), made)
        return list(found.values())
