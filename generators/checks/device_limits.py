"""The peak speed of a device, and the least work that training needs."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from benchmark.recipes import Recipe
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from generators.campaign.plan import images_measured
from generators.workers.admission import PRECISION_BYTES, activation_sizes
from generators.workers.planned_run import PlannedRun

FLOPS_OF_A_MAC = 2
MATRIX = 8192  # side of the matrices multiplied to measure a GPU; an eighth of it on a CPU
COPIED = 2**30  # bytes copied to measure a GPU; an eighth of them on a CPU
REPEATS = 10
TRAINING_PASSES = 5  # activations are written and read, gradients too; activations are read again
EVALUATION_PASSES = 2  # activations are written and read
SAMPLE_SECONDS = 0.5  # between samples of how busy the device is


@dataclass(frozen=True, slots=True)
class Limits:
    """Measured peak speed of a device.

    Attributes:
        flops: Operations per second of a large matrix product in the recipe's precision.
        bandwidth: Bytes per second, read plus written, of a large copy.
    """

    flops: float
    bandwidth: float


def limits(device: torch.device, precision: str) -> Limits:
    """Measure the peak speed of a device, as the best of several tries."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    divisor = 1 if device.type == "cuda" else 8
    side = MATRIX // divisor
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    flops = 2 * side**3 / _least_seconds(lambda: a @ b)
    source = torch.randint(256, (COPIED // divisor,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Limits(flops, 2 * len(source) / _least_seconds(lambda: target.copy_(source)))


def _least_seconds(work: Callable[[], torch.Tensor]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work().flatten()[0].item()  # waits for the device
        times.append(time.perf_counter() - started)
    return min(times)


def traffic_of(run: PlannedRun, recipe: Recipe) -> float:
    """Return the least bytes that a run moves, if no layers are fused.

    Weights and images are negligible beside activations.
    """
    images = get_images(run.images)
    activations = sum(activation_sizes(walk(run.architecture, images)))
    trained = TRAINING_PASSES * recipe.steps_per_epoch * recipe.batch
    seen = recipe.epochs * trained + EVALUATION_PASSES * images_measured(recipe)
    return float(PRECISION_BYTES[recipe.precision] * activations * seen)


@contextmanager
def watched(device: str) -> Iterator[list[float]]:
    """Collect samples of a GPU's utilisation, 0 to 1, into the list; none for a CPU."""
    samples: list[float] = []
    ended = threading.Event()
    tool = shutil.which("nvidia-smi")

    def watch() -> None:
        uuid = torch.cuda.get_device_properties(device).uuid
        command = [str(tool), f"--id=GPU-{uuid}", "--query-gpu=utilization.gpu"]
        command.append("--format=csv,noheader,nounits")
        while not ended.wait(SAMPLE_SECONDS):
            output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            if output.strip().isdecimal():  # a part of a GPU has no utilisation of its own
                samples.append(int(output) / 100)

    thread = threading.Thread(target=watch, daemon=True)
    if tool and device.startswith("cuda"):
        thread.start()
    try:
        yield samples
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()
