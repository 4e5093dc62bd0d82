"""Pixels of the image sets, in their fixed splits, as arrays.

CIFAR-10 and MNIST come from torchvision, with its own download and integrity checks; `digits` ships
with scikit-learn. A published file, `benchmark/data/images/<name>.json`, fixes which images are
valid images, which are measured when, and the normalisation constants.
"""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.space.imagesets import ImageSet, get_images
from benchmark.util.rng import generator_for

DEFAULT_FOLDER = Path("images")


@dataclass(frozen=True, slots=True, eq=False)
class ImageArrays:
    """Images (n, channels, resolution, resolution) uint8 and labels (n,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64] | None) -> "ImageArrays":
        """Return some rows; None takes all."""
        return self if rows is None else ImageArrays(self.images[rows], self.labels[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An image set in its three parts.

    Attributes:
        images: What the set is.
        train: What networks are trained on.
        valid: What the target is measured on.
        test: The official test images.
        mean: Per channel, of the training images, in units of the raw pixel values.
        std: Standard deviation per channel, in the same units.
        curve_valid: Sorted rows of `valid` that are measured after every epoch but the last. None:
            all.
        curve_test: The same of `test`.
        final_train: Sorted rows of `train` that the final network is measured on. None: all.
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


def load_images(name: str, folder: Path = DEFAULT_FOLDER) -> Pixels:
    """Return an image set in the published splits.

    Raises:
        ValueError: If the name is not known.
        FileNotFoundError: If the files are not in `folder`; the message says what fetches them.
    """
    images = get_images(name)
    official, test = _read(images, folder)
    published = json.loads(published_file(name))
    valid = np.asarray(published["valid"])
    rest = np.setdiff1d(np.arange(len(official.labels)), valid)
    held = np.arange(images.test)
    if test is None:
        held = np.asarray(published["test"])
        test, rest = official.take(held), np.setdiff1d(rest, held)
    parts = official.take(rest), official.take(valid), test

    def rows(wanted: int | None, key: str, part: NDArray[np.int64]) -> NDArray[np.int64] | None:
        return None if wanted is None else np.searchsorted(part, np.asarray(published[key]))

    return Pixels(
        images,
        *parts,
        tuple(published["mean"]),
        tuple(published["std"]),
        rows(images.curve_valid, "curve_valid", valid),
        rows(images.curve_test, "curve_test", held),
        rows(images.final_train, "final_train", rest),
    )


def published_file(name: str) -> str:
    """Return the JSON text that fixes an image set's splits and constants.

    Indices count the official training images, `curve_test` the official test images.
    """
    file = f"{get_images(name).published}.json"
    return resources.files("benchmark").joinpath("data", "images", file).read_text()


def _read(images: ImageSet, folder: Path) -> tuple[ImageArrays, ImageArrays | None]:
    """Return the official training and test images; None where nobody has divided them."""
    if images.loader == "torchvision":
        return _torchvision(images, folder, train=True), _torchvision(images, folder, train=False)
    from sklearn import datasets

    found = getattr(datasets, images.dataset)()
    return ImageArrays(found.images.astype(np.uint8)[:, None], found.target.astype(np.int64)), None


def _torchvision(
    images: ImageSet, folder: Path, *, train: bool, download: bool = False
) -> ImageArrays:
    from torchvision import datasets

    try:
        dataset = getattr(datasets, images.dataset)(folder, train=train, download=download)
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{images.name} is not whole in {str(folder)!r} ({error}); "
            f"`peephole images download {images.name} --folder {folder}` fetches it"
        ) from error
    data = np.asarray(dataset.data, dtype=np.uint8)
    pixels = data[:, None] if data.ndim == 3 else data.transpose(0, 3, 1, 2)
    return ImageArrays(np.ascontiguousarray(pixels), np.asarray(dataset.targets, dtype=np.int64))


def download_images(name: str, folder: Path = DEFAULT_FOLDER) -> None:
    """Fetch an image set through torchvision, which checks it; scikit-learn's need nothing."""
    images = get_images(name)
    if images.loader == "torchvision":
        for train in (True, False):
            _torchvision(images, folder, train=train, download=True)


def stratified(labels: NDArray[np.int64], count: int, purpose: str) -> NDArray[np.int64]:
    """Return `count` sorted indices with every class in its share, the same on every machine.

    Shares are rounded to the largest remainders, ties to the lower class.
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
    """Return the JSON text of an image set's splits and constants, made from its files."""
    images = get_images(get_images(name).published)
    official, official_test = _read(images, folder)
    test = None
    rest = np.arange(len(official.labels))
    if official_test is None:
        test = stratified(official.labels, images.test, f"{images.name}/test")
        rest = np.setdiff1d(rest, test)
    valid = rest[stratified(official.labels[rest], images.valid, f"{images.name}/valid")]
    rest = np.setdiff1d(rest, valid)
    train = official.images[rest].astype(np.float64)
    record: dict[str, object] = {
        "images": images.name,
        "valid": valid.tolist(),
        "test": None if test is None else test.tolist(),
        "mean": [round(float(x), 6) for x in train.mean((0, 2, 3))],
        "std": [round(float(x), 6) for x in train.std((0, 2, 3))],
    }
    held = official_test or official.take(test)
    subsets = {
        "curve_valid": (images.curve_valid, official.labels[valid], valid),
        "curve_test": (images.curve_test, held.labels, np.arange(images.test)),
        "final_train": (images.final_train, official.labels[rest], rest),
    }
    for key, (count, labels, part) in subsets.items():
        if count is not None:
            record[key] = part[stratified(labels, count, f"{images.name}/{key}")].tolist()
    return json.dumps(record, separators=(",", ":")) + "\n"
