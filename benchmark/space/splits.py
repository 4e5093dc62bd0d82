"""Assigns each architecture to a split by hashing its id, so splits never change."""

import hashlib
from typing import Literal, get_args

from benchmark.space.skeletons import get_skeleton

Split = Literal["train", "validation", "test", "heldout"]
SPLITS: tuple[Split, ...] = get_args(Split)
FITTED_SPLITS: tuple[Split, ...] = ("train", "validation")  # predictors see their whole curves
TRAIN_SHARE, VALIDATION_SHARE = 0.5, 0.1


def split_of(skeleton: str, architecture_id: str) -> Split:
    """Return the split of an architecture, the same for every image set.

    >>> split_of("deep-3x3", "0123456789abcdef")
    'heldout'
    """
    if get_skeleton(skeleton).held_out:
        return "heldout"
    digest = hashlib.sha256(f"split-v1:{architecture_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < TRAIN_SHARE:
        return "train"
    return "validation" if position < TRAIN_SHARE + VALIDATION_SHARE else "test"
