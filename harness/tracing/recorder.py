"""Runs a network on a batch of images and follows what each torch function does to them.

Nothing is symbolic: sizes, conditions, loops and defaults are those of the run. A call that layer
rows cannot express gives a value with a problem, which is an error only if the output depends on
it. A module with an attribute `layer_row` is one layer, whatever it calls.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from inspect import getattr_static
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmark.space.imagesets import ImageSet
from benchmark.space.layer_walk import LayerRow
from harness.tracing.advice import UNKNOWN, Refusal, refused
from harness.tracing.module_stack import Call, ModuleStack, calls_through, constants_in, tensors_in
from harness.tracing.operations import OPERATIONS, has_own_functions, is_dropout, operation_name
from harness.tracing.origins import Origins, Part, Use, view
from harness.tracing.steps import Layers, Step
from harness.tracing.values import TracedValue, images_value

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
CONSTANT = (  # functions whose result does not depend on the values of a tensor
    "ones_like", "zeros_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros",
    "new_ones", "new_empty", "new_full", "set_requires_grad",
)  # fmt: skip
NUMBERS = ("item", "tolist", "numpy", "float", "int", "index", "array")  # values leave torch
OTHERS_OF_CONV2D = 5  # arguments of conv2d after the weights, the last of which is `groups`
ASSIGNMENTS = ("setitem", "set_data", "set_real", "set_imag")  # they change their first argument
OWN = "reads a class of tensors with functions of its own"
UNSEEN = "is changed in place by code that is no function of torch, and cannot be followed"


class Recorder(TorchFunctionMode):
    """Follows the images through one run of a network.

    Attributes:
        found: The layers in order of computation.
        modules: The modules that are called.
    """

    def __init__(self, network: nn.Module, images: ImageSet, batch: int) -> None:
        """Follow a network on `batch` images of an image set; `run` does it."""
        super().__init__()
        self.found = Layers()
        self.modules = ModuleStack(network)
        self.network, self.images, self.batch = network, images, batch
        self.origins = Origins(network)
        self.refusal: Refusal | None = None  # the network may catch it
        self.left = ""  # where numbers were taken out of torch
        self.inside_declared = False
        self.values: dict[int, TracedValue] = {}
        self.versions: dict[int, int] = {}  # numbers of changes in place of their tensors
        self.alive: dict[int, Tensor] = {}  # so that no identity is used twice
        self.views: dict[tuple[object, ...], int] = {}

    def run(self, images: Tensor) -> object:
        """Return what the network returns for images (batch, channels, height, width)."""
        sizes = self.images.channels, self.images.resolution, self.batch
        self._store(images, images_value(*sizes))
        with calls_through(self._call_module), self:
            result: object = self.network(images)
        if self.refusal is not None:
            raise self.refusal
        return result

    def value_of(self, tensor: object) -> TracedValue | None:
        """Return the value of a tensor, or of one that is the same view of the same memory."""
        if not isinstance(tensor, Tensor):
            return None
        with torch._C.DisableTorchFunction():  # to look at a tensor is no step
            if id(tensor) not in self.values:
                known = self.views.get(view(tensor))
                if known is None:
                    return None
                self._store(tensor, self.values[known])
            value = self.values[id(tensor)]
            if value.problem or self.versions[id(tensor)] == _version(tensor):
                return value
        source = self.found.layers[value.row].where if value.row >= 0 else "the image"
        return replace(value, problem=f"what {source} gives {UNSEEN}")

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # whatever torch's function returns
        """Call a function of torch, and store what it does to traced values."""
        try:
            return self._pass(func, args, dict(kwargs or {}), any(map(has_own_functions, types)))
        except Refusal as error:
            self.refusal = self.refusal or error
            raise

    def _pass(self, func: Call, args: tuple[Any, ...], named: dict[str, Any], own: bool) -> object:
        """Call a function of torch or of a class of tensors, and store what it does to values."""
        name = OWN if own else operation_name(func)
        if isinstance(named.get("generator"), torch.Generator):
            self.modules.chance = self.modules.chance or self.modules.where(name)
        tensors = list(tensors_in((args, named)))
        read = [value for tensor in tensors if (value := self.value_of(tensor)) is not None]
        if self.inside_declared or not read or name in CONSTANT:
            result = func(*args, **named)
            self.origins.keep(tensors, tensors[:1] if name in ASSIGNMENTS else tensors_in(result))
            return result
        if name == "conv2d":
            self._check_channels(*args, **named)
        if is_dropout(name):  # which values it drops is of no interest
            source = args[0] if args else named["input"]
            in_place = named.get("inplace") or True in args[3:] or func.__name__.endswith("_")
            result = source if in_place else source.clone()
        else:
            result = self._call(func, args, named, read)
        if name in NUMBERS:
            self.left = self.left or self.modules.where(name)
        targets = list(tensors_in(result)) if name not in ASSIGNMENTS else tensors[:1]
        if targets:
            value = self._follow(name, (args, named), read, result)
            for target in targets:
                self._write(target, value)
        return result

    def _call(
        self, func: Call, args: tuple[Any, ...], named: dict[str, Any], read: list[TracedValue]
    ) -> object:
        """Call a function; if it fails on a value with a problem, the problem is the reason."""
        try:
            return func(*args, **named)
        except Exception as error:
            if problem := _first_problem(read):
                raise Refusal(problem) from error
            raise

    def _follow(
        self, name: str, arguments: Arguments, read: list[TracedValue], result: object
    ) -> TracedValue:
        """Return the value that a call gives, with a problem if layer rows cannot express it."""
        if problem := _first_problem(read):
            return replace(read[0], problem=problem)
        where, operation = self.modules.where(name), OPERATIONS.get(name)
        if not self.network.training:
            self.found.constants.append((where, constants_in(arguments, self.value_of)))
        try:
            if operation is None or not isinstance(result, Tensor):
                raise ValueError(OWN if name == OWN else UNKNOWN)
            step = self._step(where, result, self.origins.use(where, self._untraced(arguments)))
            return operation(step, *arguments[0], **arguments[1])
        except Refusal:
            raise
        except ValueError as error:
            reason = str(error)
        except TypeError as error:  # of arguments that the operation does not know
            reason = f"is called with unsupported arguments ({error})"
        return replace(read[0], problem=f"{where} {refused(reason, name)}")

    def _untraced(self, arguments: object) -> list[Tensor]:
        """Return the tensors among arguments that are not computed from the images."""
        return [tensor for tensor in tensors_in(arguments) if self.value_of(tensor) is None]

    def _step(self, where: str, result: Tensor, use: Use) -> Step:
        return Step(where, result, use, self.found, self.value_of, self.origins.of)

    def _store(self, tensor: Tensor, value: TracedValue) -> None:
        self.values[id(tensor)] = value
        self.versions[id(tensor)] = _version(tensor)
        self.alive[id(tensor)] = tensor
        self.views[view(tensor)] = id(tensor)

    def _write(self, target: Tensor, value: TracedValue) -> None:
        """Store the value of a tensor; a change in place changes all tensors in its memory."""
        if id(target) in self.values:
            memory = view(target)[0]
            for key, known in list(self.values.items()):
                other = self.alive[key]
                if other is not target and view(other)[0] == memory:
                    whole = other.numel() == target.numel()
                    problem = value.problem or ("" if whole else "changes a part of a value")
                    self.values[key] = replace(known, row=value.row, problem=problem)
                    self.versions[key] = _version(other)
        self._store(target, value)

    def _check_channels(
        self, input: Tensor, weight: Tensor, *others: object, groups: int = 1, **_: object
    ) -> None:
        """Check the input channels of a convolution, for a shorter message than torch's."""
        value = self.value_of(input)
        number = others[-1] if len(others) == OTHERS_OF_CONV2D else groups
        if value is None or value.problem or not value.is_image or not isinstance(number, int):
            return
        taken, given = int(weight.shape[1]) * number, int(input.shape[1])
        if taken != given:
            source = f"images of {self.images.name!r} have" if value.row < 0 else "its input has"
            where = self.modules.where("conv2d")
            raise Refusal(f"{where} takes {taken} channels, but {source} {given}")

    def _call_module(self, call: Call, module: nn.Module, arguments: Arguments) -> Any:
        """Call a module; one that declares a row is a layer."""
        self.modules.stack.append(module)
        try:
            declared = getattr_static(module, "layer_row", None)
            sources = [v for t in tensors_in(arguments) if (v := self.value_of(t)) is not None]
            if self.inside_declared or not isinstance(declared, LayerRow) or not sources:
                return self.modules.watch(call, module, arguments, self.value_of)
            self.inside_declared = True
            try:
                result = call()
            finally:
                self.inside_declared = False
            with torch._C.DisableTorchFunction():
                self._declare(declared, module, sources, result)
            return result
        except Refusal as error:
            self.refusal = self.refusal or error
            raise
        finally:
            self.modules.stack.pop()

    def _declare(
        self, declared: LayerRow, module: nn.Module, sources: list[TracedValue], result: object
    ) -> None:
        """Store the value of a module that declares its layer row."""
        where = self.modules.module()
        problem = _first_problem(sources)
        if not isinstance(result, Tensor):
            problem = problem or f"{where} declares a layer row, and returns no tensor"
        value = replace(sources[0], problem=problem)
        if not problem and isinstance(result, Tensor):
            parameters = list(nn.Module.parameters(module))
            numbers = sum(parameter.numel() for parameter in parameters)
            use = Use(numbers, frozenset(Part(id(parameter)) for parameter in parameters))
            step = self._step(where, result, use)
            value = step.declared(declared, sources)
        for tensor in tensors_in(result):
            self._write(tensor, value)


def _first_problem(values: Iterable[TracedValue]) -> str:
    """Return the first problem of some values; empty if none has one."""
    return next((value.problem for value in values if value.problem), "")


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; 0 if torch does not count it."""
    return 0 if tensor.is_inference() else tensor._version
