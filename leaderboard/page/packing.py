"""Packs scores and accuracies into few bytes for the page, with the precision that it shows.

A part of the data (a task, or the networks of an image set) is the length of a JSON text (four
bytes, little-endian), the text, and bytes to which the text refers by offset; all are compressed
with gzip and encoded in base64. Scores are integers, multiples of the last decimal that the page
shows. True curves and predicted final accuracies are stored with four digits, the resolution of
10,000 images. Predicted curves are only drawn and are stored in steps of 1/200, half a pixel.
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


def pack_integers(values: Array) -> bytes:
    """Return which numbers are known, one byte each, then the known ones.

    Each known number is stored as the difference to the one before it: sign in the lowest bit,
    first the lowest bytes of all differences, then the next ones. Zeros and nearly equal bytes are
    then neighbours, which gzip needs.

    Args:
        values: Integers, clipped to 30 bits; NaN where unknown.

    >>> pack_integers(np.array([3.0, np.nan, 1.0])).hex(" ")
    '01 00 01 06 03 00 00 00 00 00 00'
    """
    known = np.isfinite(values)
    steps = np.diff(values[known].clip(-(2**29), 2**29), prepend=0.0)
    signed = np.where(steps < 0, -2 * steps - 1, 2 * steps).astype("<u4")
    planes = signed.view(np.uint8).reshape(-1, 4).T
    return known.astype(np.uint8).tobytes() + planes.tobytes()


def compressed(record: dict[str, object], content: bytes) -> str:
    """Return a record and the bytes it refers to as text that is safe in a script element."""
    text = json.dumps(record, separators=(",", ":")).encode()
    packed = len(text).to_bytes(4, "little") + text + content
    return base64.b64encode(gzip.compress(packed, 9, mtime=0)).decode()
