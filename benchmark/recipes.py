"""Recipes: the settings that networks are trained with. A release has one recipe per image set.

The id of a recipe depends on every field, so a later release can vary any of them.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from benchmark.space.imagesets import get_images
from benchmark.util.strict_json import read_mapping, refuse

Schedule = Literal["constant", "step", "linear", "cosine", "inverse_sqrt"]
Initialisation = Literal["he_normal", "xavier_normal"]
Precision = Literal["fp32", "bf16"]
Fields = Mapping[str, object]
MOST_EPOCHS = 1_000  # of a run


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that networks are trained with.

    Fields that may be None were added after the first recipes were published; a recipe's id ignores
    those that are None.

    Attributes:
        epochs: Number of epochs, which is the length of the curves.
        batch: Images per step; images left over at the end of an epoch are not used in that epoch.
        optimizer: Name of the optimiser: stochastic gradient descent.
        weight_decay: Weight decay of convolution and linear weights; other parameters have none.
        peak_rate: Largest learning rate, chosen by a pilot.
        warmup_epochs: Epochs over which the rate rises linearly from zero to its peak.
        schedule: How the rate changes after the warm-up.
        initialisation: Distribution of the initial convolution weights, scaled by fan-in. Linear
            weights are normal with a standard deviation of 1/sqrt(fan-in); biases are 0.
        bn_momentum: Weight of the newest batch in the running statistics of batch normalisation.
        bn_epsilon: Number added to variances in batch normalisation.
        precision: Number format of convolutions and activations; loss and linear layer use fp32.
        images_per_epoch: Training images per epoch; consecutive epochs take consecutive slices of a
            permutation of all training images, which is drawn anew for every pass. None: all.
        evaluation_batch: Images per batch in evaluations. None: 1,000.
        arithmetic: Version of how layers are computed; versions agree up to rounding. None: the
            first.
    """

    images: str
    epochs: int = 20
    batch: int = 250
    optimizer: Literal["sgd"] = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    peak_rate: float = 0.05
    warmup_epochs: int = 1
    schedule: Schedule = "cosine"
    initialisation: Initialisation = "he_normal"
    bn_momentum: float = 0.1
    bn_epsilon: float = 1e-5
    precision: Precision = "bf16"
    images_per_epoch: int | None = None
    evaluation_batch: int | None = None
    arithmetic: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        train = get_images(self.images).train
        if self.images_per_epoch is not None and (
            self.images_per_epoch < 1 or train % self.images_per_epoch
        ):
            raise ValueError(
                f"`images_per_epoch` (={self.images_per_epoch}) must divide {train}, the training "
                "images"
            )
        if not 1 <= self.batch <= self.epoch_images:
            raise ValueError(
                f"`batch` (={self.batch}) must be in 1..{self.epoch_images}, the training images "
                "of an epoch"
            )
        if self.evaluation_batch is not None and self.evaluation_batch < 1:
            raise ValueError(f"`evaluation_batch` (={self.evaluation_batch}) must be at least 1")
        if not 1 <= self.epochs <= MOST_EPOCHS:
            refuse("epochs", self.epochs, f"in 1..{MOST_EPOCHS}")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(
                f"`warmup_epochs` (={self.warmup_epochs}) must be at least 0 and below `epochs` "
                f"(={self.epochs})"
            )
        if not 0 < self.peak_rate < math.inf:
            raise ValueError(f"`peak_rate` (={self.peak_rate}) must be positive and finite")
        if not (0 <= self.momentum < 1 and 0 <= self.weight_decay < math.inf):
            raise ValueError(
                f"`momentum` (={self.momentum}) must be in [0, 1) and `weight_decay` "
                f"(={self.weight_decay}) at least 0 and finite"
            )
        if self.arithmetic not in (None, 1, 2):
            raise ValueError(f"`arithmetic` (={self.arithmetic}) must be 1, 2 or None")

    @property
    def recipe_id(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the fields as JSON."""
        return _identity(self)

    @property
    def epoch_images(self) -> int:
        """Training images per epoch, including those left over after the last full batch."""
        return self.images_per_epoch or get_images(self.images).train

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch."""
        return self.epoch_images // self.batch


@lru_cache(maxsize=64)  # called for every run of a plan
def _identity(recipe: Recipe) -> str:
    text = json.dumps(_given(recipe), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _given(recipe: Recipe) -> Fields:
    """Return the fields of a recipe that are not None."""
    return {name: value for name, value in asdict(recipe).items() if value is not None}


def _reduced_recipe(images: str, *, images_per_epoch: int, peak_rate: float) -> Recipe:
    """Return the recipe of an image set's reduced tier."""
    return Recipe(
        images,
        batch=50,
        peak_rate=peak_rate,
        precision="fp32",
        images_per_epoch=images_per_epoch,
        evaluation_batch=100,
        arithmetic=2,
    )


RECIPES: dict[str, Recipe] = {
    recipe.images: recipe
    for recipe in (
        _reduced_recipe("cifar10", images_per_epoch=2_000, peak_rate=0.05),
        _reduced_recipe("mnist", images_per_epoch=1_000, peak_rate=0.02),
        Recipe("digits", 20, 50, precision="fp32", peak_rate=0.02),
        _reduced_recipe("cifar10-full-width", images_per_epoch=2_000, peak_rate=0.05),
        Recipe("cifar10-full"),
        Recipe("mnist-full"),
    )
}


def learning_rates(recipe: Recipe) -> list[float]:
    """Return the learning rate of every step of a run, (epochs * steps_per_epoch,).

    >>> rates = learning_rates(Recipe("digits", epochs=2, batch=500, peak_rate=1.0))
    >>> [round(rate, 3) for rate in rates]
    [0.5, 1.0, 1.0, 0.5]
    """
    warmup = recipe.warmup_epochs * recipe.steps_per_epoch
    total = recipe.epochs * recipe.steps_per_epoch
    rise = [recipe.peak_rate * (step + 1) / warmup for step in range(warmup)]
    steps = range(total - warmup)
    return rise + [recipe.peak_rate * _decay(recipe, step, total - warmup) for step in steps]


def _decay(recipe: Recipe, step: int, steps: int) -> float:
    """Return the factor of the peak rate, `step` steps after the warm-up."""
    progress = step / steps
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if recipe.schedule == "linear":
        return 1 - progress
    if recipe.schedule == "step":  # 1/10 after half of the steps, 1/100 after three quarters
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    if recipe.schedule == "inverse_sqrt":
        return 1 / math.sqrt(1 + step / recipe.steps_per_epoch)
    return 1.0


def read_recipes(path: Path) -> dict[str, Recipe]:
    """Return the recipes, by id, from the recipe file of a release or campaign.

    Raises:
        ValueError: If the file does not hold recipes; the message starts with the path.
        OSError: If it cannot be read.
    """
    return read_mapping(path, Recipe)


def read_recipe_fields(path: Path) -> dict[str, Fields]:
    """Return the fields of each recipe of a file that are not None. Raises as `read_recipes`."""
    return {name: _given(recipe) for name, recipe in read_recipes(path).items()}


def read_environments(path: Path) -> dict[str, Fields]:
    """Return the versions that runs were trained with, by id, from the file of a release.

    Raises:
        ValueError: If the file does not hold them; the message starts with the path.
        OSError: If it cannot be read.
    """
    return dict(read_mapping(path, dict[str, str]))
