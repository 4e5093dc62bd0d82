"""The runs that a prediction is scored on, checked once."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import Array

Part = Literal["test", "heldout"]
PARTS: tuple[Part, ...] = ("test", "heldout")


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The runs that a prediction is scored on.

    Attributes:
        run_ids: All different.
        architecture_ids: Of each run.
        skeletons: Of each run; a skeleton belongs to one part.
        parts: Of each run.
        paired_architecture_ids: The network that lent its blocks, or None. A pair counts if runs of
            both networks are here.
        curves: True accuracy, (runs, epochs), entry e = after epoch e + 1.
        classes: Of the image set; chance is 1 / classes.
    """

    run_ids: tuple[str, ...]
    architecture_ids: tuple[str, ...]
    skeletons: tuple[str, ...]
    parts: tuple[Part, ...]
    paired_architecture_ids: tuple[str | None, ...]
    curves: Array
    classes: int

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
        learned: NDArray[np.bool_] = self.curves[:, -1] > 2 / self.classes
        return learned

    @property
    def skeleton_parts(self) -> dict[str, Part]:
        """The part that each skeleton belongs to, by name in order."""
        return dict(sorted(zip(self.skeletons, self.parts, strict=True)))

    def _check_lengths(self) -> None:
        runs = len(self.run_ids)
        if not runs:
            raise ValueError("a truth must have at least one run")
        for name in ("architecture_ids", "skeletons", "parts", "paired_architecture_ids"):
            entries = len(getattr(self, name))
            if entries != runs:
                raise ValueError(
                    f"{name} (={entries} entries) must have one entry per run ({runs})"
                )
        if self.curves.ndim != 2 or len(self.curves) != runs or not self.curves.shape[1]:
            raise ValueError(
                f"curves of shape {self.curves.shape} must be (runs, epochs) with {runs} runs and "
                "at least one epoch"
            )

    def _check_names(self) -> None:
        seen: set[str] = set()
        part_of: dict[str, Part] = {}
        for run_id, skeleton, part in zip(self.run_ids, self.skeletons, self.parts, strict=True):
            if run_id in seen:
                raise ValueError(f"run {run_id!r} is there twice; run ids must be all different")
            seen.add(run_id)
            if part not in PARTS:
                raise ValueError(f"part {part!r} of run {run_id!r} must be one of {PARTS}")
            if part_of.setdefault(skeleton, part) != part:
                raise ValueError(
                    f"skeleton {skeleton!r} has runs in both parts; it must belong to one"
                )
