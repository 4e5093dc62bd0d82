"""The metrics: name, direction, range, formula, and what happens to ties and constants.

Adding a metric is one function in `harness.formulas` or `harness.selection` and one entry in
`METRICS`. Accuracies are fractions; a metric is undefined (its score is None) by the truth alone,
never by the prediction, so that every predictor has the same scores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Literal

from harness import formulas, selection
from harness.bootstrap import Array
from harness.samples import Sample

Direction = Literal["higher", "lower", "target"]
Needs = Literal["final", "curve", "std", "pairs", "classes"]


@dataclass(frozen=True, slots=True)
class Metric:
    """How one number judges a prediction.

    Attributes:
        name: Its key in `METRICS` and in every result.
        direction: Which values are better; `target` are the values near `target`.
        range: Smallest and largest value that can be reached.
        formula: In one line, with y the truth and p the prediction.
        ties: What equal values do.
        constant: What a constant prediction and a constant truth give.
        needs: The final epoch alone, or beside it: the whole curve (`curve`), a standard deviation
            (`std`), networks with a paired network (`pairs`), both kinds of networks, those that
            learned and those that did not (`classes`).
        compute: Gives one value per resample of a sample, NaN where it is undefined.
        target: The best value, if the direction is `target`.
    """

    name: str
    direction: Direction
    range: tuple[float, float]
    formula: str
    ties: str
    constant: str
    needs: Needs
    compute: Callable[[Sample], Array]
    target: float | None = None

    def __post_init__(self) -> None:
        """Check that a target is given exactly where it is needed, within the range."""
        if (self.direction == "target") != (self.target is not None):
            raise ValueError(
                f"metric {self.name!r} with direction {self.direction!r} has target {self.target}; "
                "a target and the direction 'target' go together"
            )
        if not self.range[0] < self.range[1]:
            raise ValueError(f"metric {self.name!r} has the empty range {self.range}")


_NO_TIES = "no effect"
_CONSTANT_TRUTH = "a constant truth is undefined"
_SCORED = "a constant prediction is scored like any other"
_TAU = f"a constant prediction gives 0; {_CONSTANT_TRUTH}"
_TAU_TIES = "pairs tied in the truth or in the prediction shrink the denominator"
_R2 = f"the mean of the truth gives 0, any other constant less; {_CONSTANT_TRUTH}"


def _regret(chosen: int) -> Metric:
    return Metric(
        f"regret_{chosen}",
        "lower",
        (0.0, 1.0),
        f"max y - max of y among the {chosen} largest p",
        "expected value over a random choice among tied predictions",
        "a constant prediction chooses at random; a constant truth gives 0",
        "final",
        partial(selection.regret, chosen=chosen),
    )


_ALL = (
    Metric("mse", "lower", (0.0, inf), "mean (y - p)^2", _NO_TIES, _SCORED, "final", formulas.mse),
    Metric(
        "tau",
        "higher",
        (-1.0, 1.0),
        "(concordant - discordant) / sqrt(pairs untied in y * pairs untied in p)",
        _TAU_TIES,
        _TAU,
        "final",
        formulas.tau,
    ),
    Metric(
        "r2",
        "higher",
        (-inf, 1.0),
        "1 - sum (y - p)^2 / sum (y - mean y)^2, over the stratum",
        _NO_TIES,
        _R2,
        "final",
        formulas.r2,
    ),
    Metric(
        "somers_d",
        "higher",
        (-1.0, 1.0),
        "(concordant - discordant) / pairs untied in y",
        "pairs tied in the truth are dropped, pairs tied in the prediction count 0",
        _TAU,
        "final",
        formulas.somers_d,
    ),
    Metric(
        "squared_pearson",
        "higher",
        (0.0, 1.0),
        "cov(y, p)^2 / (var y * var p)",
        _NO_TIES,
        _TAU,
        "final",
        formulas.squared_pearson,
    ),
    Metric(
        "tau_top",
        "higher",
        (-1.0, 1.0),
        "tau among the fifth (rounded up) of the networks with the largest y",
        "networks tied in y at the edge of the top set share its last places as equal weights; "
        f"within it {_TAU_TIES}",
        "a constant prediction gives 0; a truth constant over the top set is undefined",
        "final",
        selection.tau_top,
    ),
    _regret(1),
    _regret(5),
    _regret(10),
    Metric(
        "curve_mse",
        "lower",
        (0.0, inf),
        "mean over the predicted epochs of mse",
        _NO_TIES,
        _SCORED,
        "curve",
        formulas.curve_mse,
    ),
    Metric(
        "curve_tau",
        "higher",
        (-1.0, 1.0),
        "mean over the predicted epochs of tau",
        _TAU_TIES,
        "an epoch with a constant prediction gives 0; one with a constant truth is undefined",
        "curve",
        formulas.curve_tau,
    ),
    Metric(
        "curve_r2",
        "higher",
        (-inf, 1.0),
        "mean over the predicted epochs of r2, each about its own mean",
        _NO_TIES,
        f"{_R2}, at any epoch",
        "curve",
        formulas.curve_r2,
    ),
    Metric(
        "nll",
        "lower",
        (-inf, inf),
        "mean of log s + (log 2 pi + ((y - p) / s)^2) / 2, s the predicted std, in nats",
        _NO_TIES,
        _SCORED,
        "std",
        formulas.nll,
    ),
    Metric(
        "crps",
        "lower",
        (0.0, inf),
        "mean of s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt pi), z = (y - p) / s",
        _NO_TIES,
        _SCORED,
        "std",
        formulas.crps,
    ),
    Metric(
        "coverage_90",
        "target",
        (0.0, 1.0),
        "share of |y - p| <= 1.645 s",
        "the ends of the interval belong to it",
        _SCORED,
        "std",
        formulas.coverage_90,
        target=0.9,
    ),
    Metric(
        "auc_learned",
        "higher",
        (0.0, 1.0),
        "share of pairs (y above twice chance, y not above) whose p is in that order",
        "pairs tied in the prediction count one half",
        "a constant prediction gives 0.5; undefined if all or none of the networks learned",
        "classes",
        selection.auc_learned,
    ),
    Metric(
        "tau_paired",
        "higher",
        (-1.0, 1.0),
        "tau of y - y of the paired network, and p - p of the paired network",
        _TAU_TIES,
        "constant predicted differences give 0; constant true differences are undefined",
        "pairs",
        formulas.tau_paired,
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
