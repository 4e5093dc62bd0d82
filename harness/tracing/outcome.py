"""What one run of a network gave: the layers that its output depends on, in order."""

from dataclasses import dataclass, replace

from torch import Tensor

from benchmark.space.layer_walk import LayerRow
from harness.tracing.module_stack import tensors_in
from harness.tracing.recorder import Recorder
from harness.tracing.roles import TracedLayer
from harness.tracing.steps import Use
from harness.tracing.values import BATCH, TracedValue


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
    """

    layers: tuple[TracedLayer, ...]
    uses: tuple[Use, ...]
    left_out: tuple[str, ...]
    values: int
    rates: tuple[float, ...]
    chance: str

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
    if not traced:
        lost = recorder.modules.lost or name
        raise ValueError(
            f"{lost} must return logits that functions of torch compute from the images; what "
            "TorchScript, NumPy or C++ computes cannot be traced"
        )
    wanted = [tensor for tensor in traced if tuple(tensor.shape) == (BATCH, images.classes)]
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
        recorder.modules.chance,
    )  # fmt: skip


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
    if tuple(logits.shape) != (BATCH, images.classes):
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
