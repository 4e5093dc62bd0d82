"""Predictors from zero-cost proxies, which are measured on untrained networks.

Their `fit` and `predict` also raise the error of `proxies_of`.
"""

import numpy as np

from benchmark.proxies import PROXIES
from benchmark.util.unknown_name import check_known
from harness.features.signal_propagation import signal_features
from harness.predictors.regressions import ForestCurves, IsotonicCurves
from harness.protocol import Array, Queries, Runs


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


class IsotonicProxy(IsotonicCurves):
    """A monotone step function from one proxy to the accuracy at each epoch."""

    def __init__(self, proxy: str) -> None:
        """Set which proxy to use, by its name in `benchmark.proxies.PROXIES`.

        Raises:
            ValueError: If the name is unknown.
        """
        super().__init__()
        check_known("proxy", proxy, PROXIES)
        self._column = PROXIES.index(proxy)

    def inputs(self, networks: Runs | Queries) -> Array:
        """Return the proxy of each network, (networks, 1)."""
        return proxies_of(networks)[:, [self._column]]


class ProxyForest(ForestCurves):
    """A random forest from proxies and mean-field signal features to the logits of all epochs."""

    def inputs(self, networks: Runs | Queries) -> Array:
        """Return the proxies and signal features of each network, (networks, 20)."""
        signal = np.stack([signal_features(rows) for rows in networks.layer_rows])
        return np.concatenate([proxies_of(networks), signal], axis=1)
