"""Prints the speeds this project aims at, with the ratio to a plain loop. No test asserts them.

Run as `python -m tests.speed.targets [--networks 8]` from the root of the source tree.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmark import stored_runs
from benchmark.query import Ledger, query
from benchmark.recipes import RECIPES
from benchmark.release import Release, load_runs
from benchmark.runs import series
from generators.checks.bench import Ways, bench
from generators.checks.device_limits import limits
from generators.checks.speed_table import report
from generators.workers.run_options import RunOptions


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Return the median wall seconds of some calls."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def generation(count: int) -> None:
    """Compare a campaign on two workers with plainer loops, on the same networks."""
    options = RunOptions(Path("images"))
    speeds = list(bench("digits", RECIPES["digits"], options, Ways(count)))
    for text in report(speeds, limits(torch.device("cpu"), "fp32")):
        sys.stdout.write(text + "\n")


def loading() -> None:
    """Time opening a split and taking its curves."""
    took = seconds(lambda: series(load_runs("digits", "train"), "valid_accuracy"), 5)
    line("all columns of digits/train, one curve array", took, "s")
    columns = ["run_id", "valid_accuracy"]
    took = seconds(
        lambda: series(load_runs("digits", "train", columns=columns), "valid_accuracy"), 5
    )
    line("two columns of digits/train, one curve array", took, "s")


def querying() -> None:
    """Time reading all runs for queries, and one query, with and without a ledger."""
    ledgers = [Ledger(images=images, seed=0) for images in Release().manifest().images]
    stored_runs._read.cache_clear()
    took = seconds(lambda: [Ledger(images=ledger.images, seed=0) for ledger in ledgers])
    line("all runs of all image sets, for queries", took, "s")
    names = ledgers[-1].networks

    def ask() -> None:
        for name in names:
            query(name, images=ledgers[-1].images, epochs=10, seed=0)

    def pay() -> None:
        for name in names:
            ledgers[-1].query(name, epochs=10)

    line("a query", seconds(ask, 5) / len(names) * 1e6, "us")
    line("a query of a ledger", seconds(pay, 5) / len(names) * 1e6, "us")


def scoring() -> None:
    """Time scoring 1,200 networks, all metrics, all intervals, on random curves."""
    from harness.scoring.scores import score_prediction
    from harness.scoring.targets import Targets

    rng = np.random.default_rng(0)
    names = ["peephole-3x2"] * 800
    held = ["deep-3x3", "stages-4x1", "strided-3x2", "residual-3x2"]
    names += [name for name in held for _ in range(100)]
    curves = np.sort(rng.random((1200, 20)), axis=1)
    ids = tuple(f"{i:016x}" for i in range(1200))
    pairs = tuple(ids[i - 1000] if i >= 1000 else None for i in range(1200))
    parts = tuple("test" if i < 800 else "heldout" for i in range(1200))
    targets = Targets(ids, ids, tuple(names), parts, pairs, curves, 10)  # type: ignore[arg-type]
    mean = np.clip(curves + rng.normal(0, 0.1, curves.shape), 0, 1)
    epochs = tuple(range(1, 21))
    std = np.full_like(mean, 0.1)
    took = seconds(lambda: score_prediction(targets, mean, epochs=epochs, std=std), 3)
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
    parser.add_argument("--networks", type=int, default=8)
    arguments = parser.parse_args()
    commands()
    loading()
    querying()
    scoring()
    generation(arguments.networks)


if __name__ == "__main__":
    main()
