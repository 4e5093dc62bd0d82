"""Prints the speeds this project aims at, with the ratio to a plain loop. No test asserts them.

Run as `python -m tests.bench_speed [--networks 12]` from the root of the source tree.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmark.files import load_runs, series
from benchmark.imagesets import get_images
from benchmark.recipes import RECIPES, learning_rates
from benchmark.walk import LayerRow, walk
from generators.campaign import Campaign, release_recipes, run_campaign
from generators.crew import RunOptions
from generators.images import Part, Pixels, load_images
from generators.networks import GlobalPool, same_padding
from generators.plan import PlannedRun, make_plan


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Return the median wall seconds of some calls."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


class PlainLayer(nn.Module):
    """A layer as a textbook would write it: pad, then convolve or pool."""

    def __init__(self, row: LayerRow) -> None:
        super().__init__()
        self.row = row
        if row.kind == "conv":
            kernel = (row.kernel_height, row.kernel_width)
            self.inner: nn.Module = nn.Conv2d(row.in_channels, row.out_channels, kernel, row.stride)
        elif row.kind == "bn":
            self.inner = nn.BatchNorm2d(row.out_channels)
        elif row.kind == "linear":
            self.inner = nn.Linear(row.in_channels, row.out_channels)
        else:
            simple = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
            self.inner = simple.get(row.kind, GlobalPool)()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        row, kernel = self.row, (self.row.kernel_height, self.row.kernel_width)
        pad = same_padding(row) if row.role != "transition" or row.kind == "conv" else (0,) * 4
        if row.kind == "conv":
            y: torch.Tensor = self.inner(functional.pad(x, pad))
        elif row.kind == "max_pool":
            y = functional.max_pool2d(functional.pad(x, pad, value=-torch.inf), kernel, row.stride)
        elif row.kind == "avg_pool":
            y = functional.avg_pool2d(functional.pad(x, pad), kernel, 1)
        else:
            y = self.inner(x)
        return y


def plain_loop(run: PlannedRun, pixels: Pixels) -> None:
    """Train one network with a DataLoader, an eager loop, and a host copy in every step."""
    recipe = RECIPES[run.images]
    rows = walk(run.architecture, get_images(run.images))
    network = nn.Sequential(*[PlainLayer(row) for row in rows])
    optimizer = torch.optim.SGD(
        network.parameters(), 0.1, recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    train, *rest = [_dataset(part, pixels) for part in (pixels.train, pixels.valid, pixels.test)]
    loader = DataLoader(train, recipe.batch, shuffle=True, drop_last=True)
    rates = iter(learning_rates(recipe))
    for _ in range(recipe.epochs):
        network.train()
        for images, labels in loader:
            optimizer.param_groups[0]["lr"] = next(rates)
            logits = network(images)
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item(), (logits.argmax(1) == labels).sum().item()
        network.eval()
        with torch.no_grad():
            for part in rest:
                for images, labels in DataLoader(part, recipe.batch):
                    functional.cross_entropy(network(images), labels).item()


def _dataset(part: Part, pixels: Pixels) -> TensorDataset:
    images = (part.images - pixels.mean[0]) / pixels.std[0]
    return TensorDataset(torch.tensor(images, dtype=torch.float32), torch.tensor(part.labels))


def generation(count: int) -> None:
    """Compare a campaign on two workers with the plain loop, on the same networks."""
    simple = [r for r in make_plan(["digits"]) if r.architecture.skeleton != "residual-3x2"]
    plan = simple[:count]
    pixels = load_images("digits")
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder))
        campaign.create(plan, release_recipes())
        ours = seconds(lambda: run_campaign(campaign, RunOptions(Path("images"))))
    torch.set_num_threads(2)

    def one_at_a_time() -> None:
        for run in plan:
            plain_loop(run, pixels)

    plain = seconds(one_at_a_time)
    line("generation, digits, 2 workers, start-up counted", 3600 * count / ours, "networks/h")
    line("the same networks in a plain loop, 2 threads", 3600 * count / plain, "networks/h")
    line("ratio", plain / ours, "x")


def loading() -> None:
    """Time opening a split and taking its curves."""
    took = seconds(lambda: series(load_runs("digits", "train"), "valid_accuracy"), 5)
    line("all columns of digits/train, one curve array", took, "s")
    columns = ["run_id", "valid_accuracy"]
    took = seconds(
        lambda: series(load_runs("digits", "train", columns=columns), "valid_accuracy"), 5
    )
    line("two columns of digits/train, one curve array", took, "s")


def scoring() -> None:
    """Time scoring 1,200 networks, all metrics, all intervals, on random curves."""
    from harness.scores import Truth, score_prediction

    rng = np.random.default_rng(0)
    names = ["peephole-3x2"] * 800
    held = ["deep-3x3", "stages-4x1", "strided-3x2", "residual-3x2"]
    names += [name for name in held for _ in range(100)]
    curves = np.sort(rng.random((1200, 20)), axis=1)
    ids = tuple(f"{i:016x}" for i in range(1200))
    pairs = tuple(ids[i - 1000] if i >= 1000 else None for i in range(1200))
    parts = tuple("test" if i < 800 else "heldout" for i in range(1200))
    truth = Truth(ids, ids, tuple(names), parts, pairs, curves, 10)  # type: ignore[arg-type]
    mean = np.clip(curves + rng.normal(0, 0.1, curves.shape), 0, 1)
    epochs = tuple(range(1, 21))
    std = np.full_like(mean, 0.1)
    took = seconds(lambda: score_prediction(truth, mean, epochs=epochs, std=std), 3)
    line("scoring 1,200 networks x 20 epochs, all intervals", took, "s")


def commands() -> None:
    """Time commands as whole processes."""
    for words in (["--help"], ["data", "info"]):
        command = [sys.executable, "-m", "peephole", *words]
        took = seconds(lambda c=command: subprocess.run(c, capture_output=True, check=True), 5)  # type: ignore[misc]
        line(f"peephole {' '.join(words)}", took, "s")


def line(what: str, value: float, unit: str) -> None:
    """Print one figure."""
    sys.stdout.write(f"{what:55} {value:10.2f} {unit}\n")
    sys.stdout.flush()


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=12)
    arguments = parser.parse_args()
    commands()
    loading()
    scoring()
    generation(arguments.networks)


if __name__ == "__main__":
    main()
