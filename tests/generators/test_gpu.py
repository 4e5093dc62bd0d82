"""Tests that need a GPU: run `pytest -m gpu tests` before a campaign on a new machine.

Networks are trained as in a campaign, several at the same time. Images are noise, with the shape of
CIFAR-10.
"""

import hashlib
import json
import warnings
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import generators.workers.worker
from benchmark.recipes import RECIPES, Recipe
from benchmark.space.imagesets import get_images
from generators.campaign.plan import make_plan
from generators.training.batches import DevicePixels, to_device
from generators.training.cuda_graphs import capture, own_stream
from generators.training.engine import Training
from generators.training.images import ImageArrays, Pixels, load_images
from generators.training.train import train
from generators.workers.gpu_process import GpuProcess
from generators.workers.planned_run import Job, PlannedRun, Row
from generators.workers.scheduler import job_memory
from generators.workers.worker import prepare_gpu, train_run
from tests.generators.test_cuda_graphs import check_same
from tests.toys.campaign import RECIPE, TIMES, tiny_architecture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
GPU = "cuda:0"
TINY = tiny_architecture()
SHORT = replace(RECIPES["cifar10"], epochs=1, warmup_epochs=0)
WORKERS = 4


def noise(name: str, _: Path) -> Pixels:
    """Stand in for loading images."""
    images = get_images(name)
    rng = np.random.default_rng(0)

    def part(count: int) -> ImageArrays:
        shape = (count, images.channels, images.resolution, images.resolution)
        return ImageArrays(rng.integers(0, 256, shape, np.uint8), rng.integers(0, 10, count))

    train, valid, test = part(images.train), part(images.valid), part(images.test)
    mean, std = (127.0,) * images.channels, (74.0,) * images.channels
    return Pixels(images, train, valid, test, mean, std)


def prepare_noise() -> None:
    warnings.simplefilter("ignore")  # of operations without a deterministic kernel
    vars(generators.workers.worker)["load_images"] = noise
    prepare_gpu()


def jobs(count: int, recipe: Recipe = SHORT) -> list[Job]:
    """Return the first runs of the plan, with one epoch each."""
    runs = [run for run in make_plan(["cifar10"]) if run.seed == 0][:count]
    return [Job(short(run, recipe), recipe, Path(), GPU, WORKERS) for run in runs]


def short(run: PlannedRun, recipe: Recipe) -> PlannedRun:
    return replace(run, recipe_id=recipe.recipe_id)


def digest(row: Row) -> str:
    """Return a hash of a row without its times."""
    found = {name: value for name, value in row.items() if name not in TIMES}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def digits() -> DevicePixels:
    return to_device(load_images("digits"), torch.device(GPU))


def check_graphs(recipe: Recipe) -> None:
    on_gpu = digits()
    one, other = (train(TINY, recipe, on_gpu, seed=0, graphs=g) for g in (True, False))
    check_same(one, other)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_graphs_give_the_curves_of_eager_steps(precision: str) -> None:
    with GpuProcess(1, prepare_noise) as process:
        process.submit(check_graphs, replace(RECIPE, precision=precision)).result()  # type: ignore[arg-type]


def first_epoch(device: str) -> tuple[float | None, float | None]:
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0)
    pixels = to_device(load_images("digits"), torch.device(device))
    curves = train(TINY, recipe, pixels, seed=0)
    return curves.initial_valid_loss, curves.train_loss[0]


def test_a_gpu_agrees_with_the_cpu_up_to_rounding() -> None:
    with GpuProcess(1, prepare_noise) as process:
        (one, first), (other, second) = (
            process.submit(first_epoch, device).result() for device in ("cpu", GPU)
        )
    assert one == pytest.approx(other, rel=1e-4)
    assert first == pytest.approx(second, rel=0.02)


def test_a_run_is_bit_identical_alone_and_beside_others() -> None:
    work = jobs(2 * WORKERS)
    with GpuProcess(1, prepare_noise) as process:
        alone = [digest(process.submit(train_run, job).result()) for job in work]
    with GpuProcess(WORKERS, prepare_noise) as process:
        futures = [process.submit(train_run, job) for job in work]
        beside = [digest(future.result()) for future in futures]
    assert alone == beside


def check_no_wait() -> None:
    pixels = to_device(noise("cifar10", Path()), torch.device(GPU))
    architecture = jobs(1)[0].run.architecture
    for graphs in (False, True):
        with own_stream(torch.device(GPU)):
            training = Training(architecture, SHORT, pixels, seed=0, graphs=graphs)
            step = training._replay or training._take_step
            step()
            torch.cuda.set_sync_debug_mode("error")
            try:
                for _ in range(3):
                    step()
                training.evaluate(pixels.valid)
            finally:
                torch.cuda.set_sync_debug_mode("default")


def test_no_step_and_no_evaluation_waits_for_the_device() -> None:
    with GpuProcess(1, prepare_noise) as process:
        process.submit(check_no_wait).result()


def reserved() -> int:
    return torch.cuda.max_memory_reserved()


def test_memory_is_what_admission_predicts_and_does_not_grow() -> None:
    largest = max(jobs(200), key=job_memory)
    with GpuProcess(1, prepare_noise) as process:
        after = []
        for _ in range(4):
            assert process.submit(train_run, largest).result()["status"] == "completed"
            after.append(process.submit(reserved).result())
    pixels = 400e6  # bytes of the images, which the prediction leaves out
    assert after[0] - pixels < job_memory(largest) < 8 * after[0]
    assert after[-1] < 1.1 * after[0]


def check_failed_capture() -> None:
    with own_stream(torch.device(GPU)):
        x = torch.ones(4, device=GPU)

        def work() -> None:
            double()
            raise ValueError("so")

        def double() -> None:
            x.mul_(2)

        with pytest.raises(ValueError, match=r"^so$"):
            capture(work)
        replay = capture(double)
        replay()
        assert x.tolist() == [2.0] * 4


def test_a_failed_capture_leaves_its_stream_usable() -> None:
    with GpuProcess(1, prepare_noise) as process:
        process.submit(check_failed_capture).result()


def limit_memory(fraction: float) -> None:
    torch.cuda.set_per_process_memory_fraction(fraction)


def test_after_a_run_out_of_memory_the_next_one_is_trained() -> None:
    job = jobs(1)[0]
    with GpuProcess(1, prepare_noise) as process:
        assert process.submit(train_run, job).result()["status"] == "completed"
        taken = process.submit(reserved).result() / torch.cuda.mem_get_info()[1]
        process.submit(limit_memory, taken / 4).result()
        bigger = replace(job, run=max(jobs(200), key=job_memory).run)
        assert process.submit(train_run, bigger).result()["status"] == "out_of_memory"
        process.submit(limit_memory, 1.0).result()
        assert process.submit(train_run, job).result()["status"] == "completed"


def break_context() -> None:
    torch.zeros(4, device=GPU)[torch.full((1,), 9, device=GPU)]


def test_a_lost_context_ends_the_process() -> None:
    with GpuProcess(1, prepare_noise) as process:
        process.submit(break_context).result()  # the device notices later
        with pytest.raises(BrokenProcessPool):
            process.submit(train_run, jobs(1)[0]).result()
