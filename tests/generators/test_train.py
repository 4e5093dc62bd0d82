"""Real trainings of a few epochs on `digits`, against calculations and a textbook loop."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.recipes import Recipe, learning_rates
from benchmark.schema import EPOCH_SERIES, TENTHS
from benchmark.space.architectures import Architecture, architecture_id
from generators.training.batches import DevicePixels, draw_epoch, to_device
from generators.training.engine import Training
from generators.training.images import load_images
from generators.training.network import Convolution
from generators.training.train import Curves, tenths, train
from tests.toys.campaign import RECIPE, STEPS, tiny_architecture

TINY = tiny_architecture()
TIMES = ("epoch_seconds",)
VALID = 350


@pytest.fixture(scope="module")
def pixels() -> DevicePixels:
    return to_device(load_images("digits"), torch.device("cpu"))


@pytest.fixture(scope="module")
def curves(pixels: DevicePixels) -> Curves:
    return train(TINY, RECIPE, pixels, seed=0)


def series(curves: Curves) -> dict[str, list[float | None]]:
    """Return all series except times."""
    names = (*EPOCH_SERIES, "train_loss_tenths")
    return {name: getattr(curves, name) for name in names if name not in TIMES}


def test_the_same_seed_gives_identical_curves(pixels: DevicePixels, curves: Curves) -> None:
    torch.manual_seed(12345)
    again = train(TINY, RECIPE, pixels, seed=0)
    assert series(again) == series(curves)
    assert again.initial_valid_loss == curves.initial_valid_loss
    assert again.final_train_accuracy == curves.final_train_accuracy
    assert np.array_equal(again.correct, curves.correct)  # type: ignore[arg-type]


def test_another_seed_gives_other_curves(pixels: DevicePixels, curves: Curves) -> None:
    other = train(TINY, replace(RECIPE, epochs=1, warmup_epochs=0), pixels, seed=1)
    assert other.initial_valid_loss != curves.initial_valid_loss
    assert other.train_loss[0] != curves.train_loss[0]


@pytest.mark.parametrize(
    ("architecture", "seed"), [(tiny_architecture(kernel=(3, 1)), 0), (TINY, 1)]
)
def test_networks_use_independent_random_streams(
    pixels: DevicePixels, architecture: Architecture, seed: int
) -> None:
    key = Training(TINY, RECIPE, pixels, seed=0).key
    other = Training(architecture, RECIPE, pixels, seed=seed).key
    orders = [draw_epoch(pixels, k, epoch).order for k in (key, other) for epoch in (0, 1)]
    for i, first in enumerate(orders):
        for second in orders[:i]:
            assert (first == second).float().mean() < 0.01  # by chance: 1 of 1,097


def test_every_series_has_one_entry_for_each_planned_epoch(curves: Curves) -> None:
    assert {name: len(values) for name, values in series(curves).items()} == {
        **dict.fromkeys((n for n in EPOCH_SERIES if n not in TIMES), 2),
        "train_loss_tenths": 2 * TENTHS,
    }
    assert (curves.status, curves.status_reason, curves.epochs_done) == ("completed", None, 2)
    assert len(curves.epoch_seconds) == 2
    assert min(curves.epoch_seconds) > 0
    norms = curves.gradient_norm + curves.weight_norm
    assert all(norm is not None and norm > 0 for norm in norms)


def test_learning_rates_are_those_of_the_last_steps(curves: Curves) -> None:
    rates = learning_rates(RECIPE)
    assert curves.learning_rate == [rates[STEPS - 1], rates[2 * STEPS - 1]]
    assert curves.learning_rate[0] == RECIPE.peak_rate


def test_training_reduces_the_loss(curves: Curves) -> None:
    assert curves.initial_valid_loss is not None
    assert curves.valid_loss[0] is not None
    assert curves.valid_loss[1] is not None
    assert curves.initial_valid_loss > curves.valid_loss[0] > curves.valid_loss[1]
    assert curves.valid_accuracy[1] > 0.4
    first, last = curves.train_loss_tenths[0], curves.train_loss_tenths[-1]
    assert first is not None
    assert last is not None
    assert first > 1.5 * last


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, [[0]] * 10),
        (3, [[0]] * 3 + [[1]] * 3 + [[2]] * 4),
        (10, [[step] for step in range(10)]),
        (12, [[0, 1], [2], [3], [4], [5], [6, 7], [8], [9], [10], [11]]),
    ],
)
def test_every_tenth_of_an_epoch_has_a_step(steps: int, expected: list[list[int]]) -> None:
    assert [part.tolist() for part in tenths(np.arange(steps, dtype=float))] == expected


def test_tenths_average_to_the_train_loss(curves: Curves) -> None:
    sizes = [len(part) for part in tenths(np.zeros(STEPS))]
    assert sizes == [3, *[2] * 9]
    for epoch in range(2):
        part = np.array(curves.train_loss_tenths[epoch * TENTHS : (epoch + 1) * TENTHS])
        mean = float(part @ sizes) / STEPS
        assert mean == pytest.approx(curves.train_loss[epoch], rel=1e-9)


class Textbook(nn.Module):
    """The network of `tiny_architecture`, written by hand for 8x8 images."""

    def __init__(self, trained: Training) -> None:
        """Copy the initial weights."""
        super().__init__()
        convs = [m for m in trained.network.layers if isinstance(m, Convolution)]
        self.convs = nn.ModuleList(
            nn.Conv2d(m.weight.shape[1], m.weight.shape[0], (m.weight.shape[2], m.weight.shape[3]))
            for m in convs
        )
        for own, other in zip(self.convs, convs, strict=True):
            own.load_state_dict(other.state_dict())
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in convs)
        self.linear = nn.Linear(8, 10)
        self.linear.load_state_dict(trained.network.layers[-1].state_dict())

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits; the first two kernels are 3x3, later ones are 2x1 and pad below."""
        x = functional.relu(self.norms[0](self.convs[0](functional.pad(images, (1, 1, 1, 1)))))
        x = functional.relu(self.norms[1](self.convs[1](functional.pad(x, (1, 1, 1, 1)))))
        for index in (2, 3):
            x = functional.max_pool2d(x, 2)
            x = functional.relu(
                self.norms[index](self.convs[index](functional.pad(x, (0, 0, 0, 1))))
            )
        y: Tensor = self.linear(x.mean((2, 3)))
        return y


def textbook_epoch(
    network: Textbook, training: Training, recipe: Recipe
) -> tuple[list[float], int, float]:
    """Train for one epoch with torch's plain SGD; return losses, hits and the last gradient norm.

    The order is the training's own; images are taken and normalised here.
    """
    source = load_images("digits")
    images = torch.tensor(source.train.images).float()
    images = (images - source.mean[0]) / source.std[0]
    labels = torch.tensor(source.train.labels)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, 0.1, momentum=0.9, nesterov=True, foreach=False)
    order = draw_epoch(training.pixels, training.key, 0).order
    losses, hits, norm = [], 0, 0.0
    for step, rate in enumerate(learning_rates(recipe)):
        chosen = order[step * 50 : (step + 1) * 50]
        logits = network(images[chosen])
        loss = functional.cross_entropy(logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        losses.append(float(loss.detach()))
        hits += int((logits.argmax(1) == labels[chosen]).sum())
        squares = [float(p.grad.square().sum()) for p in network.parameters() if p.grad is not None]
        norm = sum(squares) ** 0.5
    return losses, hits, norm


def test_an_epoch_matches_a_textbook_loop(pixels: DevicePixels) -> None:
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0, peak_rate=0.02)
    training = Training(TINY, recipe, pixels, seed=0)
    reference = Textbook(training)
    losses, hits, gradient_norm = textbook_epoch(reference, training, recipe)
    sums = training.run_epoch(0)
    assert sums.losses.tolist() == pytest.approx(losses, abs=1e-5)
    assert int(sums.hits.sum()) == hits
    assert float(sums.gradient_norm) == pytest.approx(gradient_norm, rel=1e-4)
    squares = [float(p.detach().square().sum()) for p in reference.parameters()]
    assert float(sums.weight_norm) == pytest.approx(sum(squares) ** 0.5, rel=1e-5)
    own = sorted(training.network.parameters(), key=lambda p: (p.shape, float(p.detach().sum())))
    other = sorted(reference.parameters(), key=lambda p: (p.shape, float(p.detach().sum())))
    for a, b in zip(own, other, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_curves_hold_the_results_of_the_epochs(pixels: DevicePixels, curves: Curves) -> None:
    training = Training(TINY, RECIPE, pixels, seed=0)
    for epoch in range(2):
        sums = training.run_epoch(epoch)
        losses = sums.losses.double().numpy()
        assert curves.train_loss[epoch] == pytest.approx(losses.mean(), rel=1e-12)
        hits = int(sums.hits.sum())
        assert curves.train_accuracy[epoch] == pytest.approx(hits / (STEPS * 50), rel=1e-12)
        assert curves.gradient_norm[epoch] == float(sums.gradient_norm)
        assert curves.weight_norm[epoch] == float(sums.weight_norm)
        training.network.eval()
        scores = [scored(training, part) for part in ("valid", "test")]
        assert curves.valid_loss[epoch] == pytest.approx(scores[0][0], rel=1e-5)
        assert curves.test_loss[epoch] == pytest.approx(scores[1][0], rel=1e-5)
        assert curves.valid_accuracy[epoch] == pytest.approx(scores[0][1].mean(), rel=1e-12)
        assert curves.test_accuracy[epoch] == pytest.approx(scores[1][1].mean(), rel=1e-12)
    assert np.array_equal(curves.correct, np.concatenate([s[1] for s in scores]))  # type: ignore[arg-type]
    clean = scored(training, "train")[1].mean()
    assert curves.final_train_accuracy == pytest.approx(clean, rel=1e-6)


@torch.no_grad()
def scored(
    training: Training, part: str
) -> tuple[float, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """Return the mean loss and which images are correct, from a single batch."""
    source = load_images("digits")
    images = torch.tensor(getattr(source, part).images).float()
    labels = getattr(source, part).labels
    logits = training.network((images - source.mean[0]) / source.std[0]).double()
    chosen = torch.log_softmax(logits, 1)[torch.arange(len(labels)), torch.tensor(labels)]
    return float(-chosen.mean()), logits.argmax(1).numpy() == labels


def test_evaluation_in_batches_equals_evaluation_at_once(pixels: DevicePixels) -> None:
    training = Training(TINY, RECIPE, pixels, seed=0)
    training.network.eval()
    loss, right = training.evaluate(pixels.train)  # 1,097 images: batches of 1,000 and 97
    expected = scored(training, "train")
    assert float(loss) == pytest.approx(expected[0], rel=1e-5)
    assert np.array_equal(right.numpy(), expected[1])


def test_before_training_batch_statistics_are_used_and_running_ones_kept(
    pixels: DevicePixels, curves: Curves
) -> None:
    training = Training(TINY, RECIPE, pixels, seed=0)
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    loss, accuracy = training.evaluate_untrained()
    assert (loss, accuracy) == (curves.initial_valid_loss, curves.initial_valid_accuracy)
    after = training.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    training.network.train()
    own = scored(training, "valid")
    assert loss == pytest.approx(own[0], rel=1e-5)
    assert accuracy == pytest.approx(own[1].mean(), rel=1e-6)
    training.network.eval()
    assert scored(training, "valid")[0] != pytest.approx(loss, rel=1e-3)  # running: mean 0, var 1


def test_only_convolution_and_linear_weights_decay(pixels: DevicePixels) -> None:
    training = Training(TINY, RECIPE, pixels, seed=0)
    before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    for parameter in training.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for group in training.optimizer.param_groups:
        group["lr"].fill_(0.5)
    training.optimizer.step()
    # Nesterov's first step with gradient g is lr * (1 + momentum) * g, and here g = decay * weight.
    kept = 1 - 0.5 * 1.9 * 5e-4
    for name, p in training.network.named_parameters():
        factor = kept if p.ndim > 1 else 1.0
        assert torch.allclose(p, before[name] * factor, rtol=1e-6, atol=0), name
        if p.ndim == 1:
            assert torch.equal(p, before[name])
    assert sum(p.ndim > 1 for p in training.network.parameters()) == 5


def test_a_diverging_network_has_a_status_and_a_reason(pixels: DevicePixels) -> None:
    recipe = replace(RECIPE, epochs=3, peak_rate=1e30)
    lost = train(TINY, recipe, pixels, seed=0)
    assert (lost.status, lost.epochs_done) == ("diverged", 0)
    assert lost.status_reason == "a loss or norm was not finite in epoch 1"
    for accuracy in (lost.train_accuracy, lost.valid_accuracy, lost.test_accuracy):
        assert accuracy == [0.1] * 3
    for values in (lost.train_loss, lost.valid_loss, lost.test_loss):
        assert values == [None] * 3
    assert lost.gradient_norm == lost.weight_norm == [None] * 3
    assert lost.train_loss_tenths == [None] * 30
    assert lost.learning_rate == [learning_rates(recipe)[e * STEPS - 1] for e in (1, 2, 3)]
    assert lost.epoch_seconds[0] > 0
    assert lost.epoch_seconds[1:] == [0.0, 0.0]
    assert lost.final_train_accuracy == 0.1
    assert lost.correct is not None
    assert lost.correct.shape == (2 * VALID,)
    assert not lost.correct.any()
    assert lost.initial_valid_loss is not None  # measured before it diverged
    assert lost.initial_valid_accuracy != 0.1


def test_epochs_before_a_divergence_keep_their_values(
    pixels: DevicePixels, curves: Curves, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Training.run_epoch

    def spoiled(self: Training, epoch: int) -> object:
        sums = own(self, epoch)
        return sums if epoch == 0 else replace(sums, weight_norm=torch.tensor(torch.inf))

    monkeypatch.setattr(Training, "run_epoch", spoiled)
    lost = train(TINY, RECIPE, pixels, seed=0)
    assert (lost.status, lost.epochs_done) == ("diverged", 1)
    assert lost.status_reason == "a loss or norm was not finite in epoch 2"
    assert lost.valid_loss == [curves.valid_loss[0], None]
    assert lost.valid_accuracy == [curves.valid_accuracy[0], 0.1]
    assert lost.train_loss_tenths == [*curves.train_loss_tenths[:TENTHS], *[None] * TENTHS]
    assert lost.correct is not None
    assert not lost.correct.any()


def test_a_recipe_for_other_images_is_refused(pixels: DevicePixels) -> None:
    message = "the recipe is for 'mnist', not 'digits'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train(TINY, replace(RECIPE, images="mnist"), pixels, seed=0)


def test_streams_are_keyed_by_images_architecture_and_seed(pixels: DevicePixels) -> None:
    training = Training(TINY, RECIPE, pixels, seed=7)
    assert training.key == ("digits", architecture_id(TINY), 7)
