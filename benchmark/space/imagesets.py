"""The image sets that networks are trained on: everything about them except pixels.

To add a torchvision dataset, add an entry here, a recipe in `benchmark.recipes`, and the published
file of its splits, written by `generators.training.images.make_published_file`.
"""

from dataclasses import dataclass, replace
from typing import Literal

from benchmark.space.skeletons import Skeleton
from benchmark.util.unknown_name import check_known

Loader = Literal["torchvision", "scikit-learn"]
DEEP_BLOCKS = 3  # skeletons with at least this many blocks per stage have the higher cap


@dataclass(frozen=True, slots=True)
class ArchitectureSequence:
    """How architectures are drawn and accepted. Image sets that share it share architectures.

    Attributes:
        name: Name of the sequence, which is part of the key of its random streams.
        resolution: Height and width, in pixels, of the input for which the cost is counted.
        channels: Channels of that input.
        macs_cap: Most multiply-accumulates of an accepted architecture.
        deep_macs_cap: Cap for skeletons with at least `DEEP_BLOCKS` blocks per stage.
        width_divisor: Divisor of a skeleton's widths, applied before blocks are drawn.
        distinct_halves: Whether to reject an architecture whose half-width form already occurred.
    """

    name: str
    resolution: int
    channels: int
    macs_cap: int
    deep_macs_cap: int
    width_divisor: int = 1
    distinct_halves: bool = False

    def cap(self, skeleton: Skeleton) -> int:
        """Return the most multiply-accumulates of an accepted architecture of a skeleton."""
        deep = skeleton.blocks_per_stage >= DEEP_BLOCKS
        return self.deep_macs_cap if deep else self.macs_cap


@dataclass(frozen=True, slots=True)
class Quota:
    """Networks per split, divided among the seen skeletons; `heldout` is per held-out skeleton."""

    train: int
    validation: int
    test: int
    heldout: int


@dataclass(frozen=True, slots=True)
class ImageSet:
    """An image set, how its images are used, and how many networks are trained on it.

    Attributes:
        name: Key in `IMAGES`.
        source: Name of the image set with its authors and year.
        loader: Package that reads the pixels.
        dataset: Name of the reader in that package.
        published: Name of the published file of splits and constants.
        resolution: Height and width in pixels.
        channels: Input channels.
        valid: Number of images that `valid_accuracy` is measured on, a fixed subset of the official
            training images.
        test: Number of official test images (`digits`: of a fixed subset of all images).
        sequence: The sequence of architectures that its networks are drawn from.
        quota: Number of networks in the release.
        repeats: Number of those networks that are also trained with two further seeds.
        halved: Whether networks are trained with half of the drawn channels.
        flipped: Whether training images are mirrored at random.
        cropped: Whether training images are cropped at random with 4 pixels of padding.
        curve_valid: Number of valid images measured after every epoch but the last. None: all.
        curve_test: Number of test images measured after every epoch but the last. None: all.
        final_train: Number of training images for `final_train_accuracy`. None: all.
        seed_std: Standard deviation over seeds of the final valid accuracy of a typical network,
            the median over repeated train and test networks, of the runs that learned. None: not
            measured yet.
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
    seed_std: float | None = None

    @property
    def seed_difference(self) -> float | None:
        """Difference of accuracies that two runs of a typical network exceed in 5 % of cases."""
        return None if self.seed_std is None else 1.96 * 2**0.5 * self.seed_std

    @property
    def chance(self) -> float:
        """Accuracy of a network that always predicts the same class."""
        return 1 / self.classes

    @property
    def measured(self) -> int:
        """Number of valid and test images measured after every epoch but the last."""
        return (self.curve_valid or self.valid) + (self.curve_test or self.test)


def learned_above(classes: int) -> float:
    """Return twice the accuracy of chance; a network learned if its final accuracy is higher."""
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
    seed_std=0.0155,
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
    seed_std=0.0074,
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
    seed_std=0.0119,
)


def _full_tier(images: ImageSet, *, cropped: bool) -> ImageSet:
    """Return the full tier of an image set: all drawn channels, all images measured."""
    return replace(
        images,
        name=f"{images.name}-full",
        halved=False,
        cropped=cropped,
        curve_valid=None,
        curve_test=None,
        final_train=None,
        seed_std=None,
    )


IMAGES: dict[str, ImageSet] = {
    images.name: images
    for images in (
        _CIFAR10,
        _MNIST,
        _DIGITS,
        replace(_CIFAR10, name="cifar10-full-width", halved=False, seed_std=None),
        _full_tier(_CIFAR10, cropped=True),
        _full_tier(_MNIST, cropped=False),
    )
}


def get_images(name: str) -> ImageSet:
    """Return the image set of that name.

    Raises:
        ValueError: If the name is unknown; the message suggests the most similar one.
    """
    check_known("images", name, IMAGES)
    return IMAGES[name]
