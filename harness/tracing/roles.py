"""Assigns a role to each layer of a traced network from its position.

Predictors' features depend on roles, so a user's network gets the roles that the layer walk would
give it:

- *stem*: the first convolution with the batch normalisation and ReLU after it;
- *transition*: a convolution or pool with a stride, and after a convolution its batch normalisation
  and ReLU;
- *shortcut*: the smaller of the two branches that an addition joins;
- *match*: a 1x1 convolution that changes the channels and ends a block: a convolution, transition,
  addition or global pool reads it;
- *head*: the global pool and the last layer;
- *block*: all other layers.

Names of submodules decide nothing: a 1x1 convolution of a block that could be a match is one. A
module that declares its layer row gives its own role.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args, get_type_hints

from benchmark.space.layer_walk import ROW_KINDS, WEIGHTED, LayerRow, Role, RowKind
from harness.tracing.advice import Refusal

WINDOWS = ("conv", "max_pool", "avg_pool")  # kinds that may read padded values
FLAT = ("linear", "dense", "global_pool")  # kinds that give one pixel
# Roles that a declared row can set
DECLARED: tuple[Role, ...] = ("stem", "block", "match", "transition", "head")
READ_MATCHES: tuple[RowKind, ...] = ("conv", "add", "global_pool")
AT_SHORTCUTS: tuple[RowKind, ...] = ("conv", "bn", "avg_pool", "max_pool")


@dataclass(frozen=True, slots=True)
class TracedLayer:
    """A traced layer whose role is not known yet.

    Attributes:
        row: Layer row, whose role, stage and block are placeholders.
        where: The layer in words, for messages.
        declared: Layer row that the module declares; None if it declares none.
    """

    row: LayerRow
    where: str
    declared: LayerRow | None = None


def assign_roles(layers: Sequence[TracedLayer]) -> tuple[LayerRow, ...]:
    """Return the rows with roles, stages and blocks; additions read the longer branch first.

    Raises:
        ValueError: If neither of the branches that an addition joins is a shortcut.
    """
    layers, shortcuts = _order_additions(layers)
    if all(i in shortcuts for i, layer in enumerate(layers) if layer.row.kind == "conv"):
        shortcuts = set()  # the features need a convolution outside of shortcuts
    # The features need a convolution in a block: drop the least certain roles until there is one
    for dropped in (0, 1, 2, 3):
        roles = _find_roles(layers, shortcuts, dropped)
        if any(d.row.kind == "conv" and r == "block" for d, r in zip(layers, roles, strict=True)):
            break
    return _set_roles(layers, roles)


def _order_additions(layers: Sequence[TracedLayer]) -> tuple[list[TracedLayer], set[int]]:
    """Return the layers with additions that read the longer branch first, and shortcut indices."""
    ordered: list[TracedLayer] = []
    reached: list[frozenset[int]] = []  # the ancestors of each row and the row itself
    shortcuts: set[int] = set()
    for index, layer in enumerate(layers):
        before = [reached[source] for source in layer.row.inputs if source >= 0]
        reached.append(frozenset({index}).union(*before))
        if layer.row.kind == "add":
            one, two = (reached[i] if i >= 0 else frozenset[int]() for i in layer.row.inputs)
            inputs = (
                layer.row.inputs if len(one - two) >= len(two - one) else layer.row.inputs[::-1]
            )
            smaller = min(two - one, one - two, key=lambda branch: _size(branch, layers))
            _check_shortcut([layers[i].row for i in smaller], layer.where)
            shortcuts |= smaller
            layer = replace(layer, row=replace(layer.row, inputs=inputs))
        ordered.append(layer)
    return ordered, shortcuts


def _size(branch: frozenset[int], layers: Sequence[TracedLayer]) -> tuple[int, int]:
    """Return the numbers of layers and of convolutions in a branch."""
    return len(branch), sum(layers[index].row.kind == "conv" for index in branch)


def _check_shortcut(rows: Sequence[LayerRow], where: str) -> None:
    convolutions = sum(row.kind == "conv" for row in rows)
    other = [row.kind for row in rows if row.kind not in AT_SHORTCUTS]
    if convolutions > 1 or other:
        content = other[0] if other else f"{convolutions} convolutions"
        raise ValueError(
            f"{where} joins two branches, and the smaller one has {content}; a shortcut may have "
            "one convolution, batch normalisation and pooling"
        )


def _find_roles(layers: Sequence[TracedLayer], shortcuts: set[int], dropped: int) -> list[Role]:
    """Return roles; `dropped` > 0 omits matches, > 1 transitions of convolutions, > 2 the stem."""
    roles: list[Role] = ["block"] * len(layers)
    rows = [layer.row for layer in layers]
    for index, row in enumerate(rows):
        if row.kind == "add":
            roles[index] = "add"
        elif index in shortcuts:
            roles[index] = "shortcut"
        elif row.kind in ("global_pool", "linear"):
            roles[index] = "head"
    if dropped < 3:
        first = next(i for i, row in enumerate(rows) if row.kind == "conv" and i not in shortcuts)
        for index in (*range(first), *_row_and_followers(rows, first)):
            roles[index] = "stem" if roles[index] == "block" else roles[index]
    for index, row in enumerate(rows):
        strided = row.stride > 1 and row.kind != "dense"
        if roles[index] == "block" and strided and (dropped < 2 or row.kind != "conv"):
            for follower in _row_and_followers(rows, index):
                roles[follower] = "transition"
    for index, layer in reversed(list(enumerate(layers))):  # a match is the last of its block
        if (
            dropped > 0
            or roles[index] not in DECLARED
            or layer.row.kind in ("global_pool", "linear")
        ):
            continue
        if layer.declared is not None and layer.declared.role in DECLARED:
            roles[index] = layer.declared.role
        elif _is_match(rows, roles, index):
            roles[index] = "match"
    return roles


def _row_and_followers(rows: Sequence[LayerRow], index: int) -> list[int]:
    """Return the indices of a row and, if it is a convolution, of the BN and ReLU after it."""
    indices = [index]
    for kind in ("bn", "relu") if rows[index].kind == "conv" else ():
        following = indices[-1] + 1
        if following < len(rows) and rows[following].kind == kind:
            if rows[following].inputs == (indices[-1],):
                indices.append(following)
    return indices


def _is_match(rows: Sequence[LayerRow], roles: Sequence[Role], index: int) -> bool:
    """Return whether a row is a 1x1 convolution that changes the channels and ends a block."""
    row = rows[index]
    if (row.kind, row.kernel_height, row.kernel_width, row.stride) != ("conv", 1, 1, 1):
        return False
    if roles[index] != "block" or row.inputs[0] < 0 or roles[row.inputs[0]] != "block":
        return False
    if row.in_channels == row.out_channels:
        return False
    readers = [i for i, other in enumerate(rows) if index in other.inputs]
    ends_block = all(rows[i].kind in READ_MATCHES or rows[i].stride > 1 for i in readers)
    return ends_block and all(roles[i] != "match" for i in readers)


def _set_roles(layers: Sequence[TracedLayer], roles: Sequence[Role]) -> tuple[LayerRow, ...]:
    """Return rows with roles; a stride starts a stage, a first convolution starts a block."""
    rows: list[LayerRow] = []
    stage, block, inside = 0, -1, False
    for layer, role in zip(layers, roles, strict=True):
        declared, first = layer.declared, layer.row.kind == "conv" and not inside
        if declared is not None and role not in ("stem", "head"):
            stage, block = declared.stage, max(block, declared.block)
        elif role == "transition" and layer.row.stride > 1:
            stage += 1
        elif role == "block" and first:
            block += 1
        if layer.row.kind == "conv" and role == "block":
            inside = True
        elif role in ("match", "add", "transition"):
            inside = False
        outside = {"stem": -1, "head": stage + 1}
        number = -1 if role in ("stem", "head", "transition") else max(block, 0)
        rows.append(replace(layer.row, role=role, stage=outside.get(role, stage), block=number))
    return tuple(rows)


def check_types(row: LayerRow, where: str) -> None:
    """Check the fields of a declared row, each by itself.

    Raises:
        Refusal: If one has a wrong type, or a kind or role that there is not.
    """
    for name, wanted in get_type_hints(LayerRow).items():
        value = getattr(row, name)
        known = {"kind": ROW_KINDS, "role": get_args(Role)}.get(name)
        if known is not None and value not in known:
            names = ", ".join(sorted(known))
            raise Refusal(
                f"`layer_row` of {where} has the unknown {name} {value!r}; known: {names}"
            )
        if wanted is int and type(value) is not int:
            raise Refusal(f"`layer_row` of {where} has {name} {value!r}, which is no whole number")


def impossible(row: LayerRow) -> str:
    """Return why no layer of a row's kind has its shapes; empty if one may have."""
    side, out, step = row.in_resolution, row.out_resolution, row.stride
    kernel = (row.kernel_height, row.kernel_width)
    if row.kind in WINDOWS:
        given = [
            (side - k) // step + 1 <= out <= (side + k - 2) // step + 1
            for k in kernel
            if k > 0 and step > 0
        ]
        if not all(given) or len(given) != len(kernel):
            size = "x".join(map(str, kernel))
            return f"has the kernel {size} and stride {step}, which make {out} of no {side} pixels"
    else:
        window = side if row.kind in FLAT else 1
        stride = side if row.kind in ("linear", "dense") else 1
        if (*kernel, step) != (window, window, stride):
            return f"must have kernel_height and kernel_width {window} and stride {stride}"
        if row.kind not in FLAT and side != out:
            return f"changes {side} to {out} pixels, and {row.kind} keeps them"
    if row.kind not in WEIGHTED and row.in_channels != row.out_channels:
        return (
            f"changes {row.in_channels} to {row.out_channels} channels, and {row.kind} keeps them"
        )
    return ""
