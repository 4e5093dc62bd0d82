"""The pilot that chooses an image set's peak learning rate; its runs are not in the dataset."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice

import numpy as np

from benchmark.recipes import RECIPES, Recipe
from benchmark.schema import TRAINED_STATUSES
from benchmark.space.imagesets import get_images, learned_above
from benchmark.space.sampler import sequence
from benchmark.util.text import quantity
from generators.campaign.campaign import Campaign
from generators.campaign.plan import plan_run
from generators.workers.planned_run import PlannedRun

SKELETON = "peephole-3x2"
NETWORKS, SEEDS = 12, (0, 1)
STUCK_TOLERANCE = 0.05  # rates up to 5 points above the lowest share of stuck runs are candidates
Finals = np.ndarray[tuple[int, int], np.dtype[np.float64]]  # (networks, seeds)
BETWEEN_DIGITS = 2  # of `between`: twelve networks cannot resolve smaller differences


@dataclass(frozen=True, slots=True)
class PilotRate:
    """Results of the pilot at one rate.

    Attributes:
        rate: Peak learning rate.
        networks: Number of networks trained, each with two seeds.
        stuck: Share of runs with a final accuracy of at most twice chance.
        between: Share of the variance of final accuracies that lies between networks. It counts
            networks that learned with both seeds at this rate and at every candidate rate, since
            shares of different networks cannot be compared.
        mean: Mean final valid accuracy of the runs that learned.
        std: Standard deviation of these accuracies.
        chosen: Whether the recipe uses this rate.
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
    """Return the pilot's runs at each rate: networks from a separate stream, with two seeds."""
    spec = get_images(images)
    drawn = list(islice(sequence(SKELETON, spec, purpose="pilot"), NETWORKS))
    return [
        plan_run(network, spec, recipe, seed)
        for recipe in pilot_recipes(images, rates).values()
        for network in drawn
        for seed in SEEDS
    ]


def pilot_rates(campaign: Campaign, images: str) -> list[PilotRate]:
    """Return the results at each rate, from the lowest; one rate is marked as chosen.

    Candidates are the rates with few stuck runs. The one with the largest share of variance between
    networks is chosen, or, of equal ones, the one with the highest mean accuracy.

    Raises:
        ValueError: If the campaign is no pilot of the image set, or a planned run is missing or was
            not trained.
    """
    spec, finals, plan = get_images(images), {}, campaign.plan()
    if campaign.purpose != "pilot" or {run.images for run in plan} != {images}:
        raise ValueError(f"{str(campaign.folder)!r} was not planned as a pilot of {images!r}")
    for row in campaign.rows():
        accuracies = row["valid_accuracy"]
        assert isinstance(accuracies, list)
        if row["status"] in TRAINED_STATUSES:
            finals[str(row["run_id"])] = float(accuracies[-1])
    missing = [run.run_id for run in plan if run.run_id not in finals]
    if missing:
        raise ValueError(
            f"the pilot of {images!r} lacks {quantity(len(missing), 'run')}; the first is "
            f"{missing[0]!r}"
        )
    threshold, pairs = learned_above(spec.classes), {}
    for recipe in campaign.recipes().values():
        runs = [run for run in plan if run.recipe_id == recipe.recipe_id]
        pairs[recipe.peak_rate] = _pairs(runs, finals)
    stuck = {rate: float((values <= threshold).mean()) for rate, values in pairs.items()}
    least = min(stuck.values())
    candidates = [rate for rate in pairs if stuck[rate] <= least + STUCK_TOLERANCE + 1e-9]
    learned = np.all([(pairs[rate] > threshold).all(1) for rate in candidates], axis=0)
    table = []
    for rate in sorted(pairs):
        values = pairs[rate]
        common = values[learned & (values > threshold).all(1)]
        between = between_share(common) if len(common) > 1 else 0.0
        above = values[values > threshold]
        spread = float(above.mean()), float(above.std(ddof=1))
        table.append(PilotRate(rate, len(values), stuck[rate], between, *spread))
    best = max(
        (row for row in table if row.rate in candidates),
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
    """Return the share of variance that lies between networks, from values (networks, 2 seeds).

    It is 1 - within / total. `within` is the mean over networks of the variance between seeds, and
    `total` the mean over seeds of the variance between networks; both are unbiased.

    >>> round(between_share(np.array([[0.0, 0.0], [1.0, 1.0]])), 3)
    1.0
    """
    within = float(pairs.var(axis=1, ddof=1).mean())
    total = float(pairs.var(axis=0, ddof=1).mean())
    return 1 - within / total if total > 0 else 0.0


def pilot_csv(table: list[PilotRate]) -> str:
    """Return the table as CSV, as the repository stores it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PilotRate.__dataclass_fields__)
    for row in table:
        values = asdict(row).values()
        writer.writerow([round(v, 4) if isinstance(v, float) else v for v in values])
    return text.getvalue()
