"""The reference predictors by name. Adding one is a file, an entry here and a line of tests.

Reading this file imports neither torch nor scikit-learn; `load` imports what it makes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import cast

from benchmark.util.unknown_name import unknown_name
from harness.protocol import Predictor


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a predictor without importing it.

    Attributes:
        target: Where its class is, as "package.module:Class".
        title: What it does, on one line.
        source: Where it was published.
        uses_curve: Whether it looks at the observed epochs. If not, it gives the same answer for
            any number of them, and need be fitted once.
        stochastic: Whether its answer depends on the seed.
        min_observed: Fewest epochs for its own method; with fewer it does what its docstring says.
        needs_proxies: Whether it fails on networks without zero-cost proxies.
        options: Arguments that the class is called with.
    """

    target: str
    title: str
    source: str
    uses_curve: bool
    stochastic: bool
    min_observed: int = 0
    needs_proxies: bool = False
    options: Mapping[str, object] = field(default_factory=dict)


_OWN = "this benchmark"
_PEEPHOLE = "Deng, Yan and Lin 2017, arXiv:1712.03351"

PREDICTORS: dict[str, Entry] = {
    "mean-curve": Entry(
        "harness.predictors.baselines:MeanCurve",
        "Mean curve of the training runs, the same for every network",
        _OWN,
        uses_curve=False,
        stochastic=False,
    ),
    "last-value": Entry(
        "harness.predictors.baselines:LastValue",
        "Last observed accuracy",
        "Egele et al. 2024, arXiv:2404.04111",
        uses_curve=True,
        stochastic=False,
        min_observed=1,
    ),
    "last-plus-gain": Entry(
        "harness.predictors.baselines:LastPlusGain",
        "Last observed accuracy plus the mean gain of the training runs",
        _OWN,
        uses_curve=True,
        stochastic=False,
        min_observed=1,
    ),
    "parameters": Entry(
        "harness.predictors.counts:IsotonicCount",
        "Isotonic fit to the number of parameters",
        _OWN,
        uses_curve=False,
        stochastic=False,
        options={"count": "parameters"},
    ),
    "macs": Entry(
        "harness.predictors.counts:IsotonicCount",
        "Isotonic fit to the multiply-accumulates",
        _OWN,
        uses_curve=False,
        stochastic=False,
        options={"count": "macs"},
    ),
    "forest-counts": Entry(
        "harness.predictors.counts:ForestCounts",
        "Random forest on log parameters, log multiply-accumulates and depth",
        _OWN,
        uses_curve=False,
        stochastic=True,
    ),
    "grad-norm": Entry(
        "harness.predictors.proxies:IsotonicProxy",
        "Isotonic fit to the gradient norm of the untrained network",
        "Abdelfattah et al. 2021, arXiv:2101.08134",
        uses_curve=False,
        stochastic=False,
        needs_proxies=True,
        options={"proxy": "gradient_norm"},
    ),
    "snip": Entry(
        "harness.predictors.proxies:IsotonicProxy",
        "Isotonic fit to the sum of |weight x gradient| before training",
        "Lee et al. 2019, arXiv:1810.02340",
        uses_curve=False,
        stochastic=False,
        needs_proxies=True,
        options={"proxy": "snip"},
    ),
    "synflow": Entry(
        "harness.predictors.proxies:IsotonicProxy",
        "Isotonic fit to the logarithm of synflow",
        "Tanaka et al. 2020, arXiv:2006.05467",
        uses_curve=False,
        stochastic=False,
        needs_proxies=True,
        options={"proxy": "synflow"},
    ),
    "jacov": Entry(
        "harness.predictors.proxies:IsotonicProxy",
        "Isotonic fit to the correlations of input gradients before training",
        "Mellor et al. 2020, arXiv:2006.04647v1",
        uses_curve=False,
        stochastic=False,
        needs_proxies=True,
        options={"proxy": "jacov"},
    ),
    "naswot": Entry(
        "harness.predictors.proxies:IsotonicProxy",
        "Isotonic fit to the overlap of activation codes before training",
        "Mellor et al. 2021, arXiv:2006.04647v3",
        uses_curve=False,
        stochastic=False,
        needs_proxies=True,
        options={"proxy": "naswot"},
    ),
    "proxy-forest": Entry(
        "harness.predictors.proxies:ProxyForest",
        "Random forest on all zero-cost proxies and mean-field signal propagation",
        _OWN,
        uses_curve=False,
        stochastic=True,
        needs_proxies=True,
    ),
    "peephole": Entry(
        "harness.predictors.recurrent.lstm:Peephole",
        "LSTM over the Unified Layer Code, trained on the final epoch",
        _PEEPHOLE,
        uses_curve=False,
        stochastic=True,
    ),
    "peephole-curve": Entry(
        "harness.predictors.recurrent.lstm:Peephole",
        "LSTM over the Unified Layer Code, trained on all epochs",
        _PEEPHOLE,
        uses_curve=False,
        stochastic=True,
        options={"every_epoch": True},
    ),
    "gru": Entry(
        "harness.predictors.recurrent.gru:Gru",
        "Bidirectional GRU over layer codes, widths and sizes, with counts, trained on all epochs",
        _OWN,
        uses_curve=False,
        stochastic=True,
    ),
    "nearest-neighbours": Entry(
        "harness.predictors.nearest:NearestNeighbours",
        "Weighted mean of the training networks nearest in architecture and observed curve",
        _OWN,
        uses_curve=True,
        stochastic=False,
    ),
    "extrapolation": Entry(
        "harness.predictors.extrapolation.predictor:Extrapolation",
        "Weighted fits of eleven parametric curves, pulled to those of the training runs",
        "Domhan, Springenberg and Hutter 2015, IJCAI",
        uses_curve=True,
        stochastic=False,
        min_observed=1,
    ),
    "nu-svr": Entry(
        "harness.predictors.svr:NuSvr",
        "nu-SVR on architecture features, observed curve and its differences",
        "Baker et al. 2017, arXiv:1705.10823",
        uses_curve=True,
        stochastic=True,
        min_observed=1,
    ),
    "empirical-gaussian": Entry(
        "harness.predictors.gaussian:EmpiricalGaussian",
        "Mean and covariance of the training curves, conditioned on the observed epochs",
        _OWN,
        uses_curve=True,
        stochastic=False,
        min_observed=1,
    ),
    "bnn": Entry(
        "harness.predictors.bnn.predictor:Bnn",
        "LC-Net: Bayesian network on architecture and observed curve, with a learning-curve layer",
        "Klein et al. 2017, ICLR",
        uses_curve=True,
        stochastic=True,
    ),
    "feature-trees": Entry(
        "harness.predictors.trees:FeatureTrees",
        "Extra trees and boosting on features of the network and of the observed epochs",
        "Kadlecova et al. 2024, arXiv:2404.16551",
        uses_curve=True,
        stochastic=True,
    ),
    "curve-svd": Entry(
        "harness.predictors.trees:CurveSvd",
        "Boosted models of the first components of the curves, on the same features",
        "Yan et al. 2021, arXiv:2111.03602",
        uses_curve=True,
        stochastic=True,
    ),
    "arc": Entry(
        "harness.predictors.arc.predictor:Arc",
        "Residuals of an architecture model conditioned on the curve, mixed with trees and SVR",
        _OWN,
        uses_curve=True,
        stochastic=True,
    ),
    "arc-encoder": Entry(
        "harness.predictors.arc.predictor:arc_with_encoder",
        "ARC that also reads layers through an encoder pretrained on 100,000 untrained networks",
        _OWN,
        uses_curve=True,
        stochastic=True,
    ),
}


def get_entry(name: str) -> Entry:
    """Return the entry of that name.

    Raises:
        ValueError: If there is none; the message has the nearest name.
    """
    if name not in PREDICTORS:
        raise ValueError(unknown_name("predictor", name, PREDICTORS))
    return PREDICTORS[name]


def load(name: str) -> Predictor:
    """Return a new predictor of that name, yet to be fitted.

    Raises:
        ValueError: If there is none; the message has the nearest name.
    """
    entry = get_entry(name)
    module, _, attribute = entry.target.partition(":")
    return cast("Predictor", getattr(import_module(module), attribute)(**entry.options))
