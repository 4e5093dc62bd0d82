"""TabPFN and TabICL: what is asked of their packages, real ones with random weights, messages.

Real weights are not here, so nothing is said about how well the models predict.
"""

import re
import socket
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.linear_model import Ridge

from benchmark.extras import how_to_install
from harness.predictors.mixture.foundation_model import FoundationModel
from harness.predictors.registry import PREDICTORS, find_weights
from harness.protocol import Array
from harness.running.trials import applicable
from peephole_command import peephole
from tests.toys.runs import toy_runs
from tests.toys.weights import random_weights

RUNS = toy_runs(40)
TRAIN, OTHERS = RUNS.take(np.arange(32)), RUNS.take(np.arange(32, 40))
VARIABLES = {"tabpfn": "PEEPHOLE_TABPFN_WEIGHTS", "tabicl": "PEEPHOLE_TABICL_WEIGHTS"}
SOURCES = {
    "tabpfn": "for example tabpfn-v2-regressor.ckpt of the project TabPFN (priorlabs.ai; Apache "
    "2.0 with attribution)",
    "tabicl": "for example tabicl-regressor-v2-20260212.ckpt of the project TabICL "
    "(tabicl.readthedocs.io; BSD 3-Clause)",
}
ARGUMENTS: dict[str, dict[str, object]] = {
    "tabpfn": {"inference_precision": torch.float32, "ignore_pretraining_limits": True},
    "tabicl": {"allow_auto_download": False, "use_amp": False, "use_fa3": False},
}
CLASSES = {"tabpfn": "TabPFNRegressor", "tabicl": "TabICLRegressor"}
NAMES = pytest.mark.parametrize("name", VARIABLES)


class StandIn:
    """A linear regression in place of both models; it draws from torch, as TabICL does."""

    made: list[dict[str, object]]

    def __init__(self, **arguments: object) -> None:
        self.made.append(arguments)

    def fit(self, features: Array, target: Array) -> Ridge:
        torch.rand(3)
        return Ridge(alpha=float(features.shape[1])).fit(features, target)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Return what the regressors were made with, in place of both packages."""
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    StandIn.made = []
    for name, regressor in CLASSES.items():
        module: Any = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        setattr(module, regressor, StandIn)
        monkeypatch.setitem(sys.modules, name, module)
    return StandIn.made


def saved(path: Path) -> Path:
    torch.save({}, path)
    return path


def final(model: FoundationModel, seed: int = 0, observed: int = 2) -> Array:
    model.fit(TRAIN, TRAIN, observed=observed, seed=seed)
    return model.predict(OTHERS.observe(observed)).mean[:, -1]


@NAMES
def test_a_model_is_made_with_the_file_and_without_any_download(
    name: str, made: list[dict[str, object]], tmp_path: Path
) -> None:
    path = saved(tmp_path / "weights.ckpt")
    state = torch.get_rng_state()
    predicted = final(FoundationModel(name, weights=str(path), estimators=3), seed=7)
    expected = {"model_path": path, "n_estimators": 3, "random_state": 7, **ARGUMENTS[name]}
    assert made == [expected] * 24  # four components, of five folds and of all networks
    assert np.corrcoef(predicted, OTHERS.final_accuracy)[0, 1] > 0.5
    assert torch.equal(torch.get_rng_state(), state)


@NAMES
def test_the_variable_names_the_file_unless_a_path_is_given(
    name: str, made: list[dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = saved(tmp_path / "first.ckpt"), tmp_path / "second.safetensors"
    second.touch()
    monkeypatch.setenv(VARIABLES[name], str(first))
    assert find_weights(name) == first
    assert find_weights(name, second) == second
    final(FoundationModel(name))
    assert {arguments["model_path"] for arguments in made} == {first}


@NAMES
@pytest.mark.parametrize("words", [("evaluate", "--task", "digits-k0-v3"), ("check",)])
def test_missing_weights_are_named_before_anything_is_done(
    name: str,
    words: tuple[str, ...],
    made: list[dict[str, object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    variable, source = VARIABLES[name], SOURCES[name]
    command, *options = words
    unset = CliRunner().invoke(peephole, [command, name, *options])
    assert (unset.exit_code, unset.stdout, unset.stderr) == (
        2,
        "",
        f"peephole: error: predictor {name!r} needs pretrained weights, which are never fetched: "
        f"set {variable} to the absolute path of their file, {source}\n",
    )
    monkeypatch.setenv(variable, "no.ckpt")
    missing = CliRunner().invoke(peephole, [command, name, *options])
    assert (missing.exit_code, missing.stdout, missing.stderr) == (
        2,
        "",
        f"peephole: error: {variable} (='no.ckpt') must be the absolute path of a file that torch "
        f"or safetensors saved, {source}\n",
    )
    assert (made, list(tmp_path.iterdir())) == ([], [])


@NAMES
def test_missing_weights_stop_a_fit(
    name: str, made: list[dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=f"^predictor '{name}' needs pretrained weights, "):
        final(FoundationModel(name))
    page = tmp_path / "page.ckpt"  # what a browser may save in place of the weights
    page.write_text("<html>Please accept the licence</html>")
    missing, relative = tmp_path / "no.safetensors", saved(tmp_path / "here.ckpt").name
    monkeypatch.chdir(tmp_path)
    rule = f"must be the absolute path of a file that torch or safetensors saved, {SOURCES[name]}"
    for path in map(str, (missing, relative, tmp_path, page)):
        message = f"`weights` (={path!r}) {rule}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            final(FoundationModel(name, weights=path))
    assert made == []


@NAMES
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delenv(VARIABLES[name], raising=False)
    result = CliRunner().invoke(peephole, ["evaluate", name, "--task", "digits-k0-v3"])
    message = f"predictor {name!r} needs {name} of the extra `tabular`; install it with: "
    expected = f"peephole: error: {message}{how_to_install('tabular')}\n"
    assert (result.exit_code, result.stderr) == (2, expected)


def test_an_unknown_model_names_the_nearest() -> None:
    message = "unknown foundation model 'tabpfm'; did you mean 'tabpfn'? Known: tabpfn, tabicl"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FoundationModel("tabpfm")


@NAMES
def test_all_runs_a_model_only_if_its_weights_are_named(
    name: str, made: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [key for key, entry in PREDICTORS.items() if entry.weights is None]
    assert applicable(tuple(PREDICTORS), has_proxies=True) == others
    monkeypatch.setenv(VARIABLES[name], "no.ckpt")
    assert set(applicable(tuple(PREDICTORS), has_proxies=True)) - set(others) == {name}


@NAMES
def test_a_real_model_reads_its_weights_and_connects_to_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = random_weights(name), random_weights(name, 0)

    tried: list[object] = []

    def refuse(*given: object, **_: object) -> None:
        tried.append(given)  # an error alone might be caught by what tries
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    one, again, other = (
        final(FoundationModel(name, weights=path, estimators=1)) for path in (first, first, second)
    )
    assert tried == []
    assert np.array_equal(one, again)
    assert np.ptp(one) > 0
    assert abs(one - other).max() > 1e-6
