"""Compares the training speed of the engine with three simpler loops, on the same networks.

N0 is the textbook loop in fp32. N1 is the same with bf16 and channels_last. N2 keeps the images on
the device and uses the engine's steps without CUDA graphs, one network at a time. The engine runs a
campaign, including its start-up, with one or more networks at the same time. On a GPU the simple
loops take hours. So they may train fewer networks, and N0 and N1 fewer epochs, with the time scaled
to all epochs.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmark.recipes import Recipe
from benchmark.schema import TRAINED_STATUSES, run_id
from benchmark.space.layer_walk import walk
from benchmark.util.text import quantity
from generators.campaign.campaign import Campaign
from generators.campaign.plan import cost_of, make_plan
from generators.campaign.run_campaign import run_campaign
from generators.checks.agreement import final_accuracy
from generators.checks.device_limits import FLOPS_OF_A_MAC, traffic_of, watched
from generators.checks.reference_loop import Setting, TextbookNetwork, train_textbook
from generators.checks.speed_table import AUDIT, Speed
from generators.training.batches import to_device
from generators.training.images import Pixels, load_images
from generators.training.train import train
from generators.workers.planned_run import PlannedRun
from generators.workers.run_options import RunOptions

LOADERS = 2  # processes that load images for the textbook loop on a GPU
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways of training to time, and how much to train with each.

    Attributes:
        networks: Number of networks that the engine trains.
        widths: Numbers of networks to train at the same time; the engine runs once with each.
        plain: Number of networks that N0, N1 and N2 train. None: all.
        plain_epochs: Number of epochs that N0 and N1 train. None: all.
        audited: Number of networks that the engine trains again in fp32.
    """

    networks: int
    widths: Sequence[int] = (2,)
    plain: int | None = None
    plain_epochs: int | None = None
    audited: int = 0


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """Return `count` items at evenly spaced positions.

    >>> evenly_spaced(range(10), 2)
    [2, 7]
    """
    return [items[int(index)] for index in (np.arange(count) + 0.5) * len(items) / max(count, 1)]


def stratified_by_cost(plan: Sequence[PlannedRun], count: int) -> list[PlannedRun]:
    """Return `count` runs with seed 0 at evenly spaced ranks of cost, cheapest first.

    Raises:
        ValueError: If there are fewer.
    """
    firsts = sorted((r for r in plan if r.seed == 0), key=lambda run: (run.cost, run.run_id))
    if not 1 <= count <= len(firsts):
        raise ValueError(
            f"`count` (={count}) must be in 1..{len(firsts)}, the number of planned networks"
        )
    return evenly_spaced(firsts, count)


def with_recipe(run: PlannedRun, recipe: Recipe) -> PlannedRun:
    """Return the run of the same network and seed with another recipe."""
    name = run_id(run.images, run.architecture_id, recipe.recipe_id, run.seed)
    return replace(run, run_id=name, recipe_id=recipe.recipe_id, cost=cost_of(run.macs, recipe))


def bench(images: str, recipe: Recipe, options: RunOptions, ways: Ways) -> Iterator[Speed]:
    """Yield the speed of each way, as soon as it is measured; `workers` of `options` is ignored.

    Raises:
        ValueError: If there are fewer networks than are to be trained, or if networks of a recipe
            in fp32 are to be audited.
    """
    if ways.audited and recipe.precision == AUDIT:
        raise ValueError(f"the recipe of {images!r} is in fp32 already, so it needs no audit")
    sample = stratified_by_cost(make_plan([images]), ways.networks)
    runs = [with_recipe(run, recipe) for run in sample]
    for count in (ways.plain or 0, ways.audited):
        if count > len(runs):
            raise ValueError(
                f"{quantity(count, 'network')} cannot be taken from a sample of {len(runs)}"
            )
    plain = runs if ways.plain is None else evenly_spaced(runs, ways.plain)
    if plain:
        pixels, device = load_images(images, options.images_folder), torch.device(options.device)
        yield from _time_textbook(plain, recipe, pixels, device, ways.plain_epochs or recipe.epochs)
        yield _time_steps(plain, recipe, pixels, device)
    for width in ways.widths:
        yield _time_engine(f"engine x{width}", runs, recipe, replace(options, workers=width))
    if ways.audited:
        exact = replace(recipe, precision=AUDIT)
        again = [with_recipe(run, exact) for run in evenly_spaced(runs, ways.audited)]
        speed = _time_engine(AUDIT, again, exact, replace(options, workers=ways.widths[-1]))
        assert speed.accuracies is not None
        names = {run.run_id: with_recipe(run, recipe).run_id for run in again}
        finals = {names[name]: value for name, value in speed.accuracies.items()}
        yield replace(speed, accuracies=finals)


def _time_textbook(
    runs: Sequence[PlannedRun], recipe: Recipe, pixels: Pixels, device: torch.device, epochs: int
) -> Iterator[Speed]:
    """Train with N0 and N1, and yield their speeds."""
    loaders = LOADERS if device.type == "cuda" else 0
    for name, fast in (("N0", False), ("N1", True)):
        setting = Setting(device, fast, fast, epochs, loaders)
        started = time.perf_counter()
        networks = {r.run_id: TextbookNetwork(walk(r.architecture, pixels.images)) for r in runs}
        finals = {
            name: train_textbook(network, recipe, pixels, setting)[-1]
            for name, network in networks.items()
        }
        seconds = (time.perf_counter() - started) * recipe.epochs / epochs
        used = recipe if fast else replace(recipe, precision=AUDIT)
        yield _speed(name, runs, used, seconds, finals if epochs == recipe.epochs else None)


def _time_steps(
    runs: Sequence[PlannedRun], recipe: Recipe, pixels: Pixels, device: torch.device
) -> Speed:
    """Train with N2, and return its speed."""
    on_device = to_device(pixels, device)
    started = time.perf_counter()
    curves = {r.run_id: train(r.architecture, recipe, on_device, seed=r.seed) for r in runs}
    finals = {name: one.valid_accuracy[-1] for name, one in curves.items()}
    return _speed("N2", runs, recipe, time.perf_counter() - started, finals)


def _speed(
    name: str,
    runs: Sequence[PlannedRun],
    recipe: Recipe,
    seconds: float,
    accuracies: Mapping[str, float] | None,
) -> Speed:
    images = float(len(runs) * recipe.epochs * recipe.steps_per_epoch * recipe.batch)
    flops = sum(float(FLOPS_OF_A_MAC * run.cost) for run in runs)
    bandwidth = sum(traffic_of(run, recipe) for run in runs)
    return Speed(name, len(runs), seconds, images, flops, bandwidth, accuracies)


def _time_engine(
    name: str, runs: Sequence[PlannedRun], recipe: Recipe, options: RunOptions
) -> Speed:
    """Run a campaign, and return the speed of its trained runs, in the time of all runs.

    Raises:
        ValueError: If no run was trained.
    """
    with tempfile.TemporaryDirectory() as folder, watched(options.device) as busy:
        campaign = Campaign(Path(folder))
        campaign.create(list(runs), {recipe.recipe_id: recipe})
        started = time.perf_counter()
        failures = run_campaign(campaign, options).failures
        seconds = time.perf_counter() - started
        rows = list(campaign.rows())
    finals = {str(r["run_id"]): final_accuracy(r) for r in rows if r["status"] in TRAINED_STATUSES}
    if not finals:
        reasons = [*(row["status_reason"] for row in rows), *failures.values()]
        raise ValueError(f"{name}: no network was trained; reason of the first: {reasons[0]!r}")
    trained = [run for run in runs if run.run_id in finals]
    speed = _speed(name, trained, recipe, seconds, finals)
    return replace(speed, busy=float(np.mean(busy)) if busy else None)
