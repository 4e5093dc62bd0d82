"""Plans the calibration runs of an image set, and adds them to a release."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pyarrow as pa

from benchmark.calibration import calibration_path
from benchmark.publish.finish import changing_release
from benchmark.recipes import RECIPES, Recipe
from benchmark.runs import read_table, rows_to_table, write_table
from benchmark.space.imagesets import IMAGES, get_images
from benchmark.space.skeletons import SKELETONS
from generators.campaign.campaign import Campaign
from generators.campaign.merge import merge_json, new_rows, none_finished, planned_rows
from generators.campaign.plan import draw_networks, plan_run, spread
from generators.workers.planned_run import PlannedRun, Row

NETWORKS = {  # the first networks of a skeleton in the split `test`, or held out
    "peephole-3x2": 12, "shallow-3x1": 3, "wide-3x1": 3,
    "deep-3x3": 2, "stages-4x1": 2, "strided-3x2": 1, "residual-3x2": 1,
}  # fmt: skip
PASSES = 5  # over the training images, of the longer training
WHOLE = 8  # of the cheapest networks are trained as in the full tier


def calibration_recipes(images: str) -> dict[str, Recipe]:
    """Return the recipes by id: longer at half width, at full width, and that of the full tier.

    The last one uses fp32 and the arithmetic of the released tier, so that a CPU can train it.

    Raises:
        ValueError: If the image set is not known or has no set of full width.
    """
    released, wide = RECIPES[get_images(images).name], f"{images}-full-width"
    if wide not in IMAGES or released.images_per_epoch is None:
        known = [name for name in IMAGES if f"{name}-full-width" in IMAGES]
        raise ValueError(f"{images!r} has no calibration; {', '.join(known)} has one")
    longer = replace(released, images_per_epoch=PASSES * released.images_per_epoch)
    whole = replace(
        RECIPES[f"{images}-full"],
        precision=released.precision,
        evaluation_batch=released.evaluation_batch,
        arithmetic=released.arithmetic,
    )
    return {recipe.recipe_id: recipe for recipe in (longer, RECIPES[wide], whole)}


def calibration_plan(images: str) -> list[PlannedRun]:
    """Return the calibration runs of an image set; any prefix has about the same share of each.

    Raises:
        ValueError: As for `calibration_recipes`.
    """
    groups = []
    for recipe in calibration_recipes(images).values():
        tier = get_images(recipe.images)
        runs = []
        for name, count in NETWORKS.items():
            drawn = draw_networks(SKELETONS[name], tier, tier.quota)
            firsts = drawn["heldout" if SKELETONS[name].held_out else "test"][:count]
            runs.append([plan_run(network, tier, recipe, 0) for network in firsts])
        group = spread(runs)
        if recipe.images == f"{images}-full":
            cheapest = sorted(group, key=lambda run: run.cost)[:WHOLE]
            group = [run for run in group if run in cheapest]
        groups.append(group)
    return spread(groups)


def add_calibration(
    campaigns: list[Campaign], images: str, folder: Path, version: str | None = None
) -> dict[tuple[str, str], int]:
    """Add the finished runs of campaigns to a release as calibration runs.

    Runs that the release has already are kept. Without a new version, the minor number is raised
    if any run is new.

    Returns:
        The number of calibration runs in the release, as `merge` returns numbers.

    Raises:
        ValueError: If no run is finished or one is not a calibration run, a file is damaged, or a
            run is in the release with different content.
        BlockingIOError, OSError: As for `release_draft`.
    """
    recipes = calibration_recipes(images)
    rows: dict[str, Row] = {}
    for row, _ in chain.from_iterable(map(planned_rows, campaigns)):
        name = str(row["run_id"])
        if rows.setdefault(name, row) != row:
            raise ValueError(f"run {name!r} is in two campaigns with different content")
    if not rows:
        raise none_finished(campaigns)
    other = next((name for name, row in rows.items() if row["recipe_id"] not in recipes), None)
    if other is not None:
        raise ValueError(f"run {other!r} is no calibration run of {images!r}")
    with changing_release(folder, version) as draft:
        path, table = calibration_path(images, draft), rows_to_table(list(rows.values()))
        if path.exists():
            old = read_table(path)
            table = pa.concat_tables([old, table.filter(new_rows(table, old, path))])
        write_table(table.sort_by("run_id"), path)
        used = {name for c in ("recipe_id", "environment_id") for name in table[c].to_pylist()}
        merge_json(campaigns, draft, used)
    return {(images, "calibration"): len(table)}
