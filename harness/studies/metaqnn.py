"""Reads the MetaQNN networks, to score predictors on data of another origin.

The file holds 1,000 chain networks on CIFAR-10 with 20 epochs each, published with Baker et al.
2017 (arXiv:1705.10823). The file is not part of this project. Layers become layer rows; dropout and
hidden fully connected layers have kinds of their own. The only series is the valid accuracy. A hash
of each network's text assigns it to a split, so copies of a network are in the same split.
"""

import csv
import hashlib
import re
from pathlib import Path

import numpy as np

from benchmark.recipes import Recipe
from benchmark.space.layer_walk import LayerRow, Role, RowKind
from harness.protocol import Array, Runs, Series
from harness.running.custom_splits import Trial

DIVISIONS = 3  # different divisions into splits; scores are means over them
CUMULATIVE_SHARES = ((0.70, "train"), (0.75, "validation"), (1.0, "test"))
EPOCHS = 20
SIDE, COLOURS = 32, 3  # of CIFAR-10
LAYER = re.compile(r"(C|P|D|FC|GAP|SM)\(([\d,. ]+)\)")


def read_metaqnn(path: Path) -> tuple[Runs, tuple[str, ...]]:
    """Return the networks of the file as runs, and the text of each network.

    Raises:
        ValueError: If a line differs from the published format; the message names the line.
        OSError: If the file cannot be read.
    """
    texts, walks, curves = [], [], []
    with path.open(encoding="utf-8", newline="") as file:
        for number, line in enumerate(csv.DictReader(file), start=2):
            try:
                walks.append(metaqnn_rows(line["net"]))
                curves.append([float(line[f"acc_{epoch}"]) for epoch in range(1, EPOCHS + 1)])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}: line {number} is not a MetaQNN network: {error}"
                ) from error
            texts.append(line["net"])
    if not texts:
        raise ValueError(f"{path}: the file holds no networks")
    ids = tuple(f"m{i:04d}" for i in range(len(texts)))
    nothing: tuple[None, ...] = (None,) * len(texts)
    recipe, series = Recipe("cifar10"), _series(np.array(curves))
    runs = Runs(ids, "cifar10", 10, recipe, nothing, tuple(walks), series, proxies=None)
    return runs, tuple(texts)


def _series(curves: Array) -> Series:
    """Return series in which only the valid accuracy is known, from (networks, epochs)."""
    unknown = np.full(curves.shape, np.nan)
    return Series(
        learning_rate=unknown,
        train_loss=unknown,
        train_accuracy=np.full(curves.shape, 0.1),
        train_loss_tenths=np.full((*curves.shape, 10), np.nan),
        valid_loss=unknown,
        valid_accuracy=curves,
        gradient_norm=unknown,
        weight_norm=unknown,
        initial_valid_loss=np.full(len(curves), np.nan),
        initial_valid_accuracy=np.full(len(curves), 0.1),
    )


def metaqnn_rows(text: str) -> tuple[LayerRow, ...]:
    """Return the layers of a network as layer rows.

    A layer is C(filters, kernel, stride), P(kernel, stride), D(i, n), FC(units), GAP(classes) or
    SM(classes). Padding is such that only the stride reduces the resolution.

    Raises:
        ValueError: If the text contains anything else.

    >>> [row.kind for row in metaqnn_rows("[C(64,3,1), P(2,2), D(1,1), FC(128), SM(10)]")]
    ['conv', 'max_pool', 'dropout', 'dense', 'linear']
    """
    words = LAYER.findall(text)
    if not words or LAYER.sub("", text).strip("[], "):
        raise ValueError(f"`net` (={text!r}) must be a list of C, P, D, FC, GAP and SM")
    builder = _Builder()
    for kind, numbers in words:
        builder.add(kind, [int(float(number)) for number in numbers.split(",")])
    return tuple(builder.rows)


class _Builder:
    """Appends layer rows and tracks the current channels and side length in pixels."""

    def __init__(self) -> None:
        self.rows: list[LayerRow] = []
        self.channels, self.side = COLOURS, SIDE

    def add(self, kind: str, numbers: list[int]) -> None:
        if kind == "C":
            self._row("conv", numbers[1], numbers[2], numbers[0])
        elif kind == "P":
            self._row("max_pool", numbers[0], numbers[1], self.channels)
        elif kind == "D":
            self._row("dropout", 1, 1, self.channels)
        elif kind == "FC":
            self._row("dense", self.side, self.side, numbers[0])
        elif kind == "GAP":
            self._row("conv", 1, 1, numbers[0])
            self._row("global_pool", self.side, self.side, numbers[0], "head")
        else:
            self._row("linear", self.side, self.side, numbers[0], "head")

    def _row(
        self, kind: RowKind, kernel: int, stride: int, channels: int, role: Role = "block"
    ) -> None:
        side = max(1, -(-self.side // max(stride, 1)))
        sizes = (kernel, kernel, stride, self.channels, channels, self.side, side)
        self.rows.append(LayerRow(kind, *sizes, role, 0, 0, (len(self.rows) - 1,)))
        self.channels, self.side = channels, side


def split_of(text: str, division: int) -> str:
    """Return the split of a network in one of the divisions."""
    digest = hashlib.sha256(f"metaqnn-v1:{division}:{text}".encode()).digest()
    uniform = int.from_bytes(digest[:8], "big") / 2**64
    return next(split for share, split in CUMULATIVE_SHARES if uniform < share)


def metaqnn_trials(path: Path) -> list[Trial]:
    """Return a trial for each division of the networks of the MetaQNN file.

    Raises:
        ValueError: If the file differs from the published format.
        OSError: If the file cannot be read.
    """
    runs, texts = read_metaqnn(path)
    trials = []
    for division in range(DIVISIONS):
        splits = np.array([split_of(text, division) for text in texts])
        divided = [runs.take(np.flatnonzero(splits == split)) for _, split in CUMULATIVE_SHARES]
        trials.append(Trial("metaqnn", *divided))
    return trials
