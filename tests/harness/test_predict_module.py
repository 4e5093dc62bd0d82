"""`peephole predict`: a user's network, from its file to its predicted curve."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmark.publish.freeze import write_task
from benchmark.release import Release, load_runs
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, parameters, walk
from harness.features.observed import network_features
from harness.predictors.mixture.predictor import Mixture
from harness.protocol import Prediction, Queries, Runs
from harness.running.find_predictor import find
from harness.studies.find_network import find_network
from harness.studies.out_of_range import FEATURES
from harness.studies.predict_module import check_released, interval_factors, predict_network
from harness.studies.predict_module_text import prediction_lines
from harness.studies_cli import predict
from harness.task_data import load_task_data
from harness.tracing.advice import refused
from harness.tracing.trace import trace_module
from peephole_command import Root
from tests.toys.data import changed_task, toy_release
from tests.toys.plain_networks import PlainNetwork, SmallResNet, layer_rows

ROOT = Root("peephole", commands={"predict": predict})
OWN = """
import sys

from torch import nn

from tests.toys.plain_networks import SmallResNet as Net

made = Net()
number = 3
print("imported")


def function():
    return Net(1)


class Wide(Net):
    def __init__(self, width):
        super().__init__()


def nothing():
    return None


def fails():
    sys.exit("no GPU")


class Grouped(Net):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, groups=1, dilation=2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"), (0, 1))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "my_net.py"
    path.write_text(OWN)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(ROOT, [str(a) for a in arguments], prog_name="peephole")


def released_rows(folder: Path, split: str) -> tuple[LayerRow, ...]:
    record = load_runs("digits", split, release=Release(folder))["architecture"][0].as_py()
    return walk(from_record(record), get_images("digits"))


@pytest.mark.parametrize("split", ["train", "test", "heldout"])
def test_a_traced_network_is_predicted_as_its_walk_is(folder: Path, split: str) -> None:
    candidate = replace(find("arc"), make=lambda: Mixture(trees=5, rounds=5))
    rows = released_rows(folder, split)
    traced = layer_rows(PlainNetwork(rows), get_images("digits"))
    known = predict_network(rows, "digits", candidate, release=Release(folder))
    assert predict_network(traced, "digits", candidate, release=Release(folder)) == known
    assert known.low is not None
    other = layer_rows(SmallResNet(), get_images("digits"))
    assert predict_network(other, "digits", candidate, release=Release(folder)).mean != known.mean
    if split == "train":
        assert (known.outside, known.unseen) == ((), ())


def test_the_curve_its_interval_and_its_rank_are_the_predictors(folder: Path) -> None:
    """Compared with the predictor used directly, and with shares counted by hand."""
    rows = released_rows(folder, "train")
    prediction = predict_network(
        rows, "digits", find("empirical-gaussian"), release=Release(folder)
    )
    parts = load_task_data(Release(folder).task("digits-k0-v1"), Release(folder))
    curves = parts.train.series.valid_accuracy
    assert prediction.mean == pytest.approx(curves.mean(axis=0), abs=0.05)
    assert prediction.low is not None
    assert prediction.high is not None
    middle = (np.array(prediction.low) + np.array(prediction.high)) / 2
    inside = (np.array(prediction.low) > 0) & (np.array(prediction.high) < 1)
    assert inside.any()
    assert middle[inside] == pytest.approx(np.array(prediction.mean)[inside])
    targets = parts.targets.valid_accuracy
    test = np.array([split == "test" for split in targets.splits])
    true = targets.curves[test, -1]
    assert prediction.above_true == pytest.approx((true < prediction.mean[-1]).mean())
    assert prediction.above_predicted == 0.5  # it predicts the same for every network
    assert (prediction.compared, prediction.fitted) == (test.sum(), len(parts.train))


def test_an_interval_of_the_last_epoch_alone_covers_its_errors(folder: Path) -> None:
    """The interval is symmetric, and one of ten test networks lies outside of theirs."""
    release = Release(folder)
    candidate = replace(find("mean-curve"), make=LastEpoch)
    found = predict_network(released_rows(folder, "train"), "digits", candidate, release=release)
    true = load_task_data(release.task("digits-k0-v1"), release).targets.valid_accuracy.curves
    (factor,) = interval_factors(
        np.full((len(true), 1), 0.5), np.ones((len(true), 1)), true[:, -1:]
    )
    assert (found.epochs, found.mean) == ((20,), (0.5,))
    assert found.high == pytest.approx((min(1, 0.5 + factor),))


class LastEpoch:
    """Predicts one half for the last epoch of all networks."""

    def fit(self, train: Runs, validation: Runs, *, observed: int, seed: int) -> None:
        """Learn nothing."""

    def predict(self, queries: Queries) -> Prediction:
        shape = (len(queries), 1)
        return Prediction(np.full(shape, 0.5), (queries.recipe.epochs,), np.ones(shape))


def test_a_predictor_without_a_spread_gets_no_interval(folder: Path) -> None:
    trace = trace_module(SmallResNet(), get_images("digits"))
    prediction = predict_network(trace.rows, "digits", find("macs"), release=Release(folder))
    assert (prediction.low, prediction.high, prediction.same) == (None, None, False)
    near = predict_network(
        released_rows(folder, "train"), "digits", find("macs"), release=Release(folder)
    )
    assert (near.low, near.distance) == (None, 0)
    lines = list(prediction_lines(near, "Net", trace))
    assert "(macs gives no standard deviation, so there are no intervals)" in lines


def test_features_outside_the_training_networks_are_listed_farthest_first(folder: Path) -> None:
    rows = layer_rows(SmallResNet(), get_images("digits"))
    prediction = predict_network(rows, "digits", find("mean-curve"), release=Release(folder))
    parts = load_task_data(Release(folder).task("digits-k0-v1"), Release(folder))
    known = network_features(parts.train)
    assert known.shape[1] == len(FEATURES)
    found = {o.feature: o for o in prediction.outside}
    pools = found["max_pool_layers"]
    column = known[:, FEATURES.index("max_pool_layers")]
    assert (pools.value, pools.low, pools.high) == (0, column.min(), column.max())
    distances = [o.distance for o in prediction.outside]
    assert distances == sorted(distances, reverse=True)
    assert min(distances) > 0
    assert prediction.unseen == (
        "add", "conv of stride 2", "conv of stride 2 of a shortcut", "bn of a shortcut",
    )  # fmt: skip


def test_predict_prints_a_line_for_each_epoch_within_80_columns(own: Path, folder: Path) -> None:
    result = run("predict", f"{own}:Net", "--predictor", "mean-curve", "--folder", folder)
    assert result.exit_code == 0, result.output
    assert result.stderr == "imported\nfitting mean-curve on the training networks of digits\n"
    lines = result.stdout.splitlines()
    assert lines[1] == "5,130 parameters, 135,840 multiply-accumulates, 21 layers"
    assert lines[2] == (
        "the predictor counts 5,194 parameters: +64 biases, which every layer row has"
    )
    assert "(mean-curve predicts the same for every network before training)" in lines
    epochs = [line for line in lines if re.match(r" {3,4}\d+  +0\.\d{3} {20}", line)]
    assert [int(line.split()[0]) for line in epochs] == list(range(1, 21))
    assert all("●" in line and "─" not in line for line in epochs)
    assert any(line.startswith("(no intervals: the network is too far from") for line in lines)
    assert max(map(len, lines[1:])) <= 80
    assert any(line.startswith("extrapolation: the network is outside ") for line in lines)


def test_intervals_of_a_near_network_are_drawn(folder: Path) -> None:
    rows = released_rows(folder, "train")
    prediction = predict_network(rows, "digits", find("mean-curve"), release=Release(folder))
    trace = trace_module(PlainNetwork(rows), get_images("digits"))
    lines = list(prediction_lines(prediction, "Near", trace))
    epochs = [line for line in lines if re.match(r" {3,4}\d+  +0\.\d{3}  0\.\d{3} to ", line)]
    assert [int(line.split()[0]) for line in epochs] == list(range(1, 21))
    assert all("●" in line and "─" in line for line in epochs)
    assert "(90 % intervals cover 90 % of the 24 released test and held-out networks)" in lines


def test_predict_writes_one_object(own: Path, folder: Path) -> None:
    arguments = ("predict", f"{own}:made", "--predictor", "macs", "--folder", folder, "--json")
    record = json.loads(run(*arguments).stdout)
    assert record["network"] == f"{own}:made"
    assert (record["module_parameters"], record["parameters"]) == (5130, 5194)
    assert record["notes"] == []
    assert len(record["mean"]) == len(record["epochs"]) == 20
    assert record["outside"][0].keys() == {"feature", "value", "low", "high"}


def test_layers_are_shown_for_images_without_data(own: Path) -> None:
    lines = run("predict", f"{own}:Net", "--images", "mnist", "--layers").stdout.splitlines()
    assert lines[0].split() == ["row", "layer", "kernel", "channels", "pixels", "role", "reads"]
    assert lines[9].split() == ["8", "add", "8", "->", "8", "28", "->", "28", "add", "7,", "2"]
    assert lines[11].split()[:3] == ["10", "conv", "3x3/2"]
    assert len(lines) == 22
    text = run("predict", f"{own}:Net", "--images", "mnist", "--layers", "--json").stdout
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["kind"] for row in rows] == [line.split()[1] for line in lines[1:]]


@pytest.mark.parametrize("name", ["Net", "made", "function"])
def test_a_class_a_module_and_a_function_are_networks(own: Path, name: str) -> None:
    rows = layer_rows(find_network(f"{own}:{name}"), get_images("digits"))
    assert parameters(rows) == 5194


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("my_net", "network 'my_net' must be path/to/file.py:Class or package.module:Class"),
        (
            "{own}:Nett",
            "network '{own}:Nett': unknown class 'Nett'; did you mean 'Net'? Known: Net, "
            "made, function, Wide, nothing, fails, Grouped",
        ),
        ("{own}:number", "network '{own}:number' must be a torch module, not 3"),
        ("{own}:nothing", "network '{own}:nothing' must return a torch module, not None"),
        (
            "{own}:Wide",
            "network '{own}:Wide' needs the arguments 'width'; name a function without arguments "
            "that returns it",
        ),
        (
            "{own}:fails",
            "network '{own}:fails' cannot be made: SystemExit: no GPU (my_net.py:27 in fails)",
        ),
        (
            "{own}",
            "network '{own}' must be {own}:Class; networks there: {own}:Net, {own}:made, "
            "{own}:function, {own}:Wide, {own}:nothing, {own}:fails, {own}:Grouped",
        ),
        ("no_such.py:Net", "no file 'no_such.py' for the network 'no_such.py:Net'"),
        (
            "no_such_module:Net",
            "network 'no_such_module:Net' cannot be imported: ModuleNotFoundError: No "
            "module named 'no_such_module'",
        ),
        (
            "{own}:Grouped",
            "'conv1' (Conv2d) "
            + refused("has dilation=(2, 2); only dilation=(1, 1) is supported", "conv2d"),
        ),
    ],
)
def test_what_is_not_a_network_is_one_line_of_error(own: Path, network: str, message: str) -> None:
    result = run("predict", network.format(own=own), "--images", "digits")
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr.removeprefix("imported\n") == f"peephole: error: {message.format(own=own)}\n"
    )


def test_images_without_data_are_named_with_what_there_is(own: Path, folder: Path) -> None:
    message = (
        f"the data in {str(folder)!r} has no task of 'mnist' yet, so no predictor can be fitted; "
        "it has tasks of digits; --layers needs no data"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        check_released("mnist", Release(folder))
    result = run("predict", f"{own}:Net", "--images", "mnist", "--folder", folder)
    assert (result.exit_code, result.stderr) == (2, f"peephole: error: {message}\n")
    result = run("predict", f"{own}:Net", "--images", "cifar", "--folder", folder)
    assert result.stderr.startswith("peephole: error: unknown images 'cifar'; did you mean 'cifar1")


def test_predictors_that_read_proxies_say_so_before_anything(own: Path, folder: Path) -> None:
    result = run("predict", f"{own}:Net", "--predictor", "synflow", "--folder", folder)
    assert (result.exit_code, result.stderr) == (
        2,
        "peephole: error: predictor 'synflow' reads zero-cost proxies, which are known for "
        "released networks alone; take one that reads layers, such as arc, gru or "
        "nearest-neighbours\n",
    )


def test_the_latest_task_is_the_one_of_the_highest_version(folder: Path, tmp_path: Path) -> None:
    task = Release(folder).task("digits-k0-v1")
    for version in (3, 10):
        write_task(changed_task(task, name=f"digits-k0-v{version}"), Release(tmp_path))
    assert Release(tmp_path).latest_task("digits", 0).name == "digits-k0-v10"
    message = (
        "this release has no data of 'mnist' with 0 epochs observed; its tasks: digits-k0-v10, "
        "digits-k0-v3"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Release(tmp_path).latest_task("mnist", 0)
