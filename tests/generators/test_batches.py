"""Order and augmentation of an epoch, against a slow reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.space.imagesets import IMAGES
from generators.training.batches import (
    CROP_PADDING,
    DevicePixels,
    Epoch,
    draw_epoch,
    to_device,
    training_batch,
)
from generators.training.images import ImageArrays, Pixels
from tests.toys.campaign import RECIPE, STEPS

KEY = ("cifar10", "0123456789abcdef", 0)
RESOLUTION, TRAIN = 6, 45


def tiny_pixels(*, cropped: bool = True, flipped: bool = True) -> DevicePixels:
    """Return 45 training images of 6x6 random pixels in 3 channels."""
    spec = replace(
        IMAGES["cifar10-full"], resolution=RESOLUTION, train=TRAIN, cropped=cropped, flipped=flipped
    )
    rng = np.random.default_rng(0)

    def part(count: int) -> ImageArrays:
        shape = count, 3, RESOLUTION, RESOLUTION
        return ImageArrays(rng.integers(1, 256, shape, np.uint8), rng.integers(0, 10, count))

    pixels = Pixels(spec, part(TRAIN), part(5), part(5), (120.0, 110.0, 100.0), (60.0, 50.0, 40.0))
    return to_device(pixels, torch.device("cpu"))


def cropped(image: np.ndarray, row: int, column: int, flip: bool) -> np.ndarray:
    """Pad an image with black, crop it, then mirror it, as torchvision's transforms do."""
    padded = np.pad(image, ((0, 0), (CROP_PADDING,) * 2, (CROP_PADDING,) * 2))
    crop = padded[:, row : row + RESOLUTION, column : column + RESOLUTION]
    return crop[:, :, ::-1] if flip else crop


def test_crops_and_flips_match_a_reference_on_single_images() -> None:
    pixels = tiny_pixels()
    epoch = draw_epoch(pixels, KEY, 3)
    images, labels = training_batch(pixels, epoch, torch.arange(10, 40))
    assert epoch.rows is not None
    assert epoch.columns is not None
    assert epoch.flips is not None
    mean, std = np.array([120, 110, 100]), np.array([60, 50, 40])
    for i in range(30):
        source = int(epoch.order[10 + i])
        draw = epoch.rows[10 + i], epoch.columns[10 + i], epoch.flips[10 + i]
        raw = cropped(
            pixels.train.images[source].numpy(), int(draw[0]), int(draw[1]), bool(draw[2])
        )
        expected = (raw - mean[:, None, None]) / std[:, None, None]
        assert np.allclose(images[i].numpy(), expected, atol=1e-6)
        assert labels[i] == pixels.train.labels[source]
    assert images.dtype == torch.float32


def test_the_middle_crop_is_the_image_and_its_mirror() -> None:
    pixels = tiny_pixels()
    middle = torch.full((2,), CROP_PADDING)
    epoch = Epoch(torch.tensor([7, 7]), middle, middle, torch.tensor([0, 1]))
    images, _ = training_batch(pixels, epoch, torch.arange(2))
    assert torch.equal(images[0], pixels.normalise(pixels.train.images[7:8])[0])
    assert torch.equal(images[1], images[0].flip(2))


def test_offsets_and_flips_are_uniform() -> None:
    pixels = tiny_pixels()
    epochs = [draw_epoch(pixels, KEY, e) for e in range(40)]
    flips = torch.cat([e.flips for e in epochs if e.flips is not None])
    rows = torch.cat([e.rows for e in epochs if e.rows is not None])
    columns = torch.cat([e.columns for e in epochs if e.columns is not None])
    assert abs(float(flips.double().mean()) - 0.5) < 0.05  # 1,800 draws: four standard errors
    for offsets in (rows, columns):
        counts = torch.bincount(offsets)
        assert len(counts) == 9
        assert counts.min() > 140  # of 200 expected
    assert abs(float(np.corrcoef(rows, columns)[0, 1])) < 0.1


@pytest.mark.parametrize("flipped", [True, False])
@pytest.mark.parametrize("cropped", [True, False])
def test_an_epoch_has_every_image_once(cropped: bool, flipped: bool) -> None:
    epoch = draw_epoch(tiny_pixels(cropped=cropped, flipped=flipped), KEY, 0)
    assert sorted(epoch.order.tolist()) == list(range(TRAIN))
    assert (epoch.rows is not None) is cropped
    assert (epoch.columns is not None) is cropped
    assert (epoch.flips is not None) is flipped


def test_epochs_are_slices_of_a_pass_and_each_pass_has_its_own_permutation() -> None:
    pixels = tiny_pixels()
    orders = [draw_epoch(pixels, KEY, number, 15).order for number in range(6)]
    passes = [torch.cat(orders[:3]), torch.cat(orders[3:])]
    assert all(sorted(order.tolist()) == list(range(TRAIN)) for order in passes)
    assert not torch.equal(*passes)
    assert torch.equal(passes[0], draw_epoch(pixels, KEY, 0).order)
    flips = [draw_epoch(pixels, KEY, number, 15).flips for number in range(2)]
    assert flips[0] is not None
    assert flips[1] is not None
    assert len(flips[0]) == 15
    assert not torch.equal(flips[0], flips[1])


def test_images_that_are_only_flipped_are_the_images_or_their_mirrors() -> None:
    pixels = tiny_pixels(cropped=False)
    epoch = draw_epoch(pixels, KEY, 0)
    assert epoch.flips is not None
    assert set(epoch.flips.tolist()) == {0, 1}
    images, _ = training_batch(pixels, epoch, torch.arange(TRAIN))
    plain = pixels.normalise(pixels.train.images[epoch.order])
    for image, source, flip in zip(images, plain, epoch.flips, strict=True):
        assert torch.equal(image, source.flip(2) if flip else source)


def test_an_incomplete_batch_is_left_out_and_differs_between_epochs() -> None:
    assert STEPS == IMAGES["digits"].train // RECIPE.batch == 21
    pixels = tiny_pixels(cropped=False, flipped=False)
    unused = []
    for number in range(2):
        epoch = draw_epoch(pixels, KEY, number)
        starts = (torch.arange(start, start + 20) for start in (0, 20))
        seen = [training_batch(pixels, epoch, places)[1] for places in starts]
        assert [len(labels) for labels in seen] == [20, 20]
        assert torch.equal(torch.cat(seen), pixels.train.labels[epoch.order[:40]])
        unused.append(set(epoch.order[40:].tolist()))
    assert unused[0] != unused[1]


def test_the_same_key_gives_the_same_bits_and_another_does_not() -> None:
    pixels = tiny_pixels()
    own = drawn(pixels, KEY, 0)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - global state must not matter
    assert torch.equal(drawn(pixels, KEY, 0), own)
    others = [(KEY, 1), ((*KEY[:2], 1), 0), (("cifar10", "0123456789abcdee", 0), 0)]
    for key, epoch in others:
        other = drawn(pixels, key, epoch)
        assert all(not torch.equal(a, b) for a, b in zip(own, other, strict=True))


def drawn(pixels: DevicePixels, key: tuple[str | int, ...], number: int) -> torch.Tensor:
    """Return order, rows, columns and flips of an epoch as one tensor (4, images)."""
    epoch = draw_epoch(pixels, key, number)
    parts = (epoch.order, epoch.rows, epoch.columns, epoch.flips)
    return torch.stack([part for part in parts if part is not None])


def test_the_bits_of_an_epoch_never_change() -> None:
    assert drawn(tiny_pixels(), KEY, 0)[:, :5].tolist() == [
        [9, 18, 22, 17, 38],
        [8, 5, 4, 5, 7],
        [7, 5, 2, 3, 1],
        [1, 0, 0, 1, 0],
    ]
