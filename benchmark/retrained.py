"""Records of published runs that were trained again, and of whether both agree.

A release may hold `<images>/retrained.json`, the output of `peephole generate verify --json`.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmark.space.imagesets import get_images
from benchmark.util.strict_json import read_record

KINDS = (
    "same device, same versions",
    "same device, other versions",
    "another GPU",
    "another CPU",
    "CPU against GPU",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published run and the same run retrained.

    Attributes:
        kind: Kind of difference, one of `KINDS`.
        published: Final valid accuracy of the published run; after a divergence, that of chance.
        retrained: Final valid accuracy of the retrained run. None: its training failed.
        identical: Whether all series except times are bit-identical.
        within: Whether the difference is at most the 95th percentile of those between seeds.
    """

    run_id: str
    skeleton: str
    kind: str
    published: float
    retrained: float | None
    identical: bool
    status: str
    within: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of all comparisons of one kind.

    Attributes:
        kind: Kind of difference, one of `KINDS`.
        failed: Number of trainings that failed.
        identical: Number of networks with bit-identical series.
        within: Number of networks whose difference is within the spread of seeds.
        median: Median absolute difference in final valid accuracy. None: there are no differences.
        seeds_median: Median absolute difference between two seeds of a network.
        larger: p-value of the hypothesis that differences are no larger than those between seeds.
            None: there are no differences.
        shifted: p-value of the hypothesis that differences are symmetric about 0; 1 if all are 0.
            None: there are no differences.
        agrees: Whether no test rejects agreement, no training failed, and not too few networks are
            within the spread of seeds.
    """

    kind: str
    networks: int
    failed: int
    identical: int
    within: int
    median: float | None
    seeds_median: float
    larger: float | None
    shifted: float | None
    agrees: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """All fields but the p-values, as a table shows them."""
        counts = self.networks, self.failed, self.identical, self.within
        medians = ("-" if m is None else f"{m:.4f}" for m in (self.median, self.seeds_median))
        return self.kind, *map(str, counts), *medians, "yes" if self.agrees else "no"


@dataclass(frozen=True, slots=True)
class Verification:
    """Published runs compared with the same runs retrained; a verdict on each kind of difference.

    `asked` runs were to be retrained; comparisons are those of the runs within the budget.
    """

    asked: int
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]


def read_retrained(images: str, folder: Path) -> Verification | None:
    """Return what a release says about its retrained runs on an image set, or None.

    Raises:
        ValueError: If the images are unknown, or the file holds something else.
    """
    path = folder / get_images(images).name / "retrained.json"
    return read_record(path, Verification) if path.exists() else None
