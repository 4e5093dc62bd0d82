"""Tests of the code for GPUs on torch's device `meta`, whose tensors have shapes but no values.

On `meta` it is an error to read a value, for which the host would wait on a GPU, and so is an
operation on tensors of two devices.
"""

import contextlib
import gc
import sys
import weakref
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import generators.training.engine
from benchmark.recipes import RECIPES, Recipe
from benchmark.space.imagesets import ImageSet, get_images
from benchmark.space.layer_walk import walk
from benchmark.space.sampler import sequence
from benchmark.space.skeletons import SKELETONS
from generators.training.batches import (
    CROP_PADDING,
    DeviceImages,
    DevicePixels,
    to_device,
    training_batch,
)
from generators.training.engine import Training
from generators.training.images import load_images
from generators.training.network import Network
from generators.training.train import train
from generators.workers.admission import kept_by_step
from tests.toys.campaign import RECIPE, tiny_architecture

META = torch.device("meta")


def shapes_of(images: ImageSet) -> DevicePixels:
    """Return an image set without its pixels."""

    def part(count: int, border: int = 0) -> DeviceImages:
        side = images.resolution + 2 * border
        raw = torch.empty(count, images.channels, side, side, dtype=torch.uint8, device=META)
        return DeviceImages(raw, torch.empty(count, dtype=torch.int64, device=META))

    padded = part(images.train, CROP_PADDING).images if images.cropped else None
    constants = torch.ones(1, images.channels, 1, 1, device=META)
    parts = part(images.train), part(images.valid), part(images.test)
    measured = (
        part(images.curve_valid or images.valid),
        part(images.curve_test or images.test),
        part(images.final_train or images.train),
    )
    return DevicePixels(images, *parts, *measured, padded, constants, constants)


@pytest.fixture
def updated(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Give `meta` autocast and a fused SGD, and return the tensors that SGD updates."""
    found: list[Tensor] = []
    own = generators.training.engine._optimizer

    def optimizer(network: Network, recipe: Recipe, rate: Tensor) -> torch.optim.SGD:
        made = own(network, recipe, 0.1)  # type: ignore[arg-type]  # it looks at the first rate
        for group in made.param_groups:
            group["lr"] = rate
        return made

    def fused(*lists: Sequence[Tensor], lr: Tensor, **_: object) -> None:
        found.extend([*(tensor for one in lists for tensor in one), lr])

    monkeypatch.setattr(generators.training.engine, "_optimizer", optimizer)
    monkeypatch.setattr(torch, "_fused_sgd_", fused)
    module = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(module, "_get_fused_kernels_supported_devices", lambda: ["meta"])
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    return found


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_steps_and_evaluations_never_read_from_the_device(
    name: str, skeleton: str, updated: list[Tensor]
) -> None:
    images = get_images(name)
    architecture = next(sequence(skeleton, images)).architecture
    training = Training(architecture, RECIPES[name], shapes_of(images), seed=0)
    for _ in range(2):  # the first step allocates momenta
        training._take_step()
    loss, right = training.evaluate(training.pixels.valid)
    buffers = training._buffers
    seen = [loss, right, buffers.losses, buffers.hits, *updated, *training.network.buffers()]
    assert {tensor.device for tensor in seen} == {META}
    assert len(updated) == 2 * (3 * len(list(training.network.parameters())) + 2)  # 2 rates


def test_an_epoch_never_reads_from_the_device(updated: list[Tensor]) -> None:
    images = get_images("digits")
    training = Training(tiny_architecture(), RECIPE, shapes_of(images), seed=0)
    sums = training.run_epoch(0)
    assert sums.losses.device == sums.gradient_norm.device == META
    with pytest.raises(RuntimeError, match="meta"):  # reading a value is an error
        float(sums.losses[0])


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_admission_counts_the_memory_of_a_step(skeleton: str, updated: list[Tensor]) -> None:
    images = get_images("cifar10-full")
    recipe = replace(RECIPES["cifar10-full"], precision="fp32")  # `meta` has no autocast
    architecture = next(sequence(skeleton, images)).architecture
    training = Training(architecture, recipe, shapes_of(images), seed=0)
    known = {p.untyped_storage()._cdata for p in training.network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    buffers = training._buffers
    batch, _ = training_batch(training.pixels, buffers.draws, buffers.within)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = training.forward(batch)
    assert logits.shape == (recipe.batch, 10)
    counted = kept_by_step(walk(architecture, images), recipe)
    assert 0.7 * counted < sum(kept.values()) < 1.1 * counted


@pytest.mark.parametrize("graphs", [False, True])
def test_a_training_is_freed_with_the_last_reference_to_it(
    graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators.training.engine, "capture", lambda _: lambda: None)
    seen: list[weakref.ref[object]] = []
    own = Training.__init__

    def watched(self: Training, *args: object, **options: object) -> None:
        own(self, *args, **options)  # type: ignore[arg-type]
        seen.extend([weakref.ref(self), weakref.ref(self.network)])

    pixels = to_device(load_images("digits"), torch.device("cpu"))
    train(tiny_architecture(), RECIPE, pixels, seed=0)  # modules that torch loads late keep a frame
    monkeypatch.setattr(Training, "__init__", watched)
    gc.collect()
    gc.disable()
    try:
        train(tiny_architecture(), RECIPE, pixels, seed=0, graphs=graphs)
        assert [ref() for ref in seen] == [None, None]
    finally:
        gc.enable()
