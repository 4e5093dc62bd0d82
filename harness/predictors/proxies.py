"""Predictors from zero-cost proxies, which are measured on untrained networks.

Their prediction is the same for any number of observed epochs. Their `fit` and `predict` also raise
the error of `proxies_of`.
"""

import numpy as np

from benchmark.proxies import PROXIES
from benchmark.util.unknown_name import check_known
from harness.features.signal_propagation import signal_features
from harness.predictors.base import check_runs
from harness.predictors.regressions import ForestCurves, IsotonicCurves
from harness.protocol import Array, Prediction, Queries, Runs


def proxies_of(networks: Runs | Queries) -> Array:
    """Return the proxies of networks, (networks, proxies).

    Raises:
        ValueError: If there are no proxies; the message has the command that computes them.
    """
    if networks.proxies is None:
        raise ValueError(
            f"there are no zero-cost proxies of these networks on {networks.images!r}; "
            f"`peephole generate proxies --images {networks.images}` computes those of a release"
        )
    return networks.proxies


class IsotonicProxy:
    """A monotone step function from one proxy to the accuracy at each epoch."""

    def __init__(self, proxy: str) -> None:
        """Set which proxy to use, by its name in `benchmark.proxies.PROXIES`.

        Raises:
            ValueError: If the name is unknown.
        """
        check_known("proxy", proxy, PROXIES)
        self._column = PROXIES.index(proxy)
        self._curves = IsotonicCurves()

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit one function per epoch; `validation` and `seed` are not used."""
        check_runs(train, observed)
        self._curves.fit(proxies_of(train)[:, self._column], train.series.valid_accuracy)

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        return self._curves.predict(proxies_of(queries)[:, self._column], queries.observed)


class ProxyForest:
    """A random forest from proxies and mean-field signal features to the logits of all epochs."""

    def __init__(self, *, trees: int = 300, least_leaf: int = 3) -> None:
        """Set the number of trees and the fewest training runs in a leaf."""
        self._curves = ForestCurves(trees, least_leaf)

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Fit the forest; `validation` is not used."""
        check_runs(train, observed)
        self._curves.fit(_features(train), train.series.valid_accuracy, seed)

    def predict(self, queries: Queries) -> Prediction:
        """Predict all epochs after the observed ones."""
        return self._curves.predict(_features(queries), queries.observed)


def _features(networks: Runs | Queries) -> Array:
    """Return the proxies and signal features of each network, (networks, 20)."""
    signal = np.stack([signal_features(rows) for rows in networks.layer_rows])
    return np.concatenate([proxies_of(networks), signal], axis=1)
