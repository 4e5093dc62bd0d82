"""Pretraining of the layer encoder, done once for an image set and kept in the user's cache."""

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
from harness.predictors.base import Standardiser
from harness.predictors.recurrent.batches import length_batches, pad
from harness.predictors.recurrent.training import seeded
from harness.protocol import Array

FURTHEST = 5.0  # standard deviations; targets beyond are clipped
Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How an encoder is pretrained.

    Attributes:
        networks: How many are sampled.
        passes: Over all of them.
        hidden: Width of each half of the encoder.
        batch: Networks in a step.
        peak_rate: Largest learning rate of AdamW's one cycle.
        seed: Of the networks, the weights and the order.
    """

    networks: int = 100_000
    passes: int = 4
    hidden: int = 96
    batch: int = 128
    peak_rate: float = 2e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Sampled networks as numbers, in half precision: there are many.

    Attributes:
        numbers: Of each network's layers, (layers, 23), not standardised.
        signals: Likewise, (layers, 4).
        features: (networks, features).
    """

    numbers: list[Half]
    signals: list[Half]
    features: NDArray[np.float32]


def sample_networks(images: str, count: int, seed: int) -> Iterator[tuple[LayerRow, ...]]:
    """Yield layer rows of networks of the seen skeletons, whatever they cost to train."""
    image_set = get_images(images)
    seen = [skeleton for skeleton in SKELETONS.values() if not skeleton.held_out]
    rng = generator_for("pretraining-v1", image_set.sequence.name, seed)
    shares = [skeleton.share for skeleton in seen]
    for number in rng.choice(len(seen), count, p=shares):
        drawn = sample_architecture(seen[number], image_set, rng)
        yield walk(as_trained(drawn, image_set), image_set)


def unlabelled(images: str, count: int, seed: int) -> Unlabelled:
    """Return sampled networks as numbers."""
    progress = Progress("networks sampled to pretrain an encoder", count)
    numbers, signals, features = [], [], []
    for rows in sample_networks(images, count, seed):
        numbers.append(layer_numbers(rows).astype(np.float16))
        signals.append(layer_signals(rows).astype(np.float16))
        features.append(features_of(rows).astype(np.float32))
        progress.advance()
    return Unlabelled(numbers, signals, np.stack(features))


def pretrain(images: str, how: Pretraining) -> Encoder:
    """Return an encoder pretrained on sampled networks of an image set."""
    started = time.perf_counter()
    networks = unlabelled(images, how.networks, how.seed)
    numbers, signals = (
        Standardiser.fit(_together(part)) for part in (networks.numbers, networks.signals)
    )
    with seeded(how.seed):
        model = LayerEncoder(how.hidden, networks.features.shape[1])
        _train(model, networks, numbers, signals, how)
    return Encoder(model.eval(), numbers, round(time.perf_counter() - started))


def _together(parts: list[Half]) -> Array:
    return np.concatenate(parts).astype(np.float64)


def _train(
    model: LayerEncoder,
    networks: Unlabelled,
    of_numbers: Standardiser,
    of_signals: Standardiser,
    how: Pretraining,
) -> None:
    """Train the encoder to say layer signals and network features, all standardised."""
    lengths = np.array([len(of_network) for of_network in networks.numbers])
    of_features = Standardiser.fit(networks.features.astype(np.float64))
    rng = np.random.default_rng(how.seed)
    steps = how.passes * len(length_batches(lengths, how.batch))
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.peak_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=how.peak_rate, total_steps=steps
    )
    progress = Progress("steps of the encoder's pretraining", steps)
    for _ in range(how.passes):
        for index in length_batches(lengths, how.batch, rng):
            inside = torch.from_numpy(lengths[index])
            numbers = _padded(networks.numbers, index, of_numbers)
            signals = _padded(networks.signals, index, of_signals)
            features = torch.from_numpy(of_features(networks.features[index])).float()
            states = model.states(numbers, inside)
            loss = _layer_loss(model.signals(states), signals, inside)
            logits: Tensor = model.features(model.pooled(states, inside))
            loss += nn.functional.smooth_l1_loss(logits, features.clamp(-FURTHEST, FURTHEST))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.advance()


def _padded(parts: list[Half], index: NDArray[np.intp], standardise: Standardiser) -> Tensor:
    """Return the standardised numbers of some networks, (networks, layers, columns)."""
    return torch.from_numpy(pad([standardise(parts[i]) for i in index])).float()


def _layer_loss(logits: Tensor, signals: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean smooth L1 over the layers that are there."""
    inside = torch.arange(signals.shape[1])[None] < lengths[:, None]
    clipped = signals.clamp(-FURTHEST, FURTHEST)
    return nn.functional.smooth_l1_loss(logits[inside], clipped[inside])


def pretrained(images: str, how: Pretraining, cache: Path | None = None) -> Encoder:
    """Return the encoder of an image set from the cache, having made it if it is not there.

    Whoever comes while another process makes it waits.

    Args:
        images: Name of the image set.
        how: A cached encoder was pretrained in just this way.
        cache: Folder [default: the user's].
    """
    digest = hashlib.sha256(repr((torch.__version__, astuple(how))).encode()).hexdigest()[:16]
    path = (cache or user_cache()) / f"encoder-{images}-{digest}.pt"
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            _write(path, pretrain(images, how))
        return _read(path, how)


def _write(path: Path, encoder: Encoder) -> None:
    numbers = encoder.standardise
    scale = {"mean": torch.from_numpy(numbers.mean), "spread": torch.from_numpy(numbers.std)}
    kept = {"model": encoder.model.state_dict(), "scale": scale, "seconds": encoder.seconds}
    with replacing(path) as draft:
        torch.save(kept, draft)


def _read(path: Path, how: Pretraining) -> Encoder:
    kept = torch.load(path, weights_only=True)
    state, scale = kept["model"], kept["scale"]
    with seeded(how.seed):  # it draws weights, which do not count
        model = LayerEncoder(how.hidden, len(state["features.2.bias"]))
    model.load_state_dict(state)
    standardise = Standardiser(scale["mean"].numpy(), scale["spread"].numpy())
    return Encoder(model.eval(), standardise, kept["seconds"])
