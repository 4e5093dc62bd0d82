"""What a search algorithm may do: train networks of a pool further, and choose one.

A session hands out nothing that its networks were not trained for, and a ledger adds up the cost.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.query import BudgetError, Ledger
from benchmark.util.strict_json import refuse
from benchmark.util.unknown_name import check_type
from harness.protocol import Array, Queries, Runs
from harness.search.budget import Budget
from harness.search.pool import SEED, Pool

Index = NDArray[np.intp]


@runtime_checkable
class Algorithm(Protocol):
    """A search algorithm: any class with this method; it inherits nothing."""

    def search(self, session: "Session", *, seed: int) -> None:
        """Train networks until the budget is spent or nothing is left to train.

        Args:
            session: The networks and the budget. When the budget is spent, its methods raise a
                `BudgetError`, which ends the search and need not be caught.
            seed: Fixes all randomness.
        """
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The network that a search would return, from a certain cost on.

    Attributes:
        epochs: Epochs spent so far.
        seconds: Measured seconds of these epochs.
        network: Place of the network in the pool.
    """

    epochs: int
    seconds: float
    network: int


class Session:
    """A search in progress. Networks are numbered from 0, in an order of this session alone.

    The choice is the network with the best validation accuracy of those trained to the end, or of
    those trained furthest if none is; `choose` replaces it until the next training.
    """

    def __init__(self, pool: Pool, order: Index, budget: Budget) -> None:
        """Start a search.

        Args:
            pool: The networks.
            order: Place in the pool of each network of the session.
            budget: What the search may spend.
        """
        self.budget = budget
        self._pool, self._order = pool, order
        self._runs = pool.runs.take(order)
        self._ledger = Ledger(
            images=pool.images,
            seed=SEED,
            max_epochs=budget.max_epochs,
            max_seconds=budget.max_seconds,
            release=pool.release,
        )
        self._trained = np.zeros(len(order), dtype=np.intp)
        self.choices: list[Choice] = []

    @property
    def networks(self) -> Queries:
        """All networks before training."""
        return self._runs.observe(0)

    @property
    def total_epochs(self) -> int:
        """Number of epochs of a whole training."""
        return self._pool.epochs

    @property
    def spent_epochs(self) -> int:
        """Epochs spent so far."""
        return self._ledger.epochs

    @property
    def spent_seconds(self) -> float:
        """Measured seconds of the epochs spent so far."""
        return self._ledger.seconds

    @property
    def trained(self) -> Index:
        """Number of epochs that each network was trained for, (networks,)."""
        return self._trained.copy()

    @property
    def accuracies(self) -> Array:
        """Validation accuracy of each network after its last epoch, (networks,); 0 before one."""
        curves = self._runs.series.valid_accuracy
        last = curves[np.arange(len(curves)), np.maximum(self._trained, 1) - 1]
        return np.where(self._trained > 0, last, 0.0)

    @property
    def unfinished(self) -> Index:
        """The networks that were not trained to the end, in ascending order."""
        return np.flatnonzero(self._trained < self.total_epochs)

    def train(self, network: int, epochs: int) -> Array:
        """Train a network on, and return its validation accuracies, (epochs,).

        Args:
            network: Number of the network.
            epochs: Number of epochs in all, more than it was trained for.

        Raises:
            BudgetError: If the budget is not enough; nothing is spent.
            TypeError: If a number is not a whole one.
            ValueError: If the network is none of the session's, was trained for as many epochs
                already, or has no such epoch.
        """
        self._check(network)
        check_type("epochs", epochs, Integral, "a whole number")
        done = int(self._trained[network])
        if not done < epochs <= self.total_epochs:
            rule = f"in {done + 1}..{self.total_epochs}: network {network} has {done} epochs"
            refuse("epochs", epochs, rule)
        self._ledger.query(self._pool.architecture_ids[self._order[network]], epochs=int(epochs))
        self._trained[network] = epochs
        self._record(self._best())
        return self._runs.series.valid_accuracy[network, :epochs].copy()

    def observe(self, networks: Index, epochs: int) -> Queries:
        """Return networks with their first epochs, for a predictor.

        Raises:
            ValueError: If a network is none of the session's, or was not trained for as long.
        """
        chosen = np.asarray(networks)
        for network in chosen.tolist():
            self._check(network)
            if self._trained[network] < epochs:
                rule = f"at most {self._trained[network]}, those of network {network}"
                refuse("epochs", epochs, rule)
        return self._runs.take(chosen).observe(epochs)

    def finished(self) -> Runs:
        """Return the runs of the networks that were trained to the end."""
        return self._runs.take(np.flatnonzero(self._trained == self.total_epochs))

    def choose(self, network: int) -> None:
        """Choose a network, trained or not, until the next training.

        Raises:
            ValueError: If the network is none of the session's.
        """
        self._check(network)
        self._record(network)

    def _check(self, network: int) -> None:
        check_type("network", network, Integral, "a whole number")
        if not 0 <= network < len(self._order):
            refuse("network", network, f"in 0..{len(self._order) - 1}")

    def _best(self) -> int:
        """Return the best network of those trained furthest."""
        furthest = int(self._trained.max())
        candidates = np.flatnonzero(self._trained == furthest)
        accuracies = self._runs.series.valid_accuracy[candidates, furthest - 1]
        return int(candidates[accuracies.argmax()])

    def _record(self, network: int) -> None:
        place = int(self._order[network])
        if not self.choices or self.choices[-1].network != place:
            self.choices.append(Choice(self.spent_epochs, self.spent_seconds, place))


def run_search(algorithm: Algorithm, session: Any, seed: int) -> float:
    """Let an algorithm search until it returns or its budget is spent; return its seconds.

    Raises:
        Exception: Any other that the algorithm raises.
    """
    started = time.perf_counter()
    with suppress(BudgetError):
        algorithm.search(session, seed=seed)
    return time.perf_counter() - started
