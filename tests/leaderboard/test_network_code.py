"""Networks as text and as torch code, compared with the networks that are trained."""

from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from benchmark.recipes import RECIPES
from benchmark.release import INSTALLED, load_runs
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, macs, parameters, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from generators.training.network import Network, initialise
from leaderboard.show.cli import show
from leaderboard.show.network_code import layer_text, torch_text


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
