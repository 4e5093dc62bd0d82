"""Resamples, candidate sets and percentile intervals."""

import numpy as np
import pytest

from harness.metrics.bootstrap import candidate_sets, interval, resample_counts


def test_candidate_sets_are_random_halves_or_hundreds_that_depend_on_ids_alone() -> None:
    few = candidate_sets([str(i) for i in range(60)])
    assert few.shape == (1000, 30)
    assert all(len(set(rows)) == 30 for rows in few.tolist())
    assert np.bincount(few.ravel()) / 1000 == pytest.approx(np.full(60, 0.5), abs=0.08)
    many = candidate_sets([str(i) for i in range(480)], sets=20)
    assert many.shape == (20, 100)
    turned = candidate_sets([str(i) for i in range(479, -1, -1)], sets=20)
    assert np.array_equal(np.sort(479 - turned, axis=1), many)


def test_a_candidate_set_holds_all_rows_of_an_architecture() -> None:
    rows = candidate_sets(["a", "b", "a"], sets=40)
    assert {tuple(row) for row in rows.tolist()} == {(0, 2), (1, -1)}


def test_resamples_draw_architectures_and_depend_only_on_their_ids() -> None:
    counts = resample_counts(["b", "a", "b", "c"], resamples=50)
    assert np.array_equal(counts[:, 0], counts[:, 2])
    assert np.all(counts[:, [0, 1, 3]].sum(axis=1) == 3)
    assert np.array_equal(resample_counts(["c", "a", "b"], resamples=50), counts[:, [3, 1, 0]])
    assert not np.array_equal(resample_counts(["c", "a", "d"], resamples=50), counts[:, [3, 1, 0]])


def test_resamples_are_multinomial() -> None:
    counts = resample_counts([str(index) for index in range(100)])
    assert counts.shape == (1000, 100)
    # Binomial(100, 1/100): mean 1, variance .99, none drawn .366; 100,000 counts
    assert counts.mean() == 1.0
    assert counts.var() == pytest.approx(0.99, abs=0.02)
    assert np.mean(counts == 0) == pytest.approx(0.366, abs=0.005)


def test_an_interval_leaves_out_undefined_resamples_up_to_half() -> None:
    samples = np.append(np.linspace(0, 1, 101), np.full(101, np.nan))
    assert interval(samples) == pytest.approx((0.025, 0.975))
    assert interval(np.append(samples, np.nan)) is None
    assert interval(np.array([])) is None
