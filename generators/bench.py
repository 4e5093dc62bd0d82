"""How fast networks are made: the engine beside three plainer loops, on the same networks.

N0 is the textbook loop in fp32, N1 adds bf16 and channels_last, N2 has the images on the device and
takes the engine's own steps without graphs, one network at a time. The engine runs a campaign, its
start-up counted. N0 and N1 may train fewer epochs; their time is scaled to all of them.
"""

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import wilcoxon

from benchmark.recipes import Recipe
from generators.batches import to_device
from generators.campaign import Campaign, run_campaign
from generators.comparison import final_accuracy
from generators.crew import RunOptions
from generators.images import load_images
from generators.plan import PlannedRun, make_plan
from generators.textbook import Setting, train_textbook
from generators.training import train

FLOPS_OF_A_MAC = 2
MATRIX = 8192  # side of the product that measures a GPU's peak; a CPU's is an eighth
SAMPLE_SECONDS = 0.5  # between questions how busy the device is


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one way of training is.

    Attributes:
        name: N0, N1, N2 or engine.
        networks: How many were trained.
        seconds: Of all, scaled to all epochs.
        images: Training images seen.
        flops: Floating-point operations of all convolutions and linear layers.
        accuracies: Final valid accuracy of each network; None if it trained fewer epochs.
        busy: Share of samples of a GPU's own counter that found work on it; None if not asked.
    """

    name: str
    networks: int
    seconds: float
    images: float
    flops: float
    accuracies: tuple[float, ...] | None
    busy: float | None = None


def stratified_by_cost(plan: Sequence[PlannedRun], count: int) -> list[PlannedRun]:
    """Return first runs at evenly spaced ranks of cost, cheapest first.

    Raises:
        ValueError: If there are fewer.
    """
    firsts = sorted((r for r in plan if r.seed == 0), key=lambda run: (run.cost, run.run_id))
    if not 1 <= count <= len(firsts):
        raise ValueError(f"`count` (={count}) must be in 1..{len(firsts)}, the planned networks")
    ranks = (np.arange(count) + 0.5) * len(firsts) / count
    return [firsts[int(rank)] for rank in ranks]


def bench(
    images: str, recipe: Recipe, count: int, options: RunOptions, baseline_epochs: int
) -> Iterator[Speed]:
    """Yield the speed of N0, N1, N2 and the engine, as each is known.

    Args:
        images: The image set.
        recipe: For it.
        count: Networks.
        options: How the engine runs.
        baseline_epochs: Epochs of N0 and N1.
    """
    runs = [
        replace(run, recipe_id=recipe.recipe_id)
        for run in stratified_by_cost(make_plan([images]), count)
    ]
    pixels = load_images(images, options.images_folder)
    device = torch.device(options.device)
    for name, fast in (("N0", False), ("N1", True)):
        setting = Setting(device, fast, fast, baseline_epochs)
        started = time.perf_counter()
        finals = [train_textbook(run.architecture, recipe, pixels, setting)[-1] for run in runs]
        seconds = (time.perf_counter() - started) * recipe.epochs / baseline_epochs
        yield _speed(
            name, runs, recipe, seconds, finals if baseline_epochs == recipe.epochs else None
        )
    on_device = to_device(pixels, device)
    started = time.perf_counter()
    curves = [train(run.architecture, recipe, on_device, seed=run.seed) for run in runs]
    finals = [curve.valid_accuracy[-1] for curve in curves]
    yield _speed("N2", runs, recipe, time.perf_counter() - started, finals)
    yield _engine(runs, recipe, options)


def _speed(
    name: str,
    runs: Sequence[PlannedRun],
    recipe: Recipe,
    seconds: float,
    accuracies: Sequence[float] | None,
) -> Speed:
    images = float(len(runs) * recipe.epochs * recipe.steps_per_epoch * recipe.batch)
    flops = FLOPS_OF_A_MAC * float(sum(run.cost for run in runs))
    finals = None if accuracies is None else tuple(accuracies)
    return Speed(name, len(runs), seconds, images, flops, finals)


def _engine(runs: Sequence[PlannedRun], recipe: Recipe, options: RunOptions) -> Speed:
    with tempfile.TemporaryDirectory() as folder, _watched(options.device) as busy:
        campaign = Campaign(Path(folder))
        campaign.create(list(runs), {recipe.recipe_id: recipe})
        started = time.perf_counter()
        run_campaign(campaign, options)
        seconds = time.perf_counter() - started
        finals = {str(row["run_id"]): final_accuracy(row) for row in campaign.rows()}
    speed = _speed("engine", runs, recipe, seconds, [finals[run.run_id] for run in runs])
    return replace(speed, busy=float(np.mean(busy)) if busy else None)


@contextmanager
def _watched(device: str) -> Iterator[list[float]]:
    """Collect samples of how busy a GPU says it is, 0 to 1; none for a CPU."""
    samples: list[float] = []
    ended = threading.Event()
    tool = shutil.which("nvidia-smi")

    def watch() -> None:
        index = torch.device(device).index or 0
        command = [str(tool), f"--id={index}", "--query-gpu=utilization.gpu"]
        command.append("--format=csv,noheader,nounits")
        while not ended.wait(SAMPLE_SECONDS):
            answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            samples.append(float(answer.split()[0]) / 100)

    thread = threading.Thread(target=watch, daemon=True)
    if tool and device.startswith("cuda"):
        thread.start()
    try:
        yield samples
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()


def peak_flops(device: torch.device, precision: str) -> float:
    """Return the rate of a large matrix product in operations a second, the best of a few."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    side = MATRIX if device.type == "cuda" else MATRIX // 8
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    times = []
    for _ in range(10):
        started = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - started)
    return 2 * side**3 / min(times)


def parity(one: Speed, other: Speed) -> tuple[float, float]:
    """Return the mean difference of final accuracies and its p-value, paired over networks.

    The p-value is of differences lying about 0 (Wilcoxon signed rank).

    Raises:
        ValueError: If one of them did not train all epochs.
    """
    if one.accuracies is None or other.accuracies is None:
        raise ValueError("accuracies can be compared only after all epochs")
    differences = np.subtract(one.accuracies, other.accuracies)
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return float(differences.mean()), p_value


def report(speeds: Sequence[Speed], peak: float) -> Iterator[str]:
    """Yield a table of speeds, then how accuracies compare with those of N0."""
    first = speeds[0]
    yield "way     networks/h    images/s  TFLOP/s  of peak  busy  times N0"
    for speed in speeds:
        rate = speed.flops / speed.seconds
        busy = "   -" if speed.busy is None else f"{speed.busy:4.0%}"
        yield (
            f"{speed.name:7} {3600 * speed.networks / speed.seconds:10.1f} "
            f"{speed.images / speed.seconds:11,.0f} {rate / 1e12:8.3f} {rate / peak:8.1%}  {busy} "
            f"{first.seconds / speed.seconds:9.2f}"
        )
    for speed in speeds[1:]:
        if first.accuracies is not None and speed.accuracies is not None:
            mean, p_value = parity(speed, first)
            yield f"accuracy of {speed.name} less that of N0: mean {mean:+.4f}, p {p_value:.3f}"
