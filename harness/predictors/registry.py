"""The reference predictors by name. To add one: a module, an entry here and a line of tests.

Importing this module imports neither torch nor scikit-learn; `load` imports a predictor's module.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import cast
from zipfile import is_zipfile

from benchmark.extras import check_extra
from benchmark.util.unknown_name import Registry
from harness.protocol import Predictor


@dataclass(frozen=True, slots=True)
class Weights:
    """Pretrained weights, which a predictor reads from a file of the user; nothing fetches them.

    Attributes:
        variable: Environment variable with the absolute path of the file.
        source: Which file serves, of which project, under which licence.
    """

    variable: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known about a predictor without importing it.

    Attributes:
        target: Import path of its class, as "package.module:Class".
        title: What it does, on one line.
        source: Where it was published.
        uses_curve: Whether it uses the observed epochs; if not, one fit serves any number of them.
        stochastic: Whether its prediction depends on the seed.
        min_observed: Fewest observed epochs for its method; its docstring has the fallback.
        needs_proxies: Whether it fails on networks without zero-cost proxies.
        has_features: Whether it is a `FeaturePredictor`.
        packages: Packages of the extra that it imports.
        extra: The extra.
        weights: Pretrained weights that it needs; None if it learns from the training runs alone.
        options: Keyword arguments for the class.
    """

    target: str
    title: str
    source: str = "this benchmark"
    uses_curve: bool = True
    stochastic: bool = True
    min_observed: int = 0
    needs_proxies: bool = False
    has_features: bool = False
    packages: tuple[str, ...] = ()
    extra: str = "predictors"
    weights: Weights | None = None
    options: Mapping[str, object] = field(default_factory=dict)


_SKLEARN, _TORCH = ("sklearn",), ("torch",)
_PEEPHOLE = "Deng, Yan and Lin 2017, arXiv:1712.03351"

_ALL: dict[str, Entry] = {
    "mean-curve": Entry(target="harness.predictors.baselines:MeanCurve", uses_curve=False,
        title="Mean curve of the training runs, the same for every network", stochastic=False),
    "last-value": Entry(target="harness.predictors.baselines:LastValue",
        title="Last observed accuracy",
        source="Egele et al. 2024, arXiv:2404.04111", stochastic=False, min_observed=1),
    "last-plus-gain": Entry(target="harness.predictors.baselines:LastPlusGain", min_observed=1,
        title="Last observed accuracy plus the mean gain of the training runs", stochastic=False),
    "parameters": Entry(target="harness.predictors.counts:IsotonicCount", packages=_SKLEARN,
        title="Isotonic fit to the number of parameters",
        uses_curve=False, stochastic=False, options={"count": "parameters"}),
    "macs": Entry(target="harness.predictors.counts:IsotonicCount", packages=_SKLEARN,
        title="Isotonic fit to the multiply-accumulates",
        uses_curve=False, stochastic=False, options={"count": "macs"}),
    "forest-counts": Entry(target="harness.predictors.counts:ForestCounts", packages=_SKLEARN,
        uses_curve=False,
        title="Random forest on log parameters, log multiply-accumulates and depth"),
    "grad-norm": Entry(target="harness.predictors.proxies:IsotonicProxy", packages=_SKLEARN,
        title="Isotonic fit to the gradient norm of the untrained network",
        source="Abdelfattah et al. 2021, arXiv:2101.08134", uses_curve=False, stochastic=False,
        needs_proxies=True, options={"proxy": "gradient_norm"}),
    "snip": Entry(target="harness.predictors.proxies:IsotonicProxy", packages=_SKLEARN,
        title="Isotonic fit to the sum of |weight x gradient| before training",
        source="Lee et al. 2019, arXiv:1810.02340", uses_curve=False, stochastic=False,
        needs_proxies=True, options={"proxy": "snip"}),
    "synflow": Entry(target="harness.predictors.proxies:IsotonicProxy", packages=_SKLEARN,
        title="Isotonic fit to the logarithm of synflow",
        source="Tanaka et al. 2020, arXiv:2006.05467", uses_curve=False, stochastic=False,
        needs_proxies=True, options={"proxy": "synflow"}),
    "jacov": Entry(target="harness.predictors.proxies:IsotonicProxy", packages=_SKLEARN,
        title="Isotonic fit to the correlations of input gradients before training",
        source="Mellor et al. 2020, arXiv:2006.04647v1", uses_curve=False, stochastic=False,
        needs_proxies=True, options={"proxy": "jacov"}),
    "naswot": Entry(target="harness.predictors.proxies:IsotonicProxy", packages=_SKLEARN,
        title="Isotonic fit to the overlap of activation codes before training",
        source="Mellor et al. 2021, arXiv:2006.04647v3", uses_curve=False, stochastic=False,
        needs_proxies=True, options={"proxy": "naswot"}),
    "proxy-forest": Entry(target="harness.predictors.proxies:ProxyForest", packages=_SKLEARN,
        title="Random forest on all zero-cost proxies and mean-field signal propagation",
        uses_curve=False, needs_proxies=True),
    "peephole": Entry(target="harness.predictors.encoders.lstm:Peephole", packages=_TORCH,
        uses_curve=False,
        title="LSTM over the Unified Layer Code, trained on the final epoch", source=_PEEPHOLE,
        has_features=True),
    "peephole-curve": Entry(target="harness.predictors.encoders.lstm:Peephole", packages=_TORCH,
        uses_curve=False,
        title="LSTM over the Unified Layer Code, trained on all epochs",
        source=_PEEPHOLE, has_features=True, options={"every_epoch": True}),
    "gru": Entry(target="harness.predictors.encoders.gru:Gru", packages=_TORCH, uses_curve=False,
        title="Bidirectional GRU over layer codes, widths and sizes, with counts, "
        "trained on all epochs", has_features=True),
    "graph-encoder": Entry(target="harness.predictors.encoders.graph_encoder:GraphEncoder",
        packages=_TORCH, uses_curve=False, has_features=True,
        title="Messages between the layers of a network, trained to order pairs of networks",
        source="Dudziak et al. 2020, arXiv:2007.08668"),
    "lc-gode": Entry(target="harness.predictors.encoders.graph_ode:LcGode", packages=_TORCH,
        title="Latent differential equation of the curve, given layers and observed epochs",
        source="Ding et al. 2025, arXiv:2412.15554", min_observed=1),
    "peephole-x5": Entry(target="harness.predictors.ensemble:Ensemble", packages=_TORCH,
        uses_curve=False,
        title="Mean prediction of five fits of `peephole`", source=_PEEPHOLE, stochastic=False,
        options={"member": "peephole"}),
    "peephole-curve-x5": Entry(target="harness.predictors.ensemble:Ensemble", packages=_TORCH,
        uses_curve=False,
        title="Mean prediction of five fits of `peephole-curve`", source=_PEEPHOLE,
        stochastic=False, options={"member": "peephole-curve"}),
    "gru-x5": Entry(target="harness.predictors.ensemble:Ensemble", packages=_TORCH,
        uses_curve=False,
        title="Mean prediction of five fits of `gru`", stochastic=False,
        options={"member": "gru"}),
    "nearest-neighbours": Entry(target="harness.predictors.nearest:NearestNeighbours",
        title="Weighted mean of the training networks nearest in architecture and observed curve",
        stochastic=False),
    "extrapolation": Entry(target="harness.predictors.extrapolation.predictor:Extrapolation",
        title="Weighted fits of eleven parametric curves, pulled to those of the training runs",
        source="Domhan, Springenberg and Hutter 2015, IJCAI", stochastic=False, min_observed=1),
    "nu-svr": Entry(target="harness.predictors.svr:NuSvr", packages=_SKLEARN, min_observed=1,
        title="nu-SVR on architecture features, observed curve and its differences",
        source="Baker et al. 2017, arXiv:1705.10823"),
    "empirical-gaussian": Entry(target="harness.predictors.gaussian:EmpiricalGaussian",
        title="Mean and covariance of the training curves, conditioned on the observed epochs",
        stochastic=False, min_observed=1),
    "bnn": Entry(target="harness.predictors.bnn.predictor:Bnn", packages=_TORCH,
        source="Klein et al. 2017, ICLR",
        title="LC-Net: Bayesian network on architecture and observed curve, "
        "with a learning-curve layer"),
    "feature-trees": Entry(target="harness.predictors.mixture.predictor:Mixture",
        packages=_SKLEARN,
        title="Extra trees and boosting on features of the network and of the observed epochs",
        source="Kadlecova et al. 2024, arXiv:2404.16551",
        options={"members": ("trees", "boosted trees")}),
    "gaussian-process": Entry(target="harness.predictors.mixture.predictor:Mixture",
        packages=_SKLEARN,
        title="Gaussian process over groups of features, fitted to normal scores",
        stochastic=False, options={"members": ("process",)}),
    "ngram-process": Entry(target="harness.predictors.mixture.predictor:Mixture",
        packages=_SKLEARN, title="Gaussian process over counts of sequences of layers",
        source="Ru et al. 2021, arXiv:2006.07556", stochastic=False,
        options={"members": ("process",), "features": "sequences"}),
    "latent-kronecker": Entry(
        target="harness.predictors.mixture.latent_kronecker:LatentKronecker", stochastic=False,
        title="Gaussian process over networks times epochs, given the observed epochs",
        source="Lin et al. 2024, arXiv:2410.09239"),
    "tabpfn": Entry(target="harness.predictors.mixture.foundation_model:FoundationModel",
        packages=(*_TORCH, *_SKLEARN, "tabpfn"), extra="tabular", options={"name": "tabpfn"},
        title="TabPFN with pretrained weights, given the training networks as context",
        source="Hollmann et al. 2025, Nature 637, doi:10.1038/s41586-024-08328-6",
        weights=Weights("PEEPHOLE_TABPFN_WEIGHTS", "for example tabpfn-v2-regressor.ckpt of the "
        "project TabPFN (priorlabs.ai; Apache 2.0 with attribution)")),
    "tabicl": Entry(target="harness.predictors.mixture.foundation_model:FoundationModel",
        packages=(*_TORCH, *_SKLEARN, "tabicl"), extra="tabular", options={"name": "tabicl"},
        title="TabICL with pretrained weights, given the training networks as context",
        source="Qu et al. 2025 and 2026, arXiv:2502.05564 and arXiv:2602.11139",
        weights=Weights("PEEPHOLE_TABICL_WEIGHTS", "for example tabicl-regressor-v2-20260212.ckpt "
        "of the project TabICL (tabicl.readthedocs.io; BSD 3-Clause)")),
    "curve-svd": Entry(target="harness.predictors.trees:CurveSvd", packages=_SKLEARN,
        title="Boosted models of the first components of the curves, on the same features",
        source="Yan et al. 2021, arXiv:2111.03602"),
    "arc": Entry(target="harness.predictors.mixture.predictor:Mixture", packages=_SKLEARN,
        title="Gaussian process, support vectors and trees, mixed, fitted to normal scores of "
        "architecture and curve"),
}  # fmt: skip
PREDICTORS = Registry("predictor", _ALL)


def check_available(name: str) -> None:
    """Check that packages and pretrained weights of a predictor are there, and import nothing.

    Raises:
        ValueError: If the name is unknown, or a package or its weights are missing; the message
            says what to do.
    """
    entry = PREDICTORS[name]
    if entry.packages:
        check_extra(f"predictor {name!r}", entry.extra, entry.packages)
    if entry.weights is not None:
        find_weights(name)


def find_weights(name: str, path: Path | str | None = None) -> Path:
    """Return the path of the pretrained weights of a predictor that needs some.

    Args:
        name: Name of the predictor.
        path: The absolute path [default: that in the environment variable of its entry].

    Raises:
        ValueError: If there is no path, or it is relative or not that of such a file.
    """
    weights = PREDICTORS[name].weights
    assert weights is not None
    given = path or os.environ.get(weights.variable)
    if not given:
        raise ValueError(
            f"predictor {name!r} needs pretrained weights, which are never fetched: set "
            f"{weights.variable} to the absolute path of their file, {weights.source}"
        )
    found = Path(given)
    saved = found.suffix == ".safetensors" or is_zipfile(found)  # torch saves zip archives
    if not (found.is_absolute() and found.is_file() and saved):  # `check` runs in another folder
        raise ValueError(
            f"{'`weights`' if path else weights.variable} (={str(given)!r}) must be the "
            f"absolute path of a file that torch or safetensors saved, {weights.source}"
        )
    return found


def has_weights(name: str) -> bool:
    """Return whether a predictor needs no pretrained weights, or the user has named theirs."""
    weights = PREDICTORS[name].weights
    return weights is None or bool(os.environ.get(weights.variable))


def load(name: str) -> Predictor:
    """Return a new, unfitted predictor; a `ValueError` if the name is unknown."""
    entry = PREDICTORS[name]
    module, _, attribute = entry.target.partition(":")
    return cast("Predictor", getattr(import_module(module), attribute)(**entry.options))
