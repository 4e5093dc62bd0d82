"""A search algorithm to start from: copy this file, change the class, and try it.

    peephole check search_template.py:MyHalving
    peephole search --images cifar10 --algorithm search_template.py:MyHalving --algorithm random

What a session has is in docs/search.md. For the open track, where an algorithm builds architectures
itself, start from the class `DeepestFirst` there.
"""

import numpy as np


class MyHalving:
    """Drops the worse half of the networks after one, two, four and eight epochs."""

    def __init__(self, *, start: int = 64) -> None:
        """Set the number of networks to start with; every argument needs a default."""
        self.start = start

    def search(self, session, *, seed: int) -> None:  # type: ignore[no-untyped-def]
        """Train networks; an error of the session ends the search when the budget is spent.

        The networks' order is random already. An algorithm that draws numbers makes its generator
        from the seed: `np.random.default_rng(seed)`.
        """
        kept = session.unfinished[: self.start]
        for epochs in (1, 2, 4, 8, session.total_epochs):
            accuracies = [session.train(network, epochs)[-1] for network in kept.tolist()]
            kept = kept[np.argsort(accuracies)[::-1]][: max(1, len(kept) // 2)]
        while len(session.unfinished):  # what is left of the budget trains the best of the others
            rest = session.unfinished
            session.train(rest[session.accuracies[rest].argmax()], session.total_epochs)
