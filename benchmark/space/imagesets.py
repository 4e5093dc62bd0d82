"""The image sets that networks are trained on: all that one needs, but its pixels.

Adding a torchvision dataset is one entry here, one recipe in `benchmark.recipes`, and the published
file of its splits, which `generators.training.images.make_published_file` makes.
"""

from dataclasses import dataclass, replace
from typing import Literal

from benchmark.space.skeletons import Skeleton
from benchmark.util.unknown_name import unknown_name

Loader = Literal["torchvision", "scikit-learn"]
DEEP_BLOCKS = 3  # blocks in a stage from which on a skeleton has the higher cap


@dataclass(frozen=True, slots=True)
class ArchitectureSequence:
    """How architectures are drawn and which are accepted. Image sets that share one are paired.

    Attributes:
        name: Part of the key of its random streams.
        resolution: Height and width in pixels of the input that costs are counted at.
        channels: Channels of that input.
        macs_cap: Architectures above this many multiply-accumulates are drawn again.
        deep_macs_cap: The same, for skeletons with `DEEP_BLOCKS` blocks in a stage.
        width_divisor: Divides every width of a skeleton before blocks are drawn.
        distinct_halves: Whether an architecture is skipped whose half-width form is taken.
    """

    name: str
    resolution: int
    channels: int
    macs_cap: int
    deep_macs_cap: int
    width_divisor: int = 1
    distinct_halves: bool = False

    def cap(self, skeleton: Skeleton) -> int:
        """Return the most multiply-accumulates of an architecture of a skeleton."""
        deep = skeleton.blocks_per_stage >= DEEP_BLOCKS
        return self.deep_macs_cap if deep else self.macs_cap


@dataclass(frozen=True, slots=True)
class Quota:
    """Networks of a split: over the seen skeletons by their shares, or of each held-out one."""

    train: int
    validation: int
    test: int
    heldout: int


@dataclass(frozen=True, slots=True)
class ImageSet:
    """An image set, what it asks of a network, and how many networks are trained on it.

    Attributes:
        name: Its key.
        source: What it is and who made it, with the year.
        loader: The package that reads its pixels.
        dataset: Name of its reader in that package.
        published: Name of the published file of its splits and constants.
        resolution: Height and width in pixels.
        channels: Input channels.
        classes: Classes; chance is one over it.
        train: Images trained on.
        valid: Images the target `valid_accuracy` is measured on, a fixed part of the official
            training images.
        test: Official test images (`digits`: a fixed part).
        sequence: Where its networks come from.
        quota: Networks of the release.
        repeats: Networks of it that are trained with two further seeds.
        halved: Whether networks are trained at half the drawn channels.
        flipped: Whether training images are mirrored at random.
        cropped: Whether training images are cropped at random with 4 pixels of padding.
        curve_valid: Valid images measured after every epoch but the last. None: all.
        curve_test: Test images measured after every epoch but the last. None: all.
        final_train: Training images that `final_train_accuracy` is measured on. None: all.
    """

    name: str
    source: str
    loader: Loader
    dataset: str
    published: str
    resolution: int
    channels: int
    classes: int
    train: int
    valid: int
    test: int
    sequence: ArchitectureSequence
    quota: Quota
    repeats: Quota
    halved: bool = False
    flipped: bool = False
    cropped: bool = False
    curve_valid: int | None = None
    curve_test: int | None = None
    final_train: int | None = None

    @property
    def chance(self) -> float:
        """Accuracy of a constant answer."""
        return 1 / self.classes

    @property
    def measured(self) -> int:
        """Valid and test images measured after every epoch but the last."""
        return (self.curve_valid or self.valid) + (self.curve_test or self.test)


def learned_above(classes: int) -> float:
    """Return twice the accuracy of chance: a network learned if its final accuracy is above it."""
    return 2 / classes


SEQUENCES: dict[str, ArchitectureSequence] = {
    "32x32-v2": ArchitectureSequence(
        "32x32-v2", 32, 3, macs_cap=60_000_000, deep_macs_cap=100_000_000, distinct_halves=True
    ),
    "8x8": ArchitectureSequence(
        "8x8", 8, 1, macs_cap=100_000_000, deep_macs_cap=160_000_000, width_divisor=2
    ),
}
_CIFAR10 = ImageSet(
    name="cifar10",
    source="CIFAR-10 (Krizhevsky 2009)",
    loader="torchvision",
    dataset="CIFAR10",
    published="cifar10",
    resolution=32,
    channels=3,
    classes=10,
    train=40_000,
    valid=10_000,
    test=10_000,
    sequence=SEQUENCES["32x32-v2"],
    quota=Quota(600, 120, 480, 60),
    repeats=Quota(20, 0, 60, 15),
    halved=True,
    flipped=True,
    curve_valid=1_000,
    curve_test=1_000,
    final_train=2_000,
)
_MNIST = ImageSet(
    name="mnist",
    source="MNIST (LeCun et al. 1998)",
    loader="torchvision",
    dataset="MNIST",
    published="mnist",
    resolution=28,
    channels=1,
    classes=10,
    train=50_000,
    valid=10_000,
    test=10_000,
    sequence=SEQUENCES["32x32-v2"],
    quota=Quota(400, 80, 320, 40),
    repeats=Quota(15, 0, 40, 10),
    halved=True,
    curve_valid=500,
    curve_test=500,
    final_train=1_000,
)
_DIGITS = ImageSet(
    name="digits",
    source="the handwritten digits that scikit-learn ships (UCI, Alpaydin and Kaynak 1998)",
    loader="scikit-learn",
    dataset="load_digits",
    published="digits",
    resolution=8,
    channels=1,
    classes=10,
    train=1_097,
    valid=350,
    test=350,
    sequence=SEQUENCES["8x8"],
    quota=Quota(600, 120, 480, 60),
    repeats=Quota(50, 0, 100, 25),
)


def _full(images: ImageSet, *, cropped: bool) -> ImageSet:
    """Return the full tier of an image set: drawn channels, every image measured."""
    return replace(
        images,
        name=f"{images.name}-full",
        halved=False,
        cropped=cropped,
        curve_valid=None,
        curve_test=None,
        final_train=None,
    )


IMAGES: dict[str, ImageSet] = {
    images.name: images
    for images in (
        _CIFAR10,
        _MNIST,
        _DIGITS,
        _full(_CIFAR10, cropped=True),
        _full(_MNIST, cropped=False),
    )
}


def get_images(name: str) -> ImageSet:
    """Return the image set of that name.

    Raises:
        ValueError: If there is none; the message has the nearest name.
    """
    if name not in IMAGES:
        raise ValueError(unknown_name("images", name, IMAGES))
    return IMAGES[name]
