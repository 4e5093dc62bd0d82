"""One call of a torch function while a network is traced, and the layers found so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from torch import Tensor

from benchmark.space.layer_walk import LayerRow, RowKind
from harness.tracing.advice import Refusal
from harness.tracing.origins import Part, Use
from harness.tracing.roles import FLAT, WINDOWS, TracedLayer, check_types, impossible
from harness.tracing.values import Pair, TracedValue, image_dims, square


@dataclass(slots=True)
class Layers:
    """What was found so far.

    Attributes:
        layers: The layers in order of computation.
        uses: What each of them computes with.
        rates: Rates of dropout.
        constants: Of each call in words a digest of what it reads beside the values that are
            followed.
    """

    layers: list[TracedLayer] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    constants: list[tuple[str, str]] = field(default_factory=list)

    def append(self, layer: TracedLayer, use: Use) -> int:
        """Append a layer and return its index."""
        self.layers.append(layer)
        self.uses.append(use)
        return len(self.layers) - 1


@dataclass(frozen=True, slots=True)
class Step:
    """A call of a torch function.

    Attributes:
        where: The call in words, for messages.
        result: What it returned.
        use: The parameters that it read.
        found: The layers found so far, to which it appends.
        value_of: Returns the traced value of a tensor; None for any other object.
        origins_of: Returns the parameters that a tensor is, or was computed from.
    """

    where: str
    result: Tensor
    use: Use
    found: Layers
    value_of: Callable[[object], TracedValue | None]
    origins_of: Callable[[Tensor], frozenset[Part]]

    def is_traced(self, value: object) -> bool:
        """Return whether something was computed from the images."""
        return self.value_of(value) is not None

    def is_kind(self, value: TracedValue, kind: RowKind) -> bool:
        """Return whether a value was computed by a layer of a kind."""
        row = value.row
        while row >= 0 and self.found.layers[row].row.kind == "dropout":
            row = self.found.layers[row].row.inputs[0]
        return row >= 0 and self.found.layers[row].row.kind == kind

    def is_view(self, tensor: Tensor) -> bool:
        """Return whether the result is the whole memory of a tensor, in the same order."""
        if self.result.numel() != tensor.numel():
            return False
        one, two = self.result.untyped_storage()._cdata, tensor.untyped_storage()._cdata
        return one == two and bool(self.result.storage_offset() == tensor.storage_offset())

    def check_weight(self, weight: Tensor) -> None:
        """Check that weights come from parameters and not from the images.

        Raises:
            ValueError: If they do not.
        """
        if self.value_of(weight) is not None:
            raise ValueError("has weights that are computed from the images")
        if not self.origins_of(weight):
            raise ValueError("has weights that are no parameters, so no optimiser trains them")

    def shape_of(self, tensor: object) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(cast("Tensor", tensor).shape)

    def read(self, tensor: object, *, averaged: bool = False, softmax: bool = False) -> TracedValue:
        """Return the traced value of a tensor.

        Raises:
            ValueError: If it has none, or is a mean over one direction or a softmax and may not be.
        """
        value = self.value_of(tensor)
        if value is None:
            raise ValueError("reads its layer from something other than its first argument")
        if value.averaged and not averaged:
            raise ValueError("reads a mean over height or width alone")
        if value.softmax and not softmax:
            raise ValueError("reads a softmax, which only the last fully connected layer may have")
        return value

    def image(self, tensor: object) -> TracedValue:
        """Return the traced value of a tensor of images, channels, height and width."""
        value = self.read(tensor)
        if not value.is_image:
            raise ValueError("must read images, channels, height and width, in this order")
        return value

    def layer(
        self, kind: RowKind, sources: Sequence[TracedValue], kernel: Pair = (1, 1), stride: int = 1
    ) -> TracedValue:
        """Append a row with the shapes of the values and the result, and return its value."""
        first = sources[0]
        channels, size = first.channels, first.size
        if kind in ("linear", "dense"):
            channels, size = int(self.result.shape[1]), (1, 1)
        elif kind == "global_pool":
            size = (1, 1)
        elif first.is_image:
            channels, size = int(self.result.shape[1]), _pixels(self.result)
        before = first.resolution if kind in WINDOWS else square(first.size)
        row = LayerRow(
            kind, *kernel, stride, first.channels, channels, before, square(size), "block", 0, 0,
            tuple(source.row for source in sources),
        )  # fmt: skip
        index = self.found.append(TracedLayer(row, self.where), self.use)
        if kind == "dropout":
            return replace(first, row=index)
        return self._value(index, row, first)

    def declared(self, declared: LayerRow, sources: Sequence[TracedValue]) -> TracedValue:
        """Append the row that a module declares, after checking it.

        Raises:
            Refusal: If a field has a wrong type or value, or a shape differs from that of the run;
                the message names the module.
        """
        first = sources[0]
        check_types(declared, self.where)
        wanted = 2 if declared.kind == "add" else 1
        if len(sources) != wanted:
            raise Refusal(
                f"`layer_row` of {self.where} reads {wanted} values, but it is given {len(sources)}"
            )
        flat = declared.kind in FLAT
        is_image = first.is_image and self.result.ndim == len("NCHW")
        channels = int(self.result.shape[1]) if is_image or flat else first.channels
        size = (1, 1) if flat else _pixels(self.result) if is_image else first.size
        row = replace(
            declared, in_channels=first.channels, out_channels=channels,
            in_resolution=first.resolution, out_resolution=square(size),
            inputs=tuple(source.row for source in sources),
        )  # fmt: skip
        for name in ("in_channels", "out_channels", "in_resolution", "out_resolution"):
            stated, traced = getattr(declared, name), getattr(row, name)
            if stated != traced:
                raise Refusal(
                    f"`layer_row` of {self.where} has {name} {stated}, but it is {traced}"
                )
        if problem := impossible(row):
            raise Refusal(f"`layer_row` of {self.where} {problem}")
        layer = TracedLayer(row, self.where, declared)
        return self._value(self.found.append(layer, self.use), row, first)

    def _value(self, index: int, row: LayerRow, first: TracedValue) -> TracedValue:
        """Return the value of a row; its dimensions are those of the first source if they agree."""
        size = (row.out_resolution, row.out_resolution)
        dims = image_dims(row.out_channels, size)
        if (row.out_channels, size) == (first.channels, first.size) and not first.is_image:
            dims = first.dims
        elif self.result.ndim != len(dims):
            dims = ("N", "".join(dims[1:]))
        return TracedValue(
            index, row.out_channels, row.out_resolution, size, dims, batch=first.batch
        )


def _pixels(result: Tensor) -> Pair:
    """Return height and width of images."""
    return int(result.shape[2]), int(result.shape[3])
