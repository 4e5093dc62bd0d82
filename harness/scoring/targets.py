"""The runs on which a prediction is scored."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.space.imagesets import learned_above
from benchmark.util.text import quantity
from harness.metrics.bootstrap import Array

ScoredSplit = Literal["test", "heldout"]
SCORED_SPLITS: tuple[ScoredSplit, ...] = ("test", "heldout")


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The runs on which a prediction is scored.

    Attributes:
        run_ids: Id of each run, all different.
        architecture_ids: Id of each run's architecture.
        skeletons: Skeleton of each run; all runs of a skeleton are in one split.
        splits: Split of each run.
        paired_architecture_ids: Id of the architecture whose blocks each run's network reuses, or
            None. A pair counts if there are runs of both architectures.
        curves: True accuracies, (runs, epochs); column e is the accuracy after epoch e + 1.
        classes: Number of classes of the image set; chance is 1 / classes.
        seed_difference: Difference of final accuracies that two runs of a typical network exceed in
            5 % of cases; None if it is not known.
        final_accuracy: True final accuracies, (runs,), for curves of something else; None: those of
            `curves`.
    """

    run_ids: tuple[str, ...]
    architecture_ids: tuple[str, ...]
    skeletons: tuple[str, ...]
    splits: tuple[ScoredSplit, ...]
    paired_architecture_ids: tuple[str | None, ...]
    curves: Array
    classes: int
    seed_difference: float | None = None
    final_accuracy: Array | None = None

    def __post_init__(self) -> None:
        """Check lengths, names and values."""
        self._check_lengths()
        self._check_names()
        if self.classes < 2:
            raise ValueError(f"classes (={self.classes}) must be at least 2")
        wrong = np.argwhere(~((self.curves >= 0) & (self.curves <= 1)))
        if len(wrong):
            row, epoch = wrong[0]
            raise ValueError(
                f"true accuracy of run {self.run_ids[row]!r} after epoch {epoch + 1} "
                f"(={self.curves[row, epoch]}) must be in [0, 1]"
            )

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Whether each run's final accuracy is above twice chance, (runs,)."""
        final = self.curves[:, -1] if self.final_accuracy is None else self.final_accuracy
        learned: NDArray[np.bool_] = final > learned_above(self.classes)
        return learned

    @property
    def skeleton_splits(self) -> dict[str, ScoredSplit]:
        """The split of each skeleton, sorted by name."""
        return dict(sorted(zip(self.skeletons, self.splits, strict=True)))

    def _check_lengths(self) -> None:
        runs = len(self.run_ids)
        if not runs:
            raise ValueError("targets must have at least one run")
        for name in ("architecture_ids", "skeletons", "splits", "paired_architecture_ids"):
            entries = len(getattr(self, name))
            if entries != runs:
                given = quantity(entries, "entry", "entries")
                raise ValueError(f"{name} (={given}) must have one entry per run ({runs})")
        if self.curves.ndim != 2 or len(self.curves) != runs or not self.curves.shape[1]:
            raise ValueError(
                f"curves of shape {self.curves.shape} must be (runs, epochs) with "
                f"{quantity(runs, 'run')} and at least one epoch"
            )

    def _check_names(self) -> None:
        seen: set[str] = set()
        split_of: dict[str, ScoredSplit] = {}
        for run_id, skeleton, split in zip(self.run_ids, self.skeletons, self.splits, strict=True):
            if run_id in seen:
                raise ValueError(f"run {run_id!r} is given twice; run ids must be all different")
            seen.add(run_id)
            if split not in SCORED_SPLITS:
                raise ValueError(
                    f"split {split!r} of run {run_id!r} must be one of {SCORED_SPLITS}"
                )
            if split_of.setdefault(skeleton, split) != split:
                raise ValueError(
                    f"skeleton {skeleton!r} has runs in both splits; they must be in one"
                )
