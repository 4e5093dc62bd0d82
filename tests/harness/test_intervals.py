"""What the intervals of `peephole predict` cover: released networks, and networks unlike them.

Many networks of `tests/odd_networks.json` do not learn, which no predictor that has seen only
released networks can know.
"""

import json
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from benchmark.release import INSTALLED
from benchmark.space.layer_walk import LayerRow
from harness.features.observed import network_features
from harness.protocol import Array
from harness.running.find_predictor import find
from harness.running.fit_predict import fit_predict
from harness.studies.out_of_range import FAR, OutOfRange, distance_to_training, find_extrapolation
from harness.studies.predict_module import INTERVAL, interval_factors
from harness.task_data import load_task_data

ODD = Path(__file__).parents[1] / "odd_networks.json"


def test_a_factor_is_the_quantile_of_scaled_errors_at_each_epoch() -> None:
    """Nine networks: the ninth of nine errors, as ten are needed for 90 %."""
    true = np.zeros((9, 2))
    mean = np.column_stack([np.arange(1, 10) / 10, -np.arange(9, 0, -1) / 5])
    std = np.column_stack([np.full(9, 0.1), np.full(9, 0.4)])
    assert interval_factors(mean, std, true) == pytest.approx([9, 4.5])
    twenty = np.arange(1, 21)[:, None] / 10
    found = interval_factors(twenty, np.ones((20, 1)), np.zeros((20, 1)))
    assert found == pytest.approx([1.9])  # rank ceil(21 * 0.9) of 20


@pytest.fixture(scope="module")
def found() -> tuple[Array, Array, Array, Array]:
    """Return distances, errors and `std` of odd networks, and released ones' errors in `std`."""
    records = json.loads(ODD.read_text())
    rows = tuple(
        tuple(replace(LayerRow(*row), inputs=tuple(row[-1])) for row in record["rows"])
        for record in records
    )
    data = load_task_data(INSTALLED.latest_task("digits", 0), INSTALLED)
    train = replace(data.train, proxies=None)
    queries = replace(data.queries, proxies=None)
    count = len(queries.ids)
    extended = queries.take([*range(count), *[0] * len(rows)])
    queries = replace(
        extended,
        ids=tuple(map(str, range(len(extended.ids)))),
        architectures=(*queries.architectures, *[None] * len(rows)),
        layer_rows=(*queries.layer_rows, *rows),
    )
    inputs = replace(data, train=train, validation=replace(data.validation, proxies=None),
                     queries=queries)  # fmt: skip
    prediction = fit_predict(find("nearest-neighbours").make, inputs, 0).prediction
    assert prediction.std is not None
    released = data.targets.valid_accuracy.curves
    scaled = np.abs(prediction.mean[:count] - released) / prediction.std[:count]
    known = network_features(train)
    distances = [distance_to_training(*find_extrapolation(r, train, known)) for r in rows]
    final = np.array([record["final"] for record in records])
    errors = np.abs(prediction.mean[count:, -1] - final)
    return np.array(distances), errors, prediction.std[count:, -1], scaled[:, -1]


def test_intervals_hold_near_the_training_networks_and_not_far_from_them(
    found: tuple[Array, Array, Array, Array],
) -> None:
    distance, errors, std, released = found
    normal = NormalDist().inv_cdf((1 + INTERVAL) / 2)
    far = distance > FAR
    covered = errors < normal * std
    assert (far.sum(), covered[far].sum()) == (57, 27)
    assert 0.85 < (released < normal).mean() < INTERVAL  # why intervals are scaled
    factor = np.sort(released)[int(np.ceil((len(released) + 1) * INTERVAL)) - 1]
    assert (released <= factor).mean() == pytest.approx(INTERVAL, abs=0.002)
    assert (errors[~far] < factor * std[~far]).all()


def test_a_distance_adds_what_is_outside() -> None:
    outside = (OutOfRange("a", 3.0, 1.0, 2.0), OutOfRange("b", -90.0, 0.0, 1.0))
    assert distance_to_training(outside, ("dropout",)) == 1 + 1 + 10
