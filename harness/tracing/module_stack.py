"""Which module is called now, in words, and what a call did besides torch's functions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.tracing.unchanged import chance_state, own_generators
from harness.tracing.values import TracedValue

Call = Callable[..., Any]
TORCH = "torch."  # prefix of torch's own modules


class ModuleStack:
    """The modules that are called now, from the outermost.

    Attributes:
        chance: Where random numbers were drawn, besides dropout; empty if nowhere.
        lost: Where a result was computed outside of torch's functions; empty if nowhere.
    """

    def __init__(self, network: nn.Module) -> None:
        """Name the modules of a network by their paths."""
        self.chance = self.lost = ""
        self._failed: tuple[BaseException | None, str] = (None, "")
        self._generators = own_generators(network)
        self.name = type(network).__name__
        self.paths = {
            id(m): path for path, m in nn.Module.named_modules(network, remove_duplicate=False)
        }
        self.stack: list[nn.Module] = []

    def where(self, function: str) -> str:
        """Return the call of a function in words: its module, or its name and its module."""
        if not self.stack:
            return f"`{function}` in {self.name}"
        module = self.stack[-1]
        hooked = bool(module._forward_hooks or module._forward_pre_hooks)
        forward = getattr(type(module), "forward", None)
        of_torch = str(getattr(forward, "__module__", "")).startswith(TORCH)
        return self.module() if of_torch and not hooked else f"`{function}` in {self.module()}"

    def module(self, depth: int = -1) -> str:
        """Return a module of the stack in words; by default the innermost."""
        module = self.stack[depth]
        kind, path = type(module).__name__, self.paths.get(id(module))
        if path is None and depth > -len(self.stack):  # made in `forward`, or in a plain list
            return f"{kind} in {self.module(depth - 1)}"
        path = ".".join(part for part in (path or "").split(".") if part != "_orig_mod")
        return f"{path!r} ({kind})" if path else kind

    def failed(self, error: BaseException) -> str:
        """Return the innermost module that raised an exception, or one that became it."""
        cause: BaseException | None = error
        while cause is not None and cause is not self._failed[0]:
            cause = cause.__cause__ or cause.__context__
        return self.name if cause is None else self._failed[1]

    def watch(
        self,
        call: Call,
        module: nn.Module,
        arguments: tuple[Any, ...],
        value_of: Callable[[object], TracedValue | None],
    ) -> Any:  # what a module returns
        """Return what the innermost module returns, after noting what it did."""
        before = chance_state(self._generators)
        try:
            result = call()
        except BaseException as error:
            if self._failed[0] is not error:
                self._failed = (error, self.module())
            raise
        if chance_state(self._generators) != before:
            self.chance = self.chance or self.module()
        given = list(tensors_in(result))
        if given and any(map(value_of, tensors_in(arguments))) and not any(map(value_of, given)):
            self.lost = self.lost or self.module()
        return result


@contextmanager
def calls_through(wrapper: Callable[..., Any]) -> Iterator[None]:
    """Pass every call of a module to `wrapper(call, module, args, kwargs)`."""
    original = nn.Module.__call__

    def call(module: nn.Module, *args: object, **kwargs: object) -> Any:
        return wrapper(lambda: original(module, *args, **kwargs), module, (args, kwargs))

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists, mappings and dataclasses."""
    for item in _leaves(value):
        if isinstance(item, Tensor):
            yield item


def constants_in(value: object, value_of: Callable[[object], TracedValue | None]) -> str:
    """Return a digest of the numbers and tensors in a value, without those that are followed."""
    digest = blake2b()
    for item in _leaves(value):
        if isinstance(item, Tensor) and value_of(item) is None:
            digest.update(repr((item.dtype, tuple(item.shape))).encode() + _numbers(item))
        elif isinstance(item, int | float | complex | np.generic):
            digest.update(repr(item).encode())
        elif isinstance(item, np.ndarray):
            digest.update(repr((item.dtype, item.shape)).encode() + item.tobytes())
    return digest.hexdigest()


def _numbers(tensor: Tensor) -> bytes:
    """Return the numbers of a tensor; nothing if it has none, as on the device `meta`."""
    try:
        numbers = tensor.detach().cpu().contiguous().reshape(-1)
        return numbers.view(torch.uint8).numpy().tobytes()
    except (NotImplementedError, RuntimeError, TypeError):
        return b""


def _leaves(value: object) -> Iterator[object]:
    """Yield what nested tuples, lists, mappings and dataclasses hold."""
    if isinstance(value, Mapping):
        items: Iterable[object] = value.values()
    elif is_dataclass(value) and not isinstance(value, type):
        items = [getattr(value, each.name, None) for each in fields(value)]
    elif isinstance(value, tuple | list):
        items = value
    else:
        yield value
        return
    for item in items:
        yield from _leaves(item)
