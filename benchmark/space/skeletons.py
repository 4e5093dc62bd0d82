"""The seven skeletons: fixed networks with slots for sampled blocks. To add one, extend `_ALL`.

`peephole-3x2` is the skeleton of the Peephole paper (arXiv:1712.03351, section 3). The others vary
depth, width, down-sampling and shortcuts; four of them are held out of every training split.
"""

from dataclasses import dataclass
from typing import Literal

from benchmark.util.unknown_name import check_known

Novelty = Literal["extrapolates", "unseen feature"]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The fixed structure around sampled blocks.

    Attributes:
        name: Key in `SKELETONS`.
        widths: Channels at the end of the blocks of each stage.
        blocks_per_stage: Number of sampled blocks in each stage.
        downsampling: How the resolution is halved between stages: a 2x2 max pool, or a 3x3
            convolution of stride 2 with the same channels, batch normalisation and ReLU.
        residual: Whether each block has a shortcut, added after its match layer.
        share: Share of the networks in train, validation and test; 0 for held-out skeletons.
        novelty: Reason why the skeleton is held out; None for seen skeletons.
        paired_with: Skeleton whose first test networks provide the blocks; None if blocks are
            sampled.
    """

    name: str
    widths: tuple[int, ...]
    blocks_per_stage: int
    downsampling: Literal["max_pool", "strided"] = "max_pool"
    residual: bool = False
    share: float = 0.0
    novelty: Novelty | None = None
    paired_with: str | None = None

    def __post_init__(self) -> None:
        """Check that the skeleton has either a share (seen) or a novelty (held out)."""
        if (self.share > 0) == (self.novelty is not None):
            raise ValueError(f"skeleton {self.name!r} must have either a share or a novelty")

    @property
    def held_out(self) -> bool:
        """Whether no network of this skeleton may be used to fit a predictor."""
        return self.novelty is not None


_ALL = (
    Skeleton("peephole-3x2", (16, 32, 64), 2, share=0.70),
    Skeleton("shallow-3x1", (16, 32, 64), 1, share=0.15),
    Skeleton("wide-3x1", (32, 64, 128), 1, share=0.15),
    Skeleton("deep-3x3", (16, 32, 64), 3, novelty="extrapolates"),
    Skeleton("stages-4x1", (16, 32, 64, 128), 1, novelty="extrapolates"),
    Skeleton(
        "strided-3x2",
        (16, 32, 64),
        2,
        downsampling="strided",
        novelty="unseen feature",
        paired_with="peephole-3x2",
    ),
    Skeleton(
        "residual-3x2",
        (16, 32, 64),
        2,
        residual=True,
        novelty="unseen feature",
        paired_with="peephole-3x2",
    ),
)
SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in _ALL}


def get_skeleton(name: str) -> Skeleton:
    """Return the skeleton of that name.

    Raises:
        ValueError: If the name is unknown; the message suggests the most similar one.
    """
    check_known("skeleton", name, SKELETONS)
    return SKELETONS[name]
