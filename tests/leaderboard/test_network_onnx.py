"""Networks as ONNX models, compared with the torch modules that `--torch` prints."""

import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import nn

from benchmark.recipes import RECIPES
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import ROW_KINDS, LayerRow, walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from leaderboard.show.cli import show
from leaderboard.show.network_code import torch_text
from tests.toys.data import toy_release

onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
from leaderboard.show.network_onnx import OPERATORS, onnx_model, write_onnx  # noqa: E402

Array = NDArray[np.float64]
# SHA-256 of the file of the first network of residual-3x2 on digits
GOLDEN = "18ecb41c3f6031b534d001de245ab8f7c890cfc3e70a074387634b7831b2d8ad"


def drawn(skeleton: str, images: str, number: int) -> list[tuple[LayerRow, ...]]:
    source = get_images(images)
    return [walk(d.architecture, source) for d in islice(sequence(skeleton, source), number)]


def trained_module(rows: tuple[LayerRow, ...], images: str) -> nn.Module:
    """Return the torch module with random biases and scales, and statistics of random images."""
    names: dict[str, Any] = {}
    exec(torch_text(rows, RECIPES[images], "A network."), names)
    module: nn.Module = names["Network"]()
    with torch.no_grad():
        for value in module.parameters():
            if value.dim() == 1:
                value.add_(torch.rand(value.shape) / 4)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # the mean over all batches seen
        side = rows[0].in_resolution
        module.train()(torch.randn(8, rows[0].in_channels, side, side))
    return module.eval().double()


def weights(module: nn.Module) -> dict[str, Array]:
    state = module.state_dict().items()
    return {name: value.numpy() for name, value in state if value.dim() > 0}


def pools() -> list[type]:
    """Return the two pools as the standard has them.

    Those of `onnx.reference` take the second pad for the bottom one, as of onnx 1.23.
    """
    from onnx.reference.op_run import OpRun

    def run(self: Any, x: Array, **_: object) -> tuple[Array]:
        top, left, bottom, right = self.pads
        sides = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(x, sides, constant_values=np.nan)
        windows = sliding_window_view(padded, tuple(self.kernel_shape), axis=(2, 3))
        down, across = self.strides
        reduce = np.nanmax if self.onnx_node.op_type == "MaxPool" else np.nanmean
        return (reduce(windows[:, :, ::down, ::across], axis=(-2, -1)),)

    return [type(n, (OpRun,), {"op_domain": "", "_run": run}) for n in ("MaxPool", "AveragePool")]


def evaluate(model: Any, values: dict[str, Array]) -> Array:
    """Return the logits, computed in double precision as the values are."""
    from onnx.reference import ReferenceEvaluator

    (logits,) = ReferenceEvaluator(model, new_ops=pools()).run(None, values)
    return np.asarray(logits)


@pytest.mark.parametrize("images", ["digits", "cifar10"])
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_the_model_computes_what_the_torch_module_does(skeleton: str, images: str) -> None:
    source, recipe = get_images(images), RECIPES[images]
    for rows in drawn(skeleton, images, 3):
        model, module = onnx_model(rows, recipe), trained_module(rows, images)
        onnx.checker.check_model(model, full_check=True)
        shapes = {
            value.name: tuple(d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim)
            for value in model.graph.input
        }
        image = (source.channels, source.resolution, source.resolution)
        assert shapes.pop("images") == ("batch", *image)
        given = weights(module)
        assert list(shapes.items()) == [(name, value.shape) for name, value in given.items()]
        x = torch.randn(3, *image).double()
        expected = module(x).detach().numpy()
        found = evaluate(model, {"images": x.numpy(), **given})
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_networks_that_are_compared_have_layers_of_every_kind() -> None:
    rows = [r for s in SKELETONS for network in drawn(s, "digits", 3) for r in network]
    elsewhere = {"dropout", "dense"}
    assert {row.kind for row in rows} == set(OPERATORS) == set(ROW_KINDS) - elsewhere
    for kind in ("conv", "max_pool", "avg_pool"):
        sizes = {(row.kernel_height % 2, row.kernel_width % 2) for row in rows if row.kind == kind}
        assert sizes == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert {row.kind for row in rows if row.stride > 1} == {"conv", "max_pool"}


@pytest.mark.parametrize("images", ["digits", "mnist", "cifar10"])
def test_shape_inference_finds_the_shapes_of_the_layer_rows(images: str) -> None:
    for skeleton in SKELETONS:
        rows = drawn(skeleton, images, 1)[0]
        model = onnx.shape_inference.infer_shapes(onnx_model(rows, RECIPES[images]))
        found = {
            value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
            for value in (*model.graph.value_info, *model.graph.output)
        }
        for index, row in enumerate(rows[:-2]):
            side = row.out_resolution
            assert found[f"x{index}"] == ["batch", row.out_channels, side, side]
        assert found["logits"] == ["batch", rows[-1].out_channels]


def test_an_initializer_gives_a_weight_its_value() -> None:
    rows = drawn("shallow-3x1", "digits", 1)[0]
    model, module = onnx_model(rows, RECIPES["digits"]), trained_module(rows, "digits")
    x = torch.randn(2, 1, 8, 8).double()
    for name, value in weights(module).items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value.astype(np.float32), name))
    onnx.checker.check_model(model, full_check=True)
    found = evaluate(model, {"images": x.numpy()})
    np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=1e-6, atol=1e-6)


def test_the_bytes_of_a_file_depend_on_layers_and_recipe_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.onnx"
    write_onnx(drawn("residual-3x2", "digits", 1)[0], RECIPES["digits"], path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == GOLDEN
    assert [file.name for file in path.parent.iterdir()] == ["a.onnx"]


def test_the_commands_write_the_same_files(tmp_path: Path) -> None:
    data = ["--data", str(toy_release(tmp_path / "toy", ()))]
    folder, alone = tmp_path / "all", tmp_path / "one.onnx"
    done = CliRunner().invoke(show, ["networks", "digits", "--onnx", str(folder), *data])
    assert done.exit_code == 0, done.output
    ids = [json.loads(line)["architecture_id"] for line in done.stdout.splitlines()]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{i}.onnx" for i in ids)
    done = CliRunner().invoke(show, ["network", ids[-1], "--text", "--onnx", str(alone), *data])
    assert (done.exit_code, done.stderr) == (0, f"{alone}\n")
    assert done.stdout == CliRunner().invoke(show, ["network", ids[-1], "--text", *data]).stdout
    assert alone.read_bytes() == (folder / f"{ids[-1]}.onnx").read_bytes()
    onnx.checker.check_model(str(alone), full_check=True)
