"""Why the parameters of a network and those of its layer rows differ in number."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from benchmark.space.layer_walk import parameters
from harness.tracing.outcome import Outcome


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Numbers of parameters of a network, and what layer rows count otherwise.

    Attributes:
        network: All parameters of the network.
        frozen: Those of them that are not trained (`requires_grad` is off).
        rows: Parameters of the layer rows.
        biases: Biases that layer rows have and the network does not.
        scales: Scales and shifts of batch normalisations that layer rows have and the network does
            not.
        shared: Parameters that are counted again, as several layers use them.
        unused: Parameters that the output does not depend on.
        computed: How many more parameters the network has than the weights that are computed from
            them, as by weight normalisation.
    """

    network: int
    frozen: int
    rows: int
    biases: int
    scales: int
    shared: int
    unused: int
    computed: int

    def differences(self) -> Iterator[str]:
        """Yield each reason for which the rows have more or fewer parameters, with its number."""
        reasons = (
            (self.biases, "biases, which every layer row has"),
            (self.scales, "scales and shifts, which every layer row of batch normalisation has"),
            (self.shared, "shared weights, counted wherever they are used"),
            (-self.unused, "parameters that the output does not depend on"),
            (-self.computed, "parameters from which weights are computed"),
        )
        for number, reason in reasons:
            if number:
                yield f"{number:+,} {reason}"


def count_parameters(network: nn.Module, outcome: Outcome) -> ParameterCount:
    """Return the parameters of a network, compared with those of the layers of its run.

    The differences add up: rows = network + biases + scales + shared - unused - computed.
    """
    own = {id(p): p for p in network.parameters()}
    readers = Counter(key for use in outcome.uses for key in use.parameters)
    missing = {"bn": 0, "other": 0}
    for layer, use in zip(outcome.layers, outcome.uses, strict=True):
        kind = "bn" if layer.row.kind == "bn" else "other"
        missing[kind] += layer.row.parameters - use.applied
    read = sum(own[key].numel() * times for key, times in readers.items())
    return ParameterCount(
        network=sum(p.numel() for p in own.values()),
        frozen=sum(p.numel() for p in own.values() if not p.requires_grad),
        rows=parameters(tuple(layer.row for layer in outcome.layers)),
        biases=missing["other"],
        scales=missing["bn"],
        shared=sum(own[key].numel() * (times - 1) for key, times in readers.items()),
        unused=sum(p.numel() for key, p in own.items() if key not in readers),
        computed=read - sum(use.applied for use in outcome.uses),
    )
