"""Tabular foundation models as regressors of normal scores: TabPFN and TabICL.

Such a model is a transformer that was pretrained on synthetic tables. It reads the training
networks as context and predicts the others in the same pass; no weight changes. TabPFN is by
Hollmann et al. (2025, Nature 637), TabICL by Qu et al. (2025, arXiv:2502.05564); its regressor is
that of 2026 (arXiv:2602.11139). Their packages would fetch missing weights, so a path must lead to
a file before they are called.

No score was measured here: the weights of neither were at hand, so the code was run with random
ones. With 480 networks as context, a prediction took 9 minutes with the size of TabPFN 2 and 3
minutes with that of TabICL 2 on one core, and 24 are needed. Both use a GPU if torch finds one.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol

import torch

from benchmark.util.unknown_name import Registry
from harness.predictors.curve_basis import Regressor
from harness.predictors.mixture.members import Components, Member
from harness.predictors.mixture.predictor import Mixture
from harness.predictors.registry import find_weights
from harness.protocol import Array

ESTIMATORS = 8  # the default of both packages


class Estimator(Protocol):
    """An unfitted regression, as those of scikit-learn."""

    def fit(self, features: Array, target: Array) -> Regressor:
        """Fit to features (networks, features) and numbers (networks,)."""
        ...


def _tabpfn(weights: Path, estimators: int, seed: int) -> Estimator:
    """Return TabPFN; without its limits, as those of version 2 are 1,000 networks on a CPU."""
    model: Estimator = import_module("tabpfn").TabPFNRegressor(
        model_path=weights,
        n_estimators=estimators,
        random_state=seed,
        inference_precision=torch.float32,
        ignore_pretraining_limits=True,
    )
    return model


def _tabicl(weights: Path, estimators: int, seed: int) -> Estimator:
    """Return TabICL."""
    model: Estimator = import_module("tabicl").TabICLRegressor(
        model_path=weights,
        allow_auto_download=False,
        n_estimators=estimators,
        random_state=seed,
        use_amp=False,
        use_fa3=False,
    )
    return model


# Single precision, as half precision depends on the device and on how many networks are predicted
MODELS = Registry[Callable[[Path, int, int], Estimator]](
    "foundation model", {"tabpfn": _tabpfn, "tabicl": _tabicl}
)


class FoundationModel(Mixture):
    """A pretrained model of the components of normal scores, as the one member of a mixture.

    A fit and a prediction need 24 predictions of the model: of four components, for five folds of
    the training networks and for the queries. A fit also raises an error if weights are missing.
    """

    def __init__(
        self, name: str, *, weights: Path | str | None = None, estimators: int = ESTIMATORS
    ) -> None:
        """Set the model, a key of `MODELS`, its weights, and how many views of the table it sees.

        Args:
            name: `tabpfn` or `tabicl`.
            weights: Absolute path of the weights [default: that in the variable of its entry].
            estimators: Number of views, whose mean is the prediction; each scales and orders the
                features in another way.
        """
        self.model, self.name = MODELS[name], name
        self.path, self.estimators = weights, estimators
        super().__init__(members=(self._member,))

    def _member(self, trees: int, rounds: int, seed: int) -> Member:
        path = find_weights(self.name, self.path)
        return Components(partial(_fit, partial(self.model, path, self.estimators, seed)))


def _fit(make: Callable[[], Estimator], features: Array, target: Array) -> Regressor:
    """Return a model with features (networks, features) and a target (networks,) as context."""
    with torch.random.fork_rng(devices=[]):  # TabICL draws weights before it reads those of a file
        return make().fit(features, target)
