"""Published splits and normalisation constants against the images."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import generators.training.images
from benchmark.space.imagesets import IMAGES, get_images
from generators.images_cli import check, download
from generators.training.images import (
    Pixels,
    download_images,
    load_images,
    make_published_file,
    published_file,
    stratified,
)

FOLDER = Path(__file__).parents[2] / "images"
HELD = {"CIFAR10": "cifar-10-batches-py", "MNIST": "MNIST/raw"}
SPLITS = ("train", "valid", "test")


def folder_with(name: str) -> Path:
    """Return the folder of the real images, or skip the test."""
    held = HELD.get(get_images(name).dataset)
    if held is not None and not (FOLDER / held).exists():
        pytest.skip(f"{name} is not in {FOLDER}: `peephole images download {name}` fetches it")
    return FOLDER


def published(name: str) -> dict[str, list[int]]:
    fields: dict[str, list[int]] = json.loads(published_file(name))
    return fields


def indices(name: str, official: int) -> dict[str, NDArray[np.int64]]:
    """Return the published indices of the splits made from the official training images."""
    fields = published(name)
    valid = np.array(fields["valid"])
    test = np.array(fields["test"] or [], dtype=np.int64)
    taken = {*fields["valid"], *test.tolist()}
    train = np.array([i for i in range(official) if i not in taken])
    return {"train": train, "valid": valid, "test": test}


@pytest.mark.parametrize("name", IMAGES)
def test_published_splits_are_disjoint_and_have_the_stated_sizes(name: str) -> None:
    spec = get_images(name)
    official = spec.train + spec.valid + (spec.test if name == "digits" else 0)
    parts = indices(name, official)
    assert len(parts["train"]) == spec.train
    assert len(set(parts["valid"].tolist())) == len(parts["valid"]) == spec.valid
    assert len(set(parts["test"].tolist())) == (spec.test if name == "digits" else 0)
    assert set(parts["valid"].tolist()).isdisjoint(parts["test"].tolist())
    assert all(index.max() < official for index in parts.values() if len(index))
    assert published(name)["valid"] == sorted(published(name)["valid"])
    assert str(published(name)["images"]) == spec.published


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_curve_subsets_have_the_published_sizes(name: str) -> None:
    spec, fields = get_images(name), published(name)
    parts = indices(name, spec.train + spec.valid)
    for key, count, part in (
        ("curve_valid", spec.curve_valid, parts["valid"]),
        ("curve_test", spec.curve_test, np.arange(spec.test)),
        ("final_train", spec.final_train, parts["train"]),
    ):
        assert fields[key] == sorted(set(fields[key]))
        assert len(fields[key]) == count
        assert set(fields[key]) <= set(part.tolist())


@pytest.mark.parametrize("name", ["cifar10-full", "mnist-full", "digits"])
def test_other_image_sets_are_evaluated_on_every_image(name: str) -> None:
    spec = get_images(name)
    assert spec.measured == spec.valid + spec.test
    assert (spec.curve_valid, spec.curve_test, spec.final_train) == (None, None, None)


def test_both_tiers_of_an_image_set_have_the_same_splits() -> None:
    for name in ("cifar10", "mnist"):
        assert published_file(f"{name}-full") == published_file(name)


def check_pixels(pixels: Pixels) -> None:
    """Assert sizes, types, strata and constants of a loaded image set."""
    spec = pixels.images
    for part, size in zip(SPLITS, (spec.train, spec.valid, spec.test), strict=True):
        images, labels = getattr(pixels, part).images, getattr(pixels, part).labels
        assert images.shape == (size, spec.channels, spec.resolution, spec.resolution)
        assert labels.shape == (size,)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        assert set(labels.tolist()) == set(range(spec.classes))
    for rows, whole, count in (
        (pixels.curve_valid, pixels.valid, spec.curve_valid),
        (pixels.curve_test, pixels.test, spec.curve_test),
        (pixels.final_train, pixels.train, spec.final_train),
    ):
        assert (rows is None) is (count is None)
        if rows is not None and count is not None:  # stratified as well
            exact = np.bincount(whole.labels) * count / len(whole.labels)
            assert np.abs(np.bincount(whole.labels[rows]) - exact).max() < 1
    train, valid = (np.bincount(p.labels) for p in (pixels.train, pixels.valid))
    exact = (train + valid) * spec.valid / (spec.train + spec.valid)
    assert np.abs(valid - exact).max() < 1.5  # stratified: each class within rounding of its share
    values = pixels.train.images.astype(np.float64)
    assert pixels.mean == pytest.approx(values.mean((0, 2, 3)), abs=5e-7)
    assert pixels.std == pytest.approx(values.std((0, 2, 3)), abs=5e-7)


def test_digits_are_those_of_scikit_learn_in_the_published_splits() -> None:
    from sklearn.datasets import load_digits

    source = load_digits()
    pixels = load_images("digits")
    check_pixels(pixels)
    for part, index in indices("digits", 1_797).items():
        found = getattr(pixels, part)
        assert np.array_equal(found.images[:, 0], source.images[index])
        assert np.array_equal(found.labels, source.target[index])
    counts = np.bincount(pixels.test.labels)
    assert np.abs(counts - np.bincount(source.target) * 350 / 1797).max() < 1


def test_splits_of_digits_can_be_reproduced() -> None:
    assert make_published_file("digits") == published_file("digits")


@pytest.mark.parametrize("name", [pytest.param("cifar10", marks=pytest.mark.slow), "mnist"])
def test_splits_of_downloaded_images_can_be_reproduced(name: str) -> None:
    folder = folder_with(name)
    assert make_published_file(name, folder) == published_file(name)


@pytest.mark.parametrize("name", ["mnist", "mnist-full"])
def test_mnist_loads_in_the_published_splits(name: str) -> None:
    check_pixels(load_images(name, folder_with(name)))


def test_curve_subsets_are_the_published_images() -> None:
    pixels = load_images("mnist", folder_with("mnist"))
    parts = indices("mnist", 60_000)
    assert pixels.curve_valid is not None
    assert pixels.final_train is not None
    assert parts["valid"][pixels.curve_valid].tolist() == published("mnist")["curve_valid"]
    assert parts["train"][pixels.final_train].tolist() == published("mnist")["final_train"]


def test_cifar10_loads_with_channels_first() -> None:
    from torchvision import datasets

    folder = folder_with("cifar10")
    pixels = load_images("cifar10", folder)
    source = datasets.CIFAR10(folder, train=True)
    for part, index in indices("cifar10", 50_000).items():
        if part != "test":
            own = getattr(pixels, part)
            assert np.array_equal(own.images[-1].transpose(1, 2, 0), source.data[index[-1]])
            assert own.labels[-1] == source.targets[index[-1]]
            assert len(own.labels) == len(index)


def test_quotas_go_to_the_largest_remainders_and_ties_to_the_lower_class() -> None:
    labels = np.repeat([0, 1, 2, 3], [5, 5, 4, 6])  # of 6: exactly 1.5, 1.5, 1.2, 1.8
    chosen = stratified(labels, 6, "test")
    assert np.bincount(labels[chosen]).tolist() == [2, 1, 1, 2]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert stratified(labels, 6, "test").tolist() == chosen.tolist()


def test_another_purpose_chooses_other_images() -> None:
    labels = np.repeat(np.arange(10), 50)
    assert stratified(labels, 100, "a").tolist() != stratified(labels, 100, "b").tolist()


def test_every_image_is_equally_likely() -> None:
    labels = np.zeros(20, np.int64)
    counts = np.zeros(20)
    for i in range(400):
        counts[stratified(labels, 5, f"purpose {i}")] += 1
    assert counts.min() > 65  # of 100 expected, with a deviation of 8.7
    assert counts.max() < 135


@pytest.mark.parametrize(
    ("name", "reason"),
    [("cifar10", "Dataset not found or corrupted."), ("mnist", "Dataset not found.")],
)
def test_missing_images_say_which_command_fetches_them(
    name: str, reason: str, tmp_path: Path
) -> None:
    start = f"{name} is missing or incomplete in {str(tmp_path)!r} ({reason}"
    end = f"); fetch it with `peephole images download {name} --folder {tmp_path}`"
    message = f"^{re.escape(start)}.*{re.escape(end)}$"
    with pytest.raises(FileNotFoundError, match=message):
        load_images(name, tmp_path)


def test_unknown_images_are_refused() -> None:
    message = f"unknown images 'digit'; did you mean 'digits'? Known: {', '.join(IMAGES)}"
    for function in (load_images, download_images, make_published_file):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            function("digit")


def test_digits_need_no_download(tmp_path: Path) -> None:
    result = CliRunner().invoke(download, ["digits", "--folder", str(tmp_path)])
    assert result.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_check_prints_the_splits() -> None:
    result = CliRunner().invoke(check, ["digits"])
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            "digits train: 1097 images of 1x8x8",
            "digits valid: 350 images of 1x8x8",
            "digits test: 350 images of 1x8x8",
        ],
    )


def test_check_refuses_images_that_give_other_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators.training.images, "make_published_file", lambda *_: "{}")
    result = CliRunner().invoke(check, ["digits", "--folder", "elsewhere"])
    assert result.exit_code == 1
    assert result.output == "Error: digits in 'elsewhere' does not give the published splits\n"
