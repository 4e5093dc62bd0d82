"""What each layer of a traced network is for, from where it stands.

A predictor's features look at roles, so a network of somebody's own gets those that the layer walk
would give it. *Stem*: the first convolution, with a batch normalisation and a ReLU behind it.
*Transition*: what has a stride; behind a convolution, again with its batch normalisation and ReLU.
*Shortcut*: the lesser of the two branches that an addition joins. *Match*: a 1x1 convolution to
other channels that closes a block: a convolution, a transition, an addition or the global pool
reads it. *Head*: the global pool and the last layer. All else is block. Where a drawn 1x1
convolution looks like a match layer, a submodule called `match` or `block` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.space.layer_walk import LayerRow, Role, RowKind

NAMED: tuple[Role, ...] = ("stem", "block", "match", "transition", "head")  # what names can decide
READ_MATCHES: tuple[RowKind, ...] = ("conv", "add", "global_pool")
AT_SHORTCUTS: tuple[RowKind, ...] = ("conv", "bn", "avg_pool", "max_pool")


@dataclass(frozen=True, slots=True)
class TracedLayer:
    """A traced layer whose role is yet to be found.

    Attributes:
        row: Its role, stage and block mean nothing yet.
        where: The layer in words, for messages.
        named: A role that a submodule is called by.
        declared: The row that the module itself says it computes.
    """

    row: LayerRow
    where: str
    named: Role | None = None
    declared: LayerRow | None = None


def assign_roles(layers: Sequence[TracedLayer]) -> tuple[LayerRow, ...]:
    """Return the rows with roles, stages and blocks; additions read their body first.

    Raises:
        ValueError: If an addition joins two branches neither of which is a shortcut.
    """
    layers, shortcuts = _order_additions(layers)
    # The features need a convolution in a block: what is least sure gives way until there is one
    for least in (0, 1, 2, 3):
        roles = _find_roles(layers, shortcuts, least)
        pairs = list(zip(layers, roles, strict=True))
        if any(d.row.kind == "conv" and role == "block" for d, role in pairs):
            break
    return _set_roles(layers, roles)


def _order_additions(layers: Sequence[TracedLayer]) -> tuple[list[TracedLayer], set[int]]:
    """Return the layers whose additions read their body first, and the rows at shortcuts."""
    found: list[TracedLayer] = []
    reached: list[frozenset[int]] = []  # every row that leads to each row, itself included
    shortcuts: set[int] = set()
    for index, layer in enumerate(layers):
        before = [reached[source] for source in layer.row.inputs if source >= 0]
        reached.append(frozenset({index}).union(*before))
        if layer.row.kind == "add":
            one, two = (reached[i] if i >= 0 else frozenset[int]() for i in layer.row.inputs)
            inputs = (
                layer.row.inputs if len(one - two) >= len(two - one) else layer.row.inputs[::-1]
            )
            lesser = min(two - one, one - two, key=len)
            _check_shortcut([layers[i].row for i in lesser], layer.where)
            shortcuts |= lesser
            layer = replace(layer, row=replace(layer.row, inputs=inputs))
        found.append(layer)
    return found, shortcuts


def _check_shortcut(rows: Sequence[LayerRow], where: str) -> None:
    convolutions = sum(row.kind == "conv" for row in rows)
    other = [row.kind for row in rows if row.kind not in AT_SHORTCUTS]
    if convolutions > 1 or other:
        held = other[0] if other else f"{convolutions} convolutions"
        raise ValueError(
            f"{where} joins two branches of layers, and the lesser has {held}; a shortcut may hold "
            "one convolution, with batch normalisation and pooling"
        )


def _find_roles(layers: Sequence[TracedLayer], shortcuts: set[int], least: int) -> list[Role]:
    """Return roles; from `least` 1, 2 and 3 on without matches, transitions and the stem."""
    roles: list[Role] = ["block"] * len(layers)
    rows = [layer.row for layer in layers]
    for index, row in enumerate(rows):
        if row.kind == "add":
            roles[index] = "add"
        elif index in shortcuts:
            roles[index] = "shortcut"
        elif row.kind in ("global_pool", "linear"):
            roles[index] = "head"
    if least < 3:
        first = next(i for i, row in enumerate(rows) if row.kind == "conv" and i not in shortcuts)
        for index in (*range(first), *_row_and_followers(rows, first)):
            roles[index] = "stem" if roles[index] == "block" else roles[index]
    for index, row in enumerate(rows):
        if roles[index] == "block" and row.stride > 1 and (least < 2 or row.kind != "conv"):
            for follower in _row_and_followers(rows, index):
                roles[follower] = "transition"
    for index, layer in reversed(list(enumerate(layers))):  # a match is the last of its block
        chosen = layer.declared.role if layer.declared else layer.named
        if least > 0 or roles[index] not in NAMED or layer.row.kind in ("global_pool", "linear"):
            continue
        if chosen is not None:
            roles[index] = chosen
        elif _is_match(rows, roles, index):
            roles[index] = "match"
    return roles


def _row_and_followers(rows: Sequence[LayerRow], index: int) -> list[int]:
    """Return a row and, behind a convolution, its batch normalisation and then its ReLU."""
    found = [index]
    for kind in ("bn", "relu") if rows[index].kind == "conv" else ():
        following = found[-1] + 1
        if following < len(rows) and rows[following].kind == kind:
            if rows[following].inputs == (found[-1],):
                found.append(following)
    return found


def _is_match(rows: Sequence[LayerRow], roles: Sequence[Role], index: int) -> bool:
    """Return whether a row closes a block: a bare 1x1 convolution behind its other layers.

    It is there to change the channels.
    """
    row = rows[index]
    if (row.kind, row.kernel_height, row.kernel_width, row.stride) != ("conv", 1, 1, 1):
        return False
    if roles[index] != "block" or row.inputs[0] < 0 or roles[row.inputs[0]] != "block":
        return False
    if row.in_channels == row.out_channels:
        return False
    readers = [i for i, other in enumerate(rows) if index in other.inputs]
    closes = all(rows[i].kind in READ_MATCHES or rows[i].stride > 1 for i in readers)
    return closes and all(roles[i] != "match" for i in readers)


def _set_roles(layers: Sequence[TracedLayer], roles: Sequence[Role]) -> tuple[LayerRow, ...]:
    """Return rows with their roles; stages are counted at strides, blocks at first convolutions."""
    found: list[LayerRow] = []
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
        row = replace(layer.row, role=role, stage=outside.get(role, stage), block=number)
        found.append(row)
    return tuple(found)
