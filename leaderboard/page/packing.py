"""Packs accuracies into few bytes for the page, with the precision that the page shows.

The data of an image set is the length of a JSON text (four bytes, little-endian), the text, and
bytes to which the text refers by offset; all are compressed with gzip and encoded in base64. True
curves and predicted final accuracies are stored with four digits, the resolution of 10,000 images.
Predicted curves are only drawn and are stored in steps of 1/200, which is half a pixel.
"""

import base64
import gzip
import json

import numpy as np
from numpy.typing import NDArray

STEPS = 10_000  # per accuracy of 1, where digits are shown
CURVE_STEPS = 200  # per accuracy of 1, in curves that are only drawn
KEY = 64  # number of first bytes that are used to look up earlier content

Array = NDArray[np.float64]


class Bytes:
    """A growing sequence of bytes that reuses earlier content with the same beginning."""

    def __init__(self) -> None:
        """Start empty."""
        self.content = bytearray()
        self._starts: dict[bytes, list[int]] = {}

    def add(self, new: bytes) -> int:
        """Return the offset of the bytes; they are appended unless the content has them already."""
        starts = self._starts.setdefault(new[:KEY], [])
        for start in starts:
            if self.content.startswith(new, start):
                return start
        starts.append(len(self.content))
        self.content += new
        return starts[-1]


def pack_exact(values: Array) -> bytes:
    """Return accuracies in [0, 1], rounded to four digits, as two bytes each.

    >>> pack_exact(np.array([0.0, 0.1234, 1.0])).hex()
    '0000d2041027'
    """
    return np.rint(np.clip(values, 0, 1) * STEPS).astype("<u2").tobytes()


def pack_curves(values: Array) -> bytes:
    """Return curves (networks, epochs) as differences between epochs modulo 256, last epoch first.

    The bytes of an epoch are contiguous. If predictions do not depend on the observed epochs, the
    bytes for a task with more observed epochs are therefore the beginning of those with fewer.

    >>> pack_curves(np.array([[0.5, 0.75], [0.25, 1.0]])).hex()
    '96c8ce6a'
    """
    steps = np.rint(np.clip(values, 0, 1) * CURVE_STEPS).astype(np.int64)[:, ::-1].T
    differences = np.diff(steps, axis=0, prepend=np.zeros_like(steps[:1]))
    return (differences % 256).astype(np.uint8).tobytes()


def compressed(record: dict[str, object], content: bytes) -> str:
    """Return a record and the bytes it refers to as text that is safe in a script element."""
    text = json.dumps(record, separators=(",", ":")).encode()
    packed = len(text).to_bytes(4, "little") + text + content
    return base64.b64encode(gzip.compress(packed, mtime=0)).decode()


def scaled(value: float | None, decimals: int) -> int | None:
    """Return a number rounded to some decimals, as a multiple of the last decimal.

    >>> scaled(0.5926, 3), scaled(None, 3)
    (593, None)
    """
    return None if value is None else round(round(value, decimals) * 10**decimals)
