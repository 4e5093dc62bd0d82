"""Leaves a network and the random generators as they were, whatever a run does to them."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Restore modes, parameters, buffers and random generators afterwards.

    Attributes that `forward` sets stay as it leaves them.
    """
    tensors = [
        (table, name, tensor, tensor.detach().clone())
        for module in nn.Module.modules(network)
        for table in (module._parameters, module._buffers)
        for name, tensor in table.items()
        if isinstance(tensor, Tensor)
    ]
    with kept_modes(network), kept_chance():
        try:
            yield
        finally:
            with torch.no_grad():
                for table, name, tensor, value in tensors:
                    table[name] = _restored(tensor, value)  # type: ignore[assignment]


def _restored(tensor: Tensor, value: Tensor) -> Tensor:
    """Return a tensor with its former value, written only if it changed."""
    if tensor.is_meta:
        return tensor
    if tensor.shape != value.shape or tensor.dtype != value.dtype:
        tensor.data = value
    elif not torch.equal(tensor, value):
        tensor.copy_(value)
    return tensor


@contextmanager
def kept_modes(network: nn.Module) -> Iterator[None]:
    """Restore which modules are in training mode afterwards."""
    modes = [(module, module.training) for module in nn.Module.modules(network)]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def kept_chance() -> Iterator[None]:
    """Restore the global random generators of torch, NumPy and Python afterwards."""
    states = torch.random.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.random.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002  # others may draw from it
        random.setstate(states[2])


def seed_chance(seed: int) -> None:
    """Seed the global random generators of torch, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # others may draw from it
    random.seed(seed)


def own_generators(network: nn.Module) -> list[Any]:
    """Return the random generators in attributes of modules and in globals of their files."""
    found: dict[int, object] = {}
    for module in nn.Module.modules(network):
        file = getattr(getattr(type(module), "forward", None), "__globals__", {})
        for value in (*vars(module).values(), *file.values()):
            if isinstance(value, tuple(_STATES)):
                found[id(value)] = value
    return list(found.values())


def chance_state(generators: list[Any]) -> tuple[object, ...]:
    """Return the state of the global random generators of torch, NumPy and Python, and others."""
    states = [
        torch.random.get_rng_state().numpy().tobytes(),
        _STATES[np.random.RandomState](np.random),
        random.getstate(),
    ]
    for generator in generators:
        kind = next(kind for kind in _STATES if isinstance(generator, kind))
        states.append(_STATES[kind](generator))
    return tuple(states)


_STATES: dict[type, Callable[[Any], object]] = {
    random.Random: lambda generator: generator.getstate(),
    np.random.Generator: lambda generator: repr(generator.bit_generator.state),
    np.random.RandomState: lambda generator: [
        part.tobytes() if isinstance(part, np.ndarray) else part
        for part in generator.get_state(legacy=True)
    ],
    torch.Generator: lambda generator: generator.get_state().numpy().tobytes(),
}


def has_lazy(network: nn.Module) -> bool:
    """Return whether a module has parameters or buffers without a shape yet."""
    tensors = *nn.Module.parameters(network), *nn.Module.buffers(network)
    return any(is_lazy(tensor) for tensor in tensors)
