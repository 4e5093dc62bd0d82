"""The pilot that settles an image set's peak learning rate, once, outside the dataset."""

import csv
import io
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from benchmark.imagesets import ImageSet, get_images
from benchmark.recipes import RECIPES, Recipe
from benchmark.sequence import sequence
from generators.plan import PlannedRun, planned

SKELETON = "peephole-3x2"
RATES = (0.02, 0.05, 0.1)
NETWORKS, REPEATED = 24, 12
STUCK_TOLERANCE = 0.05  # rates within 5 points of the least share of stuck networks stay in
BETWEEN_DIGITS = 2  # twelve pairs cannot tell shares apart that differ by less
STUCK_BELOW = 2.0  # times chance: a network that ends below it has not learned


@dataclass(frozen=True, slots=True)
class PilotRate:
    """What the pilot saw at one rate.

    Attributes:
        rate: Peak learning rate.
        networks: Networks trained with seed 0.
        stuck: Share of them that ended below twice chance.
        between: Between-network share of variance among the repeated networks that learned.
        mean: Mean final valid accuracy of the networks that learned, seed 0.
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


def pilot_recipes(images: str) -> dict[str, Recipe]:
    """Return the image set's recipe at each rate, by recipe id."""
    recipes = [replace(RECIPES[images], peak_rate=rate) for rate in RATES]
    return {recipe.recipe_id: recipe for recipe in recipes}


def pilot_plan(images: str) -> list[PlannedRun]:
    """Return the pilot's runs: its own stream of networks, seed 1 on the first half of them."""
    spec = get_images(images)
    drawn = list(islice(sequence(SKELETON, spec, purpose="pilot"), NETWORKS))
    plan = []
    for recipe in pilot_recipes(images).values():
        plan += [planned(network, spec, recipe, 0) for network in drawn]
        plan += [planned(network, spec, recipe, 1) for network in drawn[:REPEATED]]
    return plan


def pilot_rates(rows: list[dict[str, object]], images: str) -> list[PilotRate]:
    """Return what each rate gave, the chosen one marked.

    Raises:
        ValueError: If a planned run is missing.
    """
    spec, finals = get_images(images), {}
    for row in rows:
        accuracies = row["valid_accuracy"]
        assert isinstance(accuracies, list)
        finals[str(row["run_id"])] = float(accuracies[-1])
    missing = [run.run_id for run in pilot_plan(images) if run.run_id not in finals]
    if missing:
        raise ValueError(f"the pilot of {images!r} lacks {len(missing)} runs, {missing[0]!r} first")
    table = []
    for recipe in pilot_recipes(images).values():
        runs = [run for run in pilot_plan(images) if run.recipe_id == recipe.recipe_id]
        table.append(_rate(recipe.peak_rate, runs, finals, spec))
    least = min(row.stuck for row in table)
    open_rates = [row for row in table if row.stuck <= least + STUCK_TOLERANCE + 1e-9]
    best = max(open_rates, key=lambda row: (round(row.between, BETWEEN_DIGITS), row.mean))
    return [replace(row, chosen=row is best) for row in table]


def _rate(
    rate: float, runs: list[PlannedRun], finals: dict[str, float], images: ImageSet
) -> PilotRate:
    first = {r.architecture_id: finals[r.run_id] for r in runs if r.seed == 0}
    second = {r.architecture_id: finals[r.run_id] for r in runs if r.seed == 1}
    bar = STUCK_BELOW * images.chance
    values = np.array(list(first.values()))
    learned = values[values > bar]
    pairs = np.array([(first[k], second[k]) for k in second if min(first[k], second[k]) > bar])
    between = between_share(pairs) if len(pairs) > 1 else 0.0
    stuck = float((values <= bar).mean())
    return PilotRate(
        rate, len(values), stuck, between, float(learned.mean()), float(learned.std(ddof=1))
    )


def between_share(pairs: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> float:
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
