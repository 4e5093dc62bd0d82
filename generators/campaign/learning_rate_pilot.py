"""The pilot that settles an image set's peak learning rate, once, outside the dataset."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from benchmark.recipes import RECIPES, Recipe
from benchmark.space.imagesets import get_images, learned_above
from benchmark.space.sampler import sequence
from generators.campaign.campaign import Campaign
from generators.campaign.plan import planned
from generators.workers.planned_run import PlannedRun

SKELETON = "peephole-3x2"
NETWORKS, SEEDS = 12, (0, 1)
STUCK_TOLERANCE = 0.05  # rates within 5 points of the least share of stuck networks stay in
Finals = np.ndarray[tuple[int, int], np.dtype[np.float64]]  # (networks, seeds)
BETWEEN_DIGITS = 2  # twelve pairs cannot tell shares apart that differ by less


@dataclass(frozen=True, slots=True)
class PilotRate:
    """What the pilot saw at one rate.

    Attributes:
        rate: Peak learning rate.
        networks: Networks trained, each with two seeds.
        stuck: Share of runs that ended below twice chance.
        between: Between-network share of variance among the networks that learned with both seeds
            at this rate and at every other that is not out for stuck networks: shares of different
            networks cannot be compared.
        mean: Mean final valid accuracy of the runs that learned.
        std: Its standard deviation.
        chosen: Whether this rate is the recipe's.
    """

    rate: float
    networks: int
    stuck: float
    between: float
    mean: float
    std: float
    chosen: bool = False


def pilot_recipes(images: str, rates: Sequence[float]) -> dict[str, Recipe]:
    """Return the image set's recipe at each rate, by recipe id."""
    recipes = [replace(RECIPES[images], peak_rate=rate) for rate in rates]
    return {recipe.recipe_id: recipe for recipe in recipes}


def pilot_plan(images: str, rates: Sequence[float]) -> list[PlannedRun]:
    """Return the pilot's runs at each rate: a stream of networks of its own, two seeds of each."""
    spec = get_images(images)
    drawn = list(islice(sequence(SKELETON, spec, purpose="pilot"), NETWORKS))
    return [
        planned(network, spec, recipe, seed)
        for recipe in pilot_recipes(images, rates).values()
        for network in drawn
        for seed in SEEDS
    ]


def pilot_rates(campaign: Campaign, images: str) -> list[PilotRate]:
    """Return what each rate of a pilot gave, from the lowest, the chosen one marked.

    Raises:
        ValueError: If a planned run is missing.
    """
    spec, finals = get_images(images), {}
    for row in campaign.rows():
        accuracies = row["valid_accuracy"]
        assert isinstance(accuracies, list)
        finals[str(row["run_id"])] = float(accuracies[-1])
    plan = campaign.plan()
    missing = [run.run_id for run in plan if run.run_id not in finals]
    if missing:
        raise ValueError(f"the pilot of {images!r} lacks {len(missing)} runs, {missing[0]!r} first")
    bar, pairs = learned_above(spec.classes), {}
    for recipe in campaign.recipes().values():
        runs = [run for run in plan if run.recipe_id == recipe.recipe_id]
        pairs[recipe.peak_rate] = _pairs(runs, finals)
    stuck = {rate: float((values <= bar).mean()) for rate, values in pairs.items()}
    least = min(stuck.values())
    open_rates = [rate for rate in pairs if stuck[rate] <= least + STUCK_TOLERANCE + 1e-9]
    learned = np.all([(pairs[rate] > bar).all(1) for rate in open_rates], axis=0)
    table = []
    for rate in sorted(pairs):
        values = pairs[rate]
        common = values[learned & (values > bar).all(1)]
        between = between_share(common) if len(common) > 1 else 0.0
        moving = values[values > bar]
        spread = float(moving.mean()), float(moving.std(ddof=1))
        table.append(PilotRate(rate, len(values), stuck[rate], between, *spread))
    best = max(
        (row for row in table if row.rate in open_rates),
        key=lambda row: (round(row.between, BETWEEN_DIGITS), row.mean),
    )
    return [replace(row, chosen=row is best) for row in table]


def _pairs(runs: list[PlannedRun], finals: dict[str, float]) -> Finals:
    """Return the final accuracies of both seeds of every network, (networks, 2)."""
    first, second = (
        {run.draw_index: finals[run.run_id] for run in runs if run.seed == seed} for seed in SEEDS
    )
    return np.array([(first[index], second[index]) for index in sorted(first)])


def between_share(pairs: Finals) -> float:
    """Return the share of variance that lies between networks, from (networks, 2 seeds).

    It is 1 - within / total, where within is the mean variance of a network's seeds and total the
    variance of one seed's values, both unbiased.

    >>> round(between_share(np.array([[0.0, 0.0], [1.0, 1.0]])), 3)
    1.0
    """
    within = float(pairs.var(axis=1, ddof=1).mean())
    total = float(pairs.var(axis=0, ddof=1).mean())
    return 1 - within / total if total > 0 else 0.0


def pilot_csv(table: list[PilotRate]) -> str:
    """Return the table as it is kept beside the data."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PilotRate.__dataclass_fields__)
    for row in table:
        values = [getattr(row, name) for name in PilotRate.__dataclass_fields__]
        writer.writerow([round(v, 4) if isinstance(v, float) else v for v in values])
    return text.getvalue()
