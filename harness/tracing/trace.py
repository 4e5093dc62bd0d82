"""The layer rows of any plain torch module, traced with torch.fx.

The module is traced symbolically in training mode, then run once on two blank images, so that
every row has the true channels and resolutions. A module that torch.fx cannot look into but that
does what one layer row says may declare it: an attribute `layer_row`, a
`benchmark.space.layer_walk.LayerRow`; its shapes are checked. What rows cannot say is an error that
names the module.
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
    """Return the rows of a module that classifies the images of a set.

    Args:
        module: Any; it is copied, so that its statistics and mode stay as they are.
        images: Says the shape of the input and the number of classes.

    Raises:
        ValueError: If the module cannot be traced, fails on such images, does something that rows
            cannot say, or does not end with a fully connected layer for the classes. The message
            names the module within.
    """
    own = copy.deepcopy(module).train()
    tracer = _Tracer()
    try:
        graph = tracer.trace(own)
    except Exception as error:
        place = tracer.failed or f"{type(module).__name__}"
        raise ValueError(
            f"{place} cannot be traced: {(str(error) or repr(error)).splitlines()[0]}"
        ) from error
    reader = _Reader(fx.GraphModule(own, graph), images, type(module).__name__)
    blank = torch.zeros(BATCH, images.channels, images.resolution, images.resolution)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of even kernels that are padded; shapes are all we want
        output = reader.run(blank)
    return reader.finish(output)


class _Tracer(fx.Tracer):
    """Traces through all modules but torch's own and those that declare a layer row."""

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
    """Runs a graph and notes a row for every layer."""

    def __init__(self, module: fx.GraphModule, images: ImageSet, name: str) -> None:
        super().__init__(module)
        self.extra_traceback = False  # it would add a line to our messages
        self.images, self.name = images, name
        self.layers: list[TracedLayer] = []
        self.values: dict[fx.Node, TracedValue] = {}

    def run_node(self, n: fx.Node) -> object:
        """Run a node, and note what it does to the values of the network."""
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
        if call is None and (isinstance(result, torch.Size) or not _holds_values(result)):
            return result  # a size, a number or a type
        if call is None or not isinstance(result, Tensor):
            raise ValueError(f"{where} is nothing that layer rows can say; they can: {SUPPORTED}")
        given = cast("Tensor", self.env[inputs[0]])
        self.values[n] = self._apply(n, (call, declared, where), (given, result))
        return result

    def _describe(self, node: fx.Node) -> str:
        """Return a node in words: a module by its qualified name, a function by where it stands."""
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
        """Return what a node does, and the row that its module declares."""
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

    def _check_channels(self, node: fx.Node, where: str, place: TracedValue) -> None:
        """Check what a convolution is given, which torch says at greater length."""
        module = self.submodules[str(node.target)] if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d) and module.in_channels != place.channels:
            given = f"images of {self.images.name!r} have" if place.row < 0 else "it is given"
            raise ValueError(
                f"{where} takes {module.in_channels} channels, and {given} {place.channels}"
            )

    def _apply(
        self,
        node: fx.Node,
        call: tuple[Call, LayerRow | None, str],
        values: tuple[Tensor, Tensor],
    ) -> TracedValue:
        """Return where the result comes from, having noted the row that makes it, if any."""
        what, declared, where = call
        given, result = values
        place = self.values[next(i for i in node.all_input_nodes if i in self.values)]
        if what.kind in ("identity", "pad", "log_softmax"):
            return self._follow(what, where, place)
        if what.kind == "reshape":
            return check_reshape(place, result, where)
        if what.kind in ("mean", "adaptive"):
            what = pool_of_mean(what, place, values, where)
            if what.kind == "identity":
                return place
        if what.kind == "avg_pool" and what.kernel == (place.resolution,) * 2:
            what = Call("global_pool", what.kernel) if result.shape[-1] == 1 else what
        sources = [self.values[i] for i in node.all_input_nodes if i in self.values]
        if what.kind == "add":
            sources = read_sum(node, sources, result, where)
        if what.kind == "linear":
            what = read_linear(given, place, where)
        return self._append_row(node, (what, declared, where), sources, result)

    def _follow(self, what: Call, where: str, place: TracedValue) -> TracedValue:
        if what.kind == "log_softmax" and (not self.layers or self.layers[-1].row.kind != "linear"):
            raise ValueError(f"{where} may only follow the last fully connected layer")
        return place

    def _append_row(
        self,
        node: fx.Node,
        call: tuple[Call, LayerRow | None, str],
        sources: list[TracedValue],
        result: Tensor,
    ) -> TracedValue:
        """Append a row with the channels and the resolution that were found."""
        what, declared, where = call
        place = sources[0]
        flat = result.ndim == 2 and what.kind != "linear"
        channels = place.channels if flat else int(result.shape[1])
        resolution = place.resolution if flat else resolution_of(result, where)
        resolution = 1 if what.kind == "global_pool" else resolution
        if what.kind not in ROW_KINDS:
            raise ValueError(f"{where} is nothing that layer rows can say; they can: {SUPPORTED}")
        row = LayerRow(
            cast("RowKind", what.kind), *what.kernel, what.stride, place.channels, channels,
            place.resolution, resolution, "block", 0, 0, tuple(source.row for source in sources),
        )  # fmt: skip
        check_declared(declared, row, where)
        self.layers.append(TracedLayer(row, where, _named_role(node), declared))
        return TracedValue(len(self.layers) - 1, channels, resolution)

    def finish(self, output: object) -> tuple[LayerRow, ...]:
        """Return the rows of the whole network, the last of them its answer."""
        rows = [layer.row for layer in self.layers]
        classes = self.images.classes
        if not isinstance(output, Tensor) or not rows or rows[-1].kind != "linear":
            last = self.layers[-1].where if rows else self.name
            raise ValueError(
                f"a network must end with a fully connected layer (Linear), and the last layer is "
                f"{last}"
            )
        where = self.layers[-1].where
        if tuple(output.shape) != (BATCH, classes):
            found = output.shape[-1]
            raise ValueError(
                f"{where} answers {found} classes, and {self.images.name!r} has {classes}"
            )
        read = {source for row in rows for source in row.inputs}
        for index, layer in enumerate(self.layers[:-1]):
            if index not in read:
                raise ValueError(f"{layer.where} is computed, but nothing reads it")
        if not any(row.kind == "conv" for row in rows):
            raise ValueError(f"{self.name} must have a convolution; its layers have none")
        dense = [
            replace(d, row=replace(d.row, kind="dense")) if d.row.kind == "linear" else d
            for d in self.layers[:-1]
        ]
        return assign_roles([*dense, self.layers[-1]])


def _named_role(node: fx.Node) -> Role | None:
    """Return the role that the innermost submodule with such a name is called by."""
    paths = list(node.meta.get("nn_module_stack", {}).values())
    words = paths[-1][0].split(".") if paths else []
    return next((word for word in reversed(words) if word in NAMED), None)


def _holds_values(result: object) -> bool:
    return isinstance(result, Tensor | tuple | list)
