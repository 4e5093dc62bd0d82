"""Prints scores, comparisons and findings in a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from harness.results.result import Result
from harness.running.custom_splits import TrialScore
from harness.scoring.scores import Score, SeedScore
from harness.studies.compare import Difference
from harness.studies.early_selection import StrategyOutcome
from harness.verification.predictor_rules import Finding


def result_lines(results: Sequence[Result]) -> Iterator[str]:
    """Yield two header lines and a line for each result."""
    names = max(16, *(len(result.predictor) for result in results))
    tasks = max(13, *(len(result.task) for result in results))
    part = f"{'tau (95 %)':>20} {'R2':>6} {'MSE':>7}"
    space = " " * (tasks + names + 1)
    yield f"{space} {'test':>35} {'heldout':>36}"
    yield f"{'task':{tasks}} {'predictor':{names}} {part}  {part} {'seconds':>8}"
    for result in results:
        start = f"{result.task:{tasks}} {result.predictor:{names}} "
        if result.failure is not None:
            yield f"{start}failed: {result.failure.splitlines()[0]}"
            continue
        parts = "  ".join(_part(result.scores.get(name, {})) for name in ("test", "heldout"))
        took = result.seconds
        seconds = "-" if took is None else f"{took.fit + took.predict:.1f}"
        yield f"{start}{parts} {seconds:>8}"


def _part(metrics: Mapping[str, SeedScore]) -> str:
    """Return tau with its interval, R2 and MSE of a stratum."""
    tau, r2, mse = (metrics.get(name) for name in ("tau", "r2", "mse"))
    interval = "" if tau is None or tau.low is None else f" [{tau.low:.2f}, {tau.high:.2f}]"
    return f"{number_text(tau, 3) + interval:>20} {number_text(r2, 3):>6} {number_text(mse, 5):>7}"


def number_text(score: SeedScore | Score | None, decimals: int, undefined: str = "-") -> str:
    """Return the value of a score as text, or `undefined` where there is none.

    >>> number_text(Score(0.98765, None, None), 3), number_text(None, 3)
    ('0.988', '-')
    """
    return undefined if score is None or score.value is None else f"{score.value:.{decimals}f}"


def trial_lines(scores: Sequence[TrialScore]) -> Iterator[str]:
    """Yield a header and a line for each score on trials."""
    head = f"{'predictor':20} {'trial':22} {'observed':>8} {'fitted':>6} {'tested':>6}"
    yield f"{head} {'tau':>7} {'R2':>7} {'MSE':>8}"
    for s in scores:
        start = f"{s.predictor:20} {s.label:22} {s.observed:8} {s.fitted:6.0f} {s.asked:6.0f}"
        failed = f"  {len(s.failures)} failed: {s.failures[0]}" if s.failures else ""
        if s.tau is None or s.r2 is None or s.mse is None:
            yield f"{start}{failed}"
            continue
        yield f"{start} {s.tau:7.3f} {s.r2:7.3f} {s.mse:8.5f}{failed}"


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each rule that was checked.

    >>> list(finding_lines([Finding("epochs", False, "1 to 3")]))
    ['BROKEN  epochs: 1 to 3']
    """
    for finding in findings:
        yield f"{'ok' if finding.passed else 'BROKEN':6}  {finding.rule}: {finding.seen}"


def difference_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """Yield a line for each pair of predictors."""
    for d in differences:
        ends = "" if d.low is None else f" [{d.low:+.4f}, {d.high:+.4f}]"
        verdict = f"{d.better} is better" if d.better else "not significant"
        yield f"{d.one} minus {d.other}: {d.value:+.4f}{ends}, p {d.p_value:.3f}, {verdict}"


def strategy_lines(outcomes: Sequence[StrategyOutcome]) -> Iterator[str]:
    """Yield a header and a line for each outcome of a strategy."""
    yield f"{'strategy':20} {'observed':>8} {'kept':>4} {'epochs':>7} {'regret':>7}  best"
    for c in outcomes:
        cost = f"{c.strategy:20} {c.observed:8} {c.kept:4} {c.epochs:7.1%}"
        yield f"{cost} {c.regret:7.4f} {c.best:5.0%}"


def json_lines(
    records: Sequence[TrialScore | Finding | Difference | StrategyOutcome],
) -> Iterator[str]:
    """Yield each record as a JSON object.

    >>> list(json_lines([Finding("epochs", False, "1 to 3")]))
    ['{"rule": "epochs", "passed": false, "seen": "1 to 3"}']
    """
    for record in records:
        yield json.dumps(asdict(record))
