"""How fast networks are made: the engine beside three plainer loops, on the same networks.

N0 is the textbook loop in fp32, N1 adds bf16 and channels_last, N2 has the images on the device and
takes the engine's own steps without graphs, one network at a time. The engine runs a campaign, its
start-up counted, with some number of networks in flight. As the plain loops take hours on a GPU,
they may train some of the networks alone, and N0 and N1 fewer epochs, their time scaled to all.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import wilcoxon

from benchmark.recipes import Precision, Recipe
from benchmark.record import run_id
from generators.batches import to_device
from generators.campaign import Campaign, run_campaign
from generators.comparison import final_accuracy
from generators.crew import RunOptions
from generators.images import Pixels, load_images
from generators.limits import Limits, flops_of, traffic_of, watched
from generators.plan import PlannedRun, cost_of, make_plan
from generators.textbook import Setting, train_textbook
from generators.training import train

LOADERS = 2  # processes that load images for a textbook loop on a GPU
AUDIT: Precision = "fp32"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one way of training is.

    Attributes:
        name: N0, N1, N2, engine with the networks in flight, or fp32.
        networks: How many were trained.
        seconds: Of all, scaled to all epochs.
        images: Training images seen.
        flops: Floating-point operations of all convolutions and linear layers.
        traffic: Bytes that all layers move at least.
        accuracies: Final valid accuracy of each run by its id; None if they trained fewer epochs.
        busy: Share of samples of a GPU's own counter that found work on it; None if not asked.
    """

    name: str
    networks: int
    seconds: float
    images: float
    flops: float
    traffic: float
    accuracies: Mapping[str, float] | None
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is timed.

    Attributes:
        networks: Networks of the engine.
        widths: Networks in flight, one engine each.
        plain: Networks of N0, N1 and N2. None: all.
        plain_epochs: Epochs of N0 and N1. None: all.
        audited: Networks that the engine trains in fp32 as well.
    """

    networks: int
    widths: Sequence[int] = (2,)
    plain: int | None = None
    plain_epochs: int | None = None
    audited: int = 0


def evenly(found: Sequence[T], count: int) -> list[T]:
    """Return so many items at evenly spaced places.

    >>> evenly(range(10), 2)
    [2, 7]
    """
    return [found[int(place)] for place in (np.arange(count) + 0.5) * len(found) / max(count, 1)]


def stratified_by_cost(plan: Sequence[PlannedRun], count: int) -> list[PlannedRun]:
    """Return first runs at evenly spaced ranks of cost, cheapest first.

    Raises:
        ValueError: If there are fewer.
    """
    firsts = sorted((r for r in plan if r.seed == 0), key=lambda run: (run.cost, run.run_id))
    if not 1 <= count <= len(firsts):
        raise ValueError(f"`count` (={count}) must be in 1..{len(firsts)}, the planned networks")
    return evenly(firsts, count)


def planned_as(run: PlannedRun, recipe: Recipe) -> PlannedRun:
    """Return the run of the same network and seed with another recipe."""
    name = run_id(run.images, run.architecture_id, recipe.recipe_id, run.seed)
    cost = cost_of(run.macs, recipe)
    return replace(run, run_id=name, recipe_id=recipe.recipe_id, cost=cost)


def bench(images: str, recipe: Recipe, options: RunOptions, what: Comparison) -> Iterator[Speed]:
    """Yield the speed of every way, as each is known.

    Args:
        images: The image set.
        recipe: For it.
        options: How the engine runs, its networks in flight apart.
        what: Which ways, and how much of each.

    Raises:
        ValueError: If more networks are asked for than there are, or an audit of a recipe in fp32.
    """
    if what.audited and recipe.precision == AUDIT:
        raise ValueError(f"the recipe of {images!r} is in fp32 already; there is nothing to audit")
    sample = stratified_by_cost(make_plan([images]), what.networks)
    runs = [planned_as(run, recipe) for run in sample]
    for asked in (what.plain or 0, what.audited):
        if asked > len(runs):
            raise ValueError(f"{asked} networks cannot be taken from a sample of {len(runs)}")
    plain = runs if what.plain is None else evenly(runs, what.plain)
    if plain:
        pixels, device = load_images(images, options.images_folder), torch.device(options.device)
        yield from _textbook(plain, recipe, pixels, device, what.plain_epochs or recipe.epochs)
        yield _steps(plain, recipe, pixels, device)
    for width in what.widths:
        yield _engine(f"engine x{width}", runs, recipe, replace(options, workers=width))
    if what.audited:
        exact = replace(recipe, precision=AUDIT)
        again = [planned_as(run, exact) for run in evenly(runs, what.audited)]
        speed = _engine(AUDIT, again, exact, replace(options, workers=what.widths[-1]))
        assert speed.accuracies is not None
        names = {run.run_id: planned_as(run, recipe).run_id for run in again}
        finals = {names[name]: value for name, value in speed.accuracies.items()}
        yield replace(speed, accuracies=finals)


def _textbook(
    runs: Sequence[PlannedRun], recipe: Recipe, pixels: Pixels, device: torch.device, epochs: int
) -> Iterator[Speed]:
    """Yield the speeds of N0 and N1."""
    loaders = LOADERS if device.type == "cuda" else 0
    for name, fast in (("N0", False), ("N1", True)):
        setting = Setting(device, fast, fast, epochs, loaders)
        started = time.perf_counter()
        finals = {
            run.run_id: train_textbook(run.architecture, recipe, pixels, setting)[-1]
            for run in runs
        }
        seconds = (time.perf_counter() - started) * recipe.epochs / epochs
        used = recipe if fast else replace(recipe, precision=AUDIT)
        yield _speed(name, runs, used, seconds, finals if epochs == recipe.epochs else None)


def _steps(
    runs: Sequence[PlannedRun], recipe: Recipe, pixels: Pixels, device: torch.device
) -> Speed:
    """Return the speed of N2."""
    on_device = to_device(pixels, device)
    started = time.perf_counter()
    curves = {r.run_id: train(r.architecture, recipe, on_device, seed=r.seed) for r in runs}
    finals = {name: found.valid_accuracy[-1] for name, found in curves.items()}
    return _speed("N2", runs, recipe, time.perf_counter() - started, finals)


def _speed(
    name: str,
    runs: Sequence[PlannedRun],
    recipe: Recipe,
    seconds: float,
    accuracies: Mapping[str, float] | None,
) -> Speed:
    images = float(len(runs) * recipe.epochs * recipe.steps_per_epoch * recipe.batch)
    flops, traffic = sum(map(flops_of, runs)), sum(traffic_of(run, recipe) for run in runs)
    return Speed(name, len(runs), seconds, images, flops, traffic, accuracies)


def _engine(name: str, runs: Sequence[PlannedRun], recipe: Recipe, options: RunOptions) -> Speed:
    """Return the speed of a campaign; runs that failed are made as the campaign makes them."""
    with tempfile.TemporaryDirectory() as folder, watched(options.device) as busy:
        campaign = Campaign(Path(folder))
        campaign.create(list(runs), {recipe.recipe_id: recipe})
        started = time.perf_counter()
        run_campaign(campaign, options)
        seconds = time.perf_counter() - started
        finals = {str(row["run_id"]): final_accuracy(row) for row in campaign.rows()}
    speed = _speed(name, runs, recipe, seconds, finals)
    return replace(speed, busy=float(np.mean(busy)) if busy else None)


def parity(one: Speed, other: Speed) -> tuple[int, float, float]:
    """Return how many networks both trained, and how their final accuracies differ.

    The second number is the mean difference, the third the p-value of differences lying about 0
    (Wilcoxon signed rank).

    Raises:
        ValueError: If one of them did not train all epochs, or they have no network in common.
    """
    if one.accuracies is None or other.accuracies is None:
        raise ValueError("accuracies can be compared only after all epochs")
    common = [name for name in one.accuracies if name in other.accuracies]
    if not common:
        raise ValueError("no network was trained in both ways")
    differences = np.array([one.accuracies[name] - other.accuracies[name] for name in common])
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return len(common), float(differences.mean()), p_value


def report(speeds: Sequence[Speed], most: Limits) -> Iterator[str]:
    """Yield a table of speeds, the floor, and how accuracies compare.

    Ways are compared with the first that trained all epochs, fp32 with the engine's last.
    """
    first = speeds[0]
    head = "way         networks/h    images/s  TFLOP/s  of peak     GB/s  of copy  busy  times"
    yield f"{head} {first.name}"
    for speed in speeds:
        rate, moved = speed.flops / speed.seconds, speed.traffic / speed.seconds
        busy = "   -" if speed.busy is None else f"{speed.busy:4.0%}"
        ratio = (speed.networks / speed.seconds) / (first.networks / first.seconds)
        yield (
            f"{speed.name:11} {3600 * speed.networks / speed.seconds:10.1f} "
            f"{speed.images / speed.seconds:11,.0f} {rate / 1e12:8.3f} {rate / most.flops:8.1%} "
            f"{moved / 1e9:8.1f} {moved / most.traffic:8.1%}  {busy} {ratio:9.2f}"
        )
    last = [speed for speed in speeds if speed.name != AUDIT][-1]
    times = last.flops / most.flops, last.traffic / most.traffic, last.seconds
    arithmetic, traffic, taken = (seconds / last.networks for seconds in times)
    yield (
        f"a network takes at least {arithmetic:.3f} s of arithmetic and {traffic:.3f} s of memory "
        f"traffic on this device; {last.name} took {taken:.3f} s"
    )
    whole = [speed for speed in speeds if speed.accuracies is not None and speed.name != AUDIT]
    pairs = [(speed, whole[0]) for speed in whole[1:]]
    pairs += [(speed, last) for speed in speeds if speed.name == AUDIT]
    for speed, other in pairs:
        count, mean, p_value = parity(speed, other)
        yield (
            f"accuracy of {speed.name} less that of {other.name}: mean {mean:+.4f} over {count} "
            f"networks, p {p_value:.3f}"
        )
