"""A network of the release as an ONNX model, whose weights are inputs."""

from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from benchmark.recipes import Recipe
from benchmark.space.layer_walk import LayerRow
from benchmark.util.atomic import replacing

OPSET, IR_VERSION = 17, 8  # of ONNX 1.12; newer libraries read them, too
OPERATORS = {
    "conv": "Conv", "bn": "BatchNormalization", "relu": "Relu", "sigmoid": "Sigmoid",
    "tanh": "Tanh", "max_pool": "MaxPool", "avg_pool": "AveragePool", "add": "Add",
    "global_pool": "GlobalAveragePool", "linear": "Gemm",
}  # fmt: skip
Shape = tuple[int | str, ...]


def onnx_model(rows: tuple[LayerRow, ...], recipe: Recipe) -> onnx.ModelProto:
    """Return a network as an ONNX model with a node for each layer.

    The first input, `images` (batch, channels, side, side), holds normalised images; the output,
    `logits`, is (batch, classes). The batch size is left open. Batch normalisation uses running
    statistics, as in evaluation.

    Weights are inputs, too, and have no values: so the model and its text stay small and depend on
    the layers and the recipe alone. Names and shapes are those of the state dict of the torch
    module of `torch_text`, such as `layer0.weight`. An initializer of the same name gives a weight
    its value. `onnx.reference` of onnx 1.23 misreads pools whose sides are padded differently.

    Args:
        rows: The layer rows of a network of the release.
        recipe: Its recipe, which sets the batch normalisation.
    """
    first, last = rows[0], len(rows) - 1
    side = first.in_resolution
    names = {-1: "images", last: "logits"} | {index: f"x{index}" for index in range(last)}
    inputs = [_tensor("images", ("batch", first.in_channels, side, side))]
    nodes = []
    for index, row in enumerate(rows):
        layer, output = f"layer{index}", names[index]
        weights = {f"{layer}.{name}": shape for name, shape in _weights(row).items()}
        inputs += [_tensor(name, shape) for name, shape in weights.items()]
        read = [names[source] for source in row.inputs] + list(weights)
        if row.kind == "global_pool":
            nodes.append(helper.make_node(OPERATORS[row.kind], read, [f"{output}.mean"], layer))
            nodes.append(helper.make_node("Flatten", [f"{output}.mean"], [output], f"{layer}.flat"))
        else:
            attributes = _attributes(row, recipe)
            nodes.append(helper.make_node(OPERATORS[row.kind], read, [output], layer, **attributes))
    logits = _tensor("logits", ("batch", rows[-1].out_channels))
    return helper.make_model(
        helper.make_graph(nodes, "network", inputs, [logits]),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="peephole-bench",
    )


def write_onnx(rows: tuple[LayerRow, ...], recipe: Recipe, path: Path) -> None:
    """Write the model of `onnx_model` to a file, whose bytes depend on the arguments alone.

    Raises:
        OSError: If the file cannot be written.
    """
    with replacing(path) as draft:
        draft.write_bytes(onnx_model(rows, recipe).SerializeToString(deterministic=True))


def _tensor(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _weights(row: LayerRow) -> dict[str, Shape]:
    """Return the shapes of a layer's weights and running statistics, in the operator's order."""
    vector = (row.out_channels,)
    if row.kind == "bn":
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), vector)
    matrix = (row.out_channels, row.in_channels)
    if row.kind == "conv":
        return {"weight": (*matrix, row.kernel_height, row.kernel_width), "bias": vector}
    return {"weight": matrix, "bias": vector} if row.kind == "linear" else {}


def _attributes(row: LayerRow, recipe: Recipe) -> dict[str, Any]:
    """Return the attributes of a layer's operator, except those with their default value."""
    if row.kind == "bn":
        return {"epsilon": recipe.bn_epsilon, "momentum": 1 - recipe.bn_momentum}
    if row.kind == "linear":
        return {"transB": 1}
    if row.kind not in ("conv", "max_pool", "avg_pool"):
        return {}
    left, right, top, bottom = row.same_padding
    keeps = row.kind == "conv" or row.stride == 1  # a pool of larger stride has no padding
    return {
        "kernel_shape": (row.kernel_height, row.kernel_width),
        "pads": (top, left, bottom, right) if keeps else (0, 0, 0, 0),
        "strides": (row.stride, row.stride),
    }
