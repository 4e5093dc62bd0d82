"""Loads the image sets as arrays, in their published splits.

CIFAR-10 and MNIST come from torchvision, which downloads and checks them; `digits` comes with
scikit-learn. The file `benchmark/data/images/<name>.json` defines the valid images, the images that
are evaluated after each epoch, and the normalisation constants.
"""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.space.imagesets import ImageSet, get_images
from benchmark.util.rng import generator_for
from benchmark.util.strict_json import parse_record

DEFAULT_FOLDER = Path("images")


@dataclass(frozen=True, slots=True, eq=False)
class ImageArrays:
    """Images (n, channels, resolution, resolution) uint8 and labels (n,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64] | None) -> "ImageArrays":
        """Return the images at some indices. None: all."""
        return self if rows is None else ImageArrays(self.images[rows], self.labels[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An image set in its three splits.

    Attributes:
        images: Description of the image set.
        train: Images that networks are trained on.
        valid: Images that final accuracies, the targets of predictors, are measured on.
        test: Test images; the official ones, if there are any.
        mean: Mean of the training images in each channel, in units of raw pixel values.
        std: Standard deviation of the training images in each channel, in the same units.
        curve_valid: Sorted indices of the valid images that are evaluated after every epoch but the
            last. None: all.
        curve_test: Sorted indices of the test images that are evaluated after every epoch but the
            last. None: all.
        final_train: Sorted indices of the training images that the final network is evaluated on.
            None: all.
    """

    images: ImageSet
    train: ImageArrays
    valid: ImageArrays
    test: ImageArrays
    mean: tuple[float, ...]
    std: tuple[float, ...]
    curve_valid: NDArray[np.int64] | None = None
    curve_test: NDArray[np.int64] | None = None
    final_train: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The file of an image set: indices as `published_file` says, and constants per channel."""

    images: str
    valid: tuple[int, ...]
    test: tuple[int, ...] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    curve_valid: tuple[int, ...] | None = None
    curve_test: tuple[int, ...] | None = None
    final_train: tuple[int, ...] | None = None


def load_images(name: str, folder: Path = DEFAULT_FOLDER) -> Pixels:
    """Return an image set in the published splits.

    Raises:
        ValueError: If the name is not known.
        FileNotFoundError: If the files are not in `folder`; the message says how to fetch them.
    """
    images = get_images(name)
    official, test = _read(images, folder)
    published = parse_record(published_file(name).encode(), Published, f"the splits of {name!r}")
    valid = np.asarray(published.valid)
    train = np.setdiff1d(np.arange(len(official.labels)), valid)
    tested = np.arange(images.test)
    if test is None:
        tested = np.asarray(published.test)
        test, train = official.take(tested), np.setdiff1d(train, tested)
    splits = official.take(train), official.take(valid), test

    def rows(count: int | None, key: str, split: NDArray[np.int64]) -> NDArray[np.int64] | None:
        chosen = np.asarray(getattr(published, key))
        return None if count is None else np.searchsorted(split, chosen)

    return Pixels(
        images,
        *splits,
        published.mean,
        published.std,
        rows(images.curve_valid, "curve_valid", valid),
        rows(images.curve_test, "curve_test", tested),
        rows(images.final_train, "final_train", train),
    )


def published_file(name: str) -> str:
    """Return the JSON text that defines an image set's splits and normalisation constants.

    Indices refer to the official training images, those of `curve_test` to the official test
    images.
    """
    file = f"{get_images(name).published}.json"
    return resources.files("benchmark").joinpath("data", "images", file).read_text()


def _read(images: ImageSet, folder: Path) -> tuple[ImageArrays, ImageArrays | None]:
    """Return the official training and test images; None for an image set without this division."""
    if images.loader == "torchvision":
        train, test = (_read_torchvision(images, folder, train=flag) for flag in (True, False))
        return train, test
    from sklearn import datasets

    data = getattr(datasets, images.dataset)()
    return ImageArrays(data.images.astype(np.uint8)[:, None], data.target.astype(np.int64)), None


def _read_torchvision(
    images: ImageSet, folder: Path, *, train: bool, download: bool = False
) -> ImageArrays:
    from torchvision import datasets

    try:
        dataset = getattr(datasets, images.dataset)(folder, train=train, download=download)
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{images.name} is missing or incomplete in {str(folder)!r} ({error}); fetch it with "
            f"`peephole images download {images.name} --folder {folder}`"
        ) from error
    data = np.asarray(dataset.data, dtype=np.uint8)
    pixels = data[:, None] if data.ndim == 3 else data.transpose(0, 3, 1, 2)
    return ImageArrays(np.ascontiguousarray(pixels), np.asarray(dataset.targets, dtype=np.int64))


def download_images(name: str, folder: Path = DEFAULT_FOLDER) -> None:
    """Download an image set with torchvision; do nothing for those of scikit-learn."""
    images = get_images(name)
    if images.loader == "torchvision":
        for train in (True, False):
            _read_torchvision(images, folder, train=train, download=True)


def stratified(labels: NDArray[np.int64], count: int, purpose: str) -> NDArray[np.int64]:
    """Return a stratified sample of `count` sorted indices, the same on every machine.

    Each class has its share, rounded by the largest remainder; ties go to the lower class.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * count / len(labels)
    quota = np.floor(exact).astype(int)
    quota[np.argsort(quota - exact, kind="stable")[: count - quota.sum()]] += 1
    chosen = []
    for label, take in zip(classes, quota, strict=True):
        members = np.flatnonzero(labels == label)
        order = np.argsort(generator_for("images-v1", purpose, int(label)).random(len(members)))
        chosen.append(members[order[:take]])
    return np.sort(np.concatenate(chosen))


def make_published_file(name: str, folder: Path = DEFAULT_FOLDER) -> str:
    """Compute an image set's splits and constants from its files; return them as JSON text."""
    images = get_images(get_images(name).published)
    official, official_test = _read(images, folder)
    test = None
    train = np.arange(len(official.labels))
    if official_test is None:
        test = stratified(official.labels, images.test, f"{images.name}/test")
        train = np.setdiff1d(train, test)
    valid = train[stratified(official.labels[train], images.valid, f"{images.name}/valid")]
    train = np.setdiff1d(train, valid)
    values = official.images[train].astype(np.float64)
    record: dict[str, object] = {
        "images": images.name,
        "valid": valid.tolist(),
        "test": None if test is None else test.tolist(),
        "mean": [round(float(x), 6) for x in values.mean((0, 2, 3))],
        "std": [round(float(x), 6) for x in values.std((0, 2, 3))],
    }
    test_images = official_test or official.take(test)
    subsets = {
        "curve_valid": (images.curve_valid, official.labels[valid], valid),
        "curve_test": (images.curve_test, test_images.labels, np.arange(images.test)),
        "final_train": (images.final_train, official.labels[train], train),
    }
    for key, (count, labels, indices) in subsets.items():
        if count is not None:
            record[key] = indices[stratified(labels, count, f"{images.name}/{key}")].tolist()
    return json.dumps(record, separators=(",", ":")) + "\n"
