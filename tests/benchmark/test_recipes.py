"""Recipes: what identifies them, and the learning rate of every step."""

import dataclasses
import math
import re

import pytest

from benchmark.recipes import RECIPES, Recipe, Schedule, learning_rates
from benchmark.space.imagesets import IMAGES

SMALL = Recipe("digits", epochs=5, batch=500, peak_rate=1.0, warmup_epochs=1)  # 2 steps an epoch
OTHER: dict[str, object] = {
    "images": "mnist",
    "epochs": 21,
    "batch": 251,
    "optimizer": "adam",
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 1e-4,
    "peak_rate": 0.07,
    "warmup_epochs": 2,
    "schedule": "linear",
    "initialisation": "xavier_normal",
    "bn_momentum": 0.2,
    "bn_epsilon": 1e-4,
    "precision": "fp32",
    "images_per_epoch": 2_000,
    "evaluation_batch": 100,
    "arithmetic": 2,
}


def test_every_image_set_has_one_recipe() -> None:
    assert {name: recipe.images for name, recipe in RECIPES.items()} == {n: n for n in IMAGES}
    assert len({recipe.recipe_id for recipe in RECIPES.values()}) == len(RECIPES)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_every_field_is_part_of_the_identity(name: str) -> None:
    recipe = Recipe("cifar10")
    other = dataclasses.replace(recipe, **{name: OTHER[name]})  # type: ignore[arg-type]
    assert other.recipe_id != recipe.recipe_id


def test_equal_recipes_have_the_same_identity() -> None:
    identity = Recipe("cifar10", peak_rate=0.05).recipe_id
    assert identity == Recipe("cifar10", peak_rate=0.05).recipe_id
    assert re.fullmatch("[0-9a-f]{12}", identity)


@pytest.mark.parametrize(
    ("images", "batch", "steps"),
    [("cifar10", 250, 160), ("mnist", 250, 200), ("digits", 50, 21), ("digits", 1_097, 1)],
)
def test_the_rest_of_an_epoch_is_left_out(images: str, batch: int, steps: int) -> None:
    assert Recipe(images, batch=batch).steps_per_epoch == steps


# Ten steps: two of warm-up to 1, then eight whose progress is 0, 1/8, ... 7/8.
HALF_COSINE = [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
AFTER_WARMUP: dict[Schedule, list[float]] = {
    "constant": [1] * 8,
    "step": [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01],
    "linear": [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125],
    "cosine": HALF_COSINE,
    "inverse_sqrt": [1 / math.sqrt(1 + step / 2) for step in range(8)],
}


@pytest.mark.parametrize("schedule", AFTER_WARMUP)
def test_rates_of_every_schedule_are_as_by_hand(schedule: Schedule) -> None:
    rates = learning_rates(dataclasses.replace(SMALL, schedule=schedule))
    assert rates == pytest.approx([0.5, 1.0, *AFTER_WARMUP[schedule]], rel=1e-12)


def test_without_warmup_training_starts_at_the_peak() -> None:
    rates = learning_rates(dataclasses.replace(SMALL, warmup_epochs=0))
    assert rates[0] == 1.0
    assert len(rates) == 10


@pytest.mark.parametrize("images", RECIPES)
def test_the_rates_of_the_release_rise_to_the_peak_and_fall_to_almost_zero(images: str) -> None:
    recipe = RECIPES[images]
    rates = learning_rates(recipe)
    warmup = recipe.warmup_epochs * recipe.steps_per_epoch
    assert len(rates) == recipe.epochs * recipe.steps_per_epoch
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert max(rates) == pytest.approx(recipe.peak_rate)
    assert 0 < rates[-1] < 1e-4 * recipe.peak_rate


@pytest.mark.parametrize("batch", [0, 40_001])
def test_a_batch_that_no_epoch_fills_is_refused(batch: int) -> None:
    message = f"`batch` (={batch}) must be in 1..40000, the training images of an epoch"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Recipe("cifar10", batch=batch)


def test_a_field_that_is_not_used_is_no_part_of_the_identity() -> None:
    """The recipe of `digits` was published before these fields were."""
    assert RECIPES["digits"].recipe_id == "fee34447fcbe"
    assert dataclasses.replace(RECIPES["cifar10"], arithmetic=None) != RECIPES["cifar10"]


def test_an_epoch_may_be_a_stretch_of_a_pass() -> None:
    recipe = Recipe("cifar10", batch=50, images_per_epoch=2_000)
    assert (recipe.epoch_images, recipe.steps_per_epoch) == (2_000, 40)
    assert len(learning_rates(recipe)) == 20 * 40


@pytest.mark.parametrize("count", [0, -1, 3_000, 80_000])
def test_stretches_that_do_not_fill_a_pass_are_refused(count: int) -> None:
    message = f"`images_per_epoch` (={count}) must divide 40000, the training images"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Recipe("cifar10", images_per_epoch=count)


def test_an_evaluation_batch_holds_an_image() -> None:
    with pytest.raises(ValueError, match=r"^`evaluation_batch` \(=0\) must be at least 1$"):
        Recipe("cifar10", evaluation_batch=0)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 1), (20, -1), (20, 20)])
def test_a_warmup_longer_than_the_training_is_refused(epochs: int, warmup: int) -> None:
    message = f"`warmup_epochs` (={warmup}) must be at least 0 and below `epochs` (={epochs})"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Recipe("cifar10", epochs=epochs, warmup_epochs=warmup)


@pytest.mark.parametrize(
    ("momentum", "decay"),
    [(1.0, 0.0), (-0.1, 0.0), (0.9, -1e-4), (0.9, math.inf), (0.9, math.nan), (math.nan, 0.0)],
)
def test_momentum_and_decay_out_of_range_are_refused(momentum: float, decay: float) -> None:
    message = (
        f"`momentum` (={momentum}) must be in [0, 1) and `weight_decay` (={decay}) at least 0 and "
        "finite"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Recipe("cifar10", momentum=momentum, weight_decay=decay)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.inf, math.nan])
def test_a_rate_that_is_not_positive_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=rf"^`peak_rate` \(={rate}\) must be positive and finite$"):
        Recipe("cifar10", peak_rate=rate)


@pytest.mark.parametrize("version", [0, 3])
def test_an_unknown_arithmetic_is_refused(version: int) -> None:
    message = rf"^`arithmetic` \(={version}\) must be 1, 2 or None$"
    with pytest.raises(ValueError, match=message):
        Recipe("cifar10", arithmetic=version)


def test_a_recipe_for_unknown_images_is_refused() -> None:
    known = ", ".join(IMAGES)
    message = f"unknown images 'cifar'; did you mean 'cifar10'? Known: {known}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Recipe("cifar")


@pytest.mark.parametrize("epochs", [0, -1, 1_001, 3_000_000_000])
def test_epochs_are_bounded_before_anything_is_sized_by_them(epochs: int) -> None:
    message = f"`epochs` (={epochs}) must be in 1..1000"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Recipe("digits", epochs=epochs)
