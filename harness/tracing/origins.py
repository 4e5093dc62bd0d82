"""From which parameters of a network a tensor is computed."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.tracing.advice import Refusal

UNREGISTERED = (
    "has weights that are not among the network's parameters, so no optimiser trains them; keep "
    "layers in attributes of a module or in an nn.ModuleList"
)


@dataclass(frozen=True, slots=True)
class Part:
    """Elements of a parameter.

    Attributes:
        parameter: Identity of the parameter.
        elements: Shape, strides and first element of a view on it; None for all of it.
    """

    parameter: int
    elements: tuple[tuple[int, ...], tuple[int, ...], int] | None = None

    def indices(self) -> Tensor | slice:
        """Return the indices of the elements."""
        if self.elements is None:
            return slice(None)
        shape, strides, start = self.elements
        last = start + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        return torch.arange(last + 1).as_strided(shape, strides, start).flatten()


@dataclass(frozen=True, slots=True)
class Use:
    """The numbers that a layer computes with.

    Attributes:
        applied: How many numbers it computes with that come from parameters.
        parts: The parts of parameters that they come from.
    """

    applied: int = 0
    parts: frozenset[Part] = frozenset()


class Origins:
    """Stores which parameters tensors come from, and these tensors, so that identities last."""

    def __init__(self, network: nn.Module) -> None:
        """Know the parameters of a network, and views of them that were made before."""
        parameters = list(nn.Module.parameters(network))
        self._known = frozenset(map(id, parameters))
        self._memory = {view(parameter)[0]: parameter for parameter in parameters}
        self._origins: dict[int, frozenset[Part]] = {}
        self._alive: list[Tensor] = []

    def of(self, tensor: Tensor) -> frozenset[Part]:
        """Return the parts of parameters that a tensor is, or was computed from."""
        if isinstance(tensor, nn.Parameter):
            return frozenset([Part(id(tensor))])
        owner = self._memory.get(view(tensor)[0])
        if owner is None:
            return self._origins.get(id(tensor), frozenset())
        start = int(tensor.storage_offset() - owner.storage_offset())
        if tensor.numel() == owner.numel() or tensor.dtype != owner.dtype or start < 0:
            return frozenset([Part(id(owner))])
        return frozenset([Part(id(owner), (tuple(tensor.shape), tensor.stride(), start))])

    def keep(self, arguments: Iterable[Tensor], results: Iterable[Tensor]) -> None:
        """Store that results come from the parameters that the arguments come from."""
        origins = frozenset[Part]().union(*map(self.of, arguments))
        for tensor in results if origins else ():
            self._origins[id(tensor)] = origins | self.of(tensor)
            self._alive.append(tensor)

    def use(self, where: str, tensors: Iterable[Tensor]) -> Use:
        """Return which parameters a call reads.

        Raises:
            Refusal: If one is not among the network's parameters.
        """
        applied, parts = 0, frozenset[Part]()
        for tensor in tensors:
            origins = self.of(tensor)
            applied += tensor.numel() if origins else 0
            parts |= origins
        if not {part.parameter for part in parts} <= self._known:
            raise Refusal(f"{where} {UNREGISTERED}")
        return Use(applied, parts)


def view(tensor: Tensor) -> tuple[object, ...]:
    """Return what is the same for two tensors that are the same view of the same memory."""
    try:
        memory = tensor.untyped_storage()._cdata
        return memory, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
    except (NotImplementedError, RuntimeError, ValueError):  # it has no memory of its own
        return (-id(tensor),)
