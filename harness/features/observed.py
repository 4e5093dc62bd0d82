"""Features of networks and of their observed epochs, for regression."""

from functools import lru_cache

import numpy as np

from benchmark.space.layer_walk import LayerRow
from harness.features.architecture import architecture_features
from harness.features.logits import to_logits
from harness.features.signal_propagation import signal_features
from harness.features.structure import structure_features
from harness.protocol import Array, Queries, Runs

LOST = 20.0  # replaces the logarithm of a loss or norm that is NaN after divergence
LEAST_PROXY = 1e-12  # magnitudes of proxies are raised to this before the logarithm
LEAST = 1e-6  # losses, norms and learning rates are raised to this before the logarithm
_OF_ROWS = (architecture_features, signal_features, structure_features)


def feature_groups(queries: Queries) -> tuple[Array, ...]:
    """Return all features of networks, (networks, features of the group) each.

    The groups are counts, signals and structure of the architecture, proxies (if any), observed
    logits with their differences, and what else was observed.
    """
    return *network_groups(queries), *observed_groups(queries)


def network_groups(queries: Queries) -> tuple[Array, ...]:
    """Return those of `feature_groups` that are known before training."""
    by_network = [_groups_of(rows) for rows in queries.layer_rows]
    architecture = (np.stack(group) for group in zip(*by_network, strict=True))
    return *architecture, measured_features(queries)


def observed_groups(queries: Queries) -> tuple[Array, Array]:
    """Return those of `feature_groups` that are of the observed epochs, the last two."""
    features, of_curve = prefix_features(queries), max(0, 2 * queries.observed - 1)
    return features[:, :of_curve], features[:, of_curve:]


def network_features(networks: Runs | Queries) -> Array:
    """Return the features of each network's architecture, (networks, 163)."""
    return np.stack([features_of(rows) for rows in networks.layer_rows])


def features_of(rows: tuple[LayerRow, ...]) -> Array:
    """Return all hand-made features of a network's layer rows, (163,)."""
    return np.concatenate(_groups_of(rows))


@lru_cache(maxsize=4096)  # networks; a search predicts the same ones again and again
def _groups_of(rows: tuple[LayerRow, ...]) -> tuple[Array, ...]:
    """Return the groups of hand-made features of a network's layer rows, (features,) each."""
    return tuple(function(rows) for function in _OF_ROWS)


def measured_features(networks: Runs | Queries) -> Array:
    """Return the proxies of networks on two scales, (networks, 16); (networks, 0) without any.

    Proxies span many orders of magnitude. The inverse hyperbolic sine keeps their sign; the
    logarithm of the magnitude resolves small ones.
    """
    if networks.proxies is None:
        return np.zeros((len(networks), 0))
    magnitudes = np.log(np.maximum(abs(networks.proxies), LEAST_PROXY))
    return np.concatenate([np.arcsinh(networks.proxies), magnitudes], axis=1)


def prefix_features(queries: Queries) -> Array:
    """Return features of the k observed epochs, (networks, 9 k); (networks, 0) for k = 0.

    These are logits of valid accuracy and their differences, logits of train accuracy, and
    logarithms of losses, norms and learning rates, of the train loss in the last tenth of each
    epoch, and of the valid loss before training.
    """
    series = queries.series
    if not queries.observed:
        return np.zeros((len(queries), 0))
    logits = to_logits(series.valid_accuracy)
    parts = [logits, np.diff(logits, axis=1), to_logits(series.train_accuracy)]
    parts += [log_clipped(v) for v in (series.train_loss, series.valid_loss)]
    parts += [
        log_clipped(v) for v in (series.gradient_norm, series.weight_norm, series.learning_rate)
    ]
    parts.append(log_clipped(series.train_loss_tenths[:, :, -1]))
    if series.initial_valid_loss is not None:
        parts.append(log_clipped(series.initial_valid_loss)[:, None])
    return np.concatenate(parts, axis=1)


def log_clipped(values: Array) -> Array:
    """Return natural logarithms, clipped, and `LOST` for values that are not finite."""
    logs = np.log(np.clip(np.where(np.isfinite(values), values, 1.0), LEAST, np.exp(LOST)))
    return np.where(np.isfinite(values), logs, LOST)
