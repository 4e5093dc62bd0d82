"""From which parameters of a network a tensor is computed."""

from collections.abc import Iterable

from torch import Tensor, nn

from harness.tracing.advice import Refusal
from harness.tracing.module_stack import tensors_in
from harness.tracing.steps import Use

UNREGISTERED = (
    "has weights that are not among the network's parameters, so no optimiser trains them; keep "
    "layers in attributes of a module or in an nn.ModuleList"
)


class Origins:
    """Stores which parameters tensors come from, and these tensors, so that identities last."""

    def __init__(self, network: nn.Module) -> None:
        """Know the parameters of a network, and views of them that were made before."""
        parameters = list(nn.Module.parameters(network))
        self._known = frozenset(map(id, parameters))
        self._memory = {view(parameter)[0]: id(parameter) for parameter in parameters}
        self._origins: dict[int, frozenset[int]] = {}
        self._alive: list[Tensor] = []

    def of(self, tensor: Tensor) -> frozenset[int]:
        """Return the parameters that a tensor is, or was computed from."""
        known = self._origins.get(id(tensor), frozenset())
        if isinstance(tensor, nn.Parameter):
            return known | {id(tensor)}
        owner = self._memory.get(view(tensor)[0])
        return known if owner is None else known | {owner}

    def keep(self, arguments: Iterable[Tensor], result: object) -> None:
        """Store that a result comes from the parameters that the arguments come from."""
        origins = frozenset[int]().union(*map(self.of, arguments))
        for tensor in tensors_in(result) if origins else ():
            self._origins[id(tensor)] = origins | self.of(tensor)
            self._alive.append(tensor)

    def use(self, where: str, tensors: Iterable[Tensor]) -> Use:
        """Return which parameters a call reads.

        Raises:
            Refusal: If one is not among the network's parameters.
        """
        applied, parameters = 0, frozenset[int]()
        for tensor in tensors:
            origins = self.of(tensor)
            applied += tensor.numel() if origins else 0
            parameters |= origins
        if not parameters <= self._known:
            raise Refusal(f"{where} {UNREGISTERED}")
        return Use(applied, parameters)


def view(tensor: Tensor) -> tuple[object, ...]:
    """Return what is the same for two tensors that are the same view of the same memory."""
    try:
        memory = tensor.untyped_storage()._cdata
        return memory, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
    except (NotImplementedError, RuntimeError, ValueError):  # it has no memory of its own
        return (-id(tensor),)
