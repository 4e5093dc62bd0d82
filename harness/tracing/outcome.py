"""What one run of a network gave: the layers and the parameters that its output depends on."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from benchmark.space.layer_walk import LayerRow, parameters
from benchmark.util.text import describe
from harness.tracing.module_stack import tensors_in
from harness.tracing.origins import Use
from harness.tracing.recorder import Recorder
from harness.tracing.roles import TracedLayer
from harness.tracing.values import TracedValue


@dataclass(frozen=True, slots=True)
class Outcome:
    """The layers of a run.

    Attributes:
        layers: The layers that the logits depend on.
        uses: What each of them computes with.
        left_out: Layers that the logits do not depend on, in words.
        values: Number of tensors that the network returns.
        rates: Rates of dropout of all layers.
        chance: Where random numbers were drawn; empty if nowhere.
        left: Where values were taken out of torch or computed outside; empty if nowhere.
        trained: Identities of the parameters that have a gradient.
        constants: Of each call in words a digest of what it reads beside followed values; of runs
            in evaluation mode.
    """

    layers: tuple[TracedLayer, ...]
    uses: tuple[Use, ...]
    left_out: tuple[str, ...]
    values: int
    rates: tuple[float, ...]
    chance: str
    left: str
    trained: frozenset[int]
    constants: tuple[tuple[str, str], ...]

    def without_dropout(self) -> tuple[TracedLayer, ...]:
        """Return the layers without dropout, which a network has in training mode alone."""
        kept = [i for i, layer in enumerate(self.layers) if layer.row.kind != "dropout"]
        return _take(self.layers, kept)


def read_outcome(recorder: Recorder, output: object) -> Outcome:
    """Return the outcome of a run that returned `output`.

    Raises:
        ValueError: If no output, or more than one, has logits for the classes, or if layer rows
            cannot express what the logits depend on.
    """
    images, found, name = recorder.images, recorder.found, recorder.modules.name
    tensors = list({id(tensor): tensor for tensor in tensors_in(output)}.values())
    values = {id(tensor): recorder.value_of(tensor) for tensor in tensors}
    traced = [tensor for tensor in tensors if values[id(tensor)] is not None]
    if not tensors:
        raise ValueError(
            f"{name} returns {type(output).__name__}; `forward` must return the logits"
        )
    if not traced:
        lost = recorder.modules.lost or name
        raise ValueError(
            f"{lost} must return logits that functions of torch compute from the images; what "
            "TorchScript, NumPy, C++ or `vmap` computes cannot be traced"
        )
    shape = (recorder.batch, images.classes)
    wanted = [tensor for tensor in traced if tuple(tensor.shape) == shape]
    if len(wanted) > 1:
        raise ValueError(
            f"{name} returns {len(wanted)} tensors of {images.classes} classes; return the logits "
            "alone"
        )
    logits = wanted[0] if wanted else traced[0]
    value = values[id(logits)]
    assert value is not None
    _check_logits(recorder, logits, value)
    kept = sorted(_reached([layer.row for layer in found.layers], value.row))
    left_out = [layer.where for i, layer in enumerate(found.layers) if i not in set(kept)]
    layers = _take(found.layers, kept)
    if not any(layer.row.kind == "conv" for layer in layers):
        raise ValueError(f"{name} must have a convolution")
    dense = [
        replace(d, row=replace(d.row, kind="dense")) if d.row.kind == "linear" else d
        for d in layers[:-1]
    ]
    uses = tuple(found.uses[index] for index in kept)
    return Outcome(
        (*dense, layers[-1]), uses, tuple(left_out), len(tensors), tuple(found.rates),
        recorder.modules.chance, recorder.left or recorder.modules.lost, _trained(recorder, logits),
        tuple(found.constants),
    )  # fmt: skip


def _trained(recorder: Recorder, logits: Tensor) -> frozenset[int]:
    """Return the parameters on which the logits have a gradient, of a run in training mode.

    Raises:
        ValueError: If gradients cannot be computed, as after some changes in place.
    """
    own = nn.Module.parameters(recorder.network)
    wanted = [p for p in own if p.requires_grad and not is_lazy(p)]
    if not logits.requires_grad or not recorder.network.training:
        return frozenset()
    try:
        gradients = torch.autograd.grad(logits.sum(), wanted, allow_unused=True)
    except RuntimeError as error:
        raise ValueError(f"{recorder.modules.name} cannot be trained: {describe(error)}") from error
    return frozenset(id(p) for p, g in zip(wanted, gradients, strict=True) if g is not None)


def _check_logits(recorder: Recorder, logits: Tensor, value: TracedValue) -> None:
    """Check that a value is that of a fully connected layer with one output per class."""
    images, layers, name = recorder.images, recorder.found.layers, recorder.modules.name
    if value.problem:
        raise ValueError(value.problem)
    last = layers[value.row] if value.row >= 0 else None
    if last is None or last.row.kind != "linear" or not value.is_vector:
        raise ValueError(
            "a network must end with a fully connected layer (Linear), but its last layer is "
            f"{last.where if last else name}"
        )
    if tuple(logits.shape) != (recorder.batch, images.classes):
        raise ValueError(
            f"{last.where} gives {logits.shape[-1]} classes, but {images.name!r} has "
            f"{images.classes}"
        )


def _reached(rows: list[LayerRow], last: int) -> set[int]:
    """Return the indices of the rows that a row depends on, and its own."""
    reached, waiting = {last}, [last]
    while waiting:
        sources = {i for i in rows[waiting.pop()].inputs if i >= 0} - reached
        reached |= sources
        waiting += sources
    return reached


def _take(layers: tuple[TracedLayer, ...] | list[TracedLayer], kept: list[int]) -> (
    tuple[TracedLayer, ...]
):  # fmt: skip
    """Return some of the layers; what read one that is left out reads its input."""
    place = {-1: -1}  # of each old index; one that is left out has the place of its input
    for index, layer in enumerate(layers):
        place[index] = kept.index(index) if index in kept else place[layer.row.inputs[0]]
    rows = [layers[index].row for index in kept]
    inputs = [tuple(place[source] for source in row.inputs) for row in rows]
    return tuple(
        replace(layers[index], row=replace(row, inputs=sources))
        for index, row, sources in zip(kept, rows, inputs, strict=True)
    )


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Numbers of parameters of a network, and what layer rows count otherwise.

    Attributes:
        network: All parameters of the network.
        frozen: Those of them that are not trained, as `requires_grad` is off, or as layers use them
            without a gradient.
        rows: Parameters of the layer rows.
        biases: Biases that layer rows have and the network does not.
        scales: Scales and shifts of batch normalisations that layer rows have and the network does
            not.
        declared: How many more parameters declared rows have than their modules.
        statistics: Running statistics of batch normalisations that are parameters of the network.
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
    declared: int
    statistics: int
    shared: int
    unused: int
    computed: int

    def differences(self) -> Iterator[str]:
        """Yield each reason for which the rows have more or fewer parameters, with its number."""
        reasons = (
            (self.biases, "biases, which every layer row has"),
            (self.scales, "scales and shifts, which every layer row of batch normalisation has"),
            (self.declared, "parameters of declared layers beside those of their modules"),
            (-self.statistics, "running statistics that are parameters, which no layer row has"),
            (self.shared, "shared weights, counted wherever they are used"),
            (-self.unused, "parameters that the output does not depend on"),
            (-self.computed, "numbers of weights beside those that they are computed from"),
        )
        for number, reason in reasons:
            if number:
                yield f"{number:+,} {reason}"


def count_parameters(network: nn.Module, outcome: Outcome) -> ParameterCount:
    """Return the parameters of a network, compared with those of the layers of its run.

    The differences add up: rows = network + biases + scales + declared - statistics + shared
    - unused - computed.

    Raises:
        ValueError: If the network has other parameters after the run.
    """
    own = {id(p): p for p in nn.Module.parameters(network)}
    parts = [part for use in outcome.uses for part in use.parts]
    if not own.keys() >= {part.parameter for part in parts}:
        raise ValueError(f"{type(network).__name__} replaces its parameters in `forward`")
    readers = {key: torch.zeros(p.numel(), dtype=torch.int32) for key, p in own.items()}
    for part in parts:
        readers[part.parameter][part.indices()] += 1  # once, however often an index is there
    missing = Counter[str]()
    for layer, use in zip(outcome.layers, outcome.uses, strict=True):
        number = layer.row.parameters - use.applied
        kind = "statistics" if number < 0 else "scales" if layer.row.kind == "bn" else "biases"
        missing["declared" if layer.declared else kind] += number
    read = sum(int(times.sum()) for times in readers.values())
    return ParameterCount(
        network=sum(p.numel() for p in own.values()),
        frozen=sum(
            p.numel()
            for key, p in own.items()
            if not p.requires_grad or (readers[key].any() and key not in outcome.trained)
        ),
        rows=parameters(tuple(layer.row for layer in outcome.layers)),
        biases=missing["biases"],
        scales=missing["scales"],
        declared=missing["declared"],
        statistics=-missing["statistics"],
        shared=sum(int((times - 1).clamp(min=0).sum()) for times in readers.values()),
        unused=sum(int((times == 0).sum()) for times in readers.values()),
        computed=read - sum(use.applied for use in outcome.uses),
    )
