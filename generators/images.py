"""Pixels of the image sets, in their fixed splits, as arrays.

CIFAR-10 and MNIST come from torchvision, with its own download and integrity checks; `digits` ships
with scikit-learn. Which images are valid images, and the normalisation constants, are published
files: `benchmark/data/images/<name>.json`.
"""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.imagesets import ImageSet, get_images
from benchmark.names import nearest
from benchmark.streams import stream

DEFAULT_FOLDER = Path("images")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Images (n, channels, resolution, resolution) uint8 and labels (n,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An image set in its three parts.

    Attributes:
        images: What the set is.
        train: What networks are trained on.
        valid: What the target is measured on.
        test: The official test images.
        mean: Per channel, of the training images, in units of the raw pixel values.
        std: Likewise.
    """

    images: ImageSet
    train: Part
    valid: Part
    test: Part
    mean: tuple[float, ...]
    std: tuple[float, ...]


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
    if published["test"] is not None:
        held = np.asarray(published["test"])
        test, rest = _take(official, held), np.setdiff1d(rest, held)
    parts = _take(official, rest), _take(official, valid), test
    return Pixels(images, *parts, tuple(published["mean"]), tuple(published["std"]))


def published_file(name: str) -> str:
    """Return the JSON text that fixes an image set's splits and constants."""
    return resources.files("benchmark").joinpath("data", "images", f"{name}.json").read_text()


def _take(part: Part, index: NDArray[np.int64]) -> Part:
    return Part(part.images[index], part.labels[index])


def _read(images: ImageSet, folder: Path) -> tuple[Part, Part]:
    """Return the official training and test images (`digits`: all images, and none)."""
    if images.name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = digits.images.astype(np.uint8)[:, None]
        everything = Part(pixels, digits.target.astype(np.int64))
        return everything, _take(everything, np.arange(0))
    return _torchvision(images, folder, train=True), _torchvision(images, folder, train=False)


def _torchvision(images: ImageSet, folder: Path, *, train: bool, download: bool = False) -> Part:
    from torchvision import datasets

    known = {"cifar10": datasets.CIFAR10, "mnist": datasets.MNIST}
    if images.name not in known:
        raise ValueError(nearest("torchvision images", images.name, known))
    try:
        dataset = known[images.name](folder, train=train, download=download)
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{images.name} is not whole in {str(folder)!r} ({error}); "
            f"`peephole images download {images.name} --folder {folder}` fetches it"
        ) from error
    data = np.asarray(dataset.data, dtype=np.uint8)
    pixels = data[:, None] if data.ndim == 3 else data.transpose(0, 3, 1, 2)
    return Part(np.ascontiguousarray(pixels), np.asarray(dataset.targets, dtype=np.int64))


def download_images(name: str, folder: Path = DEFAULT_FOLDER) -> None:
    """Fetch an image set through torchvision, which checks it; `digits` needs nothing."""
    images = get_images(name)
    if name != "digits":
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
        order = np.argsort(stream("images-v1", purpose, int(label)).random(len(members)))
        chosen.append(members[order[:take]])
    return np.sort(np.concatenate(chosen))


def make_published_file(name: str, folder: Path = DEFAULT_FOLDER) -> str:
    """Return the JSON text of an image set's splits and constants, made from its files."""
    images = get_images(name)
    official, _ = _read(images, folder)
    everything = np.arange(len(official.labels))
    test = None
    rest = everything
    if name == "digits":
        test = stratified(official.labels, images.test, f"{name}/test")
        rest = np.setdiff1d(everything, test)
    valid = rest[stratified(official.labels[rest], images.valid, f"{name}/valid")]
    train = official.images[np.setdiff1d(rest, valid)].astype(np.float64)
    record = {
        "images": name,
        "valid": valid.tolist(),
        "test": None if test is None else test.tolist(),
        "mean": [round(float(x), 6) for x in train.mean((0, 2, 3))],
        "std": [round(float(x), 6) for x in train.std((0, 2, 3))],
    }
    return json.dumps(record, separators=(",", ":")) + "\n"
