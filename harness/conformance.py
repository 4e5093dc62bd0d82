"""Whether a predictor keeps the rules: a suite that anyone can run before submitting.

Every rule is tried by itself, so that a predictor that breaks one is told which, and what was seen.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from benchmark.imagesets import get_images
from harness.answers import (
    copy_runs,
    epochs_problem,
    finite_problem,
    range_problem,
    shape_problem,
    std_problem,
    type_problem,
)
from harness.parts import copy_queries, take_queries
from harness.protocol import Array, Prediction, Predictor, Queries, Runs, Series

OBSERVED = (0, 1, 5)  # tried; the rules that need one number use the middle one
LEAST_RUNS = 12
TOLERANCE = 1e-5  # of an accuracy; float32 sums in another order differ by less
SEED = 7
ANSWER_RULES = {
    "epochs": epochs_problem,
    "shape": shape_problem,
    "finite": finite_problem,
    "std": std_problem,
    "range": range_problem,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of trying a rule.

    Attributes:
        rule: Its name.
        passed: Whether the predictor kept it.
        seen: What was seen, on one line.
    """

    rule: str
    passed: bool
    seen: str


class BrokenRule(Exception):
    """What was seen of a rule that is broken."""


@dataclass(frozen=True, slots=True, eq=False)
class _Suite:
    """What the rules are tried with.

    Attributes:
        make: Returns a new predictor.
        train: Whole runs, half of all.
        validation: Whole runs, an eighth.
        others: The rest, to ask about.
    """

    make: Callable[[], Predictor]
    train: Runs
    validation: Runs
    others: Runs

    def fitted(self, observed: int, predictor: Predictor | None = None) -> Predictor:
        """Return a predictor, a new one unless given, fitted on copies."""
        predictor = predictor or self.make()
        train, validation = copy_runs(self.train), copy_runs(self.validation)
        predictor.fit(train, validation, observed=observed, seed=SEED)
        return predictor

    def answer(self, predictor: Predictor, queries: Queries) -> Prediction:
        """Return the answer to copies of queries, of the right type, epochs and shape."""
        answer: object = predictor.predict(copy_queries(queries))
        _require(type_problem(answer))
        assert isinstance(answer, Prediction)
        _require(epochs_problem(answer, queries))
        _require(shape_problem(answer, queries))
        return answer


def check_predictor(make: Callable[[], Predictor], runs: Runs) -> list[Finding]:
    """Return a finding for each rule.

    Args:
        make: Returns a new predictor, yet to be fitted.
        runs: Training runs of released data, a few dozen for a quick check; no others are used.

    Raises:
        ValueError: If there are fewer than 12 runs.
    """
    if len(runs) < LEAST_RUNS:
        raise ValueError(f"a check needs at least {LEAST_RUNS} runs, not {len(runs)}")
    order = np.arange(len(runs))
    first, second = len(runs) // 2, len(runs) // 2 + len(runs) // 8
    suite = _Suite(
        make, *(runs.take(part) for part in (order[:first], order[first:second], order[second:]))
    )
    return [_finding(rule, trial) for rule, trial in _rules(suite)]


def _finding(rule: str, trial: Callable[[], str]) -> Finding:
    """Try a rule; whatever a predictor raises is what was seen."""
    try:
        return Finding(rule, True, trial())
    except BrokenRule as error:
        return Finding(rule, False, str(error))
    except Exception as error:
        return Finding(rule, False, f"{type(error).__name__}: {error}".removesuffix(": "))


def _require(problem: str) -> None:
    if problem:
        raise BrokenRule(problem)


def _rules(suite: _Suite) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the name of each rule and what tries it and returns what was seen."""
    for observed in OBSERVED:
        yield f"works with {observed} epochs observed", lambda k=observed: _works(suite, k)  # type: ignore[misc]
    for name in ANSWER_RULES:
        yield name, lambda rule=name: _answer_rule(suite, rule)  # type: ignore[misc]
    yield "order", lambda: _order(suite)
    yield "single query", lambda: _single(suite)
    yield "same seed, same object", lambda: _same_seed(suite, new=False)
    yield "same seed, another object", lambda: _same_seed(suite, new=True)
    yield "same question twice", lambda: _twice(suite)
    yield "changes no runs", lambda: _keeps_runs(suite)
    yield "changes no queries", lambda: _keeps_queries(suite)
    yield "diverged networks", lambda: _diverged(suite)


def _works(suite: _Suite, observed: int) -> str:
    answer: object = suite.fitted(observed).predict(suite.others.observe(observed))
    _require(type_problem(answer))
    return f"{len(suite.train)} runs fitted, {len(suite.others)} networks answered"


def _answer_rule(suite: _Suite, rule: str) -> str:
    for observed in OBSERVED:
        queries = suite.others.observe(observed)
        answer: object = suite.fitted(observed).predict(copy_queries(queries))
        _require(type_problem(answer))
        assert isinstance(answer, Prediction)
        _require(_at(ANSWER_RULES[rule](answer, queries), observed))
    described = {
        "epochs": f"{len(answer.epochs)} epochs with {observed} observed",
        "shape": f"{answer.mean.shape} with {observed} epochs observed",
        "finite": "every number",
        "std": "none given" if answer.std is None else "all above 0",
        "range": f"{answer.mean.min():.3f} to {answer.mean.max():.3f}",
    }
    return described[rule]


def _at(problem: str, observed: int) -> str:
    return problem and f"with {observed} epochs observed: {problem}"


def _order(suite: _Suite) -> str:
    queries = suite.others.observe(OBSERVED[1])
    predictor = suite.fitted(OBSERVED[1])
    first = suite.answer(predictor, queries)
    order = np.random.default_rng(SEED).permutation(len(queries))
    second = suite.answer(predictor, take_queries(queries, order))
    return _same(_rows(first, order), second, "with the queries in another order")


def _single(suite: _Suite) -> str:
    queries = take_queries(suite.others.observe(OBSERVED[1]), [0])
    answer = suite.answer(suite.fitted(OBSERVED[1]), queries)
    _require(finite_problem(answer, queries))
    return "one network answered"


def _same_seed(suite: _Suite, *, new: bool) -> str:
    queries = suite.others.observe(OBSERVED[1])
    predictor = suite.fitted(OBSERVED[1])
    first = suite.answer(predictor, queries)
    again = suite.fitted(OBSERVED[1], None if new else predictor)
    which = "another object" if new else "the same object"
    return _same(first, suite.answer(again, queries), f"with {which} fitted with the same seed")


def _twice(suite: _Suite) -> str:
    queries = suite.others.observe(OBSERVED[1])
    predictor = suite.fitted(OBSERVED[1])
    first = suite.answer(predictor, queries)
    return _same(first, suite.answer(predictor, queries), "when asked again")


def _keeps_runs(suite: _Suite) -> str:
    given = {"train": copy_runs(suite.train), "validation": copy_runs(suite.validation)}
    before = {name: _contents(runs.series) for name, runs in given.items()}
    suite.make().fit(**given, observed=OBSERVED[1], seed=SEED)
    for name, runs in given.items():
        _require(_changed(name, before[name], _contents(runs.series)))
    return "train and validation are as they were"


def _keeps_queries(suite: _Suite) -> str:
    queries = suite.others.observe(OBSERVED[1])
    before = _contents(queries.series)
    suite.fitted(OBSERVED[1]).predict(queries)
    _require(_changed("queries", before, _contents(queries.series)))
    return "queries are as they were"


def _diverged(suite: _Suite) -> str:
    """Ask about networks that diverged in their first epoch, having seen some that did, too."""
    train, others = diverge(suite.train, len(suite.train) // 4), diverge(suite.others, 2)
    for observed in OBSERVED[1:]:
        predictor = suite.make()
        validation = copy_runs(suite.validation)
        predictor.fit(copy_runs(train), validation, observed=observed, seed=SEED)
        queries = others.observe(observed)
        _require(_at(finite_problem(suite.answer(predictor, queries), queries), observed))
    return "finite answers with losses that are NaN"


def diverge(runs: Runs, number: int) -> Runs:
    """Return a copy whose first runs diverged in their first epoch, as the record has it."""
    copied = copy_runs(runs)
    chance = get_images(runs.images).chance
    for field in fields(Series):
        values: Array = getattr(copied.series, field.name)
        if field.name.endswith("accuracy") and not field.name.startswith("initial_"):
            values[:number] = chance
        elif field.name != "learning_rate" and not field.name.startswith("initial_"):
            values[:number] = np.nan
    return copied


def _rows(answer: Prediction, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Prediction:
    """Return an answer with its networks in another order."""
    std = None if answer.std is None else answer.std[order]
    return replace(answer, mean=answer.mean[order], std=std)


def _same(first: Prediction, second: Prediction, when: str) -> str:
    """Return how far two answers that must be the same are apart, if that is not too far."""
    if first.epochs != second.epochs or (first.std is None) != (second.std is None):
        raise BrokenRule(f"epochs or std are others {when}")
    pairs = [(first.mean, second.mean)]
    if first.std is not None and second.std is not None:
        pairs.append((first.std, second.std))
    apart = max(float(np.abs(one - two).max()) for one, two in pairs)
    if not apart <= TOLERANCE:
        raise BrokenRule(f"answers differ by {apart:.2g} {when}; at most {TOLERANCE:g} may be")
    return f"answers differ by {apart:.2g} {when}"


def _contents(series: Series) -> dict[str, bytes]:
    """Return the bytes of every array."""
    values = {field.name: getattr(series, field.name) for field in fields(series)}
    return {name: value.tobytes() for name, value in values.items() if value is not None}


def _changed(where: str, before: dict[str, bytes], after: dict[str, bytes]) -> str:
    names = [name for name in before if before[name] != after[name]]
    return f"`{names[0]}` of {where} was changed" if names else ""
