"""Words that the page, the leaderboard and the README share."""

from harness.results.result import Verification

CHECKED: dict[Verification, str] = {
    "self-reported": "as reported",
    "rescored": "numbers recomputed",
    "rerun": "code rerun",
}
RANK_RULE = (
    "A rank is an interval: one more than the number of predictors that are significantly better, "
    "to the number of those that are not significantly worse, by paired tests on shared resamples "
    "that are corrected for all pairs of predictors (Romano-Wolf, 5 %)."
)
