"""The metrics: name, direction, range, formula, and treatment of ties and constants.

To add a metric, write a function in `harness.metrics.errors`, `ranks` or `selection` and an entry
in `METRICS`. Accuracies are fractions. Whether a metric is undefined (its score is None) depends on
the target alone, never on the prediction, so all predictors have the same metrics.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Literal

from benchmark.util.unknown_name import Registry
from harness.metrics import errors, ranks, selection
from harness.metrics.bootstrap import Array

Direction = Literal["higher", "lower", "target"]
Needs = Literal["final", "curve", "std", "pairs", "classes", "noise"]
Group = Literal["final", "order", "regret", "curve", "uncertainty", "learned"]

HEADLINE = ("tau", "r2", "mse")  # in the order in which they are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of a prediction.

    Attributes:
        name: Key in `METRICS` and in every result.
        label: Name on the page.
        groups: Groups of columns on the page that show the metric.
        direction: Which values are better; for `target`, values near the field `target`.
        range: Smallest and largest possible value.
        formula: Formula in one line, with target y and prediction p.
        ties: Effect of equal values.
        constant: Value for a constant prediction and for a constant target.
        compute: Returns one value per resample, NaN where the metric is undefined.
        pooled: Whether `compute` takes several skeletons at once; else their values are averaged.
        sampled: What the interval is over: bootstrap resamples of the networks, or random candidate
            sets, of which the score is the mean and the interval holds 95 %.
        needs: What the metric needs: the final epoch alone (`final`), all predicted epochs
            (`curve`), a standard deviation (`std`), networks with a paired network (`pairs`), both
            networks that learned and networks that did not (`classes`), or accuracies whose
            difference between seeds is known (`noise`).
        decimals: Number of decimals shown.
        target: The best value if the direction is `target`, else None.
    """

    name: str
    label: str
    groups: tuple[Group, ...]
    direction: Direction
    range: tuple[float, float]
    formula: str
    ties: str
    constant: str
    compute: Callable[..., Array]
    pooled: bool = False
    sampled: Literal["resamples", "candidates"] = "resamples"
    needs: Needs = "final"
    decimals: int = 3
    target: float | None = None

    def __post_init__(self) -> None:
        """Check that a target is given only for the direction `target`, and the range."""
        if (self.direction == "target") != (self.target is not None):
            raise ValueError(
                f"metric {self.name!r} with direction {self.direction!r} has target {self.target}; "
                "a target and the direction 'target' go together"
            )
        if not self.range[0] < self.range[1]:
            raise ValueError(f"metric {self.name!r} has the empty range {self.range}")


_NO_TIES = "no effect"
_CONSTANT_TARGET = "undefined for a constant target"
_SCORED = "a constant prediction has no special treatment"
_TAU = f"a constant prediction gives 0; {_CONSTANT_TARGET}"
_TAU_TIES = "pairs tied in the target or in the prediction reduce the denominator"
_R2 = f"the mean of the target gives 0, any other constant less; {_CONSTANT_TARGET}"


def _regret(chosen: int) -> Metric:
    return Metric(
        name=f"regret_{chosen}",
        label=f"regret, {chosen}",
        groups=("regret",),
        direction="lower",
        range=(0.0, 1.0),
        formula=f"mean over random candidate sets of max y - max of y among the {chosen} largest p",
        ties="expected value over a random choice among tied predictions",
        constant="a constant prediction chooses at random; a constant target gives 0",
        compute=partial(selection.regret, chosen=chosen),
        sampled="candidates",
        decimals=5,
    )


_ALL = (
    Metric(
        name="mse", label="MSE", groups=("final",), direction="lower", range=(0.0, inf),
        formula="mean (y - p)^2", ties=_NO_TIES, constant=_SCORED, compute=errors.mse, decimals=5),
    Metric(
        name="tau", label="Kendall’s τ", groups=("final", "order"), direction="higher",  # noqa: RUF001
        range=(-1.0, 1.0),
        formula="(concordant - discordant) / sqrt(pairs untied in y * pairs untied in p)",
        ties=_TAU_TIES, constant=_TAU, compute=ranks.tau),
    Metric(
        name="r2", label="R²", groups=("final",), direction="higher", range=(-inf, 1.0),
        formula="1 - sum (y - p)^2 / sum (y - mean y)^2; over several skeletons both are sums "
        "over all of them, with the mean of each", ties=_NO_TIES,
        constant=_R2, compute=errors.r2, pooled=True),
    Metric(
        name="somers_d", label="Somers’ D", groups=("order",), direction="higher",  # noqa: RUF001
        range=(-1.0, 1.0), formula="(concordant - discordant) / pairs untied in y",
        ties="pairs tied in the target are dropped, pairs tied in the prediction count 0",
        constant=_TAU, compute=ranks.somers_d),
    Metric(
        name="tau_distinct", label="τ, distinct", groups=("order",), direction="higher",
        range=(-1.0, 1.0),
        formula="(concordant - discordant) / pairs, of the pairs that differ in y by more than two "
        "runs of a typical network do in 95 % of cases",
        ties="pairs tied in the prediction count 0",
        constant="a constant prediction gives 0; undefined without such a pair",
        compute=ranks.tau_distinct, needs="noise"),
    Metric(
        name="squared_pearson", label="Pearson²", groups=("order",), direction="higher",
        range=(0.0, 1.0), formula="cov(y, p)^2 / (var y * var p)", ties=_NO_TIES, constant=_TAU,
        compute=errors.squared_pearson),
    Metric(
        name="tau_top", label="τ, top 20 %", groups=("order",), direction="higher",
        range=(-1.0, 1.0),
        formula="tau among the fifth (rounded up) of the networks with the largest y",
        ties="networks tied in y at the boundary of the top set share its last slots equally; "
        f"within it {_TAU_TIES}",
        constant="a constant prediction gives 0; undefined for a constant target in the top set",
        compute=selection.tau_top),
    _regret(1),
    _regret(5),
    _regret(10),
    Metric(
        name="curve_mse", label="MSE", groups=("curve",), direction="lower", range=(0.0, inf),
        formula="mean over the predicted epochs of mse", ties=_NO_TIES, constant=_SCORED,
        compute=errors.curve_mse, needs="curve", decimals=5),
    Metric(
        name="curve_tau", label="τ", groups=("curve",), direction="higher", range=(-1.0, 1.0),
        formula="mean over the predicted epochs of tau", ties=_TAU_TIES,
        constant="an epoch with a constant prediction gives 0; undefined if an epoch has a "
        "constant target",
        compute=ranks.curve_tau, needs="curve"),
    Metric(
        name="curve_r2", label="R²", groups=("curve",), direction="higher", range=(-inf, 1.0),
        formula="mean over the predicted epochs of r2, each about its own mean", ties=_NO_TIES,
        constant=f"{_R2}, at any epoch", compute=errors.curve_r2, pooled=True, needs="curve"),
    Metric(
        name="nll", label="NLL", groups=("uncertainty",), direction="lower", range=(-inf, inf),
        formula="mean of log s + (log 2 pi + ((y - p) / s)^2) / 2, s the predicted std, in nats",
        ties=_NO_TIES, constant=_SCORED, compute=errors.nll, needs="std"),
    Metric(
        name="crps", label="CRPS", groups=("uncertainty",), direction="lower", range=(0.0, inf),
        formula="mean of s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt pi), z = (y - p) / s",
        ties=_NO_TIES, constant=_SCORED, compute=errors.crps, needs="std", decimals=5),
    Metric(
        name="coverage_90", label="90 % coverage", groups=("uncertainty",), direction="target",
        range=(0.0, 1.0), formula="fraction of |y - p| <= 1.645 s",
        ties="the interval includes its ends", constant=_SCORED, compute=errors.coverage_90,
        needs="std", target=0.9),
    Metric(
        name="auc_learned", label="AUC, learned or not", groups=("learned",), direction="higher",
        range=(0.0, 1.0),
        formula="fraction of pairs (y above twice chance, y not above) whose p has the same order",
        ties="pairs tied in the prediction count one half",
        constant="a constant prediction gives 0.5; undefined if all or none of the networks "
        "learned",
        compute=selection.auc_learned, needs="classes"),
    Metric(
        name="tau_paired", label="τ, paired", groups=(), direction="higher", range=(-1.0, 1.0),
        formula="tau of y - y of the paired network, and p - p of the paired network",
        ties=_TAU_TIES,
        constant="constant predicted differences give 0; undefined for constant true differences",
        compute=ranks.tau_paired, needs="pairs"),
)  # fmt: skip
METRICS = Registry("metric", {metric.name: metric for metric in _ALL})
ORDER = ("tau", "somers_d", "tau_top")  # metrics that depend only on the order of the targets
RANKING = (  # metrics that depend only on the order of the predictions
    *ORDER, "tau_distinct", "regret_1", "regret_5", "regret_10", "auc_learned",
)  # fmt: skip
