"""Accuracies as bytes inside the page: small, and as exact as the page shows them.

An image set's part is the length of a JSON text (four bytes, little-endian), the text, and bytes to
which the text refers by offset; all of it gzip in base64. True curves and predicted final
accuracies keep four digits, as many as 10,000 images can tell apart. Predicted curves, which are
only drawn, keep steps of 1/200, half a pixel.
"""

import base64
import gzip
import json

import numpy as np
from numpy.typing import NDArray

STEPS = 10_000  # of an accuracy of 1, where digits are shown
CURVE_STEPS = 200  # of an accuracy of 1, where it is only drawn
KEY = 64  # bytes by which earlier ones are looked up

Array = NDArray[np.float64]


class Bytes:
    """Bytes that grow; what begins as something that was added is not stored again."""

    def __init__(self) -> None:
        """Start with none."""
        self.content = bytearray()
        self._starts: dict[bytes, list[int]] = {}

    def add(self, new: bytes) -> int:
        """Return the offset at which bytes are found, appended unless earlier ones start so."""
        starts = self._starts.setdefault(new[:KEY], [])
        for at in starts:
            if self.content.startswith(new, at):
                return at
        starts.append(len(self.content))
        self.content += new
        return starts[-1]


def pack_exact(values: Array) -> bytes:
    """Return accuracies in [0, 1], in order, rounded to four digits: two bytes each.

    >>> pack_exact(np.array([0.0, 0.1234, 1.0])).hex()
    '0000d2041027'
    """
    return np.rint(np.clip(values, 0, 1) * STEPS).astype("<u2").tobytes()


def pack_curves(values: Array) -> bytes:
    """Return curves (networks, epochs), last epoch first, as each epoch's difference to the next.

    Epochs are contiguous, so a predictor whose answer does not depend on the observed epochs has,
    for more of them, the beginning of the same bytes. A difference is modulo 256.

    >>> pack_curves(np.array([[0.5, 0.75], [0.25, 1.0]])).hex()
    '96c8ce6a'
    """
    whole = np.rint(np.clip(values, 0, 1) * CURVE_STEPS).astype(np.int64)[:, ::-1].T
    steps = np.diff(whole, axis=0, prepend=np.zeros_like(whole[:1]))
    return (steps % 256).astype(np.uint8).tobytes()


def compressed(record: dict[str, object], content: bytes) -> str:
    """Return a record and the bytes it refers to as text that may stand in a script element."""
    text = json.dumps(record, separators=(",", ":")).encode()
    whole = len(text).to_bytes(4, "little") + text + content
    return base64.b64encode(gzip.compress(whole, mtime=0)).decode()


def scaled(value: float | None, digits: int) -> int | None:
    """Return a number rounded to some decimals, without its point.

    >>> scaled(0.5926, 3), scaled(None, 3)
    (593, None)
    """
    return None if value is None else round(round(value, digits) * 10**digits)
