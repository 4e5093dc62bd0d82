"""Consistency rules for scores, checked whenever a result is read.

Ranges come from `METRICS`. A relation between metrics is checked on means over seeds and skeletons
only if it still holds for means; the others are checked on single predictions of single strata. A
value may lie outside its interval, because bootstrap percentiles need not contain it.
"""

from collections.abc import Mapping
from itertools import pairwise

from benchmark.space.skeletons import SKELETONS
from benchmark.util.strict_json import refuse
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
TOLERANCE = 1e-9  # for rounding in sums of a few thousand accuracies


def check_scores(scores: Scores, seeds: int, where: str) -> None:
    """Check the scores of one target.

    Args:
        scores: The scores; may be empty.
        seeds: Number of seeds over which they are averaged.
        where: Name of their field, for messages.

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
        _check_relations(metrics, f"{where}.{stratum}", seeds, average=is_average(stratum))


def is_average(stratum: str) -> bool:
    """Return whether a stratum's scores are means over skeletons."""
    return stratum.split("/")[0] == "heldout"


def check_score(score: SeedScore, limits: tuple[float, float], seeds: int, where: str) -> None:
    """Check one score by itself.

    Args:
        score: The score.
        limits: Range of the metric.
        seeds: Number of seeds over which it is averaged.
        where: Name of its field, for messages.

    Raises:
        ValueError: If a number is out of range, or missing although the others are given.
    """
    for part in ("value", "low", "high"):
        number = getattr(score, part)
        if number is not None and not limits[0] - TOLERANCE <= number <= limits[1] + TOLERANCE:
            refuse(f"{where}.{part}", number, f"within [{limits[0]:g}, {limits[1]:g}]")
    if (score.low is None) != (score.high is None):
        raise ValueError(f"`{where}` must have both `low` and `high` or neither")
    if score.low is not None and score.value is None:
        refuse(f"{where}.low", score.low, "null, because the value is null")
    if score.low is not None and score.high is not None and score.low > score.high:
        refuse(f"{where}.low", score.low, f"at most `high` (={score.high!r})")
    if (score.seed_std is not None) != (seeds > 1 and score.value is not None):
        rule = "a number if there are several seeds and a value, else null"
        refuse(f"{where}.seed_std", score.seed_std, rule)
    if score.seed_std is not None and score.seed_std < 0:
        refuse(f"{where}.seed_std", score.seed_std, "at least 0")


def _check_relations(
    metrics: Mapping[str, SeedScore], where: str, seeds: int, *, average: bool
) -> None:
    """Check scores of one stratum against each other."""
    values = {name: score.value for name, score in metrics.items() if score.value is not None}
    tau, somers_d = values.get("tau"), values.get("somers_d")
    # They share a numerator, but the means over seeds of their ratios can differ in sign
    if (
        seeds == 1
        and not average
        and tau is not None
        and somers_d is not None
        and _sign(tau) != _sign(somers_d)
    ):
        rule = f"of the same sign as somers_d (={somers_d!r}), which counts the same pairs"
        refuse(f"{where}.tau.value", tau, rule)
    r2, squared = values.get("r2"), values.get("squared_pearson")
    # The best linear fit of the predictions is at least as good as the predictions
    if not average and r2 is not None and squared is not None and r2 > squared + TOLERANCE:
        rule = f"at most squared_pearson (={squared!r}), which 1 - SSE/SST never exceeds"
        refuse(f"{where}.r2.value", r2, rule)
    known = [(name, values[name]) for name in REGRETS if name in values]
    for (name, fewer), (more_name, more) in pairwise(known):
        if more > fewer + TOLERANCE:
            rule = f"at most {name} (={fewer!r}): more choices never increase regret"
            refuse(f"{where}.{more_name}.value", more, rule)


def _sign(value: float) -> int:
    return 0 if abs(value) <= TOLERANCE else (1 if value > 0 else -1)
