"""Prints what campaigns of many networks take, measured on simulated runs of CIFAR-10.

Plans, status, the plan's part of one shard and merges are the real ones; run files hold made-up
numbers in the form of the record, and are thrown away. Each step is a process of its own, so that
its peak memory is. Run as `python -m tests.speed.scale [--networks 1000 10000] [--folder DIR]`
from the root of the source tree; 100,000 networks need 3 GB of disk.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmark.recipes import RECIPES
from benchmark.space.imagesets import get_images
from generators.campaign.campaign import Campaign, release_recipes
from generators.campaign.merge import merge
from generators.campaign.plan import make_plan
from generators.campaign.status import campaign_status
from generators.environment import environment
from generators.training.train import Curves
from generators.workers.planned_run import Job
from generators.workers.worker import row_of

IMAGES = get_images("cifar10")
RECIPE = RECIPES["cifar10"]
SHARDS = 100


def plan(folder: Path, networks: int) -> None:
    """Plan a campaign."""
    Campaign(folder / "campaign").create(make_plan([IMAGES.name], networks), release_recipes())


def simulate(folder: Path, _: int) -> None:
    """Write the run files of a campaign that is done."""
    campaign, rng = Campaign(folder / "campaign"), np.random.default_rng(0)
    campaign.note_environment(environment())
    for run in campaign.plan():
        campaign.store(row_of(Job(run, RECIPE, Path(), "cpu", 4), made_up(rng), 1_700_000_000))


def made_up(rng: np.random.Generator) -> Curves:
    """Return curves of random numbers with as many digits as measured ones have."""
    right = rng.random(IMAGES.valid + IMAGES.test) < rng.uniform(0.3, 0.9)
    finals = right[: IMAGES.valid].mean(), right[IMAGES.valid :].mean()
    names = ["learning_rate", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]
    names += ["test_loss", "test_accuracy", "gradient_norm", "weight_norm", "epoch_seconds"]
    series = {name: rng.random(RECIPE.epochs).astype(np.float32).tolist() for name in names}
    series["valid_accuracy"][-1], series["test_accuracy"][-1] = map(float, finals)
    tenths = rng.random(10 * RECIPE.epochs).astype(np.float32).tolist()
    ends = {"initial_valid_loss": 2.3, "initial_valid_accuracy": 0.1, "final_train_accuracy": 0.5}
    done = {"epochs_done": RECIPE.epochs, "train_loss_tenths": tenths, "correct": right}
    return Curves("completed", **series, **ends, **done)  # type: ignore[arg-type]


def status(folder: Path, _: int) -> None:
    """Count a campaign's runs."""
    campaign_status(folder / "campaign")


def shard(folder: Path, _: int) -> None:
    """Read what a shard of many has to do, as its workers' process begins."""
    campaign = Campaign(folder / "campaign")
    names = {run.run_id for run in campaign.plan((1, SHARDS))}
    assert campaign.files(names).done == names


def whole(folder: Path, _: int) -> None:
    """Read the whole plan and look at all run files, as a campaign without shards begins."""
    campaign = Campaign(folder / "campaign")
    names = {run.run_id for run in campaign.plan()}
    assert campaign.files(names).done == names


def first_merge(folder: Path, _: int) -> None:
    """Build a release."""
    merge([Campaign(folder / "campaign")], folder / "data", "1.0.0")


def second_merge(folder: Path, _: int) -> None:
    """Merge the same runs into the release that holds them."""
    merge([Campaign(folder / "campaign")], folder / "data", "1.0.0")


STEPS: dict[str, Callable[[Path, int], None]] = {
    "plan": plan,
    "simulate": simulate,
    "status": status,
    "begin a shard of 100": shard,
    "begin the whole": whole,
    "merge": first_merge,
    "merge again": second_merge,
}


def measure(step: str, folder: Path, networks: int) -> None:
    """Print seconds, of a clock and of processors, and peak memory of a step, imports left out."""
    started, before = time.perf_counter(), time.process_time()
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    STEPS[step](folder, networks)
    took, busy = time.perf_counter() - started, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = f"{took:9.2f} s, {busy:9.2f} s of processors, {peak:7.0f} MB, {loaded:7.0f} before"
    sys.stdout.write(f"{networks:9} networks  {step:22} {figures}\n")


def sizes(folder: Path, networks: int) -> None:
    """Print how many files there are, and how large they are, apparent and on disk."""
    for name in ("campaign/plan.jsonl", "campaign/runs", "data"):
        place = folder / name
        found = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
        stats = [path.stat() for path in found]
        apparent, disk = sum(s.st_size for s in stats), sum(512 * s.st_blocks for s in stats)
        text = f"{len(found):9} files {apparent / 1e6:9.1f} MB, {disk / 1e6:9.1f} MB on disk"
        sys.stdout.write(f"{networks:9} networks  {name:22} {text}\n")


def main() -> None:
    """Print everything, or take one step of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=STEPS)
    arguments = parser.parse_args()
    if arguments.step:
        measure(arguments.step, arguments.folder, *arguments.networks)
        return
    for networks in arguments.networks:
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            for step in STEPS:
                command = [sys.executable, "-m", "tests.speed.scale", "--step", step]
                words = ["--folder", str(folder), "--networks", str(networks)]
                subprocess.run([*command, *words], check=True)
            sizes(folder, networks)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
