"""The public rule checks: valid predictors pass every rule, and each broken rule is caught."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.predictors.registry import load
from harness.protocol import Prediction, Predictor, Queries, Runs
from harness.verification.predictor_rules import RULES, check_predictor, diverge
from tests.toys.runs import toy_runs

# The toy networks that do not diverge, so that only the rule about diverged ones sees a NaN
RUNS = toy_runs(19).take(np.array([i for i in range(19) if i % 10]))


class Honest:
    """The last observed accuracy, or the mean of training, with a constant std."""

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        self.mean = float(train.final_accuracy.mean())

    def predict(self, queries: Queries) -> Prediction:
        epochs = tuple(range(queries.observed + 1, queries.recipe.epochs + 1))
        mean = np.full((len(queries), len(epochs)), self.mean)
        if queries.observed:
            mean[:] = queries.series.valid_accuracy[:, -1:]
        return Prediction(mean, epochs, np.full_like(mean, 0.1))


class FailsWithout(Honest):
    def predict(self, queries: Queries) -> Prediction:
        if not queries.observed:
            raise RuntimeError("there is no curve")
        return super().predict(queries)


class FailsWith(Honest):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        if observed == self.epochs:
            raise KeyError
        super().fit(train, validation, observed=observed, seed=seed)


class SkipsAnEpoch(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return Prediction(prediction.mean[:, 1:], prediction.epochs[1:])


class DropsAColumn(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return replace(prediction, mean=prediction.mean[:, 1:])


class PredictsNan(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        prediction.mean[2, 0] = np.nan
        return prediction


class IsCertain(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return replace(prediction, std=np.zeros_like(prediction.mean))


class PredictsPercent(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return replace(prediction, mean=100 * prediction.mean)


class RanksQueries(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return replace(prediction, mean=prediction.mean * np.linspace(0, 1, len(queries))[:, None])


class NeedsTwo(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return replace(prediction, mean=prediction.mean / (len(queries) > 1))


class Remembers(Honest):
    def __init__(self) -> None:
        self.fits = 0

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        super().fit(train, validation, observed=observed, seed=seed)
        self.fits += 1

    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return replace(prediction, mean=prediction.mean / self.fits)


class IgnoresTheSeed(Honest):
    rng = np.random.default_rng(0)

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        self.factor = self.rng.random()

    def predict(self, queries: Queries) -> Prediction:
        self.mean = 1.0
        prediction = super().predict(queries)
        return replace(prediction, mean=prediction.mean * self.factor)


class DrawsWhenPredicting(Honest):
    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        super().fit(train, validation, observed=observed, seed=seed)
        self.rng = np.random.default_rng(seed)

    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        return replace(prediction, mean=prediction.mean * self.rng.random())


class FillsRuns(Honest):
    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        np.nan_to_num(validation.series.valid_loss, copy=False)
        validation.series.valid_loss[0] += 1
        super().fit(train, validation, observed=observed, seed=seed)


class FillsQueries(Honest):
    def predict(self, queries: Queries) -> Prediction:
        queries.series.weight_norm[:] = 0
        return super().predict(queries)


class ScalesProxies(Honest):
    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        assert train.proxies is not None
        train.proxies[:] = train.proxies / train.proxies.max(axis=0)
        super().fit(train, validation, observed=observed, seed=seed)

    def predict(self, queries: Queries) -> Prediction:
        assert queries.proxies is not None
        queries.proxies[:] = queries.proxies - 1
        return super().predict(queries)


class ReadsTheLoss(Honest):
    def predict(self, queries: Queries) -> Prediction:
        prediction = super().predict(queries)
        if queries.observed:
            prediction.mean[:] = np.exp(-queries.series.valid_loss[:, -1:])
        return prediction


class PredictsAList(Honest):
    def predict(self, queries: Queries) -> Prediction:
        return [0.5] * len(queries)  # type: ignore[return-value]


def broken(make: Callable[[], Predictor], runs: Runs = RUNS) -> dict[str, str]:
    return {f.rule: f.seen for f in check_predictor(make, runs) if not f.passed}


def test_a_valid_predictor_passes_every_rule_and_each_says_what_was_seen() -> None:
    findings = check_predictor(Honest, RUNS)
    assert [finding.rule for finding in findings] == list(RULES)
    assert all(finding.passed and finding.seen for finding in findings)


@pytest.mark.parametrize("name", ["mean-curve", "last-plus-gain", "macs", "synflow"])
def test_reference_predictors_keep_every_rule(name: str) -> None:
    assert broken(lambda: load(name)) == {}


@pytest.mark.parametrize(
    ("rule", "make", "seen"),
    [
        ("works with 0 epochs observed", FailsWithout, "RuntimeError: there is no curve"),
        ("works with 1 epoch observed", lambda: FailsWith(1), "KeyError"),
        ("works with 5 epochs observed", lambda: FailsWith(5), "KeyError"),
        (
            "epochs",
            SkipsAnEpoch,
            f"with 0 epochs observed: `epochs` (={tuple(range(2, 21))}) must be all from 1 to 20, "
            "or (20,)",
        ),
        (
            "shape",
            DropsAColumn,
            "with 0 epochs observed: `mean` of shape (7, 19) must be (networks, epochs) = (7, 20)",
        ),
        (
            "finite",
            PredictsNan,
            "with 0 epochs observed: `mean` of query 'network-14' at epoch 1 (=nan) must be finite",
        ),
        (
            "std",
            IsCertain,
            "with 0 epochs observed: `std` of query 'network-12' at epoch 1 (=0.0) must be above 0 "
            "(140 of 140 are not)",
        ),
        ("range", PredictsPercent, "must be in [0, 1] (140 of 140 are not)"),
        ("order", RanksQueries, "with the queries in another order; at most 1e-05 is allowed"),
        ("single query", NeedsTwo, "FloatingPointError: divide by zero encountered in divide"),
        (
            "same seed, same object",
            Remembers,
            "with the same object fitted again with the same seed; at most 1e-05 is allowed",
        ),
        (
            "same seed, another object",
            IgnoresTheSeed,
            "with another object fitted with the same seed; at most 1e-05 is allowed",
        ),
        ("same query twice", DrawsWhenPredicting, "when predicted again; at most 1e-05 is allowed"),
        ("changes no runs", FillsRuns, "`valid_loss` of validation was changed"),
        ("changes no queries", FillsQueries, "`weight_norm` of queries was changed"),
        ("changes no runs", ScalesProxies, "`proxies` of train was changed"),
        ("changes no queries", ScalesProxies, "`proxies` of queries was changed"),
        (
            "diverged networks",
            ReadsTheLoss,
            "with 1 epoch observed: `mean` of query 'network-12' at epoch 2 (=nan) must be finite "
            "(38 of 133 are not)",
        ),
    ],
)
def test_a_predictor_that_breaks_a_rule_is_caught_and_told_which(
    rule: str, make: Callable[[], Predictor], seen: str
) -> None:
    with np.errstate(divide="raise"):
        found = broken(make)[rule]
    assert re.sub(r" \(test_predictor_rules\.py:\d+ in \w+\)$", "", found).endswith(seen)


def test_a_prediction_of_another_type_is_named() -> None:
    found = broken(PredictsAList)
    assert found["works with 0 epochs observed"] == "`predict` must return a Prediction, not list"


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a check needs at least 12 runs, not 11$"):
        check_predictor(Honest, RUNS.take(np.arange(11)))


def test_networks_that_diverged_have_chance_and_nan_as_in_the_record() -> None:
    series = diverge(RUNS, 2).series
    assert np.all(series.valid_accuracy[:2] == 0.1)
    assert np.isnan(series.valid_loss[:2]).all()
    assert np.isnan(series.train_loss_tenths[:2]).all()
    assert np.array_equal(series.valid_accuracy[2:], RUNS.series.valid_accuracy[2:])
    assert np.array_equal(series.learning_rate, RUNS.series.learning_rate)
    assert not np.isnan(RUNS.series.valid_loss).any()
