import copy
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from benchmark.proxies import PROXIES
from harness.features.architecture import ARCHITECTURE_FEATURES, ulc
from harness.predictors.baselines import LastPlusGain, LastValue, MeanCurve
from harness.predictors.bnn.predictor import Bnn
from harness.predictors.bnn.sghmc import Sampling
from harness.predictors.counts import ForestCounts, IsotonicCount
from harness.predictors.encoders.batches import Encoded
from harness.predictors.encoders.graph_encoder import GraphEncoder
from harness.predictors.encoders.graph_ode import LcGode
from harness.predictors.encoders.gru import Gru, GruReader
from harness.predictors.encoders.lstm import LstmReader, Peephole
from harness.predictors.encoders.training import CurveModel, Reader
from harness.predictors.ensemble import Ensemble
from harness.predictors.extrapolation.predictor import Extrapolation
from harness.predictors.gaussian import EmpiricalGaussian
from harness.predictors.mixture.foundation_model import FoundationModel
from harness.predictors.mixture.latent_kronecker import LatentKronecker
from harness.predictors.mixture.predictor import Mixture
from harness.predictors.nearest import NearestNeighbours
from harness.predictors.proxies import IsotonicProxy, ProxyForest
from harness.predictors.registry import PREDICTORS, load
from harness.predictors.svr import NuSvr, curve_features
from harness.predictors.trees import CurveSvd
from harness.protocol import Array, FeaturePredictor, Prediction, Predictor, Queries, Runs, Series
from tests.toys.hidden import hiding
from tests.toys.runs import EPOCHS, toy_runs
from tests.toys.weights import random_weights

QUICK: dict[str, Callable[[], Predictor]] = {
    "mean-curve": MeanCurve,
    "last-value": LastValue,
    "last-plus-gain": LastPlusGain,
    "parameters": lambda: IsotonicCount("parameters"),
    "macs": lambda: IsotonicCount("macs"),
    "forest-counts": lambda: ForestCounts(trees=20),
    "grad-norm": lambda: IsotonicProxy("gradient_norm"),
    "snip": lambda: IsotonicProxy("snip"),
    "synflow": lambda: IsotonicProxy("synflow"),
    "jacov": lambda: IsotonicProxy("jacov"),
    "naswot": lambda: IsotonicProxy("naswot"),
    "proxy-forest": lambda: ProxyForest(trees=20),
    "peephole": lambda: Peephole(training_epochs=2),
    "peephole-curve": lambda: Peephole(every_epoch=True, training_epochs=2),
    "gru": lambda: Gru(training_epochs=2),
    "graph-encoder": lambda: GraphEncoder(training_epochs=2),
    "lc-gode": lambda: LcGode(training_epochs=2),
    "peephole-x5": lambda: Ensemble(lambda: Peephole(training_epochs=2), members=2),
    "peephole-curve-x5": lambda: Ensemble(
        lambda: Peephole(every_epoch=True, training_epochs=2), members=2
    ),
    "gru-x5": lambda: Ensemble(lambda: Gru(training_epochs=2), members=2),
    "nearest-neighbours": NearestNeighbours,
    "extrapolation": lambda: Extrapolation(iterations=20),
    "nu-svr": lambda: NuSvr(candidates=3),
    "empirical-gaussian": EmpiricalGaussian,
    "bnn": lambda: Bnn(sampling=Sampling(burn_in=100, samples=2, apart=10)),
    "feature-trees": lambda: Mixture(members=("trees", "boosted trees"), trees=10, rounds=10),
    "gaussian-process": lambda: Mixture(members=("process",)),
    "ngram-process": lambda: Mixture(members=("process",), features="sequences"),
    "latent-kronecker": LatentKronecker,
    "tabpfn": lambda: FoundationModel("tabpfn", weights=random_weights("tabpfn"), estimators=1),
    "tabicl": lambda: FoundationModel("tabicl", weights=random_weights("tabicl"), estimators=1),
    "curve-svd": lambda: CurveSvd(components=2, rounds=10),
    "arc": lambda: Mixture(trees=10, rounds=10),
}
RUNS = toy_runs(50)
TRAIN, VALIDATION = RUNS.take(np.arange(10, 42)), RUNS.take(np.arange(42, 46))
OTHERS = RUNS.take(np.array([0, 1, 2, 46, 47, 48, 49]))  # the first one diverged
NAMES = pytest.mark.parametrize("name", PREDICTORS)
OBSERVED = pytest.mark.parametrize("observed", [0, 2])


def fitted(name: str, observed: int, train: Runs = TRAIN, seed: int = 0) -> Predictor:
    predictor = QUICK[name]()
    predictor.fit(train, VALIDATION, observed=observed, seed=seed)
    return predictor


def series_bytes(series: Series) -> list[bytes | None]:
    values = [getattr(series, field.name) for field in fields(series)]
    return [None if value is None else value.tobytes() for value in values]


def same(one: Array, other: Array) -> bool:  # numpy 2.0 orders sums by memory address
    return np.allclose(one, other, rtol=0, atol=1e-9)


def check_shape(prediction: Prediction, queries: Queries) -> None:
    later = tuple(range(queries.observed + 1, EPOCHS + 1))
    assert prediction.epochs in (later, (EPOCHS,))
    assert prediction.mean.shape == (len(queries), len(prediction.epochs))
    assert prediction.mean.dtype == np.float64
    assert np.all((prediction.mean >= 0) & (prediction.mean <= 1))
    if prediction.std is not None:
        assert prediction.std.shape == prediction.mean.shape
        assert np.all(np.isfinite(prediction.std) & (prediction.std >= 0))


@NAMES
@OBSERVED
def test_a_predictor_conforms(name: str, observed: int) -> None:
    predictor, queries = fitted(name, observed), OTHERS.observe(observed)
    before = series_bytes(queries.series)
    prediction = predictor.predict(queries)
    check_shape(prediction, queries)
    assert series_bytes(queries.series) == before
    order = np.arange(len(queries))[::-1]
    backwards = predictor.predict(OTHERS.take(order).observe(observed))
    np.testing.assert_allclose(backwards.mean, prediction.mean[order], atol=1e-5)
    single = predictor.predict(OTHERS.take(np.array([0])).observe(observed))
    np.testing.assert_allclose(single.mean, prediction.mean[:1], atol=1e-5)
    again = fitted(name, observed).predict(queries)
    assert same(again.mean, prediction.mean)


@NAMES
def test_fitting_changes_neither_runs_nor_global_random_states(name: str) -> None:
    train, before = copy.deepcopy(TRAIN), series_bytes(TRAIN.series)
    torch_state, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_state = pickle.dumps(np.random.get_state())  # noqa: NPY002
    fitted(name, 2, train).predict(OTHERS.observe(2))
    assert series_bytes(train.series) == before
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads
    assert pickle.dumps(np.random.get_state()) == numpy_state  # noqa: NPY002


@NAMES
def test_the_registry_knows_which_predictors_have_features(name: str) -> None:
    assert isinstance(QUICK[name](), FeaturePredictor) == PREDICTORS[name].has_features


@pytest.mark.parametrize("name", [n for n in PREDICTORS if n != "tabicl"])  # has one view here
def test_the_seed_matters_for_stochastic_predictors_alone(name: str) -> None:
    queries = OTHERS.observe(2)
    first, second = (fitted(name, 2, seed=seed).predict(queries).mean for seed in (0, 1))
    assert same(first, second) == (not PREDICTORS[name].stochastic)


@NAMES
def test_only_predictors_that_use_curves_depend_on_the_observed_epochs(name: str) -> None:
    one, two = (fitted(name, k).predict(OTHERS.observe(k)).mean[:, -1] for k in (1, 2))
    assert same(one, two) == (not PREDICTORS[name].uses_curve)
    if not PREDICTORS[name].uses_curve:  # one fit serves every number of observed epochs
        once = fitted(name, 0).predict(OTHERS.observe(2))
        assert same(once.mean[:, -1], one)
        check_shape(once, OTHERS.observe(2))


@NAMES
def test_a_diverged_training_run_keeps_predictions_finite(name: str) -> None:
    assert np.isnan(RUNS.series.valid_loss[:10]).any()
    check_shape(fitted(name, 3, RUNS).predict(OTHERS.observe(3)), OTHERS.observe(3))


@NAMES
def test_predicting_before_fitting_is_an_error(name: str) -> None:
    message = "`predict` needs a fitted predictor: call `fit` first"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        QUICK[name]().predict(OTHERS.observe(0))


@pytest.mark.parametrize("name", [n for n, entry in PREDICTORS.items() if entry.uses_curve])
def test_another_number_of_observed_epochs_is_an_error(name: str) -> None:
    message = "queries have 3 observed epochs, but the predictor was fitted for 2"
    predictor = fitted(name, 2)
    with pytest.raises(ValueError, match=f"^{message}$"):
        predictor.predict(OTHERS.observe(3))


@NAMES
def test_observing_every_epoch_is_an_error(name: str) -> None:
    message = "`observed` (=20) must be from 0 to 19, one less than the epochs of the recipe"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fitted(name, 20)


@NAMES
def test_a_single_training_run_is_an_error(name: str) -> None:
    message = "`train` must hold at least 2 runs, not 1"
    with pytest.raises(ValueError, match=f"^{message}$"):
        fitted(name, 0, TRAIN.take(np.array([0])))


def test_fewer_runs_than_folds_are_an_error() -> None:
    message = "`train` must hold at least 3 runs, not 2"
    with pytest.raises(ValueError, match=f"^{message}$"):
        fitted("nu-svr", 0, TRAIN.take(np.array([0, 1])))


def test_every_entry_of_the_registry_is_complete() -> None:
    assert list(QUICK) == list(PREDICTORS)
    for name, entry in PREDICTORS.items():
        assert isinstance(load(name), Predictor)
        assert "\n" not in entry.title
        assert entry.title
        assert entry.source
        assert entry.min_observed in (0, 1)
    made = [(entry.target, *entry.options.items()) for entry in PREDICTORS.values()]
    assert len(set(made)) == len(PREDICTORS)


def test_an_unknown_predictor_names_the_nearest() -> None:
    message = "unknown predictor 'peepole'; did you mean 'peephole'? Known: mean-curve, last-value,"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.* curve-svd, arc$"):
        _ = PREDICTORS["peepole"]


def test_reading_the_registry_imports_neither_torch_nor_sklearn() -> None:
    code = (
        "import sys, harness.predictors.registry as r; assert r.PREDICTORS;"
        "assert not {'torch', 'sklearn'} & set(sys.modules); r.load('gru');"
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", ["torch", "sklearn"])
def test_the_registry_says_which_predictors_need_a_package(package: str) -> None:
    code = hiding(package) + (
        "from harness.predictors.registry import PREDICTORS, load\n"
        "for name, entry in PREDICTORS.items():\n"
        "    try: load(entry.options.get('member', name))\n"
        "    except ModuleNotFoundError: print(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    needing = [name for name, entry in PREDICTORS.items() if package in entry.packages]
    assert done.stdout.split() == needing


def test_baselines_by_hand() -> None:
    curves = np.full((3, EPOCHS), 0.5)
    curves[0] = np.linspace(0.05, 1.0, EPOCHS)
    three = TRAIN.take(np.arange(3))
    train = replace(three, series=replace(three.series, valid_accuracy=curves))
    queries = train.observe(2)
    mean = fitted("mean-curve", 2, train).predict(queries)
    assert mean.mean[:, -1] == pytest.approx([2 / 3] * 3)
    assert mean.std is not None
    assert mean.std[0, -1] == pytest.approx(np.std([1, 0.5, 0.5]))
    last = fitted("last-value", 2, train).predict(queries)
    assert last.mean[:, -1] == pytest.approx([0.1, 0.5, 0.5])
    gain = fitted("last-plus-gain", 2, train).predict(queries)
    assert gain.mean[:, -1] == pytest.approx([0.1 + 0.3, 0.5 + 0.3, 0.5 + 0.3])


@pytest.mark.parametrize("name", ["last-value", "last-plus-gain", "extrapolation"])
def test_with_nothing_observed_the_mean_curve_is_predicted(name: str) -> None:
    expected = TRAIN.series.valid_accuracy.mean(axis=0)
    prediction = fitted(name, 0).predict(OTHERS.observe(0))
    np.testing.assert_allclose(prediction.mean, np.broadcast_to(expected, prediction.mean.shape))


@pytest.mark.parametrize("name", [n for n, entry in PREDICTORS.items() if entry.needs_proxies])
def test_without_proxies_the_command_that_computes_them_is_named(name: str) -> None:
    message = (
        "there are no zero-cost proxies of these networks on 'digits'; `peephole generate proxies "
        "--images digits` computes those of a release"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fitted(name, 0, replace(TRAIN, proxies=None))
    predictor = fitted(name, 0)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predictor.predict(replace(OTHERS, proxies=None).observe(0))


@pytest.mark.parametrize("name", [n for n, entry in PREDICTORS.items() if not entry.needs_proxies])
def test_other_predictors_need_no_proxies(name: str) -> None:
    queries = replace(OTHERS, proxies=None).observe(0)
    check_shape(fitted(name, 0, replace(TRAIN, proxies=None)).predict(queries), queries)


def test_an_unknown_proxy_names_the_nearest() -> None:
    message = f"unknown proxy 'synflo'; did you mean 'synflow'? Known: {', '.join(PROXIES)}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        IsotonicProxy("synflo")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("proxy", PROXIES)
def test_each_proxy_is_fitted_in_both_directions(proxy: str, sign: int) -> None:
    assert TRAIN.proxies is not None
    values = TRAIN.proxies[:, PROXIES.index(proxy)]
    curves = 0.5 + sign * 0.4 * (values[:, None] - values.min()) / np.ptp(values) * np.ones(EPOCHS)
    train = replace(TRAIN, series=replace(TRAIN.series, valid_accuracy=curves))
    predictor = IsotonicProxy(proxy)
    predictor.fit(train, VALIDATION, observed=0, seed=0)
    np.testing.assert_allclose(predictor.predict(train.observe(0)).mean, curves)


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_forest_uses_every_proxy(proxy: str) -> None:
    rng = np.random.default_rng(0)
    runs = toy_runs(200, skeleton="shallow-3x1")
    values = rng.normal(size=(200, len(PROXIES)))
    curves = np.repeat(0.5 + 0.1 * np.tanh(values[:, [PROXIES.index(proxy)]]), EPOCHS, axis=1)
    runs = replace(runs, proxies=values, series=replace(runs.series, valid_accuracy=curves))
    forest = ProxyForest(trees=30)
    forest.fit(runs.take(np.arange(150)), runs, observed=0, seed=0)
    prediction = forest.predict(runs.take(np.arange(150, 200)).observe(0)).mean[:, -1]
    assert np.corrcoef(prediction, curves[150:, -1])[0, 1] > 0.8


@pytest.mark.parametrize("sign", [1, -1])
def test_counts_are_fitted_in_both_directions(sign: int) -> None:
    size = np.array([sum(row.macs for row in rows) for rows in TRAIN.layer_rows])
    curves = 0.5 + sign * 0.4 * (size[:, None] - size.min()) / np.ptp(size) * np.ones(EPOCHS)
    train = replace(TRAIN, series=replace(TRAIN.series, valid_accuracy=curves))
    mean = fitted("macs", 0, train).predict(train.observe(0)).mean
    np.testing.assert_allclose(mean, curves)


@pytest.mark.parametrize(("observed", "columns"), [(0, 0), (1, 1), (2, 3), (3, 6), (5, 12)])
def test_svr_features_add_the_curve_and_its_differences(observed: int, columns: int) -> None:
    width = len(ARCHITECTURE_FEATURES) + columns
    assert curve_features(OTHERS.observe(observed)).shape == (len(OTHERS), width)


@pytest.mark.parametrize("build", [(LstmReader, 160), (GruReader, GruReader.width)])
def test_padding_changes_no_prediction(build: tuple[Callable[[float], Reader], int]) -> None:
    encoded = Encoded(OTHERS.layer_rows)
    scaling = encoded.scaling()
    assert len(set(encoded.lengths.tolist())) > 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = CurveModel(build[0](0.0), build[1], EPOCHS, 0.0).eval()
    epochs = torch.arange(EPOCHS)
    together = model(encoded.batch(np.arange(len(encoded)), scaling), epochs)
    alone = [model(encoded.batch(np.array([i]), scaling), epochs) for i in range(len(encoded))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    assert together.std() > 1e-3


@pytest.mark.parametrize("networks", [2, 32, 33, 65])
def test_no_batch_holds_a_single_network(networks: int) -> None:
    encoded = Encoded(toy_runs(networks).layer_rows)
    batches = encoded.batches(32, np.random.default_rng(0))
    assert min(len(batch) for batch in batches) >= 2
    assert max(len(batch) for batch in batches) <= 32
    assert sorted(np.concatenate(batches).tolist()) == list(range(networks))


def test_peephole_trains_on_a_batch_size_plus_one_runs() -> None:
    train = toy_runs(33)
    check_shape(fitted("peephole", 0, train).predict(OTHERS.observe(0)), OTHERS.observe(0))


@pytest.mark.parametrize("skeleton", ["deep-3x3", "strided-3x2", "residual-3x2"])
@pytest.mark.parametrize("name", ["peephole", "gru", "graph-encoder", "nu-svr", "forest-counts"])
def test_held_out_skeletons_are_predicted(name: str, skeleton: str) -> None:
    queries = toy_runs(3, skeleton=skeleton).observe(0)
    check_shape(fitted(name, 0).predict(queries), queries)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Peephole(training_epochs=60),
        lambda: Gru(training_epochs=20),
        lambda: GraphEncoder(training_epochs=40),
    ],
)
def test_predictors_that_read_layers_learn_from_them(build: Callable[[], Predictor]) -> None:
    runs = toy_runs(48, skeleton="shallow-3x1")
    normalised = [np.mean(ulc(rows)[:, 0] == 7) for rows in runs.layer_rows]
    curves = np.repeat(0.3 + 2 * np.array(normalised)[:, None], EPOCHS, axis=1)
    runs = replace(runs, series=replace(runs.series, valid_accuracy=curves))
    predictor = build()
    predictor.fit(runs, runs, observed=0, seed=0)
    mean = predictor.predict(runs.observe(0)).mean[:, -1]
    assert np.corrcoef(mean, curves[:, -1])[0, 1] > 0.9


def test_an_ensemble_predicts_the_mean_of_its_members() -> None:
    queries = OTHERS.observe(0)
    alone = [fitted("bnn", 0, seed=seed).predict(queries) for seed in (0, 1)]
    both = Ensemble(QUICK["bnn"], members=2)
    with pytest.raises(ValueError, match=r"^`predict` needs a fitted predictor"):
        both.predict(queries)
    both.fit(TRAIN, VALIDATION, observed=0, seed=7)
    found = both.predict(queries)
    assert found.mean == pytest.approx((alone[0].mean + alone[1].mean) / 2, abs=1e-12)
    stds = [prediction.std for prediction in alone if prediction.std is not None]
    assert found.std == pytest.approx(np.mean(stds, axis=0), abs=1e-12)
