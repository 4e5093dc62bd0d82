"""How well each unit of a predictor tells convolutions from the other layers of networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmark.space.layer_walk import LayerRow
from harness.protocol import Array

SHOWN = 2  # units of each level


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of a predictor: its level and its place in it, from 0, and its `unit_auc`."""

    level: int
    index: int
    auc: float


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """The units of a predictor.

    Attributes:
        auc: What `unit_auc` returns for the layers of all networks, (levels, units).
        layers: Number of these layers.
        convolutions: Number of convolutions among them.
        rows: The layers of one network that the predictor reads.
        values: Values of the units at these, (layers, levels, units).
    """

    auc: Array
    layers: int
    convolutions: int
    rows: tuple[LayerRow, ...]
    values: Array

    @property
    def best(self) -> list[Unit]:
        """The units of each level whose AUC is farthest from .5, best first."""
        order = np.argsort(-np.abs(self.auc - 0.5), axis=1, kind="stable")[:, :SHOWN].tolist()
        return [Unit(i, j, float(self.auc[i, j])) for i, level in enumerate(order) for j in level]


def study_units(
    layers: Sequence[Array], layer_rows: Sequence[tuple[LayerRow, ...]], shown: int
) -> Units:
    """Return the units of a predictor, and their values at the layers of one network.

    Args:
        layers: Values of the units, as in `LearnedFeatures`.
        layer_rows: The layers of each network.
        shown: Index of the network whose values are kept.
    """
    read = [np.flatnonzero(np.isfinite(values).all(axis=(1, 2))) for values in layers]
    rows = [tuple(walk[i] for i in own) for walk, own in zip(layer_rows, read, strict=True)]
    values = [found[own] for found, own in zip(layers, read, strict=True)]
    is_conv = np.array([row.kind == "conv" for walk in rows for row in walk])
    auc = unit_auc(np.concatenate(values), is_conv)
    return Units(auc, len(is_conv), int(is_conv.sum()), rows[shown], values[shown])


def unit_auc(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Return the probability that a unit is higher at a chosen layer than at another; ties half.

    This is the area under the ROC curve: 1 or 0 for a unit that tells them apart, .5 by chance.

    Args:
        values: Values of units, (layers, ...).
        chosen: Whether each layer is chosen, (layers,), some and not all.

    >>> unit_auc(np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 1.0]]), np.array([True, False, False]))
    array([1. , 0.5])
    """
    positive, negative = int(chosen.sum()), int((~chosen).sum())
    ranks = rankdata(values, axis=0)[chosen].sum(axis=0)
    auc: Array = (ranks - positive * (positive + 1) / 2) / (positive * negative)
    return auc
