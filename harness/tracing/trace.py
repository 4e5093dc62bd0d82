"""Traces a torch module into layer rows with torch.fx.

The module is traced symbolically in training mode and run once on two blank images, which gives the
channels and resolutions of each row. A module that torch.fx cannot trace, but that computes what
one layer row expresses, may declare it as an attribute `layer_row` (a
`benchmark.space.layer_walk.LayerRow`), whose shapes are checked. Anything that layer rows cannot
express is an error that names the module.
"""

import copy
import warnings
from dataclasses import replace
from typing import cast, get_args

import torch
from torch import Tensor, fx, nn

from benchmark.space.imagesets import ImageSet
from benchmark.space.layer_walk import LayerRow, Role, RowKind
from harness.tracing.layer_calls import SUPPORTED, Call, call_of_function, call_of_module
from harness.tracing.layer_shapes import (
    BATCH,
    TracedValue,
    check_declared,
    check_reshape,
    pool_of_mean,
    read_linear,
    read_sum,
    resolution_of,
)
from harness.tracing.roles import NAMED, TracedLayer, assign_roles

ROW_KINDS = {kind for part in get_args(RowKind) for kind in (get_args(part) or (part,))}


def layer_rows(module: nn.Module, images: ImageSet) -> tuple[LayerRow, ...]:
    """Return the layer rows of a module that classifies the images of an image set.

    Args:
        module: A torch module; it is copied, so its statistics and mode do not change.
        images: The image set, which gives the input shape and the number of classes.

    Raises:
        ValueError: If the module cannot be traced, fails on such images, does something that rows
            cannot express, or does not end with a fully connected layer for the classes. The
            message names the submodule.
    """
    copied = copy.deepcopy(module).train()
    tracer = _Tracer()
    try:
        graph = tracer.trace(copied)
    except Exception as error:
        where = tracer.failed or type(module).__name__
        raise ValueError(
            f"{where} cannot be traced: {(str(error) or repr(error)).splitlines()[0]}"
        ) from error
    reader = _Reader(fx.GraphModule(copied, graph), images, type(module).__name__)
    blank = torch.zeros(BATCH, images.channels, images.resolution, images.resolution)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about padding of even kernels
        output = reader.run(blank)
    return reader.finish(output)


class _Tracer(fx.Tracer):
    """Traces through all modules except torch's own and those that declare a layer row."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = ""  # the innermost module in which tracing failed

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        declared = isinstance(getattr(m, "layer_row", None), LayerRow)
        return declared or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m, forward, args, kwargs):  # type: ignore[no-untyped-def]
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or f"{self.path_of_module(m)!r} ({type(m).__name__})"
            raise


class _Reader(fx.Interpreter):
    """Runs a graph and appends a row for every layer."""

    def __init__(self, module: fx.GraphModule, images: ImageSet, name: str) -> None:
        super().__init__(module)
        self.extra_traceback = False  # which would add a line to error messages
        self.images, self.name = images, name
        self.layers: list[TracedLayer] = []
        self.values: dict[fx.Node, TracedValue] = {}

    def run_node(self, n: fx.Node) -> object:
        """Run a node and record the layer row and the value that it gives."""
        if n.op == "placeholder":
            self.values[n] = TracedValue(-1, self.images.channels, self.images.resolution)
        arguments, named = self.fetch_args_kwargs_from_env(n)
        inputs = [node for node in n.all_input_nodes if node in self.values]
        if n.op in ("placeholder", "output", "get_attr") or not inputs:
            return super().run_node(n)
        where = self._describe(n)
        call, declared = self._read_call(n, where, arguments[1:], dict(named))
        self._check_channels(n, where, self.values[inputs[0]])
        try:
            result: object = super().run_node(n)
        except Exception as error:
            size = f"{self.images.channels}x{self.images.resolution}x{self.images.resolution}"
            reason = str(error).splitlines()[0]
            raise ValueError(f"{where} fails on images of {size}: {reason}") from error
        holds_values = isinstance(result, Tensor | tuple | list)
        if call is None and (isinstance(result, torch.Size) or not holds_values):
            return result  # a size, a number or a type
        if call is None or not isinstance(result, Tensor):
            raise ValueError(f"{where} is not supported; supported layers: {SUPPORTED}")
        source = cast("Tensor", self.env[inputs[0]])
        self.values[n] = self._apply(n, (call, declared, where), (source, result))
        return result

    def _describe(self, node: fx.Node) -> str:
        """Return a text that names a node: a module's path, or a function and its module."""
        stack: dict[str, tuple[str, type]] = node.meta.get("nn_module_stack", {})
        if node.op == "call_module":
            module = self.submodules[str(node.target)]
            return f"{str(node.target)!r} ({type(module).__name__})"
        name = str(getattr(node.target, "__name__", node.target))
        if not stack:
            return f"`{name}` in {self.name}"
        path, kind = list(stack.values())[-1]
        return f"`{name}` in {path!r} ({kind.__name__})"

    def _read_call(
        self, node: fx.Node, where: str, arguments: tuple[object, ...], named: dict[str, object]
    ) -> tuple[Call | None, LayerRow | None]:
        """Return the operation of a node and the row that its module declares, if any."""
        if node.op == "call_module":
            module = self.submodules[str(node.target)]
            row = getattr(module, "layer_row", None)
            if isinstance(row, LayerRow):
                return Call(row.kind, (row.kernel_height, row.kernel_width), row.stride), row
        try:
            if node.op == "call_module":
                return call_of_module(module), None
            return call_of_function(node.target, arguments, named), None
        except ValueError as error:
            raise ValueError(f"{where} {error}") from error

    def _check_channels(self, node: fx.Node, where: str, value: TracedValue) -> None:
        """Check the input channels of a convolution, for a shorter message than torch's."""
        module = self.submodules[str(node.target)] if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d) and module.in_channels != value.channels:
            source = f"images of {self.images.name!r} have" if value.row < 0 else "its input has"
            raise ValueError(
                f"{where} takes {module.in_channels} channels, but {source} {value.channels}"
            )

    def _apply(
        self,
        node: fx.Node,
        operation: tuple[Call, LayerRow | None, str],
        tensors: tuple[Tensor, Tensor],
    ) -> TracedValue:
        """Return the value that an operation gives, after appending its row if it has one."""
        call, declared, where = operation
        source, result = tensors
        sources = [self.values[i] for i in node.all_input_nodes if i in self.values]
        value = sources[0]
        if call.kind == "log_softmax" and (not self.layers or self.layers[-1].row.kind != "linear"):
            raise ValueError(f"{where} may only follow the last fully connected layer")
        if call.kind in ("identity", "pad", "log_softmax"):
            return value
        if call.kind == "reshape":
            return check_reshape(value, result, where)
        if call.kind in ("mean", "adaptive"):
            call = pool_of_mean(call, value, tensors, where)
            if call.kind == "identity":
                return value
        if call.kind == "avg_pool" and call.kernel == (value.resolution,) * 2:
            call = Call("global_pool", call.kernel) if result.shape[-1] == 1 else call
        if call.kind == "add":
            sources = read_sum(node, sources, result, where)
        if call.kind == "linear":
            call = read_linear(source, value, where)
        return self._append_row(node, (call, declared, where), sources, result)

    def _append_row(
        self,
        node: fx.Node,
        operation: tuple[Call, LayerRow | None, str],
        sources: list[TracedValue],
        result: Tensor,
    ) -> TracedValue:
        """Append a row with the channels and the resolution of the result, and return its value."""
        call, declared, where = operation
        value = sources[0]
        flat = result.ndim == 2 and call.kind != "linear"
        channels = value.channels if flat else int(result.shape[1])
        resolution = value.resolution if flat else resolution_of(result, where)
        resolution = 1 if call.kind == "global_pool" else resolution
        if call.kind not in ROW_KINDS:
            raise ValueError(f"{where} is not supported; supported layers: {SUPPORTED}")
        row = LayerRow(
            cast("RowKind", call.kind), *call.kernel, call.stride, value.channels, channels,
            value.resolution, resolution, "block", 0, 0, tuple(source.row for source in sources),
        )  # fmt: skip
        check_declared(declared, row, where)
        self.layers.append(TracedLayer(row, where, _named_role(node), declared))
        return TracedValue(len(self.layers) - 1, channels, resolution)

    def finish(self, output: object) -> tuple[LayerRow, ...]:
        """Check the network's output and layers, and return its rows with roles."""
        rows = [layer.row for layer in self.layers]
        classes = self.images.classes
        if not isinstance(output, Tensor) or not rows or rows[-1].kind != "linear":
            last = self.layers[-1].where if rows else self.name
            raise ValueError(
                f"a network must end with a fully connected layer (Linear), but its last layer is "
                f"{last}"
            )
        where = self.layers[-1].where
        if tuple(output.shape) != (BATCH, classes):
            raise ValueError(
                f"{where} gives {output.shape[-1]} classes, but {self.images.name!r} has {classes}"
            )
        read = {source for row in rows for source in row.inputs}
        for index, layer in enumerate(self.layers[:-1]):
            if index not in read:
                raise ValueError(f"{layer.where} is computed but not used")
        if not any(row.kind == "conv" for row in rows):
            raise ValueError(f"{self.name} must have a convolution")
        dense = [
            replace(d, row=replace(d.row, kind="dense")) if d.row.kind == "linear" else d
            for d in self.layers[:-1]
        ]
        return assign_roles([*dense, self.layers[-1]])


def _named_role(node: fx.Node) -> Role | None:
    """Return the role after which the innermost submodule is named; None if there is none."""
    paths = list(node.meta.get("nn_module_stack", {}).values())
    words = paths[-1][0].split(".") if paths else []
    return next((word for word in reversed(words) if word in NAMED), None)
