"""Which module is called now, in words, and what a call did besides torch's functions."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.tracing.values import TracedValue

Call = Callable[..., Any]
TORCH = "torch."  # prefix of torch's own modules


class ModuleStack:
    """The modules that are called now, from the outermost.

    Attributes:
        chance: Where random numbers were drawn, besides dropout; empty if nowhere.
        lost: Where a result was computed outside of torch's functions; empty if nowhere.
        failed: The innermost module that raised an exception; empty if there is none.
    """

    def __init__(self, network: nn.Module) -> None:
        """Name the modules of a network by their paths."""
        self.chance = self.lost = self.failed = ""
        self.name = type(network).__name__
        self.paths = {
            id(m): path for path, m in nn.Module.named_modules(network, remove_duplicate=False)
        }
        self.stack: list[nn.Module] = []

    def where(self, function: str) -> str:
        """Return the call of a function in words: its module, or its name and its module."""
        if not self.stack:
            return f"`{function}` in {self.name}"
        forward = getattr(type(self.stack[-1]), "forward", None)
        of_torch = str(getattr(forward, "__module__", "")).startswith(TORCH)
        return self.module() if of_torch else f"`{function}` in {self.module()}"

    def module(self, depth: int = -1) -> str:
        """Return a module of the stack in words; by default the innermost."""
        module = self.stack[depth]
        kind, path = type(module).__name__, self.paths.get(id(module))
        if path is None and depth > -len(self.stack):  # made in `forward`, or in a plain list
            return f"{kind} in {self.module(depth - 1)}"
        path = ".".join(part for part in (path or "").split(".") if part != "_orig_mod")
        return f"{path!r} ({kind})" if path else kind

    def watch(
        self,
        call: Call,
        module: nn.Module,
        arguments: tuple[Any, ...],
        value_of: Callable[[object], TracedValue | None],
    ) -> Any:  # what a module returns
        """Return what the innermost module returns, after noting what it did."""
        before = chance_state()
        try:
            result = call()
        except BaseException:
            self.failed = self.failed or self.module()
            raise
        if chance_state() != before:
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


def chance_state() -> tuple[object, ...]:
    """Return the state of the global random generators of torch, NumPy and Python."""
    numpy_state = np.random.get_state(legacy=True)  # noqa: NPY002  # others may draw from it
    return (
        torch.random.get_rng_state().numpy().tobytes(),
        *(part.tobytes() if isinstance(part, np.ndarray) else part for part in numpy_state),
        random.getstate(),
    )


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
