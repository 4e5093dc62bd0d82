"""What predictors make of networks and layers: by hand, and for the test networks of a task."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.release import Release
from benchmark.runs import series
from benchmark.space.layer_walk import macs
from harness.features.architecture import in_ulc
from harness.features.units import SHOWN, study_units, unit_auc
from harness.predictors.encoders.graph_encoder import SUM_SCALE, WIDTH, GraphEncoder
from harness.predictors.encoders.gru import Gru
from harness.predictors.encoders.lstm import Peephole
from harness.predictors.registry import PREDICTORS
from harness.protocol import Array, LearnedFeatures, Prediction, Predictor, Queries, Runs
from harness.running.find_predictor import Candidate, find
from harness.studies.learned_features import (
    agreements_of,
    check_features,
    map_to_plane,
    mean_of_neighbours,
    study_features,
)
from tests.toys.data import toy_release
from tests.toys.runs import toy_runs

RUNS = toy_runs(24).concat(toy_runs(6, skeleton="residual-3x2"))
QUERIES = RUNS.observe(0)
KNOWN = "peephole, peephole-curve, gru, graph-encoder"


class Cost:
    """Predicts from the MACs alone, and records what it is given."""

    def __init__(self) -> None:
        self.fitted: tuple[Runs, Runs] | None = None
        self.asked: list[Queries] = []

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        self.fitted, self.observed, self.seed = (train, validation), observed, seed

    def predict(self, queries: Queries) -> Prediction:
        self.asked.append(queries)
        mean = np.array([[macs(rows) / 1e9] for rows in queries.layer_rows])
        return Prediction(mean, (queries.recipe.epochs,))

    def learned_features(self, queries: Queries) -> LearnedFeatures:
        self.asked.append(queries)
        networks = np.log([[float(macs(rows))] for rows in queries.layer_rows])
        layers = (np.array([[[r.macs, 1.0, r.stride]] for r in w]) for w in queries.layer_rows)
        return LearnedFeatures(networks, tuple(values.astype(np.float64) for values in layers))


def candidate(predictor: Predictor, name: str = "cost") -> Candidate:
    return Candidate(name, "A title.", lambda: predictor)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release"), (0, 1)))


def fitted(make: Callable[..., Predictor]) -> Predictor:
    predictor = make(training_epochs=2)
    predictor.fit(RUNS, RUNS, observed=0, seed=0)
    return predictor


@pytest.fixture(scope="module")
def peephole() -> Peephole:
    return fitted(Peephole)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def encoder() -> GraphEncoder:
    return fitted(GraphEncoder)  # type: ignore[return-value]


def test_the_auc_of_a_unit_by_hand() -> None:
    """Chosen 3 and 2, others 1 and 2: of four pairs, three are in order and one is tied."""
    values = np.array([[3.0, -3.0, 5.0], [2.0, -2.0, 5.0], [1.0, -1.0, 5.0], [2.0, -2.0, 5.0]])
    chosen = np.array([True, True, False, False])
    assert unit_auc(values, chosen).tolist() == [3.5 / 4, 0.5 / 4, 0.5]
    assert unit_auc(values[:, None], chosen).shape == (1, 3)


def test_units_are_ordered_by_their_distance_to_chance_and_leave_out_what_is_not_read() -> None:
    walk = QUERIES.layer_rows[0]
    is_conv = np.array([row.kind == "conv" for row in walk], dtype=np.float64)
    noise = np.arange(len(walk)) % 2.0
    layers = np.stack([noise, -is_conv, 0 * noise], axis=1)[:, None]  # one level
    layers[-1] = np.nan
    found = study_units([layers, layers], [walk, walk], 1)
    assert [(u.level, u.index, u.auc) for u in found.best][:1] == [(0, 1, 0.0)]
    assert len(found.best) == SHOWN
    assert (found.layers, found.convolutions) == (2 * len(walk) - 2, 2 * is_conv.sum())
    assert found.rows == walk[:-1]
    assert np.array_equal(found.values, layers[:-1])


def test_the_mean_of_neighbours_leaves_out_oneself_and_gives_every_feature_the_same_weight() -> (
    None
):
    """Networks 0 and 1, and 2 and 3, are near in the second feature; the first one is large."""
    features = np.array([[0.0, 0.0], [900.0, 0.1], [0.0, 9.0], [900.0, 9.1], [450.0, 4.0]])
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.9])
    assert mean_of_neighbours(features[:, 1:], values, 1).tolist() == [0.2, 0.1, 0.4, 0.3, 0.2]
    scaled = features * [1e-6, 1.0]
    for neighbours in (1, 2, 4):
        one, other = (mean_of_neighbours(f, values, neighbours) for f in (features, scaled))
        np.testing.assert_allclose(one, other)
    np.testing.assert_allclose(mean_of_neighbours(features, values, 4), (1.9 - values) / 4)


def test_agreement_is_high_for_features_that_are_the_accuracy_and_none_for_noise() -> None:
    rng = np.random.default_rng(0)
    accuracy, noise = rng.random(300), rng.random((300, 5))
    features = {"accuracy": accuracy[:, None], "noise": noise}
    others = {by: mean_of_neighbours(f, accuracy, 10) for by, f in features.items()}
    ids = tuple(f"{i:04d}" for i in range(300))
    known, unknown = (found.tau for found in agreements_of(ids, accuracy, others))
    assert None not in (known.value, known.low, unknown.low, unknown.high)
    assert known.value > known.low > 0.9  # type: ignore[operator]
    assert unknown.low < 0 < unknown.high  # type: ignore[operator]


def test_a_map_has_two_coordinates_and_is_the_same_every_time() -> None:
    features = np.random.default_rng(0).normal(size=(12, 5))
    places = map_to_plane(features)
    assert places.shape == (12, 2)
    assert np.array_equal(places, map_to_plane(features))


@pytest.mark.parametrize(
    ("make", "width", "levels", "units"),
    [(Peephole, 160, 2, 160), (Gru, 259, 2, 256), (GraphEncoder, 2 * WIDTH, 3, WIDTH)],
)
def test_features_have_a_row_for_each_network_and_layer(
    make: Callable[..., Predictor], width: int, levels: int, units: int
) -> None:
    predictor = fitted(make)
    before, state = predictor.predict(QUERIES).mean, torch.random.get_rng_state()
    found = predictor.learned_features(QUERIES)  # type: ignore[attr-defined]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(predictor.predict(QUERIES).mean, before)
    assert check_features(found, QUERIES) is found
    assert found.networks.shape == (len(QUERIES), width)
    assert len(np.unique(found.networks, axis=0)) >= 24  # the LSTM sees no shortcuts
    for rows, values in zip(QUERIES.layer_rows, found.layers, strict=True):
        assert values.shape == (len(rows), levels, units)
        read = [make is GraphEncoder or in_ulc(row) for row in rows]
        assert np.isfinite(values).all(axis=(1, 2)).tolist() == read
    assert any(row.role == "shortcut" for rows in QUERIES.layer_rows for row in rows)
    alone = predictor.learned_features(QUERIES.take([3]))  # type: ignore[attr-defined]
    np.testing.assert_allclose(alone.networks[0], found.networks[3], atol=1e-5)
    np.testing.assert_allclose(alone.layers[0], found.layers[3], atol=1e-5)


def test_the_feature_of_peephole_is_its_upper_state_after_the_last_layer(
    peephole: Peephole,
) -> None:
    found = peephole.learned_features(QUERIES)
    last = [values[np.isfinite(values[:, 0, 0])][-1, 1] for values in found.layers]
    np.testing.assert_allclose(found.networks, last, atol=1e-6)


def test_the_upper_level_of_peephole_reads_the_lower_one(peephole: Peephole) -> None:
    values = peephole.learned_features(QUERIES).layers[0]
    read = torch.from_numpy(values[np.isfinite(values[:, 0, 0])]).float()
    state = peephole._state
    assert state is not None
    weights = state[0].reader.lstm.state_dict()  # type: ignore[union-attr]
    upper = nn.LSTM(160, 160, batch_first=True)
    upper.load_state_dict({k.replace("_l1", "_l0"): weights[k] for k in weights if "_l1" in k})
    with torch.no_grad():
        states = upper(read[None, :, 0])[0][0]
    torch.testing.assert_close(states, read[:, 1], atol=1e-5, rtol=0)


def test_the_second_half_of_the_encoders_features_sums_the_last_states(
    encoder: GraphEncoder,
) -> None:
    found = encoder.learned_features(QUERIES)
    sums = [values[:, -1].sum(axis=0) / SUM_SCALE for values in found.layers]
    np.testing.assert_allclose(found.networks[:, WIDTH:], sums, atol=1e-5)


@pytest.mark.parametrize("make", [Peephole, Gru, GraphEncoder])
def test_features_need_a_fit(make: Callable[..., Predictor]) -> None:
    message = "`learned_features` needs a fitted predictor: call `fit` first"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make().learned_features(QUERIES)  # type: ignore[attr-defined]


def test_a_predictor_is_fitted_as_for_evaluate_and_asked_for_the_test_networks_alone(
    release: Release,
) -> None:
    spy, task = Cost(), release.task("digits-k1-v1")
    study = study_features(candidate(spy), task, neighbours=3, seed=7, release=release)
    assert spy.fitted is not None
    sizes = {split: len(rows) for split, rows in task.parts.items()}
    assert [len(runs) for runs in spy.fitted] == [sizes["train"], sizes["validation"]]
    assert (spy.observed, spy.seed, study.seed, study.fitted) == (1, 7, 7, sizes["train"])
    runs = release.runs("digits", "test")
    first = runs.filter(np.array(runs["seed"]) == 0)
    names, curves = first["architecture_id"].to_pylist(), series(first, "valid_accuracy")
    finals = dict(zip(names, curves[:, -1], strict=True))
    assert set(study.architecture_ids) == set(finals)
    assert study.accuracy.tolist() == [finals[name] for name in study.architecture_ids]
    assert set(study.skeletons) == {"peephole-3x2", "wide-3x1"}
    assert [len(queries) for queries in spy.asked] == [sizes["test"]] * 2
    assert {queries.series.valid_accuracy.shape[1] for queries in spy.asked} == {1}


def test_a_study_has_the_agreement_of_each_kind_of_features(release: Release) -> None:
    study = study_features(
        candidate(Cost()), release.task("digits-k0-v1"), neighbours=2, release=release
    )
    assert [found.by for found in study.agreements] == [
        "its features", "47 architecture features", "log parameters, log MACs, depth",
        "random numbers", "its prediction",
    ]  # fmt: skip
    taus = {found.by: found.tau.value for found in study.agreements}
    assert taus["its features"] is not None
    assert taus["its features"] > 0.3  # accuracies of the toy rise with MACs
    assert study.nearby.shape == study.accuracy.shape
    best, _ = study.units.best
    assert (best.index, study.units.auc.shape) == (0, (1, 3))
    assert study.units.auc[0, 1] == 0.5  # a constant
    assert best.auc > 0.9
    np.testing.assert_allclose(study.features.std(axis=0), 1.0)


def test_the_network_that_is_shown_is_a_median_one_or_the_one_that_is_named(
    release: Release,
) -> None:
    task = release.task("digits-k0-v1")
    spy = Cost()
    study = study_features(candidate(spy), task, neighbours=2, release=release)
    lengths = [len(rows) for rows in spy.asked[0].layer_rows]
    assert lengths[study.shown] == np.sort(lengths)[len(lengths) // 2]
    assert study.units.rows == spy.asked[0].layer_rows[study.shown]
    name = study.architecture_ids[5]
    named = study_features(
        candidate(spy), task, neighbours=2, network=name[:12].upper(), release=release
    )
    assert named.shown == 5


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"neighbours": 14}, "`neighbours` (=14) must be in 1..13"),
        ({"network": "zz", "neighbours": 1}, None),
    ],
)
def test_what_the_test_networks_do_not_have_is_refused_before_the_fit(
    release: Release, asked: dict[str, object], message: str | None
) -> None:
    spy, task = Cost(), release.task("digits-k0-v1")
    start = "no test network of digits-k0-v1 is called 'zz'; the nearest is '"
    pattern = re.escape(message) if message else re.escape(start) + "[0-9a-f]{16}'"
    with pytest.raises(ValueError, match=f"^{pattern}$"):
        study_features(candidate(spy), task, release=release, **asked)  # type: ignore[arg-type]
    assert spy.fitted is None


def test_a_predictor_without_features_is_refused_with_those_that_have(release: Release) -> None:
    message = f"predictor 'macs' has no method `learned_features`; predictors that have it: {KNOWN}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        study_features(find("macs"), release.task("digits-k0-v1"), release=release)
    assert [name for name, entry in PREDICTORS.items() if entry.has_features] == KNOWN.split(", ")


class Broken(Cost):
    def __init__(self, change: Callable[[LearnedFeatures], object]) -> None:
        super().__init__()
        self.change = change

    def learned_features(self, queries: Queries) -> LearnedFeatures:
        return self.change(super().learned_features(queries))  # type: ignore[return-value]


def _fail(_: LearnedFeatures) -> Array:
    raise RuntimeError("no luck")


NETWORKS = "`networks` (of shape {}) must be (14, features), and finite"
LAYERS = (
    "`layers` must have, for each network, the shape (layers, levels, units), with the levels and "
    "units of the others"
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.networks, "`learned_features` must return LearnedFeatures, not ndarray"),
        (lambda f: replace(f, networks=f.networks[:3]), NETWORKS.format("(3, 1)")),
        (lambda f: replace(f, networks=f.networks[:, 0]), NETWORKS.format("(14,)")),
        (lambda f: replace(f, networks=f.networks * np.nan), NETWORKS.format("(14, 1)")),
        (lambda f: replace(f, layers=f.layers[1:]), LAYERS),
        (lambda f: replace(f, layers=()), LAYERS),
        (lambda f: replace(f, layers=(f.layers[0][:, :, :1], *f.layers[1:])), LAYERS),
        (lambda f: replace(f, layers=(f.layers[0][1:], *f.layers[1:])), LAYERS),
        (lambda f: replace(f, layers=tuple(v[:, 0] for v in f.layers)), LAYERS),
    ],
)
def test_wrong_features_are_refused(
    release: Release, change: Callable[[LearnedFeatures], object], message: str
) -> None:
    full = re.escape(f"predictor 'cost' failed: ValueError: {message}")
    with pytest.raises(ValueError, match=f"^{full}( \\(.*\\))?$"):
        study_features(
            candidate(Broken(change)), release.task("digits-k0-v1"), neighbours=2, release=release
        )


def test_an_exception_of_ones_own_class_is_one_line(release: Release) -> None:
    message = r"predictor 'cost' failed: RuntimeError: no luck \(test_learned_features.*\)"
    with pytest.raises(ValueError, match=f"^{message}$"):
        study_features(
            candidate(Broken(_fail)), release.task("digits-k0-v1"), neighbours=2, release=release
        )
