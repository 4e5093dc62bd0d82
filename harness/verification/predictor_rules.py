"""Checks whether a predictor follows the rules; anyone can run it before submitting.

Each rule is checked by itself, so that a finding names the broken rule and what was observed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from traceback import print_exception

import numpy as np

from benchmark.util.text import quantity, to_line
from harness.prediction_rules import PREDICTION_RULES, plain_prediction, query_scope
from harness.protocol import Array, Prediction, Predictor, Queries, Runs, Series
from harness.user_code import LONGEST, UserCodeError, user_code

OBSERVED = (0, 1, 5)  # numbers of observed epochs
CHECK_RUNS = 40  # training runs that a predictor is checked on
ONE = 1  # observed epochs, for the rules that are checked with one number of them
LEAST_RUNS = 12
TOLERANCE = 1e-5  # of an accuracy; float32 sums in a different order differ by less
SEED = 7


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a predictor follows a rule, and what was observed."""

    rule: str
    passed: bool
    seen: str


class BrokenRule(Exception):
    """A predictor breaks a rule; the message says what was observed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Suite:
    """The predictor and the runs that rules are checked with.

    Attributes:
        train: Runs to fit on, half of all.
        validation: An eighth of all runs.
        queried: The remaining runs, which are predicted.
        fitted: Fitted predictors by observed epochs, for rules that do not need a new one.
    """

    make: Callable[[], Predictor]
    train: Runs
    validation: Runs
    queried: Runs
    fitted: dict[int, Predictor] = field(default_factory=dict)

    def get_fitted(self, observed: int) -> Predictor:
        """Return a predictor fitted on copies of the runs; it is fitted once and kept."""
        if observed not in self.fitted:
            self.fitted[observed] = self.fit(self.make(), observed)
        return self.fitted[observed]

    def fit(self, predictor: Predictor, observed: int) -> Predictor:
        """Fit a predictor on copies of the runs and return it."""
        predictor.fit(self.train.copy(), self.validation.copy(), observed=observed, seed=SEED)
        return predictor


def _predict_typed(predictor: Predictor, queries: Queries) -> Prediction:
    """Predict copies of queries, and check the type of the prediction."""
    prediction = predictor.predict(queries.copy())
    try:
        return plain_prediction(prediction)
    except ValueError as error:
        raise BrokenRule(str(error)) from None


def _predict(predictor: Predictor, queries: Queries) -> Prediction:
    """Predict copies of queries, and check the prediction's type, epochs, shape and values."""
    prediction = _predict_typed(predictor, queries)
    for rule in ("epochs", "shape", "finite"):
        _require_rule(rule, prediction, queries)
    return prediction


def check_predictor(
    make: Callable[[], Predictor], runs: Runs, *, traceback: bool = False
) -> list[Finding]:
    """Check a predictor against each rule and return a finding for each.

    Only `runs` are used; a few dozen training runs are enough for a quick check. With `traceback`,
    that of an exception is written to stderr, once for all rules that it breaks.

    Raises:
        ValueError: If there are fewer than 12 runs, or the predictor needs a missing package.
    """
    if len(runs) < LEAST_RUNS:
        raise ValueError(f"a check needs at least {LEAST_RUNS} runs, not {len(runs)}")
    first, second = len(runs) // 2, len(runs) // 2 + len(runs) // 8
    train, validation = runs.take(range(first)), runs.take(range(first, second))
    suite = _Suite(make, train, validation, runs.take(range(second, len(runs))))
    findings: list[Finding] = []
    for rule, check in RULES.items():
        try:
            with user_code(passing=(BrokenRule,)):
                findings.append(Finding(rule, True, check(suite)))
        except (BrokenRule, UserCodeError) as error:
            seen = to_line(str(error), LONGEST)
            if traceback and error.__cause__ and seen not in {f.seen for f in findings}:
                print_exception(error.__cause__)
            findings.append(Finding(rule, False, seen))
    return findings


def _require_rule(rule: str, prediction: Prediction, queries: Queries) -> None:
    """Check one of `PREDICTION_RULES`."""
    problem = PREDICTION_RULES[rule](prediction, query_scope(queries))
    if problem:
        raise BrokenRule(f"with {quantity(queries.observed, 'epoch')} observed: {problem}")


def _check_works(observed: int, suite: _Suite) -> str:
    prediction = _predict_typed(suite.get_fitted(observed), suite.queried.observe(observed))
    return f"{len(suite.train)} runs fitted, {len(prediction.mean)} networks predicted"


def _check_prediction(rule: str, suite: _Suite) -> str:
    """Check a rule with each number of observed epochs; describe the last prediction."""
    for observed in OBSERVED:
        queries = suite.queried.observe(observed)
        prediction = _predict_typed(suite.get_fitted(observed), queries)
        _require_rule(rule, prediction, queries)
    described = {
        "epochs": f"{quantity(len(prediction.epochs), 'epoch')} with {observed} observed",
        "shape": f"{prediction.mean.shape} with {quantity(observed, 'epoch')} observed",
        "finite": "all values are finite",
        "std": "not given" if prediction.std is None else "all values are above 0",
        "range": f"{prediction.mean.min():.3f} to {prediction.mean.max():.3f}",
    }
    return described[rule]


def _check_order(suite: _Suite) -> str:
    queries, predictor = suite.queried.observe(ONE), suite.get_fitted(ONE)
    order = np.random.default_rng(SEED).permutation(len(queries))
    first = _predict(predictor, queries)
    std = None if first.std is None else first.std[order]
    expected = Prediction(first.mean[order], first.epochs, std)
    second = _predict(predictor, queries.take(order))
    return _compare(expected, second, "with the queries in another order")


def _check_single_query(suite: _Suite) -> str:
    _predict(suite.get_fitted(ONE), suite.queried.observe(ONE).take([0]))
    return "one network predicted"


def _check_refit(suite: _Suite) -> str:
    queries, predictor = suite.queried.observe(ONE), suite.make()
    first, second = (_predict(suite.fit(predictor, ONE), queries) for _ in range(2))
    return _compare(first, second, "with the same object fitted again with the same seed")


def _check_new_object(suite: _Suite) -> str:
    queries = suite.queried.observe(ONE)
    first, second = (_predict(suite.fit(suite.make(), ONE), queries) for _ in range(2))
    return _compare(first, second, "with another object fitted with the same seed")


def _check_repeated_query(suite: _Suite) -> str:
    queries, predictor = suite.queried.observe(ONE), suite.get_fitted(ONE)
    first, second = (_predict(predictor, queries) for _ in range(2))
    return _compare(first, second, "when predicted again")


def _check_runs_unchanged(suite: _Suite) -> str:
    train, validation = suite.train.copy(), suite.validation.copy()
    suite.make().fit(train, validation, observed=ONE, seed=SEED)
    _require_unchanged("train", suite.train, train)
    _require_unchanged("validation", suite.validation, validation)
    return "train and validation are unchanged"


def _check_queries_unchanged(suite: _Suite) -> str:
    queries = suite.queried.observe(ONE)
    suite.get_fitted(ONE).predict(queries)
    _require_unchanged("queries", suite.queried.observe(ONE), queries)
    return "queries are unchanged"


def _check_diverged(suite: _Suite) -> str:
    """Fit on and predict some networks that diverged in their first epoch."""
    train, queried = diverge(suite.train, len(suite.train) // 4), diverge(suite.queried, 2)
    diverged = replace(suite, train=train, queried=queried, fitted={})
    for observed in OBSERVED[1:]:
        _predict(diverged.get_fitted(observed), queried.observe(observed))
    return "predictions are finite when losses are NaN"


def diverge(runs: Runs, number: int) -> Runs:
    """Return a copy whose first runs diverged in their first epoch, as released runs record it."""
    copied = runs.copy()
    chance = 1 / runs.classes
    for entry in fields(Series):
        values: Array = getattr(copied.series, entry.name)
        if entry.name == "learning_rate" or entry.name.startswith("initial_"):
            continue
        values[:number] = chance if entry.name.endswith("accuracy") else np.nan
    return copied


def _compare(first: Prediction, second: Prediction, when: str) -> str:
    """Return by how much two predictions differ, which must be within the tolerance."""
    if first.epochs != second.epochs or (first.std is None) != (second.std is None):
        raise BrokenRule(f"epochs or std differ {when}")
    pairs = [(first.mean, second.mean)]
    if first.std is not None and second.std is not None:
        pairs.append((first.std, second.std))
    difference = max(float(np.abs(one - two).max()) for one, two in pairs)
    text = f"predictions differ by {difference:.2g} {when}"
    if not difference <= TOLERANCE:
        raise BrokenRule(f"{text}; at most {TOLERANCE:g} is allowed")
    return text


def _contents(networks: Runs | Queries) -> dict[str, bytes]:
    """Return the bytes of every array, by name."""
    values = {entry.name: getattr(networks.series, entry.name) for entry in fields(Series)}
    values["proxies"] = networks.proxies
    return {name: value.tobytes() for name, value in values.items() if value is not None}


def _require_unchanged(where: str, before: Runs | Queries, after: Runs | Queries) -> None:
    for name, content in _contents(before).items():
        if _contents(after)[name] != content:
            raise BrokenRule(f"`{name}` of {where} was changed")


RULES: dict[str, Callable[[_Suite], str]] = {
    **{f"works with {quantity(k, 'epoch')} observed": partial(_check_works, k) for k in OBSERVED},
    **{name: partial(_check_prediction, name) for name in PREDICTION_RULES},
    "order": _check_order,
    "single query": _check_single_query,
    "same seed, same object": _check_refit,
    "same seed, another object": _check_new_object,
    "same query twice": _check_repeated_query,
    "changes no runs": _check_runs_unchanged,
    "changes no queries": _check_queries_unchanged,
    "diverged networks": _check_diverged,
}
