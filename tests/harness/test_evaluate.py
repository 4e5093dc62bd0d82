"""Evaluation: how a predictor is fitted, and how its predictions are checked and scored."""

import math
import re
import types
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmark.release import Release
from benchmark.tasks import Task
from harness.predictors.baselines import LastPlusGain, MeanCurve
from harness.protocol import Array, Prediction, Queries, Runs, Series
from harness.results.ceiling import (
    build_ceiling,
    read_ceiling,
    repeated_networks,
    write_ceiling,
    write_ceilings,
)
from harness.results.predictions import mean_table, round_prediction
from harness.results.store import predictions_path, read_result, result_path, write_result
from harness.running.evaluate import drop_observed, evaluate, evaluate_shared
from harness.running.find_predictor import Candidate
from harness.running.fit_predict import counts_of
from harness.scoring.noise_ceiling import ceiling_samples
from harness.scoring.scores import mean_scores, score_of, score_prediction, seed_samples
from harness.task_data import TaskData
from tests.harness.conftest import OBSERVED
from tests.toys.data import EPOCHS, REPEATED, changed_task

SEEN = tuple(field.name for field in fields(Series))


class Noisy:
    """Predicts layer counts with noise of the seed, outside [0, 1] for the first network."""

    counts: dict[str, int]

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        assert (len(train), len(validation)) == (24, 6)
        train.series.valid_accuracy[:] = 0.5  # changes only the copy
        self.rng = np.random.default_rng(seed)
        self.counts = {"fits": 1 + seed, "making_seconds": 7 + seed}

    def predict(self, queries: Queries) -> Prediction:
        epochs = tuple(range(queries.observed + 1, EPOCHS + 1))
        sizes = np.array([len(rows) for rows in queries.layer_rows], dtype=np.float32)
        mean = sizes[:, None] / 100 + self.rng.normal(0, 0.05, (len(queries), len(epochs)))
        mean[0] = 7.0
        queries.series.valid_accuracy[:] = 0
        return Prediction(mean, epochs, np.full(mean.shape, 0.1 * (1 + self.counts["fits"])))


def candidate(make: type, **options: bool) -> Candidate:
    return Candidate("toy", "A toy.", make, **options)


def test_a_result_is_the_mean_over_seeds_and_is_read_back(
    task: Task, folder: Path, parts: TaskData, tmp_path: Path
) -> None:
    result, table = evaluate(candidate(Noisy), task, seeds=3, release=Release(folder))
    assert (result.status, result.failure, result.seeds) == ("scored", None, (0, 1, 2))
    assert result.counts == {"fits": 6, "making_seconds": 9}  # made once for all seeds
    assert result.networks == {"train": 24, "validation": 6, "test": 14, "heldout": 10}
    assert result.observed_epochs_total == OBSERVED * 24
    targets = parts.targets.valid_accuracy
    predictions = []
    for seed in range(3):
        predictor = Noisy()
        predictor.fit(parts.train.copy(), parts.validation, observed=5, seed=seed)
        prediction = predictor.predict(parts.queries.copy())
        clipped = replace(prediction, mean=prediction.mean.clip(0, 1))
        predictions.append(round_prediction(clipped))
    scores = [score_prediction(targets, p.mean, epochs=p.epochs, std=p.std) for p in predictions]
    for stratum, metrics in result.scores.items():
        assert set(metrics) == set(scores[0][stratum])
        for name, score in metrics.items():
            found = [seed[stratum][name].value for seed in scores]
            values = [value for value in found if value is not None]
            if score.value is None:
                assert values == []
            else:
                assert score.value == pytest.approx(np.mean(values), abs=1e-12)
                assert score.seed_std == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    spread = np.full((24, 1), 0.2)
    second = score_prediction(
        parts.targets.test_accuracy, predictions[0].mean[:, -1:], epochs=(EPOCHS,), std=spread
    )
    assert {s: set(m) for s, m in result.scores_test_accuracy.items()} == {
        s: set(m) for s, m in second.items()
    }
    assert result.scores_test_accuracy["test"]["mse"] != result.scores["test"]["mse"]
    assert table is not None
    first = sorted(targets.run_ids).index(targets.run_ids[0])
    assert table["seed"].to_pylist() == [seed for seed in range(3) for _ in range(24 * 15)]
    mean = mean_table(table)
    means = mean["mean"].to_numpy().reshape(24, EPOCHS - OBSERVED)
    assert means[first].tolist() == [1.0] * (EPOCHS - OBSERVED)
    np.testing.assert_allclose(mean["std"].to_numpy(), 0.3, rtol=2.0**-11)
    written = write_result(tmp_path, result, table)
    path = result_path(tmp_path, task.name, "toy")
    assert pq.read_table(predictions_path(path, written)).equals(table)
    assert read_result(path) == written
    assert replace(written, predictions_sha256=None) == result


def test_the_interval_is_that_of_the_mean_over_seeds(parts: TaskData) -> None:
    targets = parts.targets.valid_accuracy
    rng = np.random.default_rng(0)
    means = [(targets.curves[:, -1:] + rng.normal(0, 0.1, (24, 1))).clip(0, 1) for _ in range(2)]
    alone = [score_prediction(targets, mean, epochs=(EPOCHS,))["test"]["mse"] for mean in means]
    predictions = [Prediction(mean, (EPOCHS,)) for mean in means]
    both = mean_scores(seed_samples(targets, predictions))["test"]["mse"]
    one = mean_scores(seed_samples(targets, predictions[:1]))["test"]["mse"]
    assert (one.value, one.low, one.high) == (alone[0].value, alone[0].low, alone[0].high)
    assert one.seed_std is None
    assert None not in (both.low, both.high, alone[0].low, alone[0].high)
    assert both.low is not None
    assert min(float(str(a.low)) for a in alone) <= both.low
    assert both.low <= float(str(both.value)) <= float(str(both.high))


@pytest.mark.parametrize(
    ("attributes", "counts"),
    [
        ({"counts": {"a": 1, "b": -1, "c": "x"}, "failed_fits": 2}, {"a": 1}),
        ({"failed_fits": 2}, {"failed_fits": 2}),
        ({"counts": np.zeros(3)}, {}),
        ({"failed_fits": None}, {}),
    ],
)
def test_only_what_a_predictor_counted_is_kept(
    attributes: dict[str, object], counts: dict[str, int]
) -> None:
    assert counts_of(types.SimpleNamespace(**attributes)) == counts


def test_a_predictor_that_is_not_stochastic_is_fitted_once(task: Task, folder: Path) -> None:
    result, _ = evaluate(candidate(LastPlusGain, stochastic=False), task, release=Release(folder))
    assert result.seeds == (0,)
    assert result.scores["test"]["tau"].seed_std is None
    assert result.counts == {}


class Failing:
    """Raises or returns a given object."""

    said: object = None
    raised: Exception | None = None

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        self.seed = seed
        if self.raised is not None:
            raise self.raised

    def predict(self, queries: Queries) -> Prediction:
        said = self.said(self, queries) if callable(self.said) else self.said
        return said  # type: ignore[return-value]


def last(value: float, dtype: str = "f8", rows: int = 24) -> Array:
    return np.full((rows, 1), value, dtype=dtype)


LATER = tuple(range(OBSERVED + 1, EPOCHS + 1))


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (None, "`predict` must return a Prediction, not NoneType"),
        (Prediction([0.5], (20,)), "`mean` must be an array, not list"),  # type: ignore[arg-type]
        (Prediction(last(1, "i8"), (20,)), "`mean` must hold floats, not int64"),
        (Prediction(last(0.5), (20,), 0.1), "`std` must be an array, not float"),  # type: ignore[arg-type]
        (Prediction(last(0.5), [20]), "`epochs` must be a tuple, not list"),  # type: ignore[arg-type]
        (
            Prediction(np.full((24, 2), 0.5), (19, 20)),
            "`epochs` (=(19, 20)) must be all from 6 to 20, or (20,)",
        ),
        (
            Prediction(last(0.5, rows=3), (20,)),
            "`mean` of shape (3, 1) must be (networks, epochs) = (24, 1)",
        ),
        (
            Prediction(last(0.5), (20,), last(0.5)[:, 0]),
            "`std` of shape (24,) must be (networks, epochs) = (24, 1)",
        ),
        (
            Prediction(last(math.inf), (20,)),
            "`mean` of query 'q0000' at epoch 20 (=inf) must be finite (24 of 24 are not)",
        ),
        (
            Prediction(last(0.5), (20,), last(math.nan)),
            "`std` of query 'q0000' at epoch 20 (=nan) must be finite (24 of 24 are not)",
        ),
        (
            Prediction(last(0.5), (20,), np.array([[0.0], *[[0.1]] * 23])),
            "`std` of query 'q0000' at epoch 20 (=0.0) must be above 0",
        ),
        (
            lambda self, queries: Prediction(
                np.full((24, 1 + 14 * self.seed), 0.5), LATER if self.seed else (20,)
            ),
            "`epochs` must be the same with every seed",
        ),
        (
            lambda self, queries: Prediction(last(0.5), (20,), last(0.1) if self.seed else None),
            "`std` must be given with every seed or with none",
        ),
    ],
)
def test_a_prediction_that_breaks_a_rule_is_a_failure_with_its_reason(
    task: Task, folder: Path, said: object, failure: str
) -> None:
    kind = type("Told", (Failing,), {"said": staticmethod(said) if callable(said) else said})
    result, table = evaluate(candidate(kind), task, seeds=2, release=Release(folder))
    assert (result.status, result.failure) == ("failed", f"ValueError: {failure}")
    assert table is None


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (RuntimeError("out of luck"), "RuntimeError: out of luck"),
        (MemoryError(), "MemoryError"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_a_predictor_that_raises_is_a_failure_with_what_it_raised(
    task: Task, folder: Path, tmp_path: Path, error: Exception, failure: str
) -> None:
    kind = type("Raising", (Failing,), {"raised": error})
    result, table = evaluate(candidate(kind), task, release=Release(folder))
    assert (result.status, result.scores) == ("failed", {})
    assert re.fullmatch(
        rf"{re.escape(failure)} \(test_evaluate\.py:\d+ in fit\)", result.failure or ""
    )
    written = write_result(tmp_path, result, table)
    assert read_result(result_path(tmp_path, task.name, "toy")) == written == result


def test_an_interrupt_is_no_failure_of_the_predictor(task: Task, folder: Path) -> None:
    kind = type("Interrupted", (Failing,), {"raised": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        evaluate(candidate(kind), task, release=Release(folder))


def test_one_fit_serves_every_number_of_observed_epochs(folder: Path) -> None:
    tasks = [Release(folder).task(f"digits-k{k}-v1") for k in (5, 0)]
    blind = candidate(MeanCurve, uses_curve=False, stochastic=False)
    shared = evaluate_shared(blind, tasks, release=Release(folder))
    assert [result.observed for result, _ in shared] == [5, 0]
    for task, (result, table) in zip(tasks, shared, strict=True):
        alone, own = evaluate(blind, task, release=Release(folder))
        assert result.scores == alone.scores
        assert table is not None
        assert table.equals(own)
    assert shared[0][0].seconds == shared[1][0].seconds


def test_tasks_with_other_rows_do_not_share_a_fit(task: Task, folder: Path) -> None:
    blind = candidate(MeanCurve, uses_curve=False)
    with pytest.raises(AssertionError, match=r"^tasks of one fit must have the same rows(\n|$)"):
        evaluate_shared(
            blind, [task, changed_task(task, rows_digest="0" * 64)], release=Release(folder)
        )
    with pytest.raises(AssertionError, match=r"^a user of curves must be fitted on each(\n|$)"):
        evaluate_shared(candidate(MeanCurve), [task, task], release=Release(folder))


def test_a_prediction_of_the_last_epoch_alone_is_kept() -> None:
    prediction = Prediction(last(0.5), (20,), last(0.1))
    assert np.array_equal(drop_observed(prediction, 19).mean, prediction.mean)


def test_each_population_has_its_own_ceiling(folder: Path, tmp_path: Path) -> None:
    groups = repeated_networks("digits", release=Release(folder))
    assert {len(n.finals) for group in groups.values() for of in group.values() for n in of} <= {
        2,
        3,
    }
    (path,) = write_ceilings(["digits"], tmp_path, Release(folder))
    found = read_ceiling(path)
    held_out = [stratum for stratum in groups if stratum.startswith("skeleton/")]
    assert found.networks["heldout"] == sum(found.networks[stratum] for stratum in held_out)
    # Repeated networks of train count for test, those of held-out skeletons do not
    assert found.networks["test"] == 2 * 2 * REPEATED  # of two seen skeletons
    for stratum, group in groups.items():
        samples = ceiling_samples(*group.values())
        assert found.scores[stratum]["tau"] == score_of(samples["tau"])
    taus = [found.scores[stratum]["tau"].value for stratum in held_out]
    known = [tau for tau in taus if tau is not None]
    assert found.scores["heldout"]["tau"].value == pytest.approx(np.mean(known))
    finals = [network.finals for network in groups["test"][""]]
    assert any(np.allclose(runs, 0.1) for runs in finals)  # one diverged


def test_a_ceiling_that_differs_only_by_rounding_is_kept(folder: Path, tmp_path: Path) -> None:
    (path,) = write_ceilings(["digits"], tmp_path, Release(folder))
    built = read_ceiling(path)
    score = built.scores["test"]["r2"]
    assert score.value is not None
    for change, stays in ((1e-12, True), (1e-6, False)):
        other = replace(score, value=score.value - change)
        scores = {**built.scores, "test": {**built.scores["test"], "r2": other}}
        write_ceiling(tmp_path, replace(built, scores=scores))
        before = path.read_bytes()
        assert write_ceilings(["digits"], tmp_path, Release(folder)) == [path]
        assert (path.read_bytes() == before) is stays
    assert read_ceiling(path) == built
    fewer = replace(
        built,
        networks={"test": 1},
        scores={"test": built.scores["test"]},
        scores_valid_loss={"test": built.scores_valid_loss["test"]},
    )
    write_ceiling(tmp_path, fewer)
    write_ceilings(["digits"], tmp_path, Release(folder))  # more networks are repeated now
    assert read_ceiling(path) == built


def test_an_image_set_without_repeated_runs_has_no_ceiling(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.results.ceiling.repeated_networks", lambda *arguments: {})
    assert build_ceiling("digits", Release(folder)) is None
    assert write_ceilings(["digits"], tmp_path, Release(folder)) == []
    assert list(tmp_path.iterdir()) == []


class Percent(Noisy):
    """Predicts accuracies in percent."""

    def predict(self, queries: Queries) -> Prediction:
        found = super().predict(queries)
        return replace(found, mean=100 * found.mean)


def test_accuracies_in_percent_are_refused(task: Task, folder: Path) -> None:
    result, _ = evaluate(candidate(Percent), task, release=Release(folder))
    assert re.fullmatch(
        r"ValueError: mean must be fractions, not percent; half of it is above \d+.*",
        result.failure or "",
    )
