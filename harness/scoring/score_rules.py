"""What holds for the scores of every honest result, checked whenever one is read.

Ranges come from `METRICS`. The relations between metrics are those that survive the mean over seeds
and over skeletons, because both sides are linear in it; where one does not, it is checked only on
single predictions of single strata. A value need not lie within its interval: a bootstrap's
percentiles promise nothing about it.
"""

from collections.abc import Mapping
from itertools import pairwise

from benchmark.space.skeletons import SKELETONS
from benchmark.util.strict_json import broken
from benchmark.util.unknown_name import unknown_name
from harness.metrics.registry import METRICS
from harness.scoring.scores import Scores, SeedScore

STRATA = (
    "test",
    "heldout",
    "heldout/extrapolates",
    "heldout/unseen feature",
    "test/learned",
    "heldout/learned",
    *(f"skeleton/{name}" for name in SKELETONS),
)
FINAL_METRICS = tuple(name for name, metric in METRICS.items() if metric.needs != "curve")
REGRETS = ("regret_1", "regret_5", "regret_10")
TOLERANCE = 1e-9  # of rounding, in sums of a few thousand accuracies


def check_scores(scores: Scores, seeds: int, where: str) -> None:
    """Check the scores of one target.

    Args:
        scores: May be empty.
        seeds: How many seeds they are means of.
        where: The field they stand in, for messages.

    Raises:
        ValueError: If a stratum or metric is unknown, a value out of range, or a relation broken.
    """
    for stratum, metrics in scores.items():
        if stratum not in STRATA:
            raise ValueError(f"`{where}`: {unknown_name('stratum', stratum, STRATA)}")
        for name, score in metrics.items():
            if name not in METRICS:
                raise ValueError(f"`{where}.{stratum}`: {unknown_name('metric', name, METRICS)}")
            check_score(score, METRICS[name].range, seeds, f"{where}.{stratum}.{name}")
        single = seeds == 1 and not is_average(stratum)
        _check_relations(metrics, f"{where}.{stratum}", single=single)


def is_average(stratum: str) -> bool:
    """Return whether a stratum's scores are means over skeletons."""
    return stratum.split("/")[0] == "heldout"


def check_score(score: SeedScore, limits: tuple[float, float], seeds: int, where: str) -> None:
    """Check one score by itself.

    Args:
        score: Any.
        limits: Range of the metric.
        seeds: How many seeds the score is a mean of.
        where: The field it stands in, for messages.

    Raises:
        ValueError: If a number is out of range or missing where the others are given.
    """
    for part in ("value", "low", "high"):
        number = getattr(score, part)
        if number is not None and not limits[0] - TOLERANCE <= number <= limits[1] + TOLERANCE:
            broken(f"{where}.{part}", number, f"within [{limits[0]:g}, {limits[1]:g}]")
    if (score.low is None) != (score.high is None):
        raise ValueError(f"`{where}` must have both ends of its interval or none")
    if score.low is not None and score.value is None:
        broken(f"{where}.low", score.low, "null, because the value is")
    if score.low is not None and score.high is not None and score.low > score.high:
        broken(f"{where}.low", score.low, f"at most `high` (={score.high!r})")
    if (score.seed_std is not None) != (seeds > 1 and score.value is not None):
        rule = "a number where there are several seeds and a value, and null elsewhere"
        broken(f"{where}.seed_std", score.seed_std, rule)
    if score.seed_std is not None and score.seed_std < 0:
        broken(f"{where}.seed_std", score.seed_std, "at least 0")


def _check_relations(metrics: Mapping[str, SeedScore], where: str, *, single: bool) -> None:
    """Check scores of one stratum against each other."""
    values = {name: score.value for name, score in metrics.items() if score.value is not None}
    tau, somers_d = values.get("tau"), values.get("somers_d")
    # Both have concordant less discordant pairs above; below, their means over seeds differ
    if single and tau is not None and somers_d is not None and _sign(tau) != _sign(somers_d):
        rule = f"of the same sign as somers_d (={somers_d!r}): both count the same pairs"
        broken(f"{where}.tau.value", tau, rule)
    r2, squared = values.get("r2"), values.get("squared_pearson")
    # No line through the predictions fits worse than the predictions themselves
    if r2 is not None and squared is not None and r2 > squared + TOLERANCE:
        rule = f"at most squared_pearson (={squared!r}): 1 - SSE/SST never exceeds it"
        broken(f"{where}.r2.value", r2, rule)
    known = [(name, values[name]) for name in REGRETS if name in values]
    for (name, fewer), (more_name, more) in pairwise(known):
        if more > fewer + TOLERANCE:
            rule = f"at most {name} (={fewer!r}): more choices never regret more"
            broken(f"{where}.{more_name}.value", more, rule)


def _sign(value: float) -> int:
    return 0 if abs(value) <= TOLERANCE else (1 if value > 0 else -1)


def variance(metrics: Mapping[str, SeedScore]) -> float | None:
    """Return the variance of the truth that mse and r2 imply; None where they do not.

    r2 = 1 - mse / variance, also in the mean over seeds, so every predictor of a task must imply
    the same variance in a stratum that is no average over skeletons.

    >>> score = SeedScore(0.5, None, None, None)
    >>> variance({"mse": SeedScore(0.02, None, None, None), "r2": score})
    0.04
    """
    if "mse" not in metrics or "r2" not in metrics:
        return None
    mse, r2 = metrics["mse"].value, metrics["r2"].value
    if mse is None or r2 is None or 1 - r2 < TOLERANCE:
        return None
    return mse / (1 - r2)
