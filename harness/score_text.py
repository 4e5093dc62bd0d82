"""Prints scores, comparisons and findings in a terminal."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.metrics.registry import METRICS
from harness.results.folder import PUBLISHED
from harness.results.result import Result
from harness.running.submission import FILE, Submission, submissions_folder
from harness.running.trials import TrialScore
from harness.scoring.scores import Score, number_text
from harness.studies.compare import Difference
from harness.studies.early_selection import StrategyOutcome
from harness.verification.predictor_rules import Finding


def result_lines(results: Sequence[Result]) -> Iterator[str]:
    """Yield two header lines and a line for each result."""
    names = max(16, *(len(result.predictor) for result in results))
    tasks = max(13, *(len(result.task) for result in results))
    header = f"{'tau (95 %)':>20} {'R2':>6} {'MSE':>7}"
    yield f"{'':{tasks + names + 1}} {'test':>35} {'heldout':>36}"
    yield f"{'task':{tasks}} {'predictor':{names}} {header}  {header} {'seconds':>8}"
    for result in results:
        start = f"{result.task:{tasks}} {result.predictor:{names}} "
        if result.failure is not None:
            yield f"{start}failed: {result.failure.splitlines()[0]}"
            continue
        scores = "  ".join(_format_scores(result.scores.get(s, {})) for s in ("test", "heldout"))
        took = result.seconds
        seconds = "-" if took is None else f"{took.fit + took.predict:.1f}"
        yield f"{start}{scores} {seconds:>8}"


def _format_scores(metrics: Mapping[str, Score]) -> str:
    """Return tau with its interval, R2 and MSE of a stratum."""
    tau, r2, mse = (metrics.get(name) for name in ("tau", "r2", "mse"))
    interval = "" if tau is None else _format_interval(tau.low, tau.high, ".2f")
    values = [number_text(tau, 3) + interval, number_text(r2, 3), number_text(mse, 5)]
    return f"{values[0]:>20} {values[1]:>6} {values[2]:>7}"


def _format_interval(low: float | None, high: float | None, form: str) -> str:
    """Return an interval with a space before it; an empty string if it is undefined."""
    return "" if low is None else f" [{low:{form}}, {high:{form}}]"


def submitted_lines(submission: Submission, results: Path, options: str = "") -> Iterator[str]:
    """Yield what a submission wrote to a folder of results and beside it, and what comes next.

    `options` are those of `board rescore` that name this folder and the data, after a space.
    """
    folder = submissions_folder(results) / submission.name
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    stored = f"{results}/*/{submission.name}.*"
    rescore = f"peephole board rescore {submission.name}{options}"
    yield f"{folder / FILE} says who submits what: read it; the results are {stored}"
    if results == PUBLISHED:
        yield f"to check the scores: {rescore} --check; maintainers also run code again"
        build = "peephole board build --readme README.md"
        yield f"for the pull request: {build}; then add {folder}, {stored} and README.md"
    else:
        again = f"run it again as maintainers do: {rescore} --rerun"
        yield f"to {again if submission.kind == 'code' else f'check the scores: {rescore}'}"
        yield "for a pull request, submit in a checkout of the repository, from its main folder"


def trial_lines(scores: Sequence[TrialScore]) -> Iterator[str]:
    """Yield a header and a line for each score on trials."""
    header = f"{'predictor':20} {'trial':22} {'observed':>8} {'fitted':>6} {'tested':>6}"
    yield f"{header} {'tau (95 %)':>20} {'R2':>6} {'MSE':>7}"
    for s in scores:
        start = f"{s.predictor:20} {s.label:22} {s.observed:8} {s.fitted:6.0f} {s.asked:6.0f}"
        numbers = f" {_format_scores(s.scores)}" if s.scores else ""
        failures = f"  {len(s.failures)} failed: {s.failures[0]}" if s.failures else ""
        yield f"{start}{numbers}{failures}"


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each rule that is kept, and for each cause of broken rules.

    >>> broken = (Finding(rule, False, "1 to 3") for rule in ("epochs", "order", "range"))
    >>> list(finding_lines([Finding("files", True, "net.py"), *broken]))
    ['ok      files: net.py', 'BROKEN  epochs (and 2 more rules): 1 to 3']
    """
    causes = Counter(finding.seen for finding in findings if not finding.passed)
    for finding in findings:
        if finding.passed:
            yield f"ok      {finding.rule}: {finding.seen}"
        elif number := causes.pop(finding.seen, 0):
            others = f" (and {number - 1} more rule{'s' * (number > 2)})" if number > 1 else ""
            yield f"BROKEN  {finding.rule}{others}: {finding.seen}"


def difference_lines(differences: Sequence[Difference], metric: str) -> Iterator[str]:
    """Yield a line for each pair of predictors, with at least four decimals."""
    places = f"+.{max(4, METRICS[metric].decimals)}f"
    for d in differences:
        interval = _format_interval(d.low, d.high, places)
        verdict = f"{d.better} is better" if d.better else "not significant"
        yield f"{d.one} minus {d.other}: {d.value:{places}}{interval}, p {d.p_value:.3f}, {verdict}"


def strategy_lines(outcomes: Sequence[StrategyOutcome]) -> Iterator[str]:
    """Yield a header and a line for each outcome of a strategy."""
    yield (
        f"{'strategy':20} {'observed':>8} {'kept':>4} {'epochs':>7} {'training':>8} {'regret':>7}  "
        f"{'5 to 95 % of sets':17}  best"
    )
    for c in outcomes:
        cost = f"{c.strategy:20} {c.observed:8} {c.kept:4} {c.epochs:7.1%}"
        spread = f"[{c.low:.4f}, {c.high:.4f}]"
        yield f"{cost} {c.training_epochs:8,} {c.regret:7.4f}  {spread:17} {c.best:5.0%}"


def json_lines(records: Iterable[Any]) -> Iterator[str]:
    """Yield each record, a dataclass, as a JSON object.

    >>> list(json_lines([Finding("epochs", False, "1 to 3")]))
    ['{"rule": "epochs", "passed": false, "seen": "1 to 3"}']
    """
    for record in records:
        yield json.dumps(asdict(record))
