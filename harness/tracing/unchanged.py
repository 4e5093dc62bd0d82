"""Leaves a network and the random generators as they were, whatever a run does to them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Restore modes, parameters, buffers and random generators afterwards.

    Attributes that `forward` sets stay as it leaves them.
    """
    modes = [(module, module.training) for module in network.modules()]
    tensors = [
        (table, name, tensor, tensor.detach().clone())
        for module in network.modules()
        for table in (module._parameters, module._buffers)
        for name, tensor in table.items()
        if isinstance(tensor, Tensor)
    ]
    with kept_chance():
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for table, name, tensor, value in tensors:
                    tensor.copy_(value)
                    table[name] = tensor  # type: ignore[assignment]


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


def has_lazy(network: nn.Module) -> bool:
    """Return whether a module has parameters or buffers without a shape yet."""
    return any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers()))
