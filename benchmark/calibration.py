"""Calibration: whether a short training at half width ranks networks as larger trainings do.

A release may hold `<images>/calibration.parquet`: runs of some of its networks with other widths or
recipes, with the columns of all runs. They are in no split and no task.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import kendalltau

from benchmark.manifest import released_splits
from benchmark.recipes import Recipe
from benchmark.release import Release
from benchmark.runs import read_table, series
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.tasks import was_trained
from benchmark.util.rng import generator_for
from benchmark.util.text import quantity

COLUMNS = (
    "drawn_architecture_id", "images", "recipe_id", "seed", "status", "valid_accuracy",
)  # fmt: skip
RESAMPLES, LEVEL = 1000, 0.95
Accuracies = dict[str, float]  # after the last epoch, by the id of the drawn architecture
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well the released runs of some networks agree in rank with other runs of these networks.

    Attributes:
        images: Image set of the other runs; with its recipe, it says how they were trained.
        training: How they were trained, in words.
        recipe_id: Their recipe.
        networks: Number of networks with both runs.
        accuracy: Mean final valid accuracy of the other runs.
        released: Mean final valid accuracy of the released runs with seed 0.
        tau: Kendall's tau-b between both final valid accuracies. 0 if one of them is constant.
        low: Lower end of the interval of `tau` over bootstrap resamples of networks.
        high: Upper end of this interval.
    """

    images: str
    training: str
    recipe_id: str
    networks: int
    accuracy: float
    released: float
    tau: float
    low: float
    high: float

    @property
    def cells(self) -> tuple[str, ...]:
        """Training, recipe, networks, accuracy, tau and its interval, as a table shows them."""
        figures = f"{self.accuracy:.3f}", f"{self.tau:.3f}", f"{self.low:.3f} to {self.high:.3f}"
        return self.training, self.recipe_id, str(self.networks), *figures


def calibration_path(images: str, folder: Path) -> Path:
    """Return the path of the calibration runs of an image set.

    Raises:
        ValueError: If the images are unknown.
    """
    return folder / get_images(images).name / "calibration.parquet"


def agreements(images: str, release: Release) -> list[Agreement]:
    """Return the agreement with every kind of other training, the least different first.

    The first is the released training of these networks with another seed, so no training can be
    expected to agree much better.

    Raises:
        ValueError: If the image set is not known, or a file is damaged.
    """
    path = calibration_path(images, release.folder)
    splits = [split for name, split in released_splits(release.folder) if name == images]
    if not path.exists() or not splits:
        return []
    others = _finals(read_table(path, COLUMNS))
    names = {name for finals in others.values() for name in finals}
    rows = pa.concat_tables(release.runs(images, split, columns=COLUMNS) for split in splits)
    released = _finals(rows)
    own = {seed: finals for (_, _, seed), finals in released.items()}
    again = {key: finals for key, finals in released.items() if key[2] == 1}
    agreeing = []
    for (tier, recipe_id, seed), finals in (again | others).items():
        words = "another seed" if seed else _words(release.recipe(recipe_id))
        common = sorted(names & finals.keys() & own.get(0, {}).keys())
        if len(common) > 1:
            pair = np.array([[own[0][name], finals[name]] for name in common])
            agreeing.append(Agreement(tier, words, recipe_id, len(common), *_statistics(pair)))
    return agreeing


def _finals(runs: pa.Table) -> dict[tuple[str, str, int], Accuracies]:
    """Return the final valid accuracies by image set, recipe and seed, in a fixed order."""
    runs = runs.filter(was_trained(runs))
    keys = zip(*(runs[name].to_pylist() for name in ("images", "recipe_id", "seed")), strict=True)
    networks, accuracies = runs["drawn_architecture_id"].to_pylist(), series(runs, COLUMNS[-1])
    found: dict[tuple[str, str, int], Accuracies] = {}
    for key, network, curve in zip(keys, networks, accuracies, strict=True):
        found.setdefault(key, {})[network] = float(curve[-1])
    return dict(sorted(found.items(), key=lambda item: ([*IMAGES].index(item[0][0]), item[0])))


def _words(recipe: Recipe) -> str:
    """Return the width of a recipe's networks and how often they see each training image."""
    images = get_images(recipe.images)
    passes = recipe.epochs * recipe.epoch_images // images.train
    return f"{'half' if images.halved else 'full'} width, {quantity(passes, 'pass', 'passes')}"


def _statistics(pair: Array) -> tuple[float, float, float, float, float]:
    """Return the mean accuracies, tau and the ends of its interval; `pair` is (networks, 2)."""
    released, other = pair.mean(axis=0)
    rng = generator_for("calibration-v1", len(pair))
    drawn = [np.arange(len(pair)), *rng.integers(len(pair), size=(RESAMPLES, len(pair)))]
    tau, *taus = [kendalltau(*pair[rows].T).statistic for rows in drawn]
    defined = [float(value) for value in taus if np.isfinite(value)] or [0.0]
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(other), float(released), float(np.nan_to_num(tau)), float(low), float(high)
