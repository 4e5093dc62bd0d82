"""Pretraining of the layer encoder, done once per image set and cached."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.runs import user_cache
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import LayerRow, walk
from benchmark.space.sampler import as_trained, sample_architecture
from benchmark.space.skeletons import SKELETONS
from benchmark.util.atomic import replacing
from benchmark.util.locks import locked
from benchmark.util.progress import Progress
from benchmark.util.rng import generator_for
from harness.features.layers import layer_numbers, layer_signals
from harness.features.observed import features_of
from harness.predictors.arc.encoder import Encoder, LayerEncoder
from harness.predictors.base import Index, Standardiser
from harness.predictors.recurrent.batches import length_batches, pad
from harness.predictors.recurrent.training import one_cycle, seed_torch

TARGET_CLIP = 5.0  # standard deviations
WEIGHT_DECAY = 0.01
Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Pretraining:
    """Settings of the pretraining.

    Attributes:
        networks: Number of sampled networks.
        passes: Number of passes over the networks.
        hidden: Hidden width of each GRU.
        batch: Networks in a step.
        peak_rate: Largest learning rate of AdamW's one cycle.
        seed: Seed of the networks, the initial weights and the order of batches.
    """

    networks: int = 100_000
    passes: int = 4
    hidden: int = 96
    batch: int = 128
    peak_rate: float = 2e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SampledNetworks:
    """Inputs and targets of the pretraining, in low precision to save memory.

    Attributes:
        numbers: One array (layers, 23) per network, layer numbers, not standardised.
        signals: One array (layers, 4) per network, layer signals, not standardised.
        features: (networks, features), network features, not standardised.
    """

    numbers: list[Half]
    signals: list[Half]
    features: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Scaling:
    """Standardisers of each attribute of `SampledNetworks`."""

    numbers: Standardiser
    signals: Standardiser
    features: Standardiser

    @classmethod
    def fit(cls, networks: SampledNetworks) -> "_Scaling":
        numbers, signals = (
            Standardiser.fit(np.concatenate(arrays).astype(np.float64))
            for arrays in (networks.numbers, networks.signals)
        )
        return cls(numbers, signals, Standardiser.fit(networks.features.astype(np.float64)))


def sample_layer_rows(images: str, count: int, seed: int) -> Iterator[tuple[LayerRow, ...]]:
    """Yield layer rows of networks sampled from the seen skeletons, without a limit on MACs."""
    image_set = get_images(images)
    seen = [skeleton for skeleton in SKELETONS.values() if not skeleton.held_out]
    rng = generator_for("pretraining-v1", image_set.sequence.name, seed)
    for number in rng.choice(len(seen), count, p=[skeleton.share for skeleton in seen]):
        architecture = sample_architecture(seen[number], image_set, rng)
        yield walk(as_trained(architecture, image_set), image_set)


def sample_networks(images: str, count: int, seed: int) -> SampledNetworks:
    """Return the inputs and targets of sampled networks."""
    progress = Progress("networks sampled to pretrain an encoder", count)
    numbers, signals, features = [], [], []
    for rows in sample_layer_rows(images, count, seed):
        numbers.append(layer_numbers(rows).astype(np.float16))
        signals.append(layer_signals(rows).astype(np.float16))
        features.append(features_of(rows).astype(np.float32))
        progress.advance()
    return SampledNetworks(numbers, signals, np.stack(features))


def pretrain(images: str, settings: Pretraining) -> Encoder:
    """Return an encoder, pretrained on sampled networks of an image set."""
    started = time.perf_counter()
    networks = sample_networks(images, settings.networks, settings.seed)
    scaling = _Scaling.fit(networks)
    with seed_torch(settings.seed):
        model = LayerEncoder(settings.hidden, networks.features.shape[1])
        _train(model, networks, scaling, settings)
    return Encoder(model.eval(), scaling.numbers, round(time.perf_counter() - started))


def _train(
    model: LayerEncoder, networks: SampledNetworks, scaling: _Scaling, settings: Pretraining
) -> None:
    """Train the encoder to predict standardised layer signals and network features."""
    lengths = np.array([len(layers) for layers in networks.numbers])
    rng = np.random.default_rng(settings.seed)
    steps = settings.passes * len(length_batches(lengths, settings.batch))
    step = one_cycle(model, settings.peak_rate, WEIGHT_DECAY, steps)
    progress = Progress("steps of the encoder's pretraining", steps)
    for _ in range(settings.passes):
        for index in length_batches(lengths, settings.batch, rng):
            batch_lengths = torch.from_numpy(lengths[index])
            numbers = _pad(networks.numbers, index, scaling.numbers)
            signals = _pad(networks.signals, index, scaling.signals)
            features = torch.from_numpy(scaling.features(networks.features[index])).float()
            states = model.states(numbers, batch_lengths)
            loss = _layer_loss(model.signals(states), signals, batch_lengths)
            predicted: Tensor = model.features(model.pooled(states, batch_lengths))
            targets = features.clamp(-TARGET_CLIP, TARGET_CLIP)
            loss += nn.functional.smooth_l1_loss(predicted, targets)
            step(loss)
            progress.advance()


def _pad(arrays: list[Half], index: Index, standardise: Standardiser) -> Tensor:
    """Return standardised arrays of some networks, 0-padded to (networks, layers, columns)."""
    return torch.from_numpy(pad([standardise(arrays[i]) for i in index])).float()


def _layer_loss(predicted: Tensor, signals: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean smooth L1 loss over layers, without padding."""
    mask = torch.arange(signals.shape[1])[None] < lengths[:, None]
    targets = signals.clamp(-TARGET_CLIP, TARGET_CLIP)
    return nn.functional.smooth_l1_loss(predicted[mask], targets[mask])


def load_or_pretrain(images: str, settings: Pretraining, cache: Path | None = None) -> Encoder:
    """Return the encoder of an image set from the cache, pretraining it first if necessary.

    While one process pretrains an encoder, others that need it wait. Each image set and each
    settings have a file of their own in the folder `cache` [default: the user's cache].
    """
    digest = hashlib.sha256(repr((torch.__version__, astuple(settings))).encode()).hexdigest()[:16]
    path = (cache or user_cache()) / f"encoder-{images}-{digest}.pt"
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            _write(path, pretrain(images, settings))
        return _read(path, settings)


def _write(path: Path, encoder: Encoder) -> None:
    mean, std = encoder.standardise.mean, encoder.standardise.std
    scale = {"mean": torch.from_numpy(mean), "spread": torch.from_numpy(std)}
    content = {"model": encoder.model.state_dict(), "scale": scale, "seconds": encoder.seconds}
    with replacing(path) as draft:
        torch.save(content, draft)


def _read(path: Path, settings: Pretraining) -> Encoder:
    content = torch.load(path, weights_only=True)
    state, scale = content["model"], content["scale"]
    with seed_torch(settings.seed):  # initial weights are drawn, then replaced
        model = LayerEncoder(settings.hidden, len(state["features.2.bias"]))
    model.load_state_dict(state)
    standardise = Standardiser(scale["mean"].numpy(), scale["spread"].numpy())
    return Encoder(model.eval(), standardise, content["seconds"])
