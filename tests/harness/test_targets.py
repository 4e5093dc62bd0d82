"""What is refused as targets."""

import re
from dataclasses import replace

import numpy as np
import pytest

from harness.scoring.targets import Targets

SMALL = Targets(("r", "s"), ("a", "b"), ("x", "y"), ("test", "heldout"), (None, None), np.eye(2), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_ids": ("r", "r")}, "run 'r' is given twice; run ids must be all different"),
        ({"run_ids": ()}, "targets must have at least one run"),
        ({"skeletons": ("x",)}, "skeletons (=1 entry) must have one entry per run (2)"),
        (
            {"splits": ("test", "train")},
            "split 'train' of run 's' must be one of ('test', 'heldout')",
        ),
        ({"skeletons": ("x", "x")}, "skeleton 'x' has runs in both splits; they must be in one"),
        (
            {"curves": np.eye(3)},
            "curves of shape (3, 3) must be (runs, epochs) with 2 runs and at least one epoch",
        ),
        (
            {"curves": np.array([[0.0], [1.5]])},
            "true accuracy of run 's' after epoch 1 (=1.5) must be in [0, 1]",
        ),
        (
            {"curves": np.array([[0.0, np.nan], [0.5, 0.5]])},
            "true accuracy of run 'r' after epoch 2 (=nan) must be in [0, 1]",
        ),
        ({"classes": 1}, "classes (=1) must be at least 2"),
    ],
)
def test_wrong_targets_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(SMALL, **changes)  # type: ignore[arg-type]
