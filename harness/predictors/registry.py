"""The reference predictors by name. To add one: a module, an entry here and a line of tests.

Importing this module imports neither torch nor scikit-learn; `load` imports a predictor's module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import cast

from benchmark.extras import check_extra
from benchmark.util.unknown_name import Registry
from harness.protocol import Predictor


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
        packages: Packages of the extra `predictors` that it imports.
        options: Keyword arguments for the class.
    """

    target: str
    title: str
    source: str = "this benchmark"
    uses_curve: bool = True
    stochastic: bool = True
    min_observed: int = 0
    needs_proxies: bool = False
    packages: tuple[str, ...] = ()
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
    "peephole": Entry(target="harness.predictors.recurrent.lstm:Peephole", packages=_TORCH,
        uses_curve=False,
        title="LSTM over the Unified Layer Code, trained on the final epoch", source=_PEEPHOLE),
    "peephole-curve": Entry(target="harness.predictors.recurrent.lstm:Peephole", packages=_TORCH,
        uses_curve=False,
        title="LSTM over the Unified Layer Code, trained on all epochs",
        source=_PEEPHOLE, options={"every_epoch": True}),
    "gru": Entry(target="harness.predictors.recurrent.gru:Gru", packages=_TORCH, uses_curve=False,
        title="Bidirectional GRU over layer codes, widths and sizes, with counts, "
        "trained on all epochs"),
    "graph-encoder": Entry(target="harness.predictors.graph_encoder:GraphEncoder",
        packages=_TORCH, uses_curve=False,
        title="Messages between the layers of a network, trained to order pairs of networks",
        source="Dudziak et al. 2020, arXiv:2007.08668"),
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
    "curve-svd": Entry(target="harness.predictors.trees:CurveSvd", packages=_SKLEARN,
        title="Boosted models of the first components of the curves, on the same features",
        source="Yan et al. 2021, arXiv:2111.03602"),
    "arc": Entry(target="harness.predictors.mixture.predictor:Mixture", packages=_SKLEARN,
        title="Gaussian process, support vectors and trees, mixed, fitted to normal scores of "
        "architecture and curve"),
}  # fmt: skip
PREDICTORS = Registry("predictor", _ALL)


def check_installed(name: str) -> None:
    """Check that the packages of a predictor are installed, and import none of them.

    Raises:
        ValueError: If the name is unknown, or a package is missing; the message says how to
            install it.
    """
    if packages := PREDICTORS[name].packages:
        check_extra(f"predictor {name!r}", "predictors", packages)


def load(name: str) -> Predictor:
    """Return a new, unfitted predictor; a `ValueError` if the name is unknown."""
    entry = PREDICTORS[name]
    module, _, attribute = entry.target.partition(":")
    return cast("Predictor", getattr(import_module(module), attribute)(**entry.options))
