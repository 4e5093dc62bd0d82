"""Networks as text and as torch code, compared with the networks that are trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from benchmark.recipes import RECIPES
from benchmark.release import INSTALLED, Release, load_runs
from benchmark.space.architectures import from_record
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, macs, parameters, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from benchmark.space.splits import SPLITS
from generators.checks.reference_loop import Setting, train_textbook
from generators.training.images import load_images
from generators.training.network import Network, initialise
from leaderboard.show.cli import show
from leaderboard.show.network import all_networks
from leaderboard.show.network_code import layer_text, torch_text
from tests.toys.data import toy_release


def made(code: str) -> Any:
    """Return an object of the class that the code defines."""
    names: dict[str, Any] = {}
    exec(compile(code, "network", "exec"), names)
    return names["Network"]()


def drawn(skeleton: str, images: str, number: int) -> list[tuple[LayerRow, ...]]:
    source = get_images(images)
    networks = sequence(skeleton, source)
    return [walk(next(networks).architecture, source) for _ in range(number)]


def counted_macs(module: nn.Module, image: Tensor) -> int:
    """Return the products of all convolutions and linear layers for one image."""
    counts: list[int] = []
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(
                lambda m, given, made: counts.append(made.numel() * m.weight[0].numel())
            )
    module(image)
    return sum(counts)


@pytest.mark.parametrize("images", ["digits", "cifar10"])
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_the_code_computes_what_the_trained_network_does(skeleton: str, images: str) -> None:
    recipe, source = RECIPES[images], get_images(images)
    for number, rows in enumerate(drawn(skeleton, images, 4)):
        ours, plain = Network(rows, recipe), made(torch_text(rows, recipe, "A network."))
        initialise(ours, recipe, "test", number)
        weights = [p for p in ours.parameters()]
        assert [p.shape for p in plain.parameters()] == [p.shape for p in weights]
        assert sum(p.numel() for p in plain.parameters()) == parameters(rows)
        assert all(name.count(".") == 1 for name in plain.state_dict())  # as layer3.weight
        with torch.no_grad():
            for own, given in zip(plain.parameters(), weights, strict=True):
                own.copy_(given)
            ours, plain = ours.double(), plain.double()
            x = torch.randn(3, source.channels, source.resolution, source.resolution).double()
            assert torch.allclose(plain.train()(x), ours.train()(x), rtol=1e-4, atol=1e-5)
            assert torch.allclose(plain.eval()(x), ours.eval()(x), rtol=1e-4, atol=1e-5)
        assert counted_macs(plain, x[:1]) == macs(rows)


def test_initial_weights_have_the_spread_of_the_recipe() -> None:
    recipe = RECIPES["digits"]
    for rows in drawn("peephole-3x2", "digits", 3):
        ours, plain = Network(rows, recipe), made(torch_text(rows, recipe, "A network."))
        initialise(ours, recipe, "test", 0)
        for own, given in zip(plain.parameters(), ours.parameters(), strict=True):
            if given.dim() > 1 and given.numel() > 2000:
                assert own.std().item() == pytest.approx(given.std().item(), rel=0.1)
            elif given.dim() == 1:
                assert torch.equal(own, given)


@pytest.mark.slow
def test_the_code_trained_outside_reaches_the_stored_accuracy() -> None:
    """In the median of four networks whose stored runs are all above .9: some seeds fail."""
    recipe, pixels = RECIPES["digits"], load_images("digits")
    setting = Setting(torch.device("cpu"), autocast=False, channels_last=False, epochs=20)
    runs = load_runs("digits", "test").to_pylist()
    stored: dict[str, list[float]] = {}
    for run in runs:
        stored.setdefault(run["architecture_id"], []).append(run["valid_accuracy"][-1])
    repeated = [name for name, found in stored.items() if len(found) > 2 and min(found) > 0.9]
    torch.manual_seed(0)
    differences = []
    for name in repeated[::20]:
        done = CliRunner().invoke(show, ["network", name, "--images", "digits", "--torch"])
        outside = train_textbook(made(done.output), recipe, pixels, setting)[-1]
        differences.append(outside - np.mean(stored[name]))
    assert len(differences) == 4
    assert pixels.images.seed_std is not None
    assert abs(np.median(differences)) < 2 * pixels.images.seed_std


def test_a_line_for_each_layer() -> None:
    rows = drawn("residual-3x2", "digits", 1)[0]
    lines = layer_text(rows).splitlines()
    assert len(lines) == len(rows)
    width = rows[0].out_channels
    assert lines[0] == f"0 conv3x3:{width} 1x8x8 -> {width}x8x8 reads -1"
    add = next(i for i, row in enumerate(rows) if row.kind == "add")
    assert lines[add].endswith(f"reads {rows[add].inputs[0]} {rows[add].inputs[1]}")


@pytest.mark.parametrize(("option", "start"), [("--torch", '"""Network '), ("--text", "0 conv")])
def test_the_command_prints_them(option: str, start: str) -> None:
    run_id = load_runs("digits", split="train", release=INSTALLED)["run_id"][0].as_py()
    done = CliRunner().invoke(show, ["network", run_id, option])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(start)


def test_every_network_of_an_image_set_is_one_line_of_json(tmp_path: Path) -> None:
    folder = toy_release(tmp_path / "toy", ())
    done = CliRunner().invoke(show, ["networks", "digits", "--data", str(folder)])
    assert (done.exit_code, done.stderr) == (0, "")
    expected = {}
    for split in SPLITS:
        for row in load_runs("digits", split, release=folder).to_pylist():
            rows = walk(from_record(row["architecture"]), get_images("digits"))
            expected[row["architecture_id"]] = {
                "architecture_id": row["architecture_id"], "skeleton": row["skeleton"],
                "images": "digits", "split": split, "text": f"{layer_text(rows)}\n",
            }  # fmt: skip
    assert [json.loads(line) for line in done.output.splitlines()] == list(expected.values())


@pytest.mark.parametrize("form", ["text", "torch"])
def test_the_text_of_all_networks_is_that_of_each(form: str, tmp_path: Path) -> None:
    data = ["--data", str(toy_release(tmp_path / "toy", ())), f"--{form}"]
    lines = CliRunner().invoke(show, ["networks", "digits", *data]).output.splitlines()
    for record in map(json.loads, (lines[0], lines[-1])):
        one = CliRunner().invoke(show, ["network", record["architecture_id"], *data])
        assert record["text"] == one.output


def test_an_image_set_without_data_has_no_networks(tmp_path: Path) -> None:
    release = Release(toy_release(tmp_path / "toy", ()))
    message = "^data of 'mnist' is not in this release; there is data of digits$"
    with pytest.raises(FileNotFoundError, match=message):
        next(all_networks("mnist", release))
