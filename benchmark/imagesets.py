"""The image sets that networks are trained on: their sizes and splits, not their pixels.

Adding a torchvision dataset is one entry here and one in `generators.images`.
"""

from dataclasses import dataclass

from benchmark.names import nearest


@dataclass(frozen=True, slots=True)
class ImageSet:
    """An image set and what it asks of a network.

    Attributes:
        name: Its key.
        resolution: Height and width in pixels.
        channels: Input channels.
        classes: Classes; chance is one over it.
        train: Images trained on.
        valid: Images the target `valid_accuracy` is measured on, a fixed part of the official
            training images.
        test: Official test images (`digits`: a fixed part).
        sequence: Which sequence of architectures its networks come from; sets that share it train
            the same architectures.
        cost_resolution: Resolution and, with `cost_channels`, input at which the sampler counts
            multiply-accumulates against a skeleton's cap.
        cost_channels: See `cost_resolution`.
        width_divisor: Divides every width of a skeleton.
        augmented: Whether training images are flipped and cropped with 4 pixels of padding.
    """

    name: str
    resolution: int
    channels: int
    classes: int
    train: int
    valid: int
    test: int
    sequence: str
    cost_resolution: int
    cost_channels: int
    width_divisor: int = 1
    augmented: bool = False

    @property
    def chance(self) -> float:
        """Accuracy of a constant answer."""
        return 1 / self.classes


IMAGES: dict[str, ImageSet] = {
    "cifar10": ImageSet(
        "cifar10", 32, 3, 10, 40_000, 10_000, 10_000, "32x32", 32, 3, augmented=True
    ),
    "mnist": ImageSet("mnist", 28, 1, 10, 50_000, 10_000, 10_000, "32x32", 32, 3),
    "digits": ImageSet("digits", 8, 1, 10, 1_097, 350, 350, "8x8", 8, 1, width_divisor=2),
}


def get_images(name: str) -> ImageSet:
    """Return the image set of that name.

    Raises:
        ValueError: If there is none; the message has the nearest name.
    """
    if name not in IMAGES:
        raise ValueError(nearest("images", name, IMAGES))
    return IMAGES[name]
