"""What a training step and an evaluation cost, by way: `python -m tests.speed.training`.

The same networks, stratified by cost, take steps and evaluate in turn in each way, round after
round, and the least time of each counts, since other work on a machine only adds time. Run it on an
idle machine. It needs the real images in `images/`.

Ways: `textbook` is a plain loop of torch's own layers, `arithmetic 1` the layers of `digits`,
`plain` arithmetic 2 without numba, `compiled` with it.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional

import generators.training.compiled
from benchmark.recipes import RECIPES
from benchmark.space.layer_walk import walk
from generators.campaign.plan import images_measured, make_plan
from generators.checks.bench import stratified_by_cost
from generators.checks.reference_loop import TextbookNetwork
from generators.training.batches import DeviceImages, to_device
from generators.training.engine import Training
from generators.training.images import load_images

NETWORKS, ROUNDS, STEPS, EVALUATED = 12, 4, 3, 200


def main(images: str = "cifar10") -> None:
    """Print the seconds of a whole run in each way, the mean over networks."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    recipe, pixels = RECIPES[images], to_device(load_images(images), torch.device("cpu"))
    part = pixels.valid.take(torch.arange(EVALUATED).numpy())
    steps = recipe.epochs * recipe.steps_per_epoch
    measured = images_measured(recipe) + len(pixels.final_train.labels)
    totals: dict[str, list[float]] = {}
    for run in stratified_by_cost(make_plan([images]), NETWORKS):
        first = Training(run.architecture, replace(recipe, arithmetic=None), pixels, seed=0)
        second = Training(run.architecture, recipe, pixels, seed=0)
        plain = TextbookNetwork(walk(run.architecture, pixels.images))
        ways: dict[str, tuple[bool, Callable[[], None], Callable[[], None]]] = {
            "textbook": (False, partial(textbook_step, plain), partial(logits, plain, part)),
            "arithmetic 1": (False, *steps_of(first, part)),
            "plain": (False, *steps_of(second, part)),
            "compiled": (True, *steps_of(second, part)),
        }
        best: dict[tuple[str, int], float] = {}
        for _ in range(ROUNDS):
            for name, (compiled, *works) in ways.items():
                generators.training.compiled.COMPILED = compiled
                for index, work in enumerate(works):
                    started = time.perf_counter()
                    work()
                    taken = time.perf_counter() - started
                    best[name, index] = min(best.get((name, index), taken), taken)
        for name in ways:
            train, evaluate = best[name, 0] / STEPS * steps, best[name, 1] / EVALUATED * measured
            totals.setdefault(name, []).append(train)
            totals.setdefault(f"{name} evaluation", []).append(evaluate)
    means = {name: sum(values) / NETWORKS for name, values in totals.items()}
    sys.stdout.write("way            train s  evaluate s  run s  times the textbook loop\n")
    whole = means["textbook"] + means["textbook evaluation"]
    for name in ("textbook", "arithmetic 1", "plain", "compiled"):
        train, evaluate = means[name], means[f"{name} evaluation"]
        ratio = whole / (train + evaluate)
        took = f"{train:8.1f} {evaluate:11.1f} {train + evaluate:6.1f} {ratio:8.2f}"
        sys.stdout.write(f"{name:13} {took}\n")


def steps_of(
    training: Training, subset: DeviceImages
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a function that takes some steps, and one that evaluates images."""

    def train() -> None:
        training.network.train()
        for _ in range(STEPS):
            training._buffers.step.fill_(1)
            training._take_step()

    return train, lambda: training.evaluate(subset) and None


def textbook_step(network: TextbookNetwork) -> None:
    """Take steps on random images; loading them, which the loop also pays, is not counted."""
    network.train()
    for _ in range(STEPS):
        x = torch.randn(50, 3, 32, 32)
        loss = functional.cross_entropy(network(x), torch.zeros(50, dtype=torch.int64))
        loss.backward()  # type: ignore[no-untyped-call]
        for p in network.parameters():
            p.grad = None


@torch.no_grad()
def logits(network: TextbookNetwork, subset: DeviceImages) -> None:
    """Evaluate images in batches of 50."""
    network.eval()
    for start in range(0, len(subset.labels), 50):
        network(subset.images[start : start + 50].float())


if __name__ == "__main__":
    main(*sys.argv[1:])
